#include <config.h>
#include "controller/services.h"
#include "controller/dataplane-private.h"
#include "util.h"

/* Temporary: what has not landed yet.  Weak, and last in the archive, so that the real thing wins; each goes with it. */
#define OVS_WEAK __attribute__((weak))

struct services { int x; };

struct services * OVS_WEAK
services_create(const char *n OVS_UNUSED)
{ return xzalloc(sizeof(struct services)); }

void OVS_WEAK
services_destroy(struct services *s)
{ free(s); }

void OVS_WEAK
services_service(struct services *s OVS_UNUSED, const struct kube_service *old OVS_UNUSED, const struct kube_service *new OVS_UNUSED)
{}

void OVS_WEAK
services_slice(struct services *s OVS_UNUSED, const struct kube_endpointslice *old OVS_UNUSED, const struct kube_endpointslice *new OVS_UNUSED)
{}

void OVS_WEAK
services_set_node(struct services *s OVS_UNUSED, const char *zone OVS_UNUSED, const struct in6_addr *addrs OVS_UNUSED, size_t n_addrs OVS_UNUSED)
{}

void OVS_WEAK
services_set_host_ports(struct services *s OVS_UNUSED, uint64_t id OVS_UNUSED, const char *pod OVS_UNUSED, const struct service_host_port *p OVS_UNUSED, size_t n_ports OVS_UNUSED, const struct in6_addr *addrs OVS_UNUSED, size_t n_addrs OVS_UNUSED)
{}

bool OVS_WEAK
services_run(struct services *s OVS_UNUSED)
{ return false; }

bool OVS_WEAK
services_pop(struct services *s OVS_UNUSED, struct service_effect *e OVS_UNUSED)
{ return false; }

void OVS_WEAK
services_get_flows(const struct services *s OVS_UNUSED, struct flow_set *f OVS_UNUSED)
{}

void OVS_WEAK
services_for_each_door(const struct services *s OVS_UNUSED, const struct kube_service *k OVS_UNUSED, void (*cb)(const struct service_door_info *, void *aux) OVS_UNUSED, void *aux OVS_UNUSED)
{}

void OVS_WEAK
services_for_each(const struct services *s OVS_UNUSED, void (*cb)(const struct service_info *, void *aux) OVS_UNUSED, void *aux OVS_UNUSED)
{}

const struct kube_service * OVS_WEAK
services_of_cookie(const struct services *s OVS_UNUSED, uint64_t cookie OVS_UNUSED, const char **port_name OVS_UNUSED)
{ return NULL; }

void OVS_WEAK
services_get_stats(const struct services *s OVS_UNUSED, struct services_stats *st)
{ memset(st, 0, sizeof *st); }

uint64_t OVS_WEAK
of_state_put_group(struct of_state *s OVS_UNUSED, const char *owner OVS_UNUSED, struct group_entry *g OVS_UNUSED)
{ return 0; }

uint64_t OVS_WEAK
of_state_drop_group(struct of_state *s OVS_UNUSED, const char *owner OVS_UNUSED, uint32_t g OVS_UNUSED)
{ return 0; }

void OVS_WEAK
ofctrl_flush_ct(struct ofctrl *o OVS_UNUSED, uint16_t zone OVS_UNUSED, uint8_t protocol OVS_UNUSED, const struct in6_addr *vip OVS_UNUSED, uint16_t vip_port OVS_UNUSED, const struct in6_addr *endpoint OVS_UNUSED, uint16_t endpoint_port OVS_UNUSED)
{}

