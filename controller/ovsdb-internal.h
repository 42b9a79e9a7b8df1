#ifndef SLUICE_OVSDB_INTERNAL_H
#define SLUICE_OVSDB_INTERNAL_H 1

/* What the files of the OVSDB module share.
 *
 *   ovsdb.c        the connection, transactions, the order of things
 *   ovsdb-base.c   what the bridges and the fixed ports must look like
 *   ovsdb-conntrack.c  how long conntrack remembers what is closed
 *   ovsdb-port.c   a declared port of a pod: its strings, what may be written, what its rows look like
 *   ovsdb-pods.c   the table of these, their states, and the difference
 *   ovsdb-rows.c   one port, as rows of the database */

#include "lib/vswitch-idl.h"
#include "openvswitch/shash.h"
#include "ovsdb.h"

#define OVSDB_OWNER_KEY "owner"
#define OVSDB_OWNER "sluice"
#define OVSDB_STRING_MAX 1024           /* Bytes of a string of a pod. */

enum ovsdb_txn_kind { OVSDB_TXN_BASE, OVSDB_TXN_PODS, OVSDB_TXN_REMOVE };

/* A declared port of a pod.  The strings of 'want' are owned. */
struct ovsdb_pod {
    struct ovsdb_port want;
    enum ovsdb_port_state state;
    char *error;                        /* Why the state is OVSDB_PORT_FAILED. */
    char *refused;                      /* Why it is not written at all: bad strings, or the database said no. */
    int64_t cfg;                        /* next_cfg of the transaction that wrote it last; 0: nothing was written. */
    bool in_txn;                        /* The transaction under way writes it. */
    struct ovs_list dirty_node;         /* In 'dirty_pods', or ovs_list_is_empty(). */
    bool stale;                         /* The state must be computed again. */
};

struct ovsdb {
    char *remote;
    struct ovsdb_idl *idl;
    struct ovsdb_idl_index *ports_by_name, *ifaces_by_name;
    struct socket_watch *watch;
    long long int reconnect_at;         /* LLONG_MAX: leave it to the IDL. */
    int reconnect_delay;                /* ms. */
    unsigned int idl_seqno;             /* Of the snapshot that was looked at last. */

    struct ovsdb_base *base;            /* Owned strings; NULL: not declared yet. */
    struct shash pods;                  /* Of struct ovsdb_pod. */
    struct ovs_list dirty_pods;         /* Declared anew or rows changed: to be compared with the database. */
    bool scan;                          /* Bridges or ports changed: look at all pods, and for undeclared ports. */
    bool started, removing, removed;

    struct ovsdb_idl_txn *txn;          /* Under way, or NULL. */
    enum ovsdb_txn_kind txn_kind;
    unsigned int txn_seqno;             /* Snapshot that it was made from. */
    size_t txn_pods, max_pods;          /* Pods in it; limit, lowered while a culprit is looked for. */
    bool pending;                       /* Desired and database may differ. */
    bool stale;                         /* The answers must be computed again. */
    bool was_connected;                 /* When they were computed. */
    bool blocked;                       /* Try again when the snapshot is no longer 'txn_seqno'. */
    long long int retry_at;             /* After an error; 0: none. */

    int64_t base_cfg;                   /* next_cfg of the last transaction that wrote the base. */
    bool base_written;                  /* The last look found no difference. */
    char *base_problem, *txn_problem, *iface_problem;   /* Parts of ovsdb_problem(). */
    char *problem;
    unsigned int seqno;
};

/* ovsdb-rows.c ---------------------------------------------------------------------------------------------------- */

/* What a port must look like in the database. */
struct ovsdb_row_port {
    const char *name, *type;
    int64_t ofport;                     /* 0: any. */
    const char *mac;                    /* NULL: any. */
    int64_t mtu;                        /* 0: any. */
    const struct smap *options, *external_ids;
};

bool ovsdb_is_ours(const struct smap *external_ids);
const struct ovsrec_port *ovsdb_find_port(const struct ovsdb *, const char *name);
const struct ovsrec_interface *ovsdb_find_iface(const struct ovsdb *, const char *name);
const struct ovsrec_bridge *ovsdb_find_bridge(const struct ovsdb *, const char *name);
const struct ovsrec_open_vswitch *ovsdb_root(const struct ovsdb *);
/* NULL, or who else holds the name of a port (owned by the caller). */
char *ovsdb_port_foreign(const struct ovsdb *, const char *name);
/* True if the interface is as 'want' says. */
bool ovsdb_row_matches(const struct ovsrec_interface *, const struct ovsdb_row_port *);
/* Writes what differs.  'member': the port is in the bridge's list already.  The name must not be foreign. */
void ovsdb_row_write(const struct ovsdb *, struct ovsdb_idl_txn *, const struct ovsrec_bridge *,
                     const struct ovsdb_row_port *, bool member);

/* ovsdb-base.c ---------------------------------------------------------------------------------------------------- */

struct ovsdb_base *ovsdb_base_clone(const struct ovsdb_base *);
void ovsdb_base_destroy(struct ovsdb_base *);
bool ovsdb_base_equals(const struct ovsdb_base *, const struct ovsdb_base *);
/* Puts the difference of bridges and fixed ports into the transaction, and a conflict into 'base_problem'. */
void ovsdb_base_write(struct ovsdb *, struct ovsdb_idl_txn *);
/* Bridges of ours that nobody wants any more. */
void ovsdb_base_remove(struct ovsdb *, struct ovsdb_idl_txn *);
bool ovsdb_base_removed(const struct ovsdb *);
/* True if ovs-vswitchd has made the fixed ports; otherwise '*error' says what is wrong with one, or stays NULL. */
bool ovsdb_base_up(const struct ovsdb *, char **error);
bool ovsdb_base_holds(const struct ovsdb_base *, const char *port_name);

/* ovsdb-conntrack.c ----------------------------------------------------------------------------------------------- */

/* Puts the difference into the transaction.  For the userspace datapath. */
void ovsdb_conntrack_write(const struct ovsrec_open_vswitch *root, struct ovsdb_idl_txn *);
void ovsdb_conntrack_remove(const struct ovsrec_open_vswitch *root);

/* ovsdb-port.c ----------------------------------------------------------------------------------------------- */

void ovsdb_port_copy(struct ovsdb_port *, const struct ovsdb_port *);
void ovsdb_port_free(struct ovsdb_port *);      /* Its strings. */
bool ovsdb_port_equals(const struct ovsdb_port *, const struct ovsdb_port *);
/* NULL, or why this port cannot be written (to be freed). */
char *ovsdb_port_problem(const struct ovsdb *, const struct ovsdb_port *);
/* What its rows must look like; the caller destroys 'ids' and 'options', to which 'row' refers. */
void ovsdb_pod_row(const struct ovsdb *, const struct ovsdb_pod *, struct smap *ids, struct smap *options,
                   struct ovsdb_row_port *row);

/* ovsdb-pods.c ---------------------------------------------------------------------------------------------------- */

void ovsdb_pod_destroy(struct ovsdb_pod *);
/* Takes what the IDL tracked since the last call: marks the pods whose rows have changed. */
void ovsdb_pods_track(struct ovsdb *);
/* Marks all. */
void ovsdb_pods_touch_all(struct ovsdb *);
void ovsdb_pods_write(struct ovsdb *, struct ovsdb_idl_txn *);
/* The transaction with 'txn_pods' is over.  'error' NULL: it wrote the database, with next_cfg 'cfg'. */
void ovsdb_pods_written(struct ovsdb *, int64_t cfg, const char *error);
/* Recomputes the states that may have changed. */
void ovsdb_pods_refresh(struct ovsdb *);

#endif /* controller/ovsdb-internal.h */
