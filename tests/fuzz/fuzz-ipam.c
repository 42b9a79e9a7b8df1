/* controller/ipam.h: bytes as a program of calls, checked against a table of who holds what. */

#include <config.h>

#include <string.h>

#include "controller/ipam.h"
#include "fuzz.h"
#include "util.h"

#define N_SLOTS 64

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_RELEASED, SLOT_ACKED };

/* Each allocation that was ever made and has not been overwritten. */
struct slot {
    enum slot_state state;
    struct ipam_address address;
};

struct program {
    const uint8_t *data;
    size_t size;
    struct ipam *ipam;
    struct slot slots[N_SLOTS];
    long long int now;
    uint64_t generation;
};

static uint8_t
next(struct program *p)
{
    p->size--;
    return *p->data++;
}

static void
check_lease(struct program *p, const struct ipam_lease *lease)
{
    for (size_t i = 0; i < lease->n; i++) {
        const struct ipam_address *a = &lease->addrs[i];
        FUZZ_CHECK(a->generation > p->generation, "generation %llu", (unsigned long long) a->generation);
        p->generation = a->generation;
        struct slot *free_slot = NULL;
        for (size_t k = 0; k < N_SLOTS; k++) {
            struct slot *s = &p->slots[k];
            bool same = !memcmp(&s->address.addr, &a->addr, sizeof a->addr);
            FUZZ_CHECK(!same || (s->state != SLOT_USED && s->state != SLOT_RELEASED), "given while in state %d",
                       s->state);
            if (same && s->state == SLOT_ACKED) {
                s->state = SLOT_FREE;
            }
            free_slot = s->state == SLOT_FREE || s->state == SLOT_ACKED ? s : free_slot;
        }
        FUZZ_CHECK(free_slot, "more addresses than there are");
        *free_slot = (struct slot) { SLOT_USED, *a };
    }
}

static void
allocate(struct program *p, struct in6_addr *fixed, size_t n_fixed)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct ipam_lease lease;
    ipam_run(p->ipam, p->now);
    bool room = ipam_has_room(p->ipam, p->now);
    int status = ipam_allocate(p->ipam, fixed, n_fixed, p->now, &lease, &error);
    FUZZ_CHECK(n_fixed || room == !status, "room %d, status %d", room, status);
    if (!status) {
        check_lease(p, &lease);
    } else {
        FUZZ_CHECK(error.message, "no message");
    }
}

static void
set_pools(struct program *p, uint8_t x)
{
    static const char *const names[] = { "10.0.0.0/28", "10.0.0.0/27", "10.0.0.8/29", "10.0.0.0/30", "10.0.0.0/31" };
    static const char *const names6[] = { "fd00::/124", "fd00::8/125", "fd00::/127", "fd00::/123" };
    struct inet_prefix cidrs[2];
    inet_prefix_parse(names[x % 5], &cidrs[0], NULL);
    inet_prefix_parse(names6[x / 5 % 4], &cidrs[1], NULL);
    ipam_set_pools(p->ipam, &cidrs[x >> 7], 1 + (x >> 6 & 1 & ~(x >> 7)), NULL);
}

static void
configure(struct program *p, uint8_t x)
{
    static const char *const ranges[] = { "10.0.0.4/30", "fd00::4/126", "10.0.0.0/8", "fd00::/122" };
    struct inet_prefix reserve;
    inet_prefix_parse(ranges[x % 4], &reserve, NULL);
    ipam_configure(p->ipam, &(struct ipam_config) { (x >> 4) * 10, &reserve, x >> 2 & 1 });
}

static void
step(struct program *p)
{
    uint8_t op = next(p), x = next(p);
    struct slot *s = &p->slots[x % N_SLOTS];
    struct in6_addr fixed;
    struct inet_prefix pool;
    bool done;

    switch (op % 10) {
    case 0:
    case 1:
    case 2:
        allocate(p, NULL, 0);
        break;
    case 3:
        inet_prefix_parse(x & 1 ? "10.0.0.0/27" : "fd00::/123", &pool, NULL);
        inet_prefix_nth(&pool, x >> 1 & 31, &fixed);
        allocate(p, &fixed, 1);
        break;
    case 4:
    case 5:
        done = ipam_release(p->ipam, &s->address, p->now);
        FUZZ_CHECK(done == (s->state == SLOT_USED), "released %d in state %d", done, s->state);
        s->state = done ? SLOT_RELEASED : s->state;
        break;
    case 6:
        done = ipam_acknowledge(p->ipam, &s->address);
        FUZZ_CHECK(done == (s->state == SLOT_RELEASED), "acknowledged %d in state %d", done, s->state);
        s->state = done ? SLOT_ACKED : s->state;
        break;
    case 7:
        done = ipam_cancel(p->ipam, &s->address);
        FUZZ_CHECK(done == (s->state == SLOT_USED), "cancelled %d in state %d", done, s->state);
        s->state = done ? SLOT_FREE : s->state;
        break;
    case 8:
        p->now += (int8_t) x;
        break;
    case 9:
        (op < 128 ? set_pools : configure)(p, x);
        break;
    }
}

static void
check_stats(const struct program *p)
{
    struct ipam_stats stats[IPAM_MAX_ADDRS];
    size_t n = ipam_get_stats(p->ipam, stats);
    for (size_t i = 0; i < n; i++) {
        const struct ipam_stats *s = &stats[i];
        /* What became reserved while it was in use counts as both. */
        FUZZ_CHECK(s->size <= s->reserved + s->used + s->quarantined + s->free, "an address is missing");
        FUZZ_CHECK(s->free <= s->size && s->unacknowledged <= s->quarantined, "too many");
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program p = { .data = data, .size = size, .now = 1000000 };
    p.ipam = ipam_create(&(struct ipam_config) { 100, NULL, 0 });
    set_pools(&p, 64);
    while (p.size >= 2) {
        step(&p);
        check_stats(&p);
    }
    ipam_destroy(p.ipam);
    return 0;
}
