#ifndef SLUICE_REPEAT_H
#define SLUICE_REPEAT_H 1

/* Packs what repeats itself at a fixed distance with few differences, as a message with many records of one form: to keep
 * very many of them in memory, not for the wire.  Any bytes can be packed; those that do not repeat get longer by at most
 * two bytes in 255, and two.
 *
 * Equal bytes that are packed with equal distances give equal results, so these can be compared instead.
 *
 * Form: again and again (number of bytes that are as they were 'distance' before, number of others, the others); what is
 * before the first byte is 0.
 *
 * Pure. */

#include <stddef.h>
#include <stdint.h>

/* The most that 'n' bytes can get. */
#define REPEAT_MAX_PACKED(N) ((N) + 2 * ((N) / 255 + 1))

/* 'distance' at least 1.  'packed' has room for REPEAT_MAX_PACKED(n) bytes.  Returns how many they are. */
size_t repeat_pack(const void *, size_t n, size_t distance, uint8_t *packed);
/* The reverse: exactly 'n' bytes, which were packed with this distance. */
void repeat_unpack(const uint8_t *packed, size_t distance, void *, size_t n);

#endif /* lib/repeat.h */
