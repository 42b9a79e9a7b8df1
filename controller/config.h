#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H 1

/* sluiced's configuration: the file sluiced.yaml and the options that override it.
 *
 * Strict: an unknown key is an error with its line and the nearest known key; a value that does not fit says what would.
 * Sizes and times have units ("60s", "5m"; a bare number of an MTU is bytes).  Every key of the file is also an option
 * (--node, --source, ..., --ipam-quarantine); lists are then separated by commas.  The table of keys lives in config.c;
 * docs/configuration.md explains them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "inet.h"
#include "controller/ovsdb.h"           /* enum datapath, enum encap. */
#include "flow-input.h"                 /* enum flow_log. */

struct config {
    char *node;                         /* Default: the host's name. */
    char *source;                       /* "kubernetes", or a directory of manifests. */
    char *kubeconfig;                   /* As KUBECONFIG, which is not read; NULL: in-cluster service account. */
    enum datapath datapath;
    enum encap encapsulation;
    char *uplink;                       /* A device, or "auto". */
    uint16_t mtu;                       /* Of the pods; 0: auto. */
    struct inet_prefix *pod_cidrs;      /* Only for a source without this node's Node object. */
    size_t n_pod_cidrs;
    struct inet_prefix *service_cidrs;
    size_t n_service_cidrs;
    bool masquerade;                    /* "auto" is true: what leaves the cluster gets the node's address. */

    struct in6_addr healthz_addr;       /* Where healthz answers. */
    uint16_t healthz_port;              /* 0: nowhere. */

    char *ipam_mode;                    /* "host". */
    long long int quarantine_ms;        /* 0 to 3,600,000. */
    struct inet_prefix *reserve;
    size_t n_reserve;

    char *run_dir;                      /* cni.sock, sluiced.ctl, sluiced.pid. */
    char *state_dir;                    /* Journal, spool, record of the uplink. */
    char *ovsdb;                        /* "unix:/run/openvswitch/db.sock". */
    char *ovs_rundir;                   /* Where br-int.mgmt and ovs-vswitchd's control socket are. */
    char *log_file;                     /* NULL: standard error. */

    long long int domain_idle_ms;       /* 0 to 3,600,000. */
    enum flow_log policy_log;           /* Which verdicts of policies are logged. */
    char *policy_log_file;              /* Where. */
};

/* Every key with its default. */
void config_init(struct config *);
void config_destroy(struct config *);           /* Frees the content. */

/* Reads 'path' over what 'config' holds.  On failure 'config' is unchanged. */
int config_load(struct config *, const char *path, struct error *);
/* The same from memory; 'name' stands for the file in errors. */
int config_parse(struct config *, const char *name, const void *yaml, size_t size, struct error *);

/* One key by name, from text, e.g. ("ipam-quarantine", "60s"). */
int config_set(struct config *, const char *key, const char *value, struct error *);

/* What main() needs for getopt_long() and --help: calls 'cb' for each key as an option. */
void config_for_each_key(void (*cb)(const char *key, const char *metavar, const char *help, void *aux), void *aux);

/* Checks that need more than one key.  Call it once after all options. */
int config_validate(const struct config *, struct error *);

const char *datapath_name(enum datapath);       /* "auto", "kernel", "afxdp", "userspace". */
const char *encap_name(enum encap);             /* "geneve", "vxlan", "none", "hybrid". */
/* "none", "drops", "all"; false for anything else. */
bool policy_log_from_name(const char *, enum flow_log *);

#endif /* controller/config.h */
