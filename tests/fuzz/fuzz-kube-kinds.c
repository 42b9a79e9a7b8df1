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
    }
    json_decref(json);
    return 0;
}
