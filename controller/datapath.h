#ifndef SLUICE_DATAPATH_H
#define SLUICE_DATAPATH_H 1

/* Which datapath carries the packets: the kernel module, AF_XDP or AF_PACKET ("userspace").
 *
 * Two halves: datapath_probe() collects facts (the only I/O), datapath_choose() decides by them and says why.  The
 * decision depends only on what stays the same while the node runs, so that a restart of the daemon never changes the
 * datapath under its pods. */

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "ovsdb.h"

/* What an AF_XDP port costs ovs-vswitchd (measured, docs/datapaths.md): 16384 frames of 4 KB and their descriptors,
 * per port. */
#define DATAPATH_AFXDP_PORT_BYTES (75ULL << 20)
/* The pods that a node must hold, as the kubelet's --max-pods. */
#define DATAPATH_AFXDP_PORTS 110
/* "auto" takes AF_XDP only if that many ports fit into this part of the node's memory. */
#define DATAPATH_AFXDP_MEMORY_SHARE 4

struct datapath_facts {
    bool ovs_system, ovs_netdev;        /* ovs-vswitchd was built with these datapath types. */
    bool ovs_afxdp;                     /* ... and with the interface type afxdp-nonpmd. */
    int kernel_error;                   /* 0: the kernel has the "ovs_datapath" family; or a positive errno value. */
    int afxdp_error;                    /* 0: the kernel makes AF_XDP sockets; or a positive errno value. */
    uint64_t memory;                    /* Of the node, bytes; 0: not known. */
};

/* EAGAIN as long as ovs-vswitchd has not told the database what it can do.  Asking for the kernel's family makes the
 * kernel load the openvswitch module if it can. */
int datapath_probe(const struct ovsdb *, struct datapath_facts *, struct error *);

/* '*datapath' is 'wanted', or for DATAPATH_AUTO the best that works.  '*why' (to be freed) is one line for the status:
 * what was chosen, and for "auto" why nothing better.  ENOTSUP with the reason if an explicit wish cannot be had, or
 * nothing can. */
int datapath_choose(enum datapath wanted, const struct datapath_facts *, enum datapath *datapath, char **why,
                    struct error *);

#endif /* controller/datapath.h */
