#ifndef SLUICE_NUMBERS_H
#define SLUICE_NUMBERS_H 1

/* Stable 32-bit numbers for things that are known by a 64-bit hash of their content: identities, conjunctions.
 *
 * The number of a thing depends on the set of things that are there and on nothing else: not on the order in which they
 * came, nor on what has been there before.  So numbers survive a restart without being stored.  Nearly always the number
 * is the hash's low 32 bits.  If several things want one number, that with the smallest hash has it and the others go on
 * to their next choice, by the same rule (a hash table whose layout does not depend on history: G. E. Blelloch,
 * D. Golovin, "Strongly History-Independent Hashing with Applications", FOCS 2007).  Therefore a thing that comes or goes
 * may, very rarely, move others: numbers_pop_moved() tells which.
 *
 * 0 and UINT32_MAX are never given.  Two things with one 64-bit hash are one thing.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct numbers;

struct numbers *numbers_create(void);
void numbers_destroy(struct numbers *);

/* Adds the thing, or counts one more user of it.  Returns its number. */
uint32_t numbers_ref(struct numbers *, uint64_t hash);
/* One user less; the last one removes it.  It must be there. */
void numbers_unref(struct numbers *, uint64_t hash);
/* 0 if it is not there. */
uint32_t numbers_get(const struct numbers *, uint64_t hash);
/* Whose number changed since it was popped last; each once.  False: nobody's. */
bool numbers_pop_moved(struct numbers *, uint64_t *hash);
size_t numbers_count(const struct numbers *);

#endif /* lib/numbers.h */
