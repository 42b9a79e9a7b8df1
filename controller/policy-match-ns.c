#include <config.h>

#include "controller/policy-match-private.h"

#include <stdlib.h>
#include <string.h>

#include "intern.h"
#include "util.h"

static struct match_ns *
ns_find(const struct policy_match *m, const char *name)
{
    uint32_t hash = hash_string(name, 0);
    struct match_ns *ns;

    HMAP_FOR_EACH_WITH_HASH (ns, node, hash, &m->namespaces) {
        if (!strcmp(ns->name, name)) {
            return ns;
        }
    }
    return NULL;
}

/* The labels of the object (NULL: none) and the namespace's name.  The caller gets a reference. */
static const struct labels *
ns_labels(const char *name, const struct labels *labels)
{
    const char *value = labels_get(labels, NAME_LABEL);
    size_t n = labels_count(labels), k = 0;

    if (value && !strcmp(value, name)) {
        return intern_ref(labels);
    }

    const char **strings = xmalloc((n + 1) * 2 * sizeof *strings);
    bool done = false;
    for (size_t i = 0; i <= n; i++) {
        int cmp = i < n ? strcmp(labels_key(labels, i), NAME_LABEL) : 1;

        if (cmp >= 0 && !done) {
            strings[k++] = intern_string(NAME_LABEL);
            strings[k++] = intern_string(name);
            done = true;
        }
        if (cmp && i < n) {
            strings[k++] = intern_ref(labels_key(labels, i));
            strings[k++] = intern_ref(labels_value(labels, i));
        }
    }
    labels = (const struct labels *) intern_tuple(strings, k);
    free(strings);
    return labels;
}

struct match_ns *
ns_get(struct policy_match *m, const char *name)
{
    struct match_ns *ns = ns_find(m, name);

    if (!ns) {
        ns = xzalloc(sizeof *ns);
        ns->name = xstrdup(name);
        ns->hash = hash_string(name, 0);
        ovs_list_init(&ns->classes);
        hmap_insert(&m->namespaces, &ns->node, ns->hash);
        index_set_labels(m, ns, ns_labels(name, NULL));
    }
    return ns;
}

void
ns_release(struct policy_match *m, struct match_ns *ns)
{
    if (!ns->known && !ns->n_classes) {
        index_set_labels(m, ns, NULL);
        hmap_remove(&m->namespaces, &ns->node);
        free(CONST_CAST(char *, ns->name));
        free(ns);
    }
}

void
policy_match_namespace(struct policy_match *m, const char *name, const struct kube_namespace *object)
{
    struct match_ns *ns = object ? ns_get(m, name) : ns_find(m, name);

    if (ns) {
        const struct labels *labels = ns_labels(name, object ? object->object.labels : NULL);

        ns->known = object != NULL;
        if (labels_equal(labels, ns->labels)) {
            intern_unref(labels);
        } else {
            index_set_labels(m, ns, labels);
        }
        ns_release(m, ns);
    }
}
