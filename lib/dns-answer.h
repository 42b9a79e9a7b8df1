#ifndef SLUICE_DNS_ANSWER_H
#define SLUICE_DNS_ANSWER_H 1

/* What a DNS message says about addresses: the name that was asked for, and the addresses that it has.
 *
 * Strict, because the bytes come from anywhere: an answer with one question of class IN, names of letters, digits, "-"
 * and "_" only, compression pointers only backwards, every record of the answer section whole.  CNAMEs are followed from
 * the name that was asked for, as far as the message has them and DNS_MAX_CHAIN; only A and AAAA records at the end of
 * that chain count.  The other sections are not looked at.  Source: RFC 1035 (4.1), RFC 3596, RFC 2181 (8).  Pure. */

#include <stddef.h>
#include <stdint.h>

#include "inet.h"

#define DNS_NAME_SIZE 254               /* 253 bytes of text, and its NUL. */
#define DNS_MAX_CHAIN 16
#define DNS_MAX_ADDRS 512               /* More are left out. */

struct dns_addr {
    struct in6_addr addr;               /* IPv4 as IPv4-mapped IPv6. */
    uint32_t ttl;                       /* Seconds: the smallest of the chain. */
};

struct dns_answer {
    char name[DNS_NAME_SIZE];           /* What was asked for: lower case, no dot at the end; "" for the root. */
    struct dns_addr addrs[DNS_MAX_ADDRS];
    size_t n_addrs;                     /* 0: the name has none, or something else was asked for. */
};

/* Returns 0 or EINVAL.  The answer of a server that could not answer (RCODE) is one without addresses. */
int dns_answer_parse(const void *, size_t, struct dns_answer *, struct error *);

#endif /* lib/dns-answer.h */
