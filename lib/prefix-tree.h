#ifndef SLUICE_PREFIX_TREE_H
#define SLUICE_PREFIX_TREE_H 1

/* Sets of items by IP prefix: which CIDRs, each less its exceptions, hold an address.
 *
 * An item is the caller's pointer.  It is put at prefixes, as included or as excluded.  An address has an item if some
 * prefix that holds the address includes it and none excludes it.  (So for "10.0.0.0/8 except 10.1.0.0/16" one item is
 * included at the first and excluded at the second prefix; overlapping items are independent.)
 *
 * The prefixes cut the address space into classes: two addresses with the same longest prefix in the tree have the same
 * items.  Prefixes of both families are in one tree, as in lib/inet.h (IPv4 mapped, plen by family); 0.0.0.0/0 holds no
 * IPv6 address and ::/0 no IPv4 one.
 *
 * A radix tree: lookup visits at most as many nodes as the address has bits, prefix_tree_set() costs the same plus the
 * prefixes below the one that changed, of which each is reported as changed.  Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "inet.h"

struct prefix_tree;

struct prefix_tree *prefix_tree_create(void);
void prefix_tree_destroy(struct prefix_tree *);

/* Counted: an item that was included twice at a prefix must be removed twice.  A prefix is in the tree while it has
 * an item. */
void prefix_tree_add(struct prefix_tree *, const struct inet_prefix *, void *item, bool exclude);
void prefix_tree_remove(struct prefix_tree *, const struct inet_prefix *, void *item, bool exclude);

/* The items of the class of addresses whose longest prefix is 'prefix'.  '*items', to be freed, sorted by pointer, each
 * once; returns how many. */
size_t prefix_tree_class(const struct prefix_tree *, const struct inet_prefix *, void ***items);

/* A prefix whose items, or whose being in the tree, changed since it was popped last; each once.  '*present': it is in the
 * tree.  A prefix is also reported when an item came or went above it. */
bool prefix_tree_pop_changed(struct prefix_tree *, struct inet_prefix *, bool *present);

size_t prefix_tree_count(const struct prefix_tree *);

#endif /* lib/prefix-tree.h */
