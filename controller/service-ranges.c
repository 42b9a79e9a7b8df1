#include <config.h>

#include "controller/service-ranges.h"

#include <stdlib.h>
#include <string.h>

#include "controller/kube-service.h"
#include "controller/store.h"
#include "util.h"

struct announced {
    const struct inet_prefix *pods;
    size_t n_pods;
    struct inet_prefix *ranges;
    size_t n, allocated;
};

static void
take(const struct kube_object *object, void *announced_)
{
    const struct kube_servicecidr *s = kube_servicecidr_cast(object);
    struct announced *a = announced_;

    for (size_t i = 0; i < s->n_cidrs; i++) {
        if (!inet_prefixes_overlap(a->pods, a->n_pods, &s->cidrs[i])) {
            if (a->n >= a->allocated) {
                a->ranges = x2nrealloc(a->ranges, &a->allocated, sizeof *a->ranges);
            }
            a->ranges[a->n++] = s->cidrs[i];
        }
    }
}

static size_t
sort_unique(struct inet_prefix *ranges, size_t n)
{
    size_t n_unique = 0;

    inet_prefixes_sort(ranges, n);
    for (size_t i = 0; i < n; i++) {
        if (!n_unique || !inet_prefix_equals(&ranges[n_unique - 1], &ranges[i])) {
            ranges[n_unique++] = ranges[i];
        }
    }
    return n_unique;
}

size_t
service_ranges_get(const struct store *store, const struct inet_prefix *configured, size_t n_configured,
                   const struct inet_prefix *pods, size_t n_pods, struct inet_prefix **ranges)
{
    struct announced a = { .pods = pods, .n_pods = n_pods };

    store_for_each(store, KUBE_SERVICECIDR, take, &a);
    size_t n = MIN(sort_unique(a.ranges, a.n), SERVICE_RANGES_MAX);

    a.ranges = xrealloc(a.ranges, MAX(n + n_configured, 1) * sizeof *a.ranges);
    for (size_t i = 0; i < n_configured; i++) {
        a.ranges[n++] = configured[i];
    }
    *ranges = a.ranges;
    return sort_unique(a.ranges, n);
}
