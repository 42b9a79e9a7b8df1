#ifndef SLUICE_POLICY_PRIVATE_H
#define SLUICE_POLICY_PRIVATE_H 1

/* What the files of the policy core share.  policy.h is what others see.
 *
 *   policy.c            life, events, the order of policy_run()
 *   policy-objects.c    objects and their rules as they are written; relevant or not; fail closed
 *   policy-rules.c      rules of equal content are one
 *   policy-conjs.c      their conjunctions, and clauses of ports
 *   policy-items.c      what a rule says of subject and peers: terms, ipBlocks, nodes
 *   policy-domains.c    addresses of domain names
 *   policy-groups.c     sets of items: subjects and identities, their numbers
 *   policy-classes.c    which set a class of pods has
 *   policy-addresses.c  which set an address or prefix has
 *   policy-emit.c       from dirty to effects
 *   policy-info.c       looking at it
 *
 * One word each:
 *
 *   item     one thing that a rule can say of a side in a direction: "pods app=web of namespace a", "10.0.0.0/8 less
 *            10.1.0.0/16".  A rule has one item as its subject and any number as its peers.
 *   group    a set of items, together with what the named ports are that rules with these items ask for.  Pods (or
 *            addresses) that fall into the same items are in one group; its number is what packets carry.
 *   conj     a rule, or a rule with one number of a named port: a conjunction.
 *
 * Named ports are resolved at the side that has the port: peers of egress, subjects of ingress ("resolving" groups).
 * Such a group is in the conjunctions of the numbers that it has, groups of the other side in all of them.
 *
 * Everything with a count of references dies in policy_run(), not when the count falls to zero, so that what goes and
 * comes again between two runs is not noticed.  What must be looked at in policy_run() is in a list of
 * 'struct policy'. */

#include "controller/policy.h"

#include "controller/policy-match.h"
#include "numbers.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "prefix-tree.h"

enum side { SIDE_SUBJECT, SIDE_PEER };
#define N_SIDES 2

enum item_kind {
    ITEM_PODS,                          /* Part of a 'struct term'. */
    ITEM_BLOCK,                         /* Part of a 'struct place': a prefix, less others. */
    ITEM_NODES,                         /* Part of a 'struct place': the addresses of the nodes of a selector. */
    ITEM_DOMAIN,                        /* Part of a 'struct place': the addresses of a domain name. */
};

struct item {
    uint8_t kind, side, direction;      /* enum item_kind, enum side, enum flow_direction. */
    uint32_t n_main;                    /* Rules that do not only have named ports (peers). */
    uint64_t hash;                      /* Of the content. */
    struct ovs_list rules, groups;      /* "struct link"s: those that have it. */
};

/* An item is in a rule or in a group. */
struct link {
    struct ovs_list node;               /* In a list of 'item'. */
    struct item *item;
    void *user;                         /* struct rule or struct group. */
};

/* A selector of pods.  In an item's place for each direction. */
struct term {
    struct match_term *match;           /* NULL: given up. */
    struct ovs_list dead;               /* In 'dead_terms' if 'n_refs' is 0. */
    unsigned int n_refs;
    unsigned int epoch;                 /* When it was made. */
    bool checked;                       /* In 'checks'. */
    struct item items[FLOW_N_DIRECTIONS];
    struct ovs_list check;              /* Subjects: in 'checks'. */
    struct ovs_list objects;            /* Subjects: the policies. */
    unsigned int n_counts[FLOW_N_DIRECTIONS];           /* Subjects: policies that say something of the direction. */
    unsigned int n_domains;             /* Subjects: policies with domain names. */
    size_t n_pods;                      /* Scratch, for policy_for_each(). */
};

/* An item that is a set of prefixes or addresses.  It borrows from an object. */
struct place {
    struct item item;
    struct hmap_node node;              /* In 'places', by hash. */
    struct ovs_list dead;               /* In 'dead_places' if 'n_refs' is 0. */
    unsigned int n_refs;
    const struct kube_object *object;   /* A reference. */
    const struct inet_prefix *block, *except;           /* ITEM_BLOCK. */
    size_t n_except;
    const struct kube_selector *nodes;  /* ITEM_NODES. */
    struct policy_domain *domain;       /* ITEM_DOMAIN. */
};

/* A domain name that rules name, or that has addresses. */
struct policy_domain {
    struct hmap_node node;              /* In 'domains', by name. */
    struct place *place;                /* NULL: no rule names it. */
    struct hmap addrs;                  /* "struct domain_addr"s of policy-domains.c. */
    char name[];                        /* As domain_normalise() writes it. */
};

/* Objects. ------------------------------------------------------------------------------------------------------- */

struct object {
    struct hmap_node node;              /* In 'objects', by the pointer. */
    const struct kube_object *object;
    struct term *subject;               /* NULL: it has none that could be read. */
    struct ovs_list in_term;
    bool active;                        /* 'refs' are there. */
    bool counts[FLOW_N_DIRECTIONS];     /* It says something of the direction. */
    bool domains;                       /* It names domains. */
    struct rule_ref *refs;
    uint32_t n_refs;
};

/* A rule of an object. */
struct rule_ref {
    struct rule *rule;
    uint32_t index;
    const char *name;
};

/* Rules. --------------------------------------------------------------------------------------------------------- */

struct port_range {
    uint8_t protocol;
    uint16_t first, last;
};

/* What a rule is, before it is known whether there is one of the same content.  Sorted, each once. */
struct rule_spec {
    enum flow_direction direction;
    enum flow_tier tier;
    enum flow_action action;
    uint16_t level;                     /* Not of FLOW_TIER_POLICY. */
    bool any;                           /* Every peer. */
    struct item *subject;
    struct item **peers;                /* A reference each. */
    size_t n_peers, allocated_peers;
    struct port_range *ranges;
    size_t n_ranges, allocated_ranges;
    struct kube_port *named;            /* 'number' is 0. */
    size_t n_named, allocated_named;
};

/* Of a rule, and of a number of a named port if 'protocol' is not 0. */
struct conj {
    struct rule *rule;
    struct flow_entry *flow;
    uint32_t id;                        /* 0: dead. */
    uint16_t number;
    uint8_t protocol;
    bool is_dirty;                      /* In 'dirty_conjs'. */
};

struct named_conj {
    struct conj conj;
    struct ovs_list node;               /* In 'named_conjs' of the rule. */
    unsigned int n_users;               /* Resolving groups. */
};

/* There are many, so it is one piece of memory. */
struct rule {
    struct hmap_node node;              /* In 'rules', by the cookie. */
    uint64_t hash;
    unsigned int n_refs;
    uint32_t n_peers;
    uint16_t level, n_ranges, n_named;
    uint8_t direction, tier, action;
    bool any;
    bool has_main;                      /* 'main' is a conjunction. */
    bool unlinked;                      /* Its items do not know it any more; only its conjunctions are left. */
    bool is_dead;                       /* In 'dead_rules': 'n_refs' is or was 0. */
    struct conj main;
    struct ovs_list named_conjs;
    struct link subject;
    struct port_range *ranges;          /* Behind 'peers', as is 'named'. */
    struct kube_port *named;
    struct link peers[];
};

/* A clause that does not name a group: of ports, or of nothing (kind FLOW_CLAUSE_ALWAYS). */
struct clause {
    struct hmap_node node;              /* In 'clauses'. */
    uint8_t direction, tier, kind;
    bool is_dirty;                      /* In 'dirty_clauses'. */
    uint16_t level;
    struct flow_l4 l4;
    uint32_t n, allocated;              /* Of 'conjs', of which some may be dead while it is dirty. */
    union {
        struct conj *one;               /* 'allocated' is 0. */
        struct conj **many;
    };
    struct flow_entry *flow;
};

static inline struct conj **
policy_clause_conjs(struct clause *c)
{
    return c->allocated ? c->many : &c->one;
}

/* Pointers that are put somewhere to be looked at later. */
struct pointers {
    void **p;
    size_t n, allocated;
};
void policy_push(struct pointers *, void *);

/* Groups. -------------------------------------------------------------------------------------------------------- */

struct group {
    uint8_t side, direction;            /* enum side, enum flow_direction. */
    struct hmap_node node;              /* In 'groups', by hash. */
    struct ovs_list dirty;              /* In 'dirty_groups' or empty. */
    unsigned int n_refs;                /* Who has it, users included. */
    unsigned int n_users;               /* Whose packets carry its number. */
    uint32_t number;                    /* 0: no users. */
    uint16_t n_named;
    uint32_t n_items, n_held, n_flows;
    struct link *items;                 /* By hash, then by pointer. */
    struct kube_port *named;            /* Sorted. */
    struct conj **held;                 /* Resolving: the named conjunctions that it is in. */
    struct flow_entry **flows;          /* Of its clauses, by table, then priority. */
};

/* What a group is made from. */
struct group_spec {
    enum side side;
    enum flow_direction direction;
    struct item **items;
    size_t n_items, allocated_items;
    struct kube_port *named;
    size_t n_named, allocated_named;
};

/* A class of pods (match_class.aux). */
struct class_info {
    struct group *groups[FLOW_N_DIRECTIONS];            /* NULL: none.  Subjects use them, of peers see 'address'. */
    bool isolated[FLOW_N_DIRECTIONS], domains;          /* Subjects. */
};

/* An address or prefix with an identity. */
struct address {
    struct hmap_node node;              /* In 'addresses', by prefix. */
    struct inet_prefix prefix;
    bool in_tree;                       /* Some item has this very prefix. */
    bool is_dirty;                      /* In 'dirty_addresses'. */
    uint8_t direction;
    struct address *next_dirty;
    struct group *base;                 /* What the pod with this address is in as a pod. */
    struct group *group;                /* The same with what the address falls into; used. */
    struct flow_entry *flow;
};

/* A pod of this node. */
struct local {
    struct hmap_node by_id, by_pod;
    struct ovs_list dirty;              /* In 'dirty_locals' or empty. */
    uint64_t id;
    const struct kube_pod *pod;
    struct flow_pod_policy told;
    struct local_addr *addrs;
    size_t n_addrs;
};

struct local_addr {
    struct hmap_node node;              /* In 'local_addrs'. */
    struct in6_addr addr;
    struct local *local;
};

/* All of it. ----------------------------------------------------------------------------------------------------- */

struct effects {
    struct policy_effect *effects;
    size_t n, allocated;
};

struct policy {
    const struct endpoints *endpoints;
    struct policy_match *match[N_SIDES];                /* Local pods and subjects; all pods and peers. */
    struct prefix_tree *trees[FLOW_N_DIRECTIONS];       /* Of "struct item"s. */
    struct numbers *group_numbers, *conj_numbers;

    struct hmap objects, rules, clauses, places, groups, locals, locals_by_pod, local_addrs;
    struct hmap addresses[FLOW_N_DIRECTIONS];
    struct hmap domains;                /* "struct policy_domain"s. */
    struct hmap nodes;                  /* "struct node"s of policy-items.c. */

    struct pointers dead_rules, dirty_conjs, dirty_clauses;
    struct ovs_list dead_places, dead_terms[N_SIDES];
    struct ovs_list checks;             /* Subject terms that may have become relevant, or not any more. */
    struct ovs_list dirty_groups, dirty_locals;
    struct address *dirty_addresses;
    size_t n_conjs;
    size_t n_peer_classes;              /* Those of peers with a 'struct class_info'. */
    unsigned int epoch;                 /* Changes when policy_run() begins and when it ends. */

    struct effects drops, puts, others; /* Taken in this order. */
    size_t n_popped;
};

/* What the simulator plants (tests/sim/sim-policy.c), which also has few numbers, so that they clash. */
#ifdef POLICY_BUGS
extern const char *policy_bug;
#define POLICY_BUG(NAME) (policy_bug && !strcmp(policy_bug, NAME))
#define POLICY_HASH_MASK UINT64_C(0xffffffff00000007)
#else
#define POLICY_BUG(NAME) false
#define POLICY_HASH_MASK UINT64_MAX
#endif

/* policy-items.c. */
struct term *policy_term_get(struct policy *, enum side, const char *namespace_, const struct kube_selector *namespaces,
                             const struct kube_selector *pods);
void policy_term_unref(struct policy *, enum side, struct term *);
struct term *policy_term_of_item(const struct item *);
struct item *policy_place_block(struct policy *, enum flow_direction, const struct kube_object *,
                                const struct inet_prefix *block, const struct inet_prefix *except, size_t n_except);
struct item *policy_place_nodes(struct policy *, const struct kube_object *, const struct kube_selector *);
struct item *policy_place_domain(struct policy *, const struct kube_object *, const char *name);
void policy_item_unref(struct policy *, struct item *);
/* Gives up what has no references: lets the index and the trees know; and frees it when no group has it any more. */
bool policy_terms_release(struct policy *, enum side);
void policy_terms_free(struct policy *, enum side);
void policy_places_release(struct policy *);
void policy_places_free(struct policy *);
/* Classes must be looked at again: what an item of the term asks for is different. */
void policy_term_touch(struct policy *, struct term *, enum side);
void policy_items_node(struct policy *, const struct kube_node *old, const struct kube_node *new);
void policy_items_forget_nodes(struct policy *);

/* policy-domains.c. */
struct policy_domain *policy_domain_get(struct policy *, const char *name);
void policy_domain_put(struct policy *, struct policy_domain *);        /* If nobody needs it. */
/* Puts its addresses into the tree, or takes them out. */
void policy_domain_spread(struct policy *, const struct policy_domain *, bool add);
void policy_domains_forget(struct policy *);

/* policy-objects.c. */
void policy_object_add(struct policy *, const struct kube_object *);
void policy_object_remove(struct policy *, const struct kube_object *);
/* Makes the rules of policies that have become relevant, unmakes those of the others.  True if there was one. */
bool policy_objects_check(struct policy *);
void policy_objects_check_later(struct policy *, struct term *);
const char *policy_object_problem(const struct kube_object *);

/* policy-rules.c. */
struct rule *policy_rule_get(struct policy *, struct rule_spec *);      /* Takes what is in the spec. */
void policy_rule_unref(struct policy *, struct rule *);
bool policy_rules_bury(struct policy *);
/* Marks the groups that have the rule's items of a side. */
void policy_rule_mark_side(struct policy *, struct rule *, enum side);

/* policy-conjs.c.  'protocol' 0: the rule's own, if it has one. */
void policy_conj_init(struct policy *, struct conj *, struct rule *, uint8_t protocol, uint16_t number);
void policy_conj_die(struct policy *, struct conj *);
struct conj *policy_conj_get_named(struct policy *, struct rule *, const struct kube_port *);
void policy_conj_unref_named(struct policy *, struct conj *);
void policy_conj_moved(struct policy *, uint64_t hash);
/* What clause of a kind this is in the conjunction. */
struct flow_conj policy_conj_clause(const struct conj *, enum flow_clause_kind);

/* policy-groups.c. */
bool policy_is_resolving(enum side, enum flow_direction);
/* The group of this content, with a reference; NULL if there are no items.  Sorts what is in the spec. */
struct group *policy_group_get(struct policy *, struct group_spec *);
void policy_group_ref(struct group *);
void policy_group_unref(struct policy *, struct group *);
void policy_group_use(struct policy *, struct group *);         /* A reference, too. */
void policy_group_unuse(struct policy *, struct group *);
void policy_group_mark(struct policy *, struct group *);
void policy_groups_bury(struct policy *, enum side);
void policy_group_moved(struct policy *, uint64_t hash);
/* The named conjunctions of dirty groups. */
void policy_groups_resolve(struct policy *);
void policy_group_spec_add(struct group_spec *, struct item *);
void policy_group_spec_add_named(struct group_spec *, const struct kube_port *);
void policy_group_spec_clear(struct group_spec *);
/* The number that a group has for a named port; 0: none. */
uint16_t policy_group_port(const struct group *, const struct kube_port *);

/* policy-classes.c. */
bool policy_pod_counts(const struct kube_pod *);
bool policy_classes_run(struct policy *, enum side);

/* policy-addresses.c. */
/* All addresses that the pod may have: its object's, and those of its attachments. */
void policy_pod_refresh(struct policy *, const struct kube_pod *);
/* The same of one whose class is being looked at. */
void policy_pod_refresh_class(struct policy *, const struct kube_pod *, const struct class_info *);
void policy_addresses_run(struct policy *);
void policy_addresses_moved(struct policy *, const struct group *);
struct local *policy_local_first(const struct policy *, const struct kube_pod *);
struct local *policy_local_next(const struct local *);
void policy_local_mark(struct policy *, struct local *);
void policy_local_compute(const struct policy *, const struct local *, struct flow_pod_policy *);

/* policy-emit.c. */
void policy_emit(struct policy *, struct flow_entry **slot, struct flow_entry *new);
void policy_emit_run(struct policy *);

/* Hashes of content: 64 bits, the same in every process. */
uint64_t policy_hash(const void *, size_t, uint64_t basis);
static inline uint64_t
policy_hash_mix(uint64_t x)             /* splitmix64's finalizer. */
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
/* An address or prefix; 'struct inet_prefix' has padding. */
uint64_t policy_hash_prefix(const struct inet_prefix *, uint64_t basis);

#endif /* controller/policy-private.h */
