#include <config.h>
#include "controller/services.h"
#include "controller/dataplane-private.h"
#include "util.h"

/* Temporary: what has not landed yet.  Weak, and last in the archive, so that the real thing wins; each goes with it. */
#define OVS_WEAK __attribute__((weak))


void OVS_WEAK
ofctrl_flush_ct(struct ofctrl *o OVS_UNUSED, uint16_t zone OVS_UNUSED, uint8_t protocol OVS_UNUSED, const struct in6_addr *vip OVS_UNUSED, uint16_t vip_port OVS_UNUSED, const struct in6_addr *endpoint OVS_UNUSED, uint16_t endpoint_port OVS_UNUSED)
{}

