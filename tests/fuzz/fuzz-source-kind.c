/* Histories of one kind from the API (controller/source-kind.h).
 *
 * Two bytes make an event: what happens, and to which of eight objects.  A list that brings some good objects must
 * then leave exactly those, without a problem, and a second such list must change nothing.  Or else the input is
 * one object of JSON. */

#include <config.h>

#include <string.h>

#include "controller/source-kind.h"
#include "fuzz.h"
#include "util.h"

enum { N_OBJECTS = 8 };

/* 'what': bit 0 the UID, bit 1 the content, bit 2 that it is wrong. */
static json_t *
object(unsigned int which, unsigned int what)
{
    char name[2] = { 'a' + which % N_OBJECTS }, uid[2] = { '1' + (what & 1) };

    return json_pack("{s:{s:s, s:s}, s:{s:[s]}}", "metadata", "name", name, "uid", uid, "spec", "podCIDRs",
                     what & 4 ? "nonsense" : what & 2 ? "10.1.0.0/24" : "10.2.0.0/24");
}

static void
tell(struct source_kind *sk, enum reflector_event event, json_t *json)
{
    source_kind_ops.object(sk, event, json);
    json_decref(json);
}

static void
step(struct source_kind *sk, unsigned int op, unsigned int which)
{
    switch (op & 7) {
    case 0: source_kind_ops.begin(sk); break;
    case 1: source_kind_ops.end(sk); break;
    case 2: source_kind_ops.gone(sk); break;
    case 3: source_kind_ops.bad(sk, "not JSON"); break;
    case 4: tell(sk, REFLECTOR_LISTED, object(which, op >> 3)); break;
    case 5: tell(sk, REFLECTOR_ADDED, object(which, op >> 3)); break;
    case 6: tell(sk, REFLECTOR_MODIFIED, object(which, op >> 3)); break;
    case 7: tell(sk, REFLECTOR_DELETED, object(which, op >> 3)); break;
    }
}

/* A whole list of the objects whose bit is set. */
static void
list(struct source_kind *sk, unsigned int objects)
{
    source_kind_ops.begin(sk);
    for (unsigned int i = 0; i < N_OBJECTS; i++) {
        if (objects & (1u << i)) {
            tell(sk, REFLECTOR_LISTED, object(i, 0));
        }
    }
    source_kind_ops.end(sk);
}

static void
check_list(struct source_kind *sk, const struct store *store, unsigned int objects)
{
    size_t n = 0;

    list(sk, objects);
    for (unsigned int i = 0; i < N_OBJECTS; i++) {
        char name[2] = { 'a' + i };
        bool there = store_get(store, KUBE_NODE, "", name) != NULL;

        FUZZ_CHECK(there == !!(objects & (1u << i)), "%s", name);
        n += there;
    }
    FUZZ_CHECK(store_count(store, KUBE_NODE) == n, "more than was listed");
    FUZZ_CHECK(!source_kind_n_problems(sk) && source_kind_synced(sk) && !source_kind_absent(sk), "after a good list");

    uint64_t seqno = store_seqno(store, KUBE_NODE);
    list(sk, objects);
    FUZZ_CHECK(store_seqno(store, KUBE_NODE) == seqno, "the same list changes something");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *store = store_create();
    struct source_kind *sk = source_kind_create(KUBE_NODE, store);
    json_t *json = json_loadb((const char *) data, size, JSON_ALLOW_NUL, NULL);

    if (json) {
        source_kind_ops.object(sk, REFLECTOR_ADDED, json);
        source_kind_ops.object(sk, REFLECTOR_DELETED, json);
        FUZZ_CHECK(!store_count(store, KUBE_NODE), "what was deleted is there");
        json_decref(json);
    } else {
        for (size_t i = 0; i + 1 < size; i += 2) {
            step(sk, data[i], data[i + 1]);
        }
    }
    check_list(sk, store, size ? data[0] : 0);
    source_kind_destroy(sk);
    store_destroy(store);
    return 0;
}
