/* The decoders of all kinds (controller/kube-types.h), and what holds the objects: store, pool and index.
 *
 * The first byte is the kind, '0' and so on in the order of KUBE_KINDS; the rest is an object as the API gives it. */

#include <config.h>

#include <string.h>

#include "controller/endpoints.h"
#include "controller/kube-policy.h"
#include "controller/store.h"
#include "fuzz.h"
#include "intern.h"

/* What is put twice changes once; what is removed leaves nothing. */
static void
check_kept(struct kube_object *object, struct kube_object *again)
{
    struct store *store = store_create();
    struct endpoints *endpoints = endpoints_create();
    enum kube_kind kind = object->kind;
    struct store_key key;

    store_put(store, object);
    store_put(store, again);
    FUZZ_CHECK(store_seqno(store, kind) == 1, "%d changes", (int) store_seqno(store, kind));
    FUZZ_CHECK(store_get(store, kind, object->namespace_, object->name) == object, "another object");
    if (kind == KUBE_NETWORKPOLICY) {
        kube_selector_matches(&kube_networkpolicy_cast(object)->pods, object->labels);
    }
    for (int i = 0; i < 2; i++) {
        FUZZ_CHECK(store_pop_change(store, &key), "no change");
        endpoints_follow(endpoints, store, &key);
        store_key_destroy(&key);
        FUZZ_CHECK(!store_pop_change(store, &key), "two changes");
        if (!i) {
            store_remove(store, kind, object->namespace_, object->name);
        }
    }
    FUZZ_CHECK(!endpoints_count(endpoints) && !intern_count(store_pool(store)), "something is left");
    endpoints_destroy(endpoints);
    store_destroy(store);
}

/* A policy that is wrong: its closed form is kept like any other object, and has no rule that lets something through. */
static void
check_closed(enum kube_kind kind, const json_t *json)
{
    struct kube_object *object, *again;

    if (kube_object_decode_closed(kind, json, &object)) {
        return;
    }
    FUZZ_CHECK(kube_object_problem(object) != NULL, "no problem");
    FUZZ_CHECK(!kube_object_decode_closed(kind, json, &again) && kube_object_equal(object, again), "closed differently");
    if (kind == KUBE_NETWORKPOLICY) {
        const struct kube_networkpolicy *np = kube_networkpolicy_cast(object);
        FUZZ_CHECK(!np->n_ingress && !np->n_egress && (np->isolates_ingress || np->isolates_egress), "open");
    } else {
        const struct kube_clusternetworkpolicy *cnp = kube_clusternetworkpolicy_cast(object);
        FUZZ_CHECK(cnp->n_ingress == 1 && cnp->ingress[0].action == KUBE_ACTION_DENY && cnp->n_egress == 1, "open");
    }
    check_kept(object, again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) {
        return 0;
    }

    enum kube_kind kind = (uint8_t) (data[0] - '0') % KUBE_N_KINDS;
    json_t *json = json_loadb((const char *) data + 1, size - 1, JSON_ALLOW_NUL, NULL);
    if (!json) {
        return 0;
    }

    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object, *again;
    const char *name = kube_kind_name(kind);
    if (!kube_object_decode_kind(kind, json, &object, &error)) {
        FUZZ_CHECK(!error.message, "an error beside an object");
        FUZZ_CHECK(!kube_object_decode_kind(kind, json, &again, NULL) && kube_object_equal(object, again), "decoded differently");
        check_kept(object, again);
    } else {
        FUZZ_CHECK(error.message && (!strncmp(error.message, name, strlen(name)) || !strncmp(error.message, "kind ", 5)),
                   "the error does not name the kind: %s", error_message(&error));
        check_closed(kind, json);
    }
    json_decref(json);
    return 0;
}
