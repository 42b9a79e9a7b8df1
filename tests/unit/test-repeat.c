#include <config.h>

#include <string.h>

#include "repeat.h"
#include "unit.h"
#include "util.h"

/* Packs, looks that it is not longer than promised, unpacks; returns the length. */
static size_t
round_trip(const uint8_t *bytes, size_t n, size_t distance)
{
    uint8_t *packed = xmalloc(REPEAT_MAX_PACKED(n)), *again = xmalloc(n + 1);
    size_t len = repeat_pack(bytes, n, distance, packed);

    ck_assert_uint_le(len, REPEAT_MAX_PACKED(n));
    again[n] = 0xa5;
    repeat_unpack(packed, distance, again, n);
    ck_assert(!memcmp(bytes, again, n) && again[n] == 0xa5);
    free(packed);
    free(again);
    return len;
}

START_TEST(test_shapes)
{
    static const size_t distances[] = { 1, 2, 8, 64, 255, 256, 1000, 5000 };
    uint8_t bytes[3000];

    for (size_t d = 0; d < ARRAY_SIZE(distances); d++) {
        memset(bytes, 0, sizeof bytes);
        ck_assert_uint_eq(round_trip(bytes, 0, distances[d]), 0);
        ck_assert_uint_eq(round_trip(bytes, 255, distances[d]), 2);
        ck_assert_uint_le(round_trip(bytes, 256, distances[d]), 4);
        memset(bytes, 7, sizeof bytes);
        round_trip(bytes, sizeof bytes, distances[d]);
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = i * 31 + i / 7;
        }
        for (size_t n = 1; n < 600; n++) {
            round_trip(bytes, n, distances[d]);
        }
    }
}
END_TEST

/* Random bytes with random pieces repeated: 20,000 of them. */
START_TEST(test_random)
{
    uint8_t bytes[700];
    uint32_t x = 1;

    for (int round = 0; round < 20000; round++) {
        size_t n = (x = x * 1664525 + 1013904223) >> 16, distance;

        n %= sizeof bytes;
        distance = 1 + ((x = x * 1664525 + 1013904223) >> 16) % 90;
        unsigned int repeats = (x >> 8) % 16;
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            bytes[i] = (x >> 16) % 16 < repeats ? (i < distance ? 0 : bytes[i - distance]) : x >> 24;
        }
        round_trip(bytes, n, distance);
    }
}
END_TEST

/* Ten records that differ in a few bytes, which is what it is for. */
START_TEST(test_records)
{
    uint8_t bytes[10][64];

    memset(bytes, 0x42, sizeof bytes);
    for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
        memcpy(&bytes[i][4], &(uint32_t) { 0x9e3779b9u * (i + 1) }, 4);
        bytes[i][40] = i;
    }
    ck_assert_uint_le(round_trip(bytes[0], sizeof bytes, sizeof bytes[0]), 64 + 2 + 10 * 9);
}
END_TEST

UNIT_MAIN("repeat", {
    tcase_add_test(tc, test_shapes);
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_records);
})
