#ifndef SLUICE_INET_H
#define SLUICE_INET_H 1

/* Addresses and prefixes of both families in one type.
 *
 * As in Open vSwitch an IPv4 address is kept as an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2), so that
 * IPv4 and IPv6 are one code path.  All addresses are in network byte order, as in 'struct in6_addr'.  A prefix has
 * the length of its own family (24 for 10.0.0.0/24), not of the mapped form. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct ds;

struct inet_prefix {
    struct in6_addr addr;       /* IPv4 as ::ffff:a.b.c.d. */
    uint8_t plen;               /* 0 to 32, or 0 to 128. */
};

/* AF_INET or AF_INET6. */
int inet_family(const struct in6_addr *);
static inline bool inet_is_v4(const struct in6_addr *a) { return IN6_IS_ADDR_V4MAPPED(a); }

/* 32 or 128. */
uint8_t inet_max_plen(const struct in6_addr *);

/* Parses "10.0.0.1" or "fd00::1", nothing else: no zone, no prefix, no white space. */
int inet_addr_parse(const char *, struct in6_addr *, struct error *);

/* Parses ADDRESS/LENGTH.  The length must be there.  inet_prefix_parse() keeps host bits ("10.0.0.7/24" is an
 * interface's address); inet_cidr_parse() refuses them, and names the prefix that was probably meant. */
int inet_prefix_parse(const char *, struct inet_prefix *, struct error *);
int inet_cidr_parse(const char *, struct inet_prefix *, struct error *);
/* The same of constants of the program, which must be right. */
struct in6_addr inet_addr_constant(const char *);
struct inet_prefix inet_cidr_constant(const char *);

/* 0.0.0.0 and ::, "any address". */
const struct in6_addr *inet_any(bool v6);
bool inet_is_any(const struct in6_addr *);

/* Sorts them, in no order that means anything, and leaves one of those that are equal.  Returns how many are left. */
size_t inet_addrs_unique(struct in6_addr *, size_t n);

/* Text.  The buffers hold any address or prefix. */
#define INET_ADDR_STRLEN 46
#define INET_PREFIX_STRLEN 50
const char *inet_addr_format(const struct in6_addr *, char buf[INET_ADDR_STRLEN]);
const char *inet_prefix_format(const struct inet_prefix *, char buf[INET_PREFIX_STRLEN]);
void inet_addr_put(struct ds *, const struct in6_addr *);
void inet_prefix_put(struct ds *, const struct inet_prefix *);

/* The prefix with its host bits cleared. */
struct inet_prefix inet_prefix_network(const struct inet_prefix *);
/* A prefix of one address: /32 or /128. */
struct inet_prefix inet_prefix_host(const struct in6_addr *);
bool inet_prefix_contains(const struct inet_prefix *, const struct in6_addr *);
bool inet_prefix_overlaps(const struct inet_prefix *, const struct inet_prefix *);
bool inet_prefix_equals(const struct inet_prefix *, const struct inet_prefix *);
/* Total order: IPv4 before IPv6, then by address, then by length. */
int inet_prefix_compare(const struct inet_prefix *, const struct inet_prefix *);

/* Of 'n' of them, in an array (NULL if there are none): in the order of inet_prefix_compare(); the first one that overlaps
 * another prefix, or NULL. */
void inet_prefixes_sort(struct inet_prefix *, size_t n);
const struct inet_prefix *inet_prefixes_overlap(const struct inet_prefix *, size_t n, const struct inet_prefix *);

/* The address 'n' behind the first of the prefix; false if that is beyond its end.
 * inet_prefix_index() is its inverse: false if the address is outside, or further than 2**64 - 1. */
bool inet_prefix_nth(const struct inet_prefix *, uint64_t n, struct in6_addr *);
bool inet_prefix_index(const struct inet_prefix *, const struct in6_addr *, uint64_t *n);
/* The number of addresses, UINT64_MAX if it does not fit. */
uint64_t inet_prefix_size(const struct inet_prefix *);

#endif /* lib/inet.h */
