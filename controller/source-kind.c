#include <config.h>

#include "controller/source-kind.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/shash.h"
#include "util.h"

struct problem {
    char *text;
    bool marked;                        /* Not seen since the list began. */
};

struct source_kind {
    enum kube_kind kind;
    struct store *store;
    struct shash problems;              /* "NAMESPACE/NAME", or "" for those without a name -> struct problem. */
    size_t n_more;                      /* Problems beyond SOURCE_KIND_MAX_PROBLEMS, since the last list began. */
    bool listing;
    bool unnamed;                       /* The list had an object without a name. */
    bool listed, absent;
};

/* Problems. ------------------------------------------------------------------------------------------------------ */

static void
problem_destroy(struct problem *problem)
{
    free(problem->text);
    free(problem);
}

static void
set_problem(struct source_kind *sk, const char *key, const char *text)
{
    struct problem *problem = shash_find_data(&sk->problems, key);

    if (!problem && shash_count(&sk->problems) >= SOURCE_KIND_MAX_PROBLEMS) {
        sk->n_more++;
        return;
    }
    if (!problem) {
        problem = xzalloc(sizeof *problem);
        shash_add(&sk->problems, key, problem);
    }
    problem->marked = false;
    free(problem->text);
    problem->text = xstrdup(text);
}

static void
clear_problem(struct source_kind *sk, const char *key)
{
    struct problem *problem = shash_find_and_delete(&sk->problems, key);

    if (problem) {
        problem_destroy(problem);
    }
}

static void
mark_problems(struct source_kind *sk)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &sk->problems) {
        struct problem *problem = node->data;
        problem->marked = true;
    }
    sk->n_more = 0;
}

static void
sweep_problems(struct source_kind *sk)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &sk->problems) {
        struct problem *problem = node->data;
        if (problem->marked) {
            shash_delete(&sk->problems, node);
            problem_destroy(problem);
        }
    }
}

/* Objects. ------------------------------------------------------------------------------------------------------- */

static const char *
metadata(const json_t *json, const char *member)
{
    const char *s = json_string_value(json_object_get(json_object_get(json, "metadata"), member));
    return s ? s : "";
}

/* The key of an object's problem; as it comes from outside, only what can be printed. */
static char *
problem_key(const json_t *json)
{
    const char *namespace_ = metadata(json, "namespace"), *name = metadata(json, "name");
    char *key = !*name ? xstrdup("")
                : *namespace_ ? xasprintf("%.253s/%.253s", namespace_, name) : xasprintf("%.253s", name);

    for (char *p = key; *p; p++) {
        *p = *p > ' ' && *p < 0x7f ? *p : '?';
    }
    return key;
}

/* "Pod NAMESPACE/NAME". */
static char *
where_is(const struct source_kind *sk, const char *key)
{
    return xasprintf("%s%s%s", kube_kind_name(sk->kind), *key ? " " : "", key);
}

/* Decoders begin with the object's name, which our problems have already. */
static const char *
without_name(const struct source_kind *sk, const char *key, const char *why)
{
    char *where = where_is(sk, key);
    size_t n = strlen(where);
    bool named = !strncmp(why, where, n) && !strncmp(why + n, ": ", 2);

    free(where);
    return named ? why + n + 2 : why;
}

static void
put_bad(struct source_kind *sk, const json_t *json, const char *why)
{
    const char *namespace_ = metadata(json, "namespace"), *name = metadata(json, "name"), *uid = metadata(json, "uid");
    const struct kube_object *last = store_get(sk->store, sk->kind, namespace_, name);
    const char *what_now = "";
    struct kube_object *closed;
    char *key = problem_key(json);

    if (!kube_object_decode_closed(sk->kind, json, &closed)) {
        what_now = store_put_closed(sk->store, closed) ? SOURCE_KIND_CLOSED : SOURCE_KIND_KEPT;
    } else if (last && *uid && !kube_uid_equal_text(&last->uid, uid)) {
        store_remove(sk->store, sk->kind, namespace_, name);
    } else if (last) {
        store_keep(sk->store, sk->kind, namespace_, name);
        what_now = SOURCE_KIND_KEPT;
    }
    sk->unnamed = sk->unnamed || !*name;

    char *text = xasprintf("%s%s", without_name(sk, key, why), what_now);
    set_problem(sk, key, text);
    free(text);
    free(key);
}

static void
put(struct source_kind *sk, const json_t *json)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object;

    if (kube_object_decode_kind(sk->kind, json, &object, &error)) {
        put_bad(sk, json, error_message(&error));
        return;
    }
    store_put(sk->store, object);
    if (!shash_is_empty(&sk->problems)) {
        char *key = problem_key(json);
        clear_problem(sk, key);
        free(key);
    }
}

static void
remove_object(struct source_kind *sk, const json_t *json)
{
    char *key = problem_key(json);

    store_remove(sk->store, sk->kind, metadata(json, "namespace"), metadata(json, "name"));
    clear_problem(sk, key);
    free(key);
}

/* The reflector's events. ---------------------------------------------------------------------------------------- */

static void
begin(void *sk_)
{
    struct source_kind *sk = sk_;

    sk->listing = true;
    sk->unnamed = false;
    store_mark(sk->store, sk->kind);
    mark_problems(sk);
}

static void
object(void *sk_, enum reflector_event event, const json_t *json)
{
    struct source_kind *sk = sk_;

    if (event == REFLECTOR_DELETED) {
        remove_object(sk, json);
    } else {
        put(sk, json);
    }
}

static void
end(void *sk_)
{
    struct source_kind *sk = sk_;

    if (!sk->unnamed) {
        store_sweep(sk->store, sk->kind);
    }
    sweep_problems(sk);
    sk->listing = false;
    sk->listed = true;
    sk->absent = false;
}

static void
gone(void *sk_)
{
    struct source_kind *sk = sk_;

    if (kube_kind_may_be_absent(sk->kind)) {
        store_mark(sk->store, sk->kind);
        store_sweep(sk->store, sk->kind);
        mark_problems(sk);
        sweep_problems(sk);
    }
    sk->listing = false;
    sk->absent = true;
}

static void
bad(void *sk_, const char *what)
{
    struct source_kind *sk = sk_;

    sk->unnamed = sk->unnamed || sk->listing;
    set_problem(sk, "", what);
}

/* What the decoders do not read, of the two kinds that have much of it. */
static const char *const skip_pod[] = {
    "affinity", "allocatedResources", "conditions", "containerStatuses", "env", "envFrom", "ephemeralContainerStatuses",
    "imagePullSecrets", "initContainerStatuses", "lifecycle", "livenessProbe", "ownerReferences", "readinessProbe",
    "resources", "securityContext", "startupProbe", "tolerations", "topologySpreadConstraints", "volumeDevices",
    "volumeMounts", "volumes", NULL
};
static const char *const skip_node[] = {
    "allocatable", "capacity", "conditions", "images", "nodeInfo", "ownerReferences", "taints", "volumesAttached",
    "volumesInUse", NULL
};
static const struct reflector_ops pod_ops = { begin, object, end, gone, bad, skip_pod };
static const struct reflector_ops node_ops = { begin, object, end, gone, bad, skip_node };
const struct reflector_ops source_kind_ops = { begin, object, end, gone, bad, NULL };

const struct reflector_ops *
source_kind_reflector_ops(enum kube_kind kind)
{
    return kind == KUBE_POD ? &pod_ops : kind == KUBE_NODE ? &node_ops : &source_kind_ops;
}

/* Life. ---------------------------------------------------------------------------------------------------------- */

struct source_kind *
source_kind_create(enum kube_kind kind, struct store *store)
{
    struct source_kind *sk = xzalloc(sizeof *sk);

    sk->kind = kind;
    sk->store = store;
    shash_init(&sk->problems);
    return sk;
}

void
source_kind_destroy(struct source_kind *sk)
{
    if (sk) {
        mark_problems(sk);
        sweep_problems(sk);
        shash_destroy(&sk->problems);
        free(sk);
    }
}

bool
source_kind_synced(const struct source_kind *sk)
{
    return sk->listed || (kube_kind_may_be_absent(sk->kind) && sk->absent);
}

bool
source_kind_absent(const struct source_kind *sk)
{
    return sk->absent;
}

size_t
source_kind_n_problems(const struct source_kind *sk)
{
    return shash_count(&sk->problems) + sk->n_more;
}

void
source_kind_for_each_problem(const struct source_kind *sk,
                             void (*cb)(const char *where, const char *problem, void *aux), void *aux)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &sk->problems) {
        const struct problem *problem = node->data;
        char *where = where_is(sk, node->name);

        cb(where, problem->text, aux);
        free(where);
    }
    if (sk->n_more) {
        char *text = xasprintf("%"PRIuSIZE" more objects are wrong", sk->n_more);

        cb(kube_kind_name(sk->kind), text, aux);
        free(text);
    }
}
