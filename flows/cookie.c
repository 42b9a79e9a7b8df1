#include <config.h>

#include "cookie.h"

#include <stddef.h>
#include <string.h>

#include "util.h"

/* FNV-1a with 64 bits, folded to 56: http://www.isthe.com/chongo/tech/comp/fnv/, "Changing the FNV hash size".  Not one
 * of libopenvswitch's hashes, because these may differ between its versions and processors, and cookies stay in the
 * switch. */
static uint64_t
fnv1a(const char *s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *s; s++) {
        hash = (hash ^ (uint8_t) *s) * UINT64_C(0x100000001b3);
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
        return (uint64_t) VALUE << 56 | fold(fnv1a(owner));                                                            \
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
cookie_from_text(enum cookie_kind kind, const char *text)
{
    return cookie_from_hash(kind, fnv1a(text));
}

const char *
cookie_kind_name(uint64_t cookie)
{
    switch (cookie >> 56) {
#define COOKIE_KIND(NAME, VALUE, TEXT) case VALUE: return TEXT;
    COOKIE_KINDS
#undef COOKIE_KIND
    default: return NULL;
    }
}
