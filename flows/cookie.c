#include <config.h>

#include "cookie.h"

#include <stddef.h>
#include <string.h>

#include "util.h"

/* FNV-1a with 64 bits, folded to 56: http://www.isthe.com/chongo/tech/comp/fnv/, "Changing the FNV hash size".  Not one
 * of libopenvswitch's hashes, because these may differ between its versions and processors, and cookies stay in the
 * switch. */
static uint64_t
fnv1a(const void *data, size_t n)
{
    const uint8_t *bytes = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t
fold(uint64_t hash)
{
    return (hash >> 56 ^ hash) & ((UINT64_C(1) << 56) - 1);
}

static bool
owner_is_kind(const char *owner, const char *kind)
{
    size_t n = strlen(kind);
    return !strncmp(owner, kind, n) && owner[n] == '/';
}

uint64_t
cookie_from_owner(const char *owner)
{
#define COOKIE_KIND(NAME, VALUE, TEXT)                                                                                 \
    if (owner_is_kind(owner, TEXT)) {                                                                                  \
        return (uint64_t) VALUE << 56 | fold(fnv1a(owner, strlen(owner)));                                                            \
    }
    COOKIE_KINDS
#undef COOKIE_KIND
    OVS_NOT_REACHED();
}

uint64_t
cookie_from_hash(enum cookie_kind kind, uint64_t hash)
{
    return (uint64_t) kind << 56 | fold(hash);
}

uint64_t
cookie_from_bytes(enum cookie_kind kind, const void *data, size_t n)
{
    return cookie_from_hash(kind, fnv1a(data, n));
}
