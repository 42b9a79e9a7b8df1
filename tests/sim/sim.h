#ifndef SLUICE_SIM_H
#define SLUICE_SIM_H 1

/* Seeded histories.
 *
 * A simulator drives a real core (a module without I/O) through a history: a sequence of events, delays,
 * refusals and crashes that depends on nothing but a seed.  After each step it checks what must always hold.  A
 * history that fails is named by its seed and is replayed exactly by "--seed".
 *
 * A simulator also plants bugs: each name in 'sim.bugs' is a mistake that it makes on purpose when sim_bug()
 * says so, and sim_main() without options proves that every one of them is found.  So a check that cannot fail
 * is noticed.
 *     static void
 *     history(struct sim_history *h)
 *     {
 *         for (int step = 0; step < 50 && !sim_failed(h); step++) {
 *             switch (sim_below(h, 3)) { ... }
 *             SIM_CHECK(h, a == b, "step %d: %d is not %d", step, a, b);
 *         }
 *     }
 *
 *     int
 *     main(int argc, char *argv[])
 *     {
 *         static const char *const bugs[] = { "ack-early", NULL };
 *         return sim_main(argc, argv, &(struct sim) { "of", history, bugs });
 *     }
 *
 *
 * Options: --histories N (10000), --first SEED (1), --seed SEED (that one only, with its log), --bug NAME (with
 * that bug planted; exit status 0 if it was found), --list-bugs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_history {
    uint64_t seed;
    uint64_t random[2];         /* State of the generator. */
    const char *bug;            /* The planted bug, or NULL. */
    bool verbose;               /* One seed only: sim_log() prints. */
    char *failure;              /* The first check that failed, or NULL. */
};

struct sim {
    const char *name;
    void (*history)(struct sim_history *);
    const char *const *bugs;    /* NULL-terminated; NULL: none. */
};

/* The main() of a simulator; see above.  Returns the exit status. */
int sim_main(int argc, char *argv[], const struct sim *);

/* Uniform numbers from the history's seed (xoroshiro128+, seeded by splitmix64; Blackman and Vigna, 2018). */
uint64_t sim_next(struct sim_history *);
uint32_t sim_below(struct sim_history *, uint32_t limit);       /* 0 to limit - 1; 0 if limit is 0. */
bool sim_chance(struct sim_history *, uint32_t percent);

/* True if the bug of that name is planted. */
bool sim_bug(const struct sim_history *, const char *name);

/* What happens, for the reader of one seed. */
void sim_log(const struct sim_history *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Records the first failure.  A history should end soon after it. */
void sim_fail(struct sim_history *, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool
sim_failed(const struct sim_history *h)
{
    return h->failure != NULL;
}

#define SIM_CHECK(H, CONDITION, ...)            \
    do {                                        \
        if (!(CONDITION)) {                     \
            sim_fail(H, __VA_ARGS__);           \
        }                                       \
    } while (0)

#endif /* tests/sim/sim.h */
