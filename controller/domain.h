#ifndef SLUICE_DOMAIN_H
#define SLUICE_DOMAIN_H 1

/* The addresses of domain names (ClusterNetworkPolicy, egress, domainNames), learned from the DNS answers that the pods of
 * this node get.
 *
 * A name is "example.com" or "*.example.com": any number of labels, at least one, instead of the star.  An answer counts
 * for the wanted names that match what it was asked for; then all its addresses belong to each of them, whatever CNAMEs
 * are between (network-policy-api, NPEP-133).
 *
 * An address stays for its TTL (at most DOMAIN_MAX_TTL), at least for 'idle', and after that for as long as pods send to
 * it: the core asks when an address was used last, and drops it once that is 'idle' ago.  So a connection outlives the
 * TTL.  What was never in an answer is never there.
 *
 *     answer --> domains_answer() --> domains_pop() --> policy_domain_address()
 *     time   --> domains_run()    --> domains_pop_question() --> (the switch) --> domains_idle()
 *
 * What is kept is for the caller to save; after a restart domains_restore() gives it back.  Pure: times are milliseconds
 * of a clock that does not jump. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns-answer.h"

#define DOMAIN_MAX_TTL (24 * 60 * 60 * 1000LL)

/* What is beyond is not learned (and not allowed). */
#define DOMAIN_MAX_ADDRS_PER_NAME 4096
#define DOMAIN_MAX_ADDRS 65536

struct domains;

struct domains *domains_create(long long int idle);
void domains_destroy(struct domains *);
void domains_set_idle(struct domains *, long long int idle);     /* From now on. */

/* How a name is written here: lower case, no dot at the end.  In place. */
void domain_normalise(char *name);

/* A pod got this answer.  'wanted' says whether a rule has a name (normalised).  True: it has an address of a wanted name,
 * so that what domains_pop() gives must be in place before the pod gets the answer. */
bool domains_answer(struct domains *, const struct dns_answer *, bool (*wanted)(const char *name, void *aux), void *aux,
                    long long int now);

/* Addresses that came or went; until there is none.  'name' is good until the next call of any of these functions. */
struct domain_change {
    const char *name;
    struct in6_addr addr;
    bool present;
};
bool domains_pop(struct domains *, struct domain_change *);

/* Time goes on.  Then, until there is none: of which addresses it must be known when they were used last. */
void domains_run(struct domains *, long long int now);
long long int domains_next(const struct domains *);             /* When there is something to do; LLONG_MAX: never. */
bool domains_pop_question(struct domains *, const char **name, struct in6_addr *);
/* The answer: nothing was sent to the address, as one of 'name' (NULL: of any name), for 'idle' ms. */
void domains_idle(struct domains *, const char *name, const struct in6_addr *, long long int idle, long long int now);

/* Everything that is to be saved, and back.  What is restored stays for 'idle' at least. */
struct domain_entry {
    const char *name;
    struct in6_addr addr;
    long long int expires;              /* When its TTL is over. */
};
void domains_for_each(const struct domains *, void (*cb)(const struct domain_entry *, void *aux), void *aux);
void domains_restore(struct domains *, const struct domain_entry *, long long int now);
void domains_forget(struct domains *, const struct domain_entry *);     /* Instead, before anybody was told. */
/* An entry that is new, or whose time is now so much later than when it was popped last that it is to be saved anew. */
bool domains_pop_unsaved(struct domains *, struct domain_entry *);

/* One entry as text: "EXPIRES ADDRESS NAME"; for one that went 'expires' is DOMAIN_GONE.  The decoder returns 0 or EINVAL;
 * 'name' of the entry is then in the buffer. */
#define DOMAIN_GONE (-1)
#define DOMAIN_NAME_SIZE (DNS_NAME_SIZE + 2)
char *domain_entry_encode(const struct domain_entry *);
int domain_entry_decode(const void *, size_t, struct domain_entry *, char name[DOMAIN_NAME_SIZE], struct error *);

struct domains_stats {
    size_t n_names, n_addrs;
    uint64_t n_answers;                 /* With an address of a wanted name. */
    uint64_t n_refused;                 /* Addresses beyond the limits. */
};
void domains_get_stats(const struct domains *, struct domains_stats *);

#endif /* controller/domain.h */
