#include <config.h>

#include "attachment-private.h"

#include <string.h>

#include "hash.h"
#include "util.h"

/* Whether the pod of an attachment is known.  Until it is its flows are isolated. */

static uint32_t
hash_pod(const char *namespace_, const char *name)
{
    return hash_string(name, hash_string(namespace_, 0));
}

static const char *
namespace_of(const struct attachment *a)
{
    return a->pod_namespace ? a->pod_namespace : "";
}

void
attachment_await_(struct attachment *a)
{
    a->known = false;
    hmap_insert(&a->table->unknown, &a->unknown_node, hash_pod(namespace_of(a), a->pod_name));
}

void
attachment_unawait_(struct attachment *a)
{
    if (!a->known) {
        hmap_remove(&a->table->unknown, &a->unknown_node);
        a->known = true;
    }
}

/* Opens its flows.  The flows of one that is being removed stay as they are. */
static void
become_known(struct attachment *a, long long int now)
{
    attachment_unawait_(a);
    if (a->state != ATTACHMENT_ADDING && a->state != ATTACHMENT_UP) {
        return;
    }
    if (a->recorded) {                  /* Else "up" says it. */
        attachment_record_(a, RECORD_KNOWN, now);
    }
    if (a->flows != STEP_NONE) {
        a->flows = STEP_DOING;
        attachment_emit_(a->table, a, ATTACHMENT_FLOWS_SET);
    }
}

void
attachments_set_declares_pods(struct attachments *t, bool declares_pods, long long int now)
{
    t->declares_pods = declares_pods;

    struct attachment *a;
    HMAP_FOR_EACH_SAFE (a, unknown_node, &t->unknown) {
        if (!declares_pods) {
            become_known(a, now);
        }
    }
}

bool
attachment_is_uid(const struct attachment *a, const char *uid)
{
    return !uid || !uid[0] || !a->pod_uid || !a->pod_uid[0] || !strcmp(a->pod_uid, uid);
}

void
attachments_pod_known(struct attachments *t, const char *namespace_, const char *name, const char *uid,
                      long long int now)
{
    struct hmap_node *node = hmap_first_with_hash(&t->unknown, hash_pod(namespace_, name)), *next;
    for (; node; node = next) {
        struct attachment *a = CONTAINER_OF(node, struct attachment, unknown_node);
        next = hmap_next_with_hash(node);
        if (!strcmp(namespace_of(a), namespace_) && !strcmp(a->pod_name, name)) {
            a->mismatch = !attachment_is_uid(a, uid);
            if (!a->mismatch) {
                become_known(a, now);
            }
        }
    }
}

const char *
attachment_problem(const struct attachment *a)
{
    return (a->state != ATTACHMENT_UP || a->known ? NULL
            : a->mismatch ? "denied: the Pod object of that name has another UID than this sandbox"
            : "denied: the Pod object is not known yet");
}
