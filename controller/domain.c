#include <config.h>

#include "controller/domain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "heap.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "util.h"

#define ASK_AGAIN (10 * 1000LL)         /* If no answer came. */

struct name {
    struct hmap_node node;              /* In 'names' of struct domains. */
    size_t n_addrs;                     /* "struct entry"s. */
    char text[];
};

/* An address of a name. */
struct entry {
    struct hmap_node node;              /* In 'entries', by the address alone. */
    struct heap_node when;              /* In 'times', the earliest 'check' first. */
    struct ovs_list changed;            /* In 'changed' or empty. */
    struct ovs_list unsaved;            /* In 'unsaved' or empty. */
    struct name *name;
    struct in6_addr addr;
    long long int expires, check;       /* 'check': when to ask whether it is used. */
    long long int saved;                /* 'expires' as it is saved. */
    bool told, gone;                    /* Told as present; to be told as gone, and then forgotten. */
};

struct question {
    struct ovs_list node;
    struct in6_addr addr;
    char name[];
};

struct domains {
    long long int idle;
    struct hmap names, entries;
    struct heap times;
    struct ovs_list changed, unsaved;
    struct ovs_list questions;
    char popped[DOMAIN_NAME_SIZE];      /* The name that was given last. */
    uint64_t n_answers, n_refused;
};

struct domains *
domains_create(long long int idle)
{
    struct domains *domains = xzalloc(sizeof *domains);

    domains->idle = idle;
    hmap_init(&domains->names);
    hmap_init(&domains->entries);
    heap_init(&domains->times);
    ovs_list_init(&domains->changed);
    ovs_list_init(&domains->unsaved);
    ovs_list_init(&domains->questions);
    return domains;
}

void
domains_set_idle(struct domains *domains, long long int idle)
{
    domains->idle = idle;
}

static struct name *
name_get(struct domains *domains, const char *text)
{
    uint32_t hash = hash_string(text, 0);
    struct name *name;

    HMAP_FOR_EACH_WITH_HASH (name, node, hash, &domains->names) {
        if (!strcmp(name->text, text)) {
            return name;
        }
    }
    size_t size = strlen(text) + 1;
    name = xzalloc(sizeof *name + size);
    memcpy(name->text, text, size);
    hmap_insert(&domains->names, &name->node, hash);
    return name;
}

static void
name_put(struct domains *domains, struct name *name)
{
    if (!name->n_addrs) {
        hmap_remove(&domains->names, &name->node);
        free(name);
    }
}

static uint32_t
hash_addr(const struct in6_addr *addr)
{
    return hash_bytes(addr, sizeof *addr, 0);
}

static struct entry *
entry_find(const struct domains *domains, const struct name *name, const struct in6_addr *addr)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, hash_addr(addr), &domains->entries) {
        if (entry->name == name && !memcmp(&entry->addr, addr, sizeof *addr)) {
            return entry;
        }
    }
    return NULL;
}

static void
list_add(struct ovs_list *list, struct ovs_list *node)
{
    if (ovs_list_is_empty(node)) {
        ovs_list_push_back(list, node);
    }
}

static void
list_take(struct ovs_list *node)
{
    ovs_list_remove(node);
    ovs_list_init(node);
}

static void
entry_schedule(struct domains *domains, struct entry *entry, long long int check)
{
    entry->check = check;
    heap_change(&domains->times, &entry->when, UINT64_MAX - check);
}

static void
entry_free(struct domains *domains, struct entry *entry)
{
    hmap_remove(&domains->entries, &entry->node);
    heap_remove(&domains->times, &entry->when);
    ovs_list_remove(&entry->changed);
    ovs_list_remove(&entry->unsaved);
    entry->name->n_addrs--;
    name_put(domains, entry->name);
    free(entry);
}

void
domains_destroy(struct domains *domains)
{
    if (domains) {
        struct entry *entry;
        struct question *q;

        HMAP_FOR_EACH_SAFE (entry, node, &domains->entries) {
            entry_free(domains, entry);
        }
        LIST_FOR_EACH_POP (q, node, &domains->questions) {
            free(q);
        }
        hmap_destroy(&domains->names);
        hmap_destroy(&domains->entries);
        heap_destroy(&domains->times);
        free(domains);
    }
}

/* The address belongs to the name until 'expires' at least. */
static void
put(struct domains *domains, const char *text, const struct in6_addr *addr, long long int expires)
{
    struct name *name = name_get(domains, text);
    struct entry *entry = entry_find(domains, name, addr);

    if (!entry) {
        if (name->n_addrs >= DOMAIN_MAX_ADDRS_PER_NAME || hmap_count(&domains->entries) >= DOMAIN_MAX_ADDRS) {
            domains->n_refused++;
            name_put(domains, name);
            return;
        }
        entry = xzalloc(sizeof *entry);
        entry->name = name;
        entry->addr = *addr;
        entry->saved = LLONG_MIN;
        name->n_addrs++;
        ovs_list_init(&entry->changed);
        ovs_list_init(&entry->unsaved);
        hmap_insert(&domains->entries, &entry->node, hash_addr(addr));
        heap_insert(&domains->times, &entry->when, 0);
        entry->expires = LLONG_MIN;
    }
    if (entry->expires < expires) {
        entry->expires = expires;
    }
    if (entry->gone || entry->check < expires) {
        entry_schedule(domains, entry, entry->expires);
    }
    entry->gone = false;
    if (!entry->told) {
        list_add(&domains->changed, &entry->changed);
    }
    if (entry->saved == LLONG_MIN || entry->expires - entry->saved > domains->idle) {
        list_add(&domains->unsaved, &entry->unsaved);
    }
}

void
domain_normalise(char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++) {
        name[i] = name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 'a' - 'A' : name[i];
    }
    if (n && name[n - 1] == '.') {
        name[n - 1] = '\0';
    }
}

static void
put_all(struct domains *domains, const char *name, const struct dns_answer *answer, long long int now)
{
    for (size_t i = 0; i < answer->n_addrs; i++) {
        long long int ttl = answer->addrs[i].ttl * 1000LL;
        put(domains, name, &answer->addrs[i].addr, now + MAX(MIN(ttl, DOMAIN_MAX_TTL), domains->idle));
    }
}

bool
domains_answer(struct domains *domains, const struct dns_answer *answer, bool (*wanted)(const char *name, void *aux),
               void *aux, long long int now)
{
    char star[DOMAIN_NAME_SIZE];
    bool found = false;

    if (!answer->n_addrs) {
        return false;
    }
    if (wanted(answer->name, aux)) {
        put_all(domains, answer->name, answer, now);
        found = true;
    }
    for (const char *dot = strchr(answer->name, '.'); dot; dot = strchr(dot + 1, '.')) {
        snprintf(star, sizeof star, "*%s", dot);
        if (wanted(star, aux)) {
            put_all(domains, star, answer, now);
            found = true;
        }
    }
    domains->n_answers += found;
    return found;
}

bool
domains_pop(struct domains *domains, struct domain_change *change)
{
    while (!ovs_list_is_empty(&domains->changed)) {
        struct entry *entry = CONTAINER_OF(ovs_list_front(&domains->changed), struct entry, changed);
        bool told = entry->told;

        list_take(&entry->changed);
        entry->told = !entry->gone;
        ovs_strlcpy(domains->popped, entry->name->text, sizeof domains->popped);
        *change = (struct domain_change) { domains->popped, entry->addr, entry->told };
        if (entry->gone) {
            entry_free(domains, entry);
        }
        if (told != change->present) {
            return true;
        }
    }
    return false;
}

void
domains_run(struct domains *domains, long long int now)
{
    while (domains_next(domains) <= now) {
        struct entry *entry = CONTAINER_OF(heap_max(&domains->times), struct entry, when);
        size_t size = strlen(entry->name->text) + 1;
        struct question *q = xmalloc(sizeof *q + size);

        q->addr = entry->addr;
        memcpy(q->name, entry->name->text, size);
        ovs_list_push_back(&domains->questions, &q->node);
        entry_schedule(domains, entry, now + ASK_AGAIN);
    }
}

long long int
domains_next(const struct domains *domains)
{
    return heap_is_empty(&domains->times) ? LLONG_MAX
           : CONTAINER_OF(heap_max(&domains->times), struct entry, when)->check;
}

bool
domains_pop_question(struct domains *domains, const char **name, struct in6_addr *addr)
{
    if (ovs_list_is_empty(&domains->questions)) {
        return false;
    }
    struct question *q = CONTAINER_OF(ovs_list_pop_front(&domains->questions), struct question, node);
    *addr = q->addr;
    ovs_strlcpy(domains->popped, q->name, sizeof domains->popped);
    *name = domains->popped;
    free(q);
    return true;
}

void
domains_idle(struct domains *domains, const char *name, const struct in6_addr *addr, long long int idle,
             long long int now)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, hash_addr(addr), &domains->entries) {
        if (memcmp(&entry->addr, addr, sizeof *addr) || entry->gone || entry->expires > now
            || (name && strcmp(name, entry->name->text))) {
            continue;
        }
        if (idle < domains->idle) {
            entry_schedule(domains, entry, now + domains->idle - idle);
        } else {
            entry->gone = true;
            list_take(&entry->unsaved);
            list_add(&domains->changed, &entry->changed);
            entry_schedule(domains, entry, LLONG_MAX);
        }
    }
}

void
domains_for_each(const struct domains *domains, void (*cb)(const struct domain_entry *, void *aux), void *aux)
{
    const struct entry *entry;

    HMAP_FOR_EACH (entry, node, &domains->entries) {
        if (!entry->gone) {
            const struct domain_entry e = { entry->name->text, entry->addr, entry->expires };
            cb(&e, aux);
        }
    }
}

void
domains_restore(struct domains *domains, const struct domain_entry *e, long long int now)
{
    put(domains, e->name, &e->addr, MIN(MAX(e->expires, now + domains->idle), now + DOMAIN_MAX_TTL));

    struct name *name = name_get(domains, e->name);
    struct entry *entry = entry_find(domains, name, &e->addr);
    if (entry) {
        entry->saved = entry->expires;
        list_take(&entry->unsaved);
    }
    name_put(domains, name);
}

void
domains_forget(struct domains *domains, const struct domain_entry *e)
{
    struct name *name = name_get(domains, e->name);
    struct entry *entry = entry_find(domains, name, &e->addr);

    if (entry && !entry->told) {
        entry_free(domains, entry);
    } else {
        name_put(domains, name);
    }
}

bool
domains_pop_unsaved(struct domains *domains, struct domain_entry *e)
{
    if (ovs_list_is_empty(&domains->unsaved)) {
        return false;
    }
    struct entry *entry = CONTAINER_OF(ovs_list_front(&domains->unsaved), struct entry, unsaved);
    list_take(&entry->unsaved);
    entry->saved = entry->expires;
    *e = (struct domain_entry) { entry->name->text, entry->addr, entry->expires };
    return true;
}

char *
domain_entry_encode(const struct domain_entry *e)
{
    char buf[INET_ADDR_STRLEN];
    return xasprintf("%lld %s %s", e->expires, inet_addr_format(&e->addr, buf), e->name);
}

int
domain_entry_decode(const void *data, size_t size, struct domain_entry *e, char name[DOMAIN_NAME_SIZE],
                    struct error *error)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    char text[32 + INET_ADDR_STRLEN + DOMAIN_NAME_SIZE], addr[INET_ADDR_STRLEN];
    int name_at = 0;

    if (size >= sizeof text || memchr(data, '\0', size)) {
        return error_set(error, EINVAL, "a record of %"PRIuSIZE" bytes is not one of a domain name", size);
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (sscanf(text, "%18lld %45s %n", &e->expires, addr, &name_at) < 2 || !name_at || e->expires < DOMAIN_GONE
        || strlen(text + name_at) >= DOMAIN_NAME_SIZE || inet_addr_parse(addr, &e->addr, NULL)) {
        return error_set(error, EINVAL, "\"%s\" is not the record of a domain name", text);
    }
    const char *bare = text + name_at + (!strncmp(text + name_at, "*.", 2) ? 2 : 0);
    if (!*bare || strspn(bare, allowed) != strlen(bare)) {
        return error_set(error, EINVAL, "\"%s\" is not a domain name", text + name_at);
    }
    ovs_strlcpy(name, text + name_at, DOMAIN_NAME_SIZE);
    e->name = name;
    return 0;
}

void
domains_get_stats(const struct domains *domains, struct domains_stats *stats)
{
    *stats = (struct domains_stats) {
        .n_names = hmap_count(&domains->names),
        .n_addrs = hmap_count(&domains->entries),
        .n_answers = domains->n_answers,
        .n_refused = domains->n_refused,
    };
}
