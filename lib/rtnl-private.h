#ifndef SLUICE_RTNL_PRIVATE_H
#define SLUICE_RTNL_PRIVATE_H 1

/* What lib/rtnl.c and lib/rtnl-ip.c share: requests and their answers.  Nobody else includes this. */

#include "rtnl.h"

struct nlattr;
struct ofpbuf;

/* Sends 'request' (uninitialized afterwards) and waits for the answer.  'reply', if not NULL, is initialized here on
 * success and holds the one message of the answer.  The error begins with "cannot " and the formatted text. */
int rtnl_transact(struct rtnl *, struct ofpbuf *request, struct ofpbuf *reply, struct error *, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Sends the dump request (uninitialized afterwards) and calls 'cb' for each message of the answer, only when it is
 * complete and consistent: a dump that the kernel calls interrupted is repeated. */
int rtnl_dump(struct rtnl *, struct ofpbuf *request, void (*cb)(const struct ofpbuf *, void *aux), void *aux,
              struct error *, const char *what);

/* Splits the attributes behind a header of 'header_len' bytes into 'attrs', indexed by type. */
void rtnl_parse_attrs(const struct ofpbuf *, size_t header_len, const struct nlattr *attrs[], size_t n_attrs);
void rtnl_parse_nested(const struct nlattr *, const struct nlattr *attrs[], size_t n_attrs);
/* The value of an attribute, 0 if it is NULL or shorter. */
uint32_t rtnl_attr_u32(const struct nlattr *);
/* An address of either family; false if the attribute is NULL or of another size. */
bool rtnl_attr_addr(const struct nlattr *, struct in6_addr *);
/* Appends the address in its own family's length. */
void rtnl_put_addr(struct ofpbuf *, uint16_t type, const struct in6_addr *);

#endif /* lib/rtnl-private.h */
