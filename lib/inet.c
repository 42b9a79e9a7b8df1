#include <config.h>

#include "inet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

int
inet_family(const struct in6_addr *addr)
{
    return inet_is_v4(addr) ? AF_INET : AF_INET6;
}

uint8_t
inet_max_plen(const struct in6_addr *addr)
{
    return inet_is_v4(addr) ? 32 : 128;
}

/* The bits in front of the prefix in the mapped form. */
static unsigned int
mapped_bits(const struct in6_addr *addr)
{
    return inet_is_v4(addr) ? 96 : 0;
}

int
inet_addr_parse(const char *s, struct in6_addr *addr, struct error *error)
{
    struct in_addr v4;

    if (inet_pton(AF_INET, s, &v4) == 1) {
        memset(addr, 0, 10);
        memset(&addr->s6_addr[10], 0xff, 2);
        memcpy(&addr->s6_addr[12], &v4, 4);
        return 0;
    }
    if (inet_pton(AF_INET6, s, addr) == 1) {
        if (inet_is_v4(addr)) {
            return error_set(error, EINVAL, "\"%s\" is an IPv4-mapped address: write it as IPv4", s);
        }
        return 0;
    }
    return error_set(error, EINVAL, "\"%.64s\" is not an IPv4 or IPv6 address", s);
}

int
inet_prefix_parse(const char *s, struct inet_prefix *prefix, struct error *error)
{
    const char *slash = strchr(s, '/');
    char addr[INET_ADDR_STRLEN];

    if (!slash || slash - s >= sizeof addr) {
        return error_set(error, EINVAL, "\"%.64s\" is not of the form ADDRESS/LENGTH", s);
    }
    memcpy(addr, s, slash - s);
    addr[slash - s] = '\0';

    struct in6_addr in6;
    int retval = inet_addr_parse(addr, &in6, error);
    if (retval) {
        return retval;
    }

    const char *p = slash + 1;
    unsigned int plen = 0;
    for (; *p >= '0' && *p <= '9' && plen <= 128; p++) {
        plen = plen * 10 + (*p - '0');
    }
    if (p == slash + 1 || *p || plen > inet_max_plen(&in6) || (slash[1] == '0' && slash[2])) {
        return error_set(error, EINVAL, "\"%.64s\": the prefix length must be a number from 0 to %d", s,
                         inet_max_plen(&in6));
    }
    prefix->addr = in6;
    prefix->plen = plen;
    return 0;
}

int
inet_cidr_parse(const char *s, struct inet_prefix *prefix, struct error *error)
{
    struct inet_prefix p;
    int retval = inet_prefix_parse(s, &p, error);

    if (retval) {
        return retval;
    }

    struct inet_prefix network = inet_prefix_network(&p);
    if (!inet_prefix_equals(&p, &network)) {
        char buf[INET_PREFIX_STRLEN];
        return error_set(error, EINVAL, "\"%s\" has bits set behind its prefix: did you mean %s?", s,
                         inet_prefix_format(&network, buf));
    }
    *prefix = p;
    return 0;
}

struct in6_addr
inet_addr_constant(const char *s)
{
    struct in6_addr addr;
    ovs_assert(!inet_addr_parse(s, &addr, NULL));
    return addr;
}

struct inet_prefix
inet_cidr_constant(const char *s)
{
    struct inet_prefix prefix;
    ovs_assert(!inet_cidr_parse(s, &prefix, NULL));
    return prefix;
}

const struct in6_addr *
inet_any(bool v6)
{
    static const struct in6_addr any[] = {
        { .s6_addr = { [10] = 0xff, [11] = 0xff } }, { .s6_addr = { 0 } },
    };
    return &any[v6];
}

bool
inet_is_any(const struct in6_addr *addr)
{
    return !memcmp(addr, inet_any(!inet_is_v4(addr)), sizeof *addr);
}

static int
compare_addrs(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct in6_addr));
}

size_t
inet_addrs_unique(struct in6_addr *addrs, size_t n)
{
    size_t n_left = 0;

    if (n) {
        qsort(addrs, n, sizeof *addrs, compare_addrs);
    }
    for (size_t i = 0; i < n; i++) {
        if (!n_left || compare_addrs(&addrs[n_left - 1], &addrs[i])) {
            addrs[n_left++] = addrs[i];
        }
    }
    return n_left;
}

const char *
inet_addr_format(const struct in6_addr *addr, char buf[INET_ADDR_STRLEN])
{
    const void *bytes = inet_is_v4(addr) ? &addr->s6_addr[12] : addr->s6_addr;
    return inet_ntop(inet_family(addr), bytes, buf, INET_ADDR_STRLEN);
}

const char *
inet_prefix_format(const struct inet_prefix *prefix, char buf[INET_PREFIX_STRLEN])
{
    inet_addr_format(&prefix->addr, buf);
    size_t n = strlen(buf);
    snprintf(buf + n, INET_PREFIX_STRLEN - n, "/%u", prefix->plen);
    return buf;
}

void
inet_addr_put(struct ds *ds, const struct in6_addr *addr)
{
    char buf[INET_ADDR_STRLEN];
    ds_put_cstr(ds, inet_addr_format(addr, buf));
}

void
inet_prefix_put(struct ds *ds, const struct inet_prefix *prefix)
{
    char buf[INET_PREFIX_STRLEN];
    ds_put_cstr(ds, inet_prefix_format(prefix, buf));
}

struct inet_prefix
inet_prefix_network(const struct inet_prefix *prefix)
{
    struct inet_prefix network = *prefix;
    unsigned int bits = mapped_bits(&prefix->addr) + prefix->plen;

    for (unsigned int i = 0; i < 16; i++) {
        if (bits <= i * 8) {
            network.addr.s6_addr[i] = 0;
        } else if (bits < (i + 1) * 8) {
            network.addr.s6_addr[i] &= 0xff << ((i + 1) * 8 - bits);
        }
    }
    return network;
}

struct inet_prefix
inet_prefix_host(const struct in6_addr *addr)
{
    return (struct inet_prefix) { .addr = *addr, .plen = inet_max_plen(addr) };
}

bool
inet_prefix_contains(const struct inet_prefix *prefix, const struct in6_addr *addr)
{
    if (inet_is_v4(&prefix->addr) != inet_is_v4(addr)) {
        return false;
    }

    struct inet_prefix other = { .addr = *addr, .plen = prefix->plen };
    struct inet_prefix a = inet_prefix_network(prefix);
    struct inet_prefix b = inet_prefix_network(&other);
    return inet_prefix_equals(&a, &b);
}

bool
inet_prefix_overlaps(const struct inet_prefix *a, const struct inet_prefix *b)
{
    return a->plen < b->plen ? inet_prefix_contains(a, &b->addr) : inet_prefix_contains(b, &a->addr);
}

bool
inet_prefix_equals(const struct inet_prefix *a, const struct inet_prefix *b)
{
    return a->plen == b->plen && !memcmp(&a->addr, &b->addr, sizeof a->addr);
}

int
inet_prefix_compare(const struct inet_prefix *a, const struct inet_prefix *b)
{
    if (inet_is_v4(&a->addr) != inet_is_v4(&b->addr)) {
        return inet_is_v4(&a->addr) ? -1 : 1;
    }

    int cmp = memcmp(&a->addr, &b->addr, sizeof a->addr);
    return cmp ? cmp : (int) a->plen - (int) b->plen;
}

static int
compare(const void *a, const void *b)
{
    return inet_prefix_compare(a, b);
}

void
inet_prefixes_sort(struct inet_prefix *prefixes, size_t n)
{
    if (n) {
        qsort(prefixes, n, sizeof *prefixes, compare);
    }
}

const struct inet_prefix *
inet_prefixes_overlap(const struct inet_prefix *prefixes, size_t n, const struct inet_prefix *prefix)
{
    for (size_t i = 0; i < n; i++) {
        if (inet_prefix_overlaps(&prefixes[i], prefix)) {
            return &prefixes[i];
        }
    }
    return NULL;
}

uint64_t
inet_prefix_size(const struct inet_prefix *prefix)
{
    unsigned int bits = inet_max_plen(&prefix->addr) - prefix->plen;
    return bits >= 64 ? UINT64_MAX : UINT64_C(1) << bits;
}

bool
inet_prefix_nth(const struct inet_prefix *prefix, uint64_t n, struct in6_addr *addr)
{
    unsigned int bits = inet_max_plen(&prefix->addr) - prefix->plen;
    if (bits < 64 && n >> bits) {
        return false;
    }

    *addr = inet_prefix_network(prefix).addr;
    for (int i = 15; i >= 8; i--, n >>= 8) {
        addr->s6_addr[i] |= n & 0xff;
    }
    return true;
}

bool
inet_prefix_index(const struct inet_prefix *prefix, const struct in6_addr *addr, uint64_t *n)
{
    if (!inet_prefix_contains(prefix, addr)) {
        return false;
    }

    struct in6_addr base = inet_prefix_network(prefix).addr;
    uint64_t index = 0;
    for (int i = 0; i < 16; i++) {
        uint8_t byte = addr->s6_addr[i] ^ base.s6_addr[i];
        if (i < 8 && byte) {
            return false;
        }
        index = i < 8 ? 0 : index << 8 | byte;
    }
    *n = index;
    return true;
}
