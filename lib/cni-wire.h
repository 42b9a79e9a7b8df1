#ifndef SLUICE_CNI_WIRE_H
#define SLUICE_CNI_WIRE_H 1

/* What ovs-cni and sluiced say to each other over the unix socket cni.sock.
 *
 * One connection carries one request and one reply.  A message is a 32-bit length (network byte order, at most
 * CNI_WIRE_MAX) and that many bytes of JSON.  ADD and CHECK carry the open network namespace of the container with the
 * first byte (SCM_RIGHTS), so that the daemon needs no view of the caller's mount namespace; DEL may.
 *
 * Both directions are parsed here, and only here, into the typed structs below, with limits; tests/fuzz has a target
 * for each.  Only libc and jansson are used.  The daemon trusts nothing: names, addresses and lengths are checked
 * again. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"

#define CNI_WIRE_VERSION 1
#define CNI_WIRE_MAX (4 * 1024 * 1024)          /* GC may name 10,000 attachments. */
#define CNI_WIRE_MAX_IPS 16
#define CNI_WIRE_MAX_ROUTES 256
#define CNI_WIRE_MAX_PORTS 256
#define CNI_WIRE_MAX_ATTACHMENTS 20000

enum cni_verb { CNI_ADD, CNI_DEL, CNI_CHECK, CNI_STATUS, CNI_GC, CNI_VERSION };
const char *cni_verb_name(enum cni_verb);       /* "ADD", ... */
bool cni_verb_parse(const char *, enum cni_verb *);

/* An address of the container: "10.244.1.5/32", its gateway or NULL. */
struct cni_ip {
    char *address;
    char *gateway;
};

struct cni_route {
    char *dst, *gw;                     /* 'gw' may be NULL. */
    int mtu, advmss, priority, table, scope;    /* -1: not given. */
};

struct cni_port_mapping {
    uint16_t host_port, container_port;
    char *protocol, *host_ip;           /* "tcp", "udp", "sctp"; 'host_ip' may be NULL. */
};

struct cni_attachment_id {
    char *container_id, *ifname;
};

struct cni_request {
    enum cni_verb verb;
    char *network;                      /* "name" of the network configuration. */
    char *container_id, *ifname;
    char *netns;                        /* As the runtime gave it; "" allowed for DEL. */
    char *pod_namespace, *pod_name, *pod_uid;   /* From CNI_ARGS; NULL outside Kubernetes. */
    char *mac;                          /* Wish, or NULL. */
    char **ips;                         /* Wishes (addresses, prefix length allowed). */
    size_t n_ips;
    int mtu;                            /* Wish; 0: the daemon's. */
    struct cni_port_mapping *ports;
    size_t n_ports;

    bool delegated;                     /* 'd_*' come from the delegated IPAM plugin; the daemon allocates nothing. */
    struct cni_ip *d_ips;
    size_t n_d_ips;
    struct cni_route *d_routes;
    size_t n_d_routes;

    /* CHECK: what our part of prevResult says. */
    char *check_host_ifname, *check_mac;
    int check_mtu;                      /* 0: not given. */
    struct cni_ip *check_ips;
    size_t n_check_ips;
    struct cni_route *check_routes;
    size_t n_check_routes;

    /* GC. */
    struct cni_attachment_id *valid;
    size_t n_valid;
};

/* What ADD made.  ovs-cni turns it into a result of the caller's CNI version. */
struct cni_result {
    char *host_ifname, *host_mac;
    char *ifname, *mac;
    int mtu;
    struct cni_ip *ips;
    size_t n_ips;
    struct cni_route *routes;
    size_t n_routes;
};

/* CNI's error codes (SPEC.md, "Error"). */
enum cni_code {
    CNI_OK = 0, CNI_E_VERSION = 1, CNI_E_UNSUPPORTED = 2, CNI_E_UNKNOWN_CONTAINER = 3, CNI_E_ENVIRONMENT = 4,
    CNI_E_IO = 5, CNI_E_DECODE = 6, CNI_E_CONFIG = 7, CNI_E_NETNS = 8, CNI_E_AGAIN = 11, CNI_E_UNAVAILABLE = 50,
    CNI_E_LIMITED = 51,
    CNI_E_FAILED = 100,                 /* Ours: the operation failed, see the message. */
    CNI_E_EXISTS = 101,                 /* Ours: this attachment or interface exists already. */
    CNI_E_BROKEN = 102,                 /* Ours: CHECK found something missing or different. */
};

struct cni_reply {
    enum cni_code code;
    char *message, *details;            /* When 'code' is not CNI_OK; 'details' may be NULL. */
    bool has_result;                    /* ADD. */
    struct cni_result result;
};

void cni_request_destroy(struct cni_request *);         /* Frees the content. */
void cni_reply_destroy(struct cni_reply *);
json_t *cni_request_to_json(const struct cni_request *);
json_t *cni_reply_to_json(const struct cni_reply *);
/* From bytes that may be anything.  On failure the struct is empty and the error says which member is wrong. */
int cni_request_parse(const void *, size_t, struct cni_request *, struct error *);
int cni_reply_parse(const void *, size_t, struct cni_reply *, struct error *);
/* The value checks that both sides make (CNI acceptance P4, P5).  False for NULL. */
bool cni_container_id_ok(const char *);
bool cni_network_ok(const char *);      /* "name" of a network configuration. */
bool cni_ifname_ok(const char *);
bool cni_mac_ok(const char *);          /* aa:bb:cc:dd:ee:ff, a unicast address that is not zero. */
bool cni_address_ok(const char *);      /* 10.0.0.1, fd00::1. */
bool cni_cidr_ok(const char *);         /* 10.0.0.1/24, fd00::1/64. */

/* Freeing parts of the structs above. */
void cni_ips_free(struct cni_ip *, size_t n);
void cni_routes_free(struct cni_route *, size_t n);
void cni_ports_free(struct cni_port_mapping *, size_t n);
void cni_attachments_free(struct cni_attachment_id *, size_t n);
void cni_strings_free(char **, size_t n);
void cni_result_destroy(struct cni_result *);

/* The same JSON forms as in CNI's own documents; cni-conf.c reads its lists with these too.  Each takes a JSON list
 * (NULL: none) and appends nothing on failure. */
int cni_ips_parse(const json_t *array, struct cni_ip **, size_t *n, struct error *);
int cni_routes_parse(const json_t *array, struct cni_route **, size_t *n, struct error *);
int cni_ports_parse(const json_t *array, struct cni_port_mapping **, size_t *n, struct error *);
int cni_attachments_parse(const json_t *array, struct cni_attachment_id **, size_t *n, struct error *);
json_t *cni_route_to_json(const struct cni_route *);

/* Limits of single strings, in bytes. */
#define CNI_MAX_NAME 255                /* Container id, network, namespace, pod, uid. */
#define CNI_MAX_PATH 4095
#define CNI_MAX_ADDRESS 63              /* Also of a MAC. */
#define CNI_MAX_TEXT 16384              /* Message and details of an error. */

/* The plugin's side: connects, sends, waits for the reply; blocking, with one deadline for all.  'netns_fd' is -1 or
 * sent along.  ECONNREFUSED and ENOENT mean that no daemon is there; ETIMEDOUT that it did not answer in time. */
int cni_wire_call(const char *socket_path, const struct cni_request *, int netns_fd, int timeout_ms, struct cni_reply *,
                  struct error *);

#endif /* lib/cni-wire.h */
