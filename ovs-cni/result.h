#ifndef OVS_CNI_RESULT_H
#define OVS_CNI_RESULT_H 1

/* Results of ADD in the form of the caller's CNI version, and prevResult read back.  Pure. */

#include <jansson.h>

#include "cni-conf.h"
#include "cni-wire.h"
#include "error.h"

/* The result: what was in prevResult, which is kept whole (acceptance A5), and behind it our two interfaces, addresses
 * and routes. 'sandbox' is CNI_NETNS verbatim.  'dns' may be NULL.  A new object; NULL: no memory. */
json_t *result_create(enum cni_version, const json_t *prev_result, const struct cni_result *, const char *sandbox,
                      json_t *dns);

/* Fills the 'check_*' members of 'request' from prevResult: our interface is the one of that name in that sandbox.
 * CNI_E_CONFIG: it is not in there, or not well formed. */
enum cni_code result_to_check(const json_t *prev_result, const char *ifname, const char *sandbox,
                              struct cni_request *request, struct error *);

#endif /* ovs-cni/result.h */
