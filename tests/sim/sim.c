#include "sim.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    uint64_t first, n;
    const char *bug;
    bool verbose;
    bool list;
    bool self_test;             /* Without --seed and --bug: each planted bug must be found too. */
};

static int parse_options(int argc, char *argv[], const struct sim *, struct options *);
static bool run(const struct sim *, const struct options *, const char *bug, uint64_t *seed, char **failure);
static int find_bug(const struct sim *, const struct options *, const char *bug);

int
sim_main(int argc, char *argv[], const struct sim *sim)
{
    static const char *const none[] = { NULL };
    const char *const *bugs = sim->bugs ? sim->bugs : none;
    struct options options = { .first = 1, .n = 10000, .self_test = true };

    if (parse_options(argc, argv, sim, &options)) {
        fprintf(stderr, "usage: sim-%s [--histories N] [--first SEED] [--seed SEED] [--bug NAME] [--list-bugs]\n",
                sim->name);
        return EXIT_FAILURE;
    }
    if (options.list) {
        for (size_t i = 0; bugs[i]; i++) {
            puts(bugs[i]);
        }
        return EXIT_SUCCESS;
    }
    if (options.bug) {
        return find_bug(sim, &options, options.bug);
    }

    uint64_t seed;
    char *failure;
    if (!run(sim, &options, NULL, &seed, &failure)) {
        printf("sim-%s: seed %"PRIu64": %s\nreplay: sim-%s --seed %"PRIu64"\n", sim->name, seed, failure, sim->name,
               seed);
        free(failure);
        return EXIT_FAILURE;
    }
    printf("sim-%s: %"PRIu64" histories from seed %"PRIu64", no invariant broken\n", sim->name, options.n,
           options.first);

    int status = EXIT_SUCCESS;
    for (size_t i = 0; options.self_test && bugs[i]; i++) {
        if (find_bug(sim, &options, bugs[i])) {
            status = EXIT_FAILURE;
        }
    }
    return status;
}

static bool
parse_number(const char *s, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(s, &end, 0);
    return !errno && end != s && !*end;
}

static int
parse_options(int argc, char *argv[], const struct sim *sim, struct options *options)
{
    static const struct option long_options[] = {
        { "histories", required_argument, NULL, 'n' }, { "first", required_argument, NULL, 'f' },
        { "seed", required_argument, NULL, 's' },      { "bug", required_argument, NULL, 'b' },
        { "list-bugs", no_argument, NULL, 'l' },       { NULL, 0, NULL, 0 },
    };
    int c, bad = 0;

    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (c) {
        case 'n':
            bad |= !parse_number(optarg, &options->n);
            break;
        case 's':
            options->n = 1;
            options->verbose = true;
            options->self_test = false;
            /* Fall through. */
        case 'f':
            bad |= !parse_number(optarg, &options->first);
            break;
        case 'b':
            options->bug = NULL;
            for (size_t i = 0; sim->bugs && sim->bugs[i]; i++) {
                options->bug = strcmp(sim->bugs[i], optarg) ? options->bug : sim->bugs[i];
            }
            bad |= !options->bug;
            break;
        case 'l':
            options->list = true;
            break;
        default:
            bad = 1;
        }
    }
    return bad || optind != argc;
}

static uint64_t
splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Runs the histories; false with the first seed that failed and why (to be freed). */
static bool
run(const struct sim *sim, const struct options *options, const char *bug, uint64_t *seed, char **failure)
{
    for (uint64_t i = 0; i < options->n; i++) {
        struct sim_history h = { .seed = options->first + i, .bug = bug, .verbose = options->verbose };
        uint64_t state = h.seed;

        h.random[0] = splitmix64(&state);
        h.random[1] = splitmix64(&state);
        sim->history(&h);
        if (h.failure) {
            *seed = h.seed;
            *failure = h.failure;
            return false;
        }
    }
    return true;
}

static int
find_bug(const struct sim *sim, const struct options *options, const char *bug)
{
    uint64_t seed;
    char *failure;

    if (run(sim, options, bug, &seed, &failure)) {
        printf("sim-%s: planted bug %s: NOT FOUND in %"PRIu64" histories\n", sim->name, bug, options->n);
        return EXIT_FAILURE;
    }
    printf("sim-%s: planted bug %s: found by seed %"PRIu64": %s\n", sim->name, bug, seed, failure);
    free(failure);
    return EXIT_SUCCESS;
}

static uint64_t
rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t
sim_next(struct sim_history *h)
{
    uint64_t a = h->random[0], b = h->random[1];
    uint64_t sum = a + b;

    b ^= a;
    h->random[0] = rotl(a, 24) ^ b ^ b << 16;
    h->random[1] = rotl(b, 37);
    return sum;
}

uint32_t
sim_below(struct sim_history *h, uint32_t limit)
{
    return (sim_next(h) >> 32) * limit >> 32;
}

bool
sim_chance(struct sim_history *h, uint32_t percent)
{
    return sim_below(h, 100) < percent;
}

bool
sim_bug(const struct sim_history *h, const char *name)
{
    return h->bug && !strcmp(h->bug, name);
}

void
sim_log(const struct sim_history *h, const char *format, ...)
{
    if (h->verbose) {
        va_list args;

        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
    }
}

void
sim_fail(struct sim_history *h, const char *format, ...)
{
    va_list args;

    if (h->failure) {
        return;
    }
    va_start(args, format);
    if (vasprintf(&h->failure, format, args) < 0) {
        abort();
    }
    va_end(args);
    sim_log(h, "FAILED: %s", h->failure);
}
