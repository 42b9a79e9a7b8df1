#ifndef OVS_CNI_DELEGATE_H
#define OVS_CNI_DELEGATE_H 1

/* The delegated IPAM plugin (CNI SPEC 1.1.0, section 4): the program named by "ipam": {"type"}, found in CNI_PATH, run
 * with our environment and all of our stdin; its stderr is ours.  It is killed when it takes longer than our own
 * timeout. */

#include <jansson.h>

#include "plugin.h"

/* What its ADD answered. */
struct delegate_result {
    struct cni_ip *ips;
    size_t n_ips;
    struct cni_route *routes;
    size_t n_routes;
    json_t *dns;                        /* An object that is not empty, or NULL. */
};

/* ADD.  A result that cannot be understood fails too; then its DEL was called already. */
enum cni_code delegate_add(struct plugin *, struct delegate_result *, struct error *);
void delegate_result_destroy(struct delegate_result *);

/* Any other verb; CNI_OK at once when there is no delegation. */
enum cni_code delegate_run(struct plugin *, enum cni_verb, struct error *);

#endif /* ovs-cni/delegate.h */
