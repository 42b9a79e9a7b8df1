#include <config.h>

#include "controller/dataplane-private.h"

#include <limits.h>
#include <string.h>

#include "controller/policy-status.h"
#include "hash.h"
#include "timeval.h"
#include "util.h"

/* From a change of policies to the Events about them. */
#define REPORT_DELAY_MS 1000

/* An attachment whose flows are wanted, as policies see it.  The object stays with it when it goes first (a Pod that is
 * deleted by force): its containers may still run, and nothing opens for them.  Without an object, which is so when sluiced
 * starts only then, or while a directory of manifests does not name it, nobody can say which policies select it: it is
 * isolated if there are any that might. */
struct policy_pod {
    struct hmap_node id_node, name_node;
    uint64_t id;
    const struct kube_pod *pod;         /* A reference; NULL: not known. */
    bool recompile;                     /* It was not known. */
};

void
dataplane_policy_init_(struct dataplane *dp)
{
    dp->policy = policy_create(dp->endpoints);
    dp->policy_status = policy_status_create();
    shash_init(&dp->policies_reported);
    dp->policies_report_at = LLONG_MAX;
    hmap_init(&dp->policy_pods);
    hmap_init(&dp->policy_pods_by_name);
    simap_init(&dp->policy_namespaces);
}

static void
pod_destroy(struct dataplane *dp, struct policy_pod *p)
{
    hmap_remove(&dp->policy_pods, &p->id_node);
    hmap_remove(&dp->policy_pods_by_name, &p->name_node);
    if (p->pod) {
        kube_object_destroy(&p->pod->object);
    }
    free(p);
}

void
dataplane_policy_destroy_(struct dataplane *dp)
{
    struct policy_pod *p;

    policy_destroy(dp->policy);
    policy_status_destroy(dp->policy_status);
    shash_destroy_free_data(&dp->policies_reported);
    HMAP_FOR_EACH_SAFE (p, id_node, &dp->policy_pods) {
        pod_destroy(dp, p);
    }
    hmap_destroy(&dp->policy_pods);
    hmap_destroy(&dp->policy_pods_by_name);
    simap_destroy(&dp->policy_namespaces);
}

/* Pods of this node. --------------------------------------------------------------------------------------------- */

static uint32_t
hash_name(const char *namespace_, const char *name)
{
    return hash_string(name, hash_string(namespace_ ? namespace_ : "", 0));
}

static struct policy_pod *
pod_find(const struct dataplane *dp, uint64_t id)
{
    struct policy_pod *p;

    HMAP_FOR_EACH_WITH_HASH (p, id_node, hash_uint64(id), &dp->policy_pods) {
        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

/* The object that the source has for it now. */
static const struct kube_pod *
find_object(const struct dataplane *dp, const struct attachment *a)
{
    const struct kube_object *object = store_get(dp->store, KUBE_POD, a->pod_namespace ? a->pod_namespace : "",
                                                 a->pod_name);
    char uid[KUBE_UID_STRLEN];

    return (object && attachment_is_uid(a, kube_pod_runtime_uid(kube_pod_cast(object), uid)) ? kube_pod_cast(object)
            : NULL);
}

static void
set_object(struct dataplane *dp, struct policy_pod *p, const struct kube_pod *pod, const struct attachment *a)
{
    struct in6_addr addrs[CNI_WIRE_MAX_IPS];
    const struct kube_pod *old = p->pod;
    size_t n = 0;

    for (size_t i = 0; i < a->n_ips && i < ARRAY_SIZE(addrs); i++) {
        addrs[n++] = a->ips[i].prefix.addr;
    }
    p->pod = kube_pod_cast(kube_object_ref(&pod->object));
    policy_local(dp->policy, p->id, pod, addrs, n);
    if (old) {
        kube_object_destroy(&old->object);
    } else {
        p->recompile = dp->policy_recompile = true;
    }
}

void
dataplane_policy_attach_(struct dataplane *dp, const struct attachment *a)
{
    if (!a->pod_name) {
        return;                         /* Outside Kubernetes nothing selects it. */
    }

    struct policy_pod *p = pod_find(dp, a->id);
    if (!p) {
        p = xzalloc(sizeof *p);
        p->id = a->id;
        hmap_insert(&dp->policy_pods, &p->id_node, hash_uint64(a->id));
        hmap_insert(&dp->policy_pods_by_name, &p->name_node, hash_name(a->pod_namespace, a->pod_name));
    }
    const struct kube_pod *pod = find_object(dp, a);
    if (pod && pod != p->pod) {
        set_object(dp, p, pod, a);
    }
}

void
dataplane_policy_detach_(struct dataplane *dp, uint64_t id)
{
    struct policy_pod *p = pod_find(dp, id);

    if (p) {
        if (p->pod) {
            policy_local(dp->policy, id, NULL, NULL, 0);
        }
        pod_destroy(dp, p);
    }
}

/* Whether there is a policy that could select it, whatever its labels are. */
static bool
may_be_selected(const struct dataplane *dp, const struct attachment *a)
{
    return (store_count(dp->store, KUBE_CLUSTERNETWORKPOLICY)
            || simap_contains(&dp->policy_namespaces, a->pod_namespace ? a->pod_namespace : ""));
}

static bool
is_closed(const struct dataplane *dp, const struct attachment *a)
{
    const struct policy_pod *p = pod_find(dp, a->id);

    return a->pod_name && !(p && p->pod) && may_be_selected(dp, a);
}

const char *
dataplane_policy_problem_(const struct dataplane *dp, const struct attachment *a)
{
    return (a->state == ATTACHMENT_UP && is_closed(dp, a)
            ? "denied: the Pod object is not known, and there are policies that might select it" : NULL);
}

bool
dataplane_policy_get_(const struct dataplane *dp, const struct attachment *a, struct flow_pod_policy *out)
{
    policy_get_local(dp->policy, a->id, out);
    out->log = policy_log_level(dp->config, dp->store, a->pod_namespace ? a->pod_namespace : "");
    return !is_closed(dp, a);
}

static void
pod_changed(struct dataplane *dp, const char *namespace_, const char *name)
{
    struct policy_pod *p;

    HMAP_FOR_EACH_WITH_HASH (p, name_node, hash_name(namespace_, name), &dp->policy_pods_by_name) {
        const struct attachment *a = attachments_get(dp->attachments, p->id);
        if (a && !strcmp(a->pod_namespace ? a->pod_namespace : "", namespace_) && !strcmp(a->pod_name, name)) {
            dataplane_policy_attach_(dp, a);
        }
    }
}

/* What is logged about a namespace's pods may be something else now. */
static void
log_changed(struct dataplane *dp, const char *name, const struct kube_object *old, const struct kube_object *new)
{
    const char *before = old ? labels_get(old->annotations, POLICY_LOG_ANNOTATION) : NULL;
    const char *now = new ? labels_get(new->annotations, POLICY_LOG_ANNOTATION) : NULL;
    struct policy_pod *p;

    if (nullable_string_is_equal(before, now)) {
        return;
    }
    HMAP_FOR_EACH (p, id_node, &dp->policy_pods) {
        const struct attachment *a = attachments_get(dp->attachments, p->id);
        if (a && a->pod_namespace && !strcmp(a->pod_namespace, name)) {
            p->recompile = dp->policy_recompile = true;
        }
    }
}

void
dataplane_policy_reconfigure_(struct dataplane *dp)
{
    struct policy_pod *p;

    if (policy_log_reconfigure(dp->policy_log)) {
        HMAP_FOR_EACH (p, id_node, &dp->policy_pods) {
            p->recompile = dp->policy_recompile = true;
        }
    }
}

/* Objects. ------------------------------------------------------------------------------------------------------- */

/* One look for many changes. */
static void
report_soon(struct dataplane *dp)
{
    if (dp->policies_report_at == LLONG_MAX) {
        dp->policies_report_at = time_msec() + REPORT_DELAY_MS;
    }
}

/* A policy came, changed or went. */
static void
policy_changed(struct dataplane *dp, const struct store_key *key, const struct kube_object *new)
{
    policy_status_changed(dp->policy_status, key->old, new);
    report_soon(dp);
    if (!key->old != !new) {
        struct policy_pod *p;

        if (key->kind == KUBE_NETWORKPOLICY) {
            if (new) {
                simap_increase(&dp->policy_namespaces, key->namespace_, 1);
            } else if (!simap_increase(&dp->policy_namespaces, key->namespace_, -1)) {
                simap_find_and_delete(&dp->policy_namespaces, key->namespace_);
            }
        }
        HMAP_FOR_EACH (p, id_node, &dp->policy_pods) {
            p->recompile = p->recompile || !p->pod;
            dp->policy_recompile = dp->policy_recompile || p->recompile;
        }
    }
}

void
dataplane_policy_changed_(struct dataplane *dp, const struct store_key *key)
{
    const struct kube_object *new = store_get(dp->store, key->kind, key->namespace_, key->name);

    switch (key->kind) {
    case KUBE_NAMESPACE:
        policy_namespace(dp->policy, key->name, (const struct kube_namespace *) new);
        log_changed(dp, key->name, key->old, new);
        break;
    case KUBE_NODE:
        policy_node(dp->policy, kube_node_cast(key->old), kube_node_cast(new));
        break;
    case KUBE_POD:
        policy_pod(dp->policy, kube_pod_cast(key->old), kube_pod_cast(new));
        pod_changed(dp, key->namespace_, key->name);
        break;
    case KUBE_NETWORKPOLICY:
        policy_networkpolicy(dp->policy, kube_networkpolicy_cast(key->old), kube_networkpolicy_cast(new));
        policy_changed(dp, key, new);
        break;
    case KUBE_CLUSTERNETWORKPOLICY:
        policy_clusternetworkpolicy(dp->policy, kube_clusternetworkpolicy_cast(key->old),
                                    kube_clusternetworkpolicy_cast(new));
        policy_changed(dp, key, new);
        break;
    case KUBE_SERVICE: case KUBE_ENDPOINTSLICE: case KUBE_SERVICECIDR: case KUBE_N_KINDS:
    default:
        break;
    }
}

/* Effects. ------------------------------------------------------------------------------------------------------- */

/* After policy_run(). */
static void
take_effects(struct dataplane *dp)
{
    struct of_state *of = ofctrl_state(dp->ofctrl);
    struct policy_effect effect;

    while (policy_pop(dp->policy, &effect)) {
        switch (effect.type) {
        case POLICY_PUT:
            dp->policy_version = of_state_put_flow(of, OWNER_POLICY, effect.flow);
            break;
        case POLICY_DROP:
            dp->policy_version = of_state_drop_flow(of, OWNER_POLICY, effect.flow);
            flow_entry_unref(effect.flow);
            break;
        case POLICY_LOCAL: {
            struct policy_pod *p = pod_find(dp, effect.id);
            if (p) {
                p->recompile = dp->policy_recompile = true;
            }
            break;
        }
        }
    }
}

static void
recompile_pods(struct dataplane *dp)
{
    struct policy_pod *p;

    dp->policy_recompile = false;
    HMAP_FOR_EACH (p, id_node, &dp->policy_pods) {
        if (p->recompile) {
            p->recompile = false;
            dataplane_pod_compile_(dp, p->id);
        }
    }
}

/* Nothing before the sources are synced: half of the policies would be another policy. */
void
dataplane_policy_run_(struct dataplane *dp)
{
    if (!dp->sources_synced) {
        return;
    }
    if (policy_run(dp->policy)) {
        take_effects(dp);
        report_soon(dp);
    }
    if (dp->policy_recompile) {
        recompile_pods(dp);
    }
    policy_status_declared(dp->policy_status, of_state_version(ofctrl_state(dp->ofctrl)));
}
