#ifndef SLUICE_CNI_CONF_H
#define SLUICE_CNI_CONF_H 1

/* What a runtime gives a CNI plugin: environment and network configuration (CNI SPEC 1.1.0, sections 1 and 2, and
 * CONVENTIONS.md), parsed into typed structs with limits.  Pure: no file, no clock, and the environment is an argument.
 *
 * The functions return CNI_OK or the CNI error code that the plugin must answer with, which 'error' holds too (instead
 * of an errno value); on failure the struct is empty.  Only libc and jansson are used.
 *
 * DEL is forgiving: whatever it does not need (arguments, runtimeConfig, prevResult) may be wrong, because an error
 * would keep an attachment alive that nobody wants (acceptance D1, D4). */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "cni-wire.h"
#include "error.h"

/* Ascending. */
enum cni_version { CNI_V_0_3_0, CNI_V_0_3_1, CNI_V_0_4_0, CNI_V_1_0_0, CNI_V_1_1_0, CNI_N_VERSIONS };
const char *cni_version_name(enum cni_version);
bool cni_version_parse(const char *, enum cni_version *);

/* Limits of stdin, in bytes.  GC names every attachment of the node. */
#define CNI_CONF_MAX (1024 * 1024)
#define CNI_CONF_MAX_GC (4 * 1024 * 1024)

/* Environment. --------------------------------------------------------------------------------------------------- */

struct cni_env {
    bool about;                         /* CNI_COMMAND is not set: say what this program is. */
    enum cni_verb verb;
    char *container_id, *netns, *ifname;        /* NULL: not given or empty. */
    char *path;                         /* CNI_PATH, or NULL. */
    bool netns_override;                /* CNI_NETNS_OVERRIDE: the container may share the plugin's own namespace. */

    /* From CNI_ARGS; NULL: not given. */
    char *pod_namespace, *pod_name, *pod_uid;
    char *mac, *ip;
};

/* 'environment' is like environ(7). */
enum cni_code cni_env_parse(char *const *environment, struct cni_env *, struct error *);
void cni_env_destroy(struct cni_env *);

/* Network configuration. ----------------------------------------------------------------------------------------- */

struct cni_conf {
    enum cni_version version;
    char *name;                         /* Of the network. */
    char *ipam_type;                    /* Delegated IPAM plugin, or NULL: the daemon allocates. */
    json_t *prev_result;                /* An object, or NULL. */
    json_t *dns;                        /* An object that is not empty, or NULL. */

    /* Ours. */
    char *socket, *spool;               /* Absolute paths, or NULL: the default. */
    int timeout;                        /* Seconds that the daemon may take for an answer; 0: not given. */
    int wait;                           /* Seconds to wait for an absent daemon; -1: not given. */
    int mtu;                            /* Of the container's interface; 0: the daemon's. */

    /* Wishes, from runtimeConfig, args.cni or CNI_ARGS, in this order. */
    char *mac;
    char **ips;
    size_t n_ips;
    struct cni_port_mapping *ports;
    size_t n_ports;

    /* GC. */
    struct cni_attachment_id *valid;
    size_t n_valid;
};

#define CNI_CONF_MAX_TIMEOUT 600

/* 'data' is all of stdin. */
enum cni_code cni_conf_parse(const void *data, size_t size, const struct cni_env *, struct cni_conf *, struct error *);
void cni_conf_destroy(struct cni_conf *);

/* For VERSION and for error objects: the "cniVersion" of a document that may be anything; our highest if it has none.
 * Owned by the caller; NULL: no memory. */
char *cni_conf_peek_version(const void *data, size_t size);

/* A request to the daemon with what both structs say; false for want of memory.  'delegated' and 'check_*' are left to
 * the caller. */
bool cni_conf_to_request(const struct cni_conf *, const struct cni_env *, struct cni_request *);

#endif /* lib/cni-conf.h */
