#ifndef SLUICE_INTERN_H
#define SLUICE_INTERN_H 1

/* Immutable values that are counted by reference, and a pool in which equal ones are one and the same.
 *
 * A value is a string, or a tuple of strings.  A new one belongs to no pool; intern_share() exchanges it for the
 * pool's.  Then two values of one pool are equal exactly if their pointers are, for as long as both are referenced; and
 * what thousands of objects have in common is in memory once.
 *
 * Whoever holds a pointer holds a reference.  NULL is allowed where a value is taken, and is a value of its own.
 * Values know their pool: they leave it when the last reference goes, and outlive its destruction.  Pure; not for
 * several threads. */

#include <stdbool.h>
#include <stddef.h>

struct intern;

struct intern *intern_create(void);
void intern_destroy(struct intern *);
/* How many values the pool has. */
size_t intern_count(const struct intern *);

/* A string; it can be read as one.  It must not hold a NUL byte. */
const char *intern_string(const char *);

/* A tuple of 'n' strings, whose references it takes.  The array is copied. */
const char *const *intern_tuple(const char *const *strings, size_t n);
size_t intern_tuple_size(const char *const *);          /* 0 for NULL. */

const void *intern_ref(const void *);
void intern_unref(const void *);
/* Gives up a reference to a value, and gives one to the equal value of the pool. */
const void *intern_share(struct intern *, const void *);

/* Equal in content, whatever pool they are in. */
bool intern_string_equal(const char *, const char *);
bool intern_tuple_equal(const char *const *, const char *const *);

#endif /* lib/intern.h */
