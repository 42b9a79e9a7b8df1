#include <config.h>

#include "datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/config.h"
#include "netlink-socket.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* Facts. --------------------------------------------------------------------------------------------------------- */

int
datapath_probe(const struct ovsdb *ovsdb, struct datapath_facts *facts, struct error *error)
{
    if (!ovsdb_is_connected(ovsdb) || !(ovsdb_has_datapath_type(ovsdb, "netdev")
                                        || ovsdb_has_datapath_type(ovsdb, "system"))) {
        return error_set(error, EAGAIN, "ovs-vswitchd has not yet told the OVS database which datapaths it has");
    }
    int family;
    long int pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    *facts = (struct datapath_facts) {
        .ovs_system = ovsdb_has_datapath_type(ovsdb, "system"),
        .ovs_netdev = ovsdb_has_datapath_type(ovsdb, "netdev"),
        .ovs_afxdp = ovsdb_has_iface_type(ovsdb, "afxdp-nonpmd"),
        /* The kernel answers for an unknown family only after it has tried to load the module of that name. */
        .kernel_error = nl_lookup_genl_family("ovs_datapath", &family),
        .memory = pages > 0 && page_size > 0 ? (uint64_t) pages * page_size : 0,
    };
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    facts->afxdp_error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return 0;
}

/* Decision. ------------------------------------------------------------------------------------------------------ */

/* NULL, or why the datapath cannot be had (to be freed). */
static char *
obstacle(enum datapath datapath, const struct datapath_facts *facts)
{
    switch (datapath) {
    case DATAPATH_KERNEL:
        return (!facts->ovs_system ? xstrdup("this ovs-vswitchd has no datapath type \"system\"")
                : facts->kernel_error == ENOENT ? xstrdup("the kernel has no openvswitch module (modprobe openvswitch)")
                : facts->kernel_error ? xasprintf("the kernel does not answer for its openvswitch module: %s",
                                                  ovs_strerror(facts->kernel_error)) : NULL);
    case DATAPATH_AFXDP:
        return (!facts->ovs_netdev || !facts->ovs_afxdp
                ? xstrdup("this ovs-vswitchd has no interface type \"afxdp-nonpmd\" (built without AF_XDP)")
                : facts->afxdp_error ? xasprintf("the kernel makes no AF_XDP socket: %s",
                                                 ovs_strerror(facts->afxdp_error)) : NULL);
    case DATAPATH_USERSPACE:
        return facts->ovs_netdev ? NULL : xstrdup("this ovs-vswitchd has no datapath type \"netdev\"");
    case DATAPATH_AUTO:
    default:
        OVS_NOT_REACHED();
    }
}

/* NULL, or why "auto" does not take what would work (to be freed). */
static char *
objection(enum datapath datapath, const struct datapath_facts *facts)
{
    const uint64_t need = DATAPATH_AFXDP_PORT_BYTES * DATAPATH_AFXDP_PORTS;
    if (datapath != DATAPATH_AFXDP || facts->memory / DATAPATH_AFXDP_MEMORY_SHARE >= need) {
        return NULL;
    }
    return xasprintf("its buffers for %d pods are %"PRIu64" MB, more than 1/%d of this node's %"PRIu64" MB",
                     DATAPATH_AFXDP_PORTS, need >> 20, DATAPATH_AFXDP_MEMORY_SHARE, facts->memory >> 20);
}

static int
choose_explicit(enum datapath wanted, const struct datapath_facts *facts, enum datapath *datapath, char **why,
                struct error *error)
{
    char *problem = obstacle(wanted, facts);
    if (problem) {
        error_set(error, ENOTSUP, "datapath %s is configured but not possible: %s; \"datapath: auto\" takes what is",
                  datapath_name(wanted), problem);
        free(problem);
        return ENOTSUP;
    }
    *datapath = wanted;
    *why = xasprintf("%s, as configured", datapath_name(wanted));
    return 0;
}

int
datapath_choose(enum datapath wanted, const struct datapath_facts *facts, enum datapath *datapath, char **why,
                struct error *error)
{
    static const enum datapath best_first[] = { DATAPATH_KERNEL, DATAPATH_AFXDP, DATAPATH_USERSPACE };
    struct ds reasons = DS_EMPTY_INITIALIZER;

    if (wanted != DATAPATH_AUTO) {
        return choose_explicit(wanted, facts, datapath, why, error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(best_first); i++) {
        char *problem = obstacle(best_first[i], facts);
        problem = problem ? problem : objection(best_first[i], facts);
        if (!problem) {
            *datapath = best_first[i];
            *why = xasprintf("%s, the best that works here%s", datapath_name(best_first[i]), ds_cstr(&reasons));
            ds_destroy(&reasons);
            return 0;
        }
        ds_put_format(&reasons, "; not %s: %s", datapath_name(best_first[i]), problem);
        free(problem);
    }
    error_set(error, ENOTSUP, "no datapath is possible%s", ds_cstr(&reasons));
    ds_destroy(&reasons);
    return ENOTSUP;
}
