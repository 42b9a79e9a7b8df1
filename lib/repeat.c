#include <config.h>

#include "repeat.h"

#include <string.h>

#include "util.h"

#define MOST UINT8_MAX                  /* Bytes that one number counts. */
#define LEAST 3                         /* Fewer repeated bytes among others are not worth two numbers. */

/* How many bytes from 'at' on, but at most 'most', are as they were. */
static size_t
n_same(const uint8_t *bytes, size_t at, size_t n, size_t distance, size_t most)
{
    size_t i = at;

    while (i < n && i - at < most && bytes[i] == (i < distance ? 0 : bytes[i - distance])) {
        i++;
    }
    return i - at;
}

static size_t
n_other(const uint8_t *bytes, size_t at, size_t n, size_t distance)
{
    size_t i = at;

    while (i < n && i - at < MOST && n_same(bytes, i, n, distance, LEAST) < LEAST) {
        i++;
    }
    return i - at;
}

size_t
repeat_pack(const void *bytes_, size_t n, size_t distance, uint8_t *packed)
{
    const uint8_t *bytes = bytes_;
    uint8_t *out = packed;

    for (size_t i = 0; i < n; ) {
        size_t same = n_same(bytes, i, n, distance, MOST);
        size_t other = n_other(bytes, i + same, n, distance);

        *out++ = same;
        *out++ = other;
        memcpy(out, bytes + i + same, other);
        out += other;
        i += same + other;
    }
    return out - packed;
}

void
repeat_unpack(const uint8_t *packed, size_t distance, void *bytes_, size_t n)
{
    uint8_t *bytes = bytes_;

    for (size_t i = 0; i < n; ) {
        size_t same = *packed++, other = *packed++;

        ovs_assert(same + other && same + other <= n - i);
        for (; same; same--, i++) {
            bytes[i] = i < distance ? 0 : bytes[i - distance];
        }
        memcpy(bytes + i, packed, other);
        packed += other;
        i += other;
    }
}
