#ifndef SLUICE_COOKIE_H
#define SLUICE_COOKIE_H 1

/* Every flow has an owner, and the cookie leads to it.
 *
 * An owner is a text, "KIND/REST": "Base/forwarding", "Node/worker-2", "Pod/default/web-0/eth0".  Its cookie is 8 bits
 * of kind above 56 bits of a hash of the text.  So it is stable over restarts and independent of the order of events,
 * and a person sees from the first byte what sort of object a flow belongs to:
 *
 *     0x01...  Base    the node itself; present without any object
 *     0x02...  Node    another node
 *     0x03...  Pod     a pod's port
 *
 * The flows of policies belong to no object alone, so theirs is the hash of what they stand for:
 *
 *     0x04...  Rule      a rule's verdict; it counts the rule
 *     0x05...  Endpoint  the identity of an address or prefix
 *     0x06...  Identity  a clause: what a number, or a port, is part of
 *
 * So it is with those of Services:
 *
 *     0x07...  Service   a port of a Service: its doors, what they lead to
 *     0x08...  Affinity  an endpoint of a set, and the clients that have it: what the switch has learned
 *
 * The cookie 0 is nobody's, and UINT64_MAX is OpenFlow's "don't change": neither is ever made. */

#include <stddef.h>
#include <stdint.h>

#define COOKIE_KINDS                                                                                                   \
    COOKIE_KIND(BASE, 0x01, "Base")                                                                                    \
    COOKIE_KIND(NODE, 0x02, "Node")                                                                                    \
    COOKIE_KIND(POD, 0x03, "Pod")                                                                                      \
    COOKIE_KIND(RULE, 0x04, "Rule")                                                                                    \
    COOKIE_KIND(ENDPOINT, 0x05, "Endpoint")                                                                            \
    COOKIE_KIND(IDENTITY, 0x06, "Identity")                                                                            \
    COOKIE_KIND(SERVICE, 0x07, "Service")                                                                              \
    COOKIE_KIND(AFFINITY, 0x08, "Affinity")

enum cookie_kind {
#define COOKIE_KIND(NAME, VALUE, TEXT) COOKIE_##NAME = VALUE,
    COOKIE_KINDS
#undef COOKIE_KIND
};

/* The owner of flows that exist without any object. */
#define OWNER_BASE "Base/forwarding"

/* The cookie (host byte order) of 'owner', which must begin with a kind of the list. */
uint64_t cookie_from_owner(const char *owner);

/* The cookie of a thing without an owner: a kind and a hash. */
uint64_t cookie_from_hash(enum cookie_kind, uint64_t hash);
/* The same, of so many bytes. */
uint64_t cookie_from_bytes(enum cookie_kind, const void *, size_t);

#endif /* flows/cookie.h */
