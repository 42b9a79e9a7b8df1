#include <config.h>

#include "utilities/compile-service.h"

#include <stdio.h>
#include <stdlib.h>

#include "controller/services.h"
#include "controller/store.h"
#include "flow-set.h"
#include "util.h"

static void
tell_service(const struct kube_object *object, void *services)
{
    services_service(services, NULL, kube_service_cast(object));
}

static void
tell_slice(const struct kube_object *object, void *services)
{
    services_slice(services, NULL, kube_endpointslice_cast(object));
}

/* services_get_flows() tells them as well. */
static void
drop_effects(struct services *services)
{
    struct service_effect e;

    while (services_pop(services, &e)) {
        if (e.type == SERVICE_PUT_FLOW || e.type == SERVICE_DROP_FLOW) {
            flow_entry_unref(e.flow);
        } else if (e.type == SERVICE_PUT_GROUP) {
            group_entry_unref(e.group);
        }
    }
}

struct services *
compile_services(const struct store *store, const char *node, const struct kube_node *self,
                 const struct inet_prefix *prefixes, size_t n_prefixes)
{
    struct services *services = services_create(node);
    struct in6_addr *addrs = xcalloc(MAX(n_prefixes, 1), sizeof *addrs);

    for (size_t i = 0; i < n_prefixes; i++) {
        addrs[i] = prefixes[i].addr;
    }
    services_set_node(services, self ? labels_get(self->object.labels, KUBE_LABEL_ZONE) : NULL, addrs, n_prefixes);
    free(addrs);
    store_for_each(store, KUBE_SERVICE, tell_service, services);
    store_for_each(store, KUBE_ENDPOINTSLICE, tell_slice, services);
    services_run(services);
    drop_effects(services);
    return services;
}

static void
print_problem(const struct kube_service *service, const char *problem, void *aux OVS_UNUSED)
{
    fprintf(stderr, "sluicectl: Service %s/%s: %s\n", service->object.namespace_, service->object.name, problem);
}

void
compile_services_problems(const struct services *services)
{
    services_for_each_problem(services, print_problem, NULL);
}
