#ifndef SLUICE_ETHTOOL_H
#define SLUICE_ETHTOOL_H 1

/* On and off of a link's offloads, by the old requests of linux/ethtool.h (SIOCETHTOOL), e.g. ETHTOOL_STXCSUM or
 * ETHTOOL_GGRO.
 *
 * 'netns_fd' is -1 for the calling thread's own namespace.  EOPNOTSUPP when the link does not know the request. */

#include <linux/ethtool.h>
#include <stdint.h>

#include "error.h"

int ethtool_get(int netns_fd, const char *name, uint32_t request, uint32_t *value, struct error *);
int ethtool_set(int netns_fd, const char *name, uint32_t request, uint32_t value, struct error *);

#endif /* lib/ethtool.h */
