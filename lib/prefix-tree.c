#include <config.h>

#include "prefix-tree.h"

#include <stdlib.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "util.h"

/* An item at a prefix. */
struct entry {
    struct hmap_node node;              /* In 'items' of struct node. */
    void *item;
    unsigned int n[2];                  /* How often included, excluded. */
};

/* A prefix, or where two paths part.  A prefix that went stays until it is reported. */
struct node {
    struct inet_prefix prefix;
    struct node *parent, *child[2];
    struct hmap items;                  /* Has "struct entry"s.  The prefix is in the tree if there is one. */
    struct ovs_list in_changed;         /* In 'changed' of the tree if 'changed'. */
    bool changed;                       /* It and all below it: passed down when it is popped. */
    bool told;                          /* It was in the tree when it was popped last. */
};

struct prefix_tree {
    struct node roots[2];               /* 0.0.0.0/0, ::/0: always there. */
    struct ovs_list changed;
    size_t count;
};

static void
node_init(struct node *node, const struct inet_prefix *prefix)
{
    *node = (struct node) { .prefix = *prefix };
    hmap_init(&node->items);
}

static struct node *
node_create(const struct inet_prefix *prefix)
{
    struct node *node = xmalloc(sizeof *node);
    node_init(node, prefix);
    return node;
}

static void
node_uninit(struct node *node)
{
    struct entry *entry;

    HMAP_FOR_EACH_POP (entry, node, &node->items) {
        free(entry);
    }
    hmap_destroy(&node->items);
}

static void
node_destroy(struct node *node)
{
    if (node) {
        node_destroy(node->child[0]);
        node_destroy(node->child[1]);
        node_uninit(node);
        free(node);
    }
}

struct prefix_tree *
prefix_tree_create(void)
{
    static const struct inet_prefix all[2] = { { .addr.s6_addr = { [10] = 0xff, [11] = 0xff } }, { .plen = 0 } };
    struct prefix_tree *tree = xzalloc(sizeof *tree);

    node_init(&tree->roots[0], &all[0]);
    node_init(&tree->roots[1], &all[1]);
    ovs_list_init(&tree->changed);
    return tree;
}

void
prefix_tree_destroy(struct prefix_tree *tree)
{
    if (tree) {
        for (int i = 0; i < 2; i++) {
            node_destroy(tree->roots[i].child[0]);
            node_destroy(tree->roots[i].child[1]);
            node_uninit(&tree->roots[i]);
        }
        free(tree);
    }
}

/* Bits. */

static int
bit_at(const struct in6_addr *addr, unsigned int i)
{
    i += inet_is_v4(addr) ? 96 : 0;
    return addr->s6_addr[i / 8] >> (7 - i % 8) & 1;
}

/* How many leading bits two prefixes of one family have in common. */
static unsigned int
common_bits(const struct inet_prefix *a, const struct inet_prefix *b)
{
    unsigned int skip = inet_is_v4(&a->addr) ? 96 : 0;
    unsigned int max = MIN(a->plen, b->plen), n = 0;

    while (n < max) {
        unsigned int byte = (skip + n) / 8;
        uint8_t diff = a->addr.s6_addr[byte] ^ b->addr.s6_addr[byte];
        if (diff) {
            n += clz32(diff) - 24;
            break;
        }
        n += 8;
    }
    return MIN(n, max);
}

/* The child of 'node' that 'prefix' is in or equal to. */
static struct node *
step(const struct node *node, const struct inet_prefix *prefix)
{
    if (node->prefix.plen >= prefix->plen) {
        return NULL;
    }

    struct node *child = node->child[bit_at(&prefix->addr, node->prefix.plen)];
    return child && common_bits(&child->prefix, prefix) == child->prefix.plen ? child : NULL;
}

static const struct node *
root_of(const struct prefix_tree *tree, const struct in6_addr *addr)
{
    return &tree->roots[!inet_is_v4(addr)];
}

/* The tree's shape. */

static void
adopt(struct node *parent, struct node *child)
{
    parent->child[bit_at(&child->prefix.addr, parent->prefix.plen)] = child;
    child->parent = parent;
}

/* The node of 'prefix', made if need be. */
static struct node *
insert(struct prefix_tree *tree, const struct inet_prefix *prefix)
{
    struct node *node = CONST_CAST(struct node *, root_of(tree, &prefix->addr));

    for (struct node *child; (child = step(node, prefix)) != NULL; ) {
        node = child;
    }
    if (node->prefix.plen == prefix->plen) {
        return node;
    }

    struct node *new = node_create(prefix);
    struct node *other = node->child[bit_at(&prefix->addr, node->prefix.plen)];
    if (other) {
        struct inet_prefix common = { .addr = prefix->addr, .plen = common_bits(&other->prefix, prefix) };
        if (common.plen == prefix->plen) {
            adopt(new, other);
        } else {
            common = inet_prefix_network(&common);
            struct node *fork = node_create(&common);
            adopt(node, fork);
            adopt(fork, other);
            node = fork;
        }
    }
    adopt(node, new);
    return new;
}

/* Removes the node if it serves no purpose, then perhaps its parent. */
static void
prune(struct node *node)
{
    while (node->parent && !(node->child[0] && node->child[1]) && hmap_is_empty(&node->items)
           && !node->changed && !node->told) {
        struct node *parent = node->parent, *child = node->child[0] ? node->child[0] : node->child[1];

        parent->child[bit_at(&node->prefix.addr, parent->prefix.plen)] = NULL;
        if (child) {
            adopt(parent, child);
        }
        node_uninit(node);
        free(node);
        node = parent;
    }
}

/* Changes. */

static void
mark(struct prefix_tree *tree, struct node *node)
{
    if (node && !node->changed) {
        ovs_list_push_back(&tree->changed, &node->in_changed);
        node->changed = true;
    }
}

/* A mark counts for all below too.  So that each is reported once, a marked one above comes first. */
static struct node *
topmost(struct node *node)
{
    for (struct node *n = node->parent; n; n = n->parent) {
        node = n->changed ? n : node;
    }
    return node;
}

bool
prefix_tree_pop_changed(struct prefix_tree *tree, struct inet_prefix *prefix, bool *present)
{
    while (!ovs_list_is_empty(&tree->changed)) {
        struct node *node = topmost(CONTAINER_OF(ovs_list_front(&tree->changed), struct node, in_changed));
        bool told = node->told;

        ovs_list_remove(&node->in_changed);
        node->changed = false;
        mark(tree, node->child[0]);
        mark(tree, node->child[1]);

        *prefix = node->prefix;
        *present = node->told = !hmap_is_empty(&node->items);
        prune(node);
        if (told || *present) {
            return true;
        }
    }
    return false;
}

/* Items. */

static struct entry *
find_entry(const struct node *node, const void *item)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, hash_pointer(item, 0), &node->items) {
        if (entry->item == item) {
            return entry;
        }
    }
    return NULL;
}

void
prefix_tree_add(struct prefix_tree *tree, const struct inet_prefix *prefix_, void *item, bool exclude)
{
    struct inet_prefix prefix = inet_prefix_network(prefix_);
    struct node *node = insert(tree, &prefix);
    struct entry *entry = find_entry(node, item);

    if (!entry) {
        entry = xzalloc(sizeof *entry);
        entry->item = item;
        tree->count += hmap_is_empty(&node->items);
        hmap_insert(&node->items, &entry->node, hash_pointer(item, 0));
    }
    if (!entry->n[exclude]++) {
        mark(tree, node);
    }
}

void
prefix_tree_remove(struct prefix_tree *tree, const struct inet_prefix *prefix_, void *item, bool exclude)
{
    struct inet_prefix prefix = inet_prefix_network(prefix_);
    struct node *node = insert(tree, &prefix);
    struct entry *entry = find_entry(node, item);

    ovs_assert(entry && entry->n[exclude]);
    if (--entry->n[exclude]) {
        return;
    }
    mark(tree, node);
    if (!entry->n[!exclude]) {
        hmap_remove(&node->items, &entry->node);
        free(entry);
        tree->count -= hmap_is_empty(&node->items);
    }
}

/* Looking. */

static int
compare_items(const void *a_, const void *b_)
{
    void *const *a = a_, *const *b = b_;
    return *a < *b ? -1 : *a > *b;
}

static size_t
sort_items(void **items, size_t n)
{
    size_t n_unique = 0;

    if (n) {
        qsort(items, n, sizeof *items, compare_items);
    }
    for (size_t i = 0; i < n; i++) {
        if (!n_unique || items[n_unique - 1] != items[i]) {
            items[n_unique++] = items[i];
        }
    }
    return n_unique;
}

/* 'a' less 'b', both sorted. */
static size_t
subtract(void **a, size_t n_a, void *const *b, size_t n_b)
{
    size_t n = 0;

    for (size_t i = 0, j = 0; i < n_a; i++) {
        while (j < n_b && b[j] < a[i]) {
            j++;
        }
        if (j == n_b || b[j] != a[i]) {
            a[n++] = a[i];
        }
    }
    return n;
}

size_t
prefix_tree_class(const struct prefix_tree *tree, const struct inet_prefix *prefix_, void ***itemsp)
{
    struct inet_prefix prefix = inet_prefix_network(prefix_);
    void **items[2] = { NULL, NULL };
    size_t n[2] = { 0, 0 }, allocated[2] = { 0, 0 };

    for (const struct node *node = root_of(tree, &prefix.addr); node; node = step(node, &prefix)) {
        const struct entry *entry;

        HMAP_FOR_EACH (entry, node, &node->items) {
            for (int i = 0; i < 2; i++) {
                if (entry->n[i]) {
                    if (n[i] == allocated[i]) {
                        items[i] = x2nrealloc(items[i], &allocated[i], sizeof *items[i]);
                    }
                    items[i][n[i]++] = entry->item;
                }
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        n[i] = sort_items(items[i], n[i]);
    }
    n[0] = subtract(items[0], n[0], items[1], n[1]);
    free(items[1]);
    *itemsp = items[0];
    return n[0];
}

size_t
prefix_tree_count(const struct prefix_tree *tree)
{
    return tree->count;
}
