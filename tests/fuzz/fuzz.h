#ifndef SLUICE_FUZZ_H
#define SLUICE_FUZZ_H 1

/* A fuzz target: one file for each place that parses bytes from outside, tests/fuzz/fuzz-NAME.c, with one function.
 *
 * "./configure CC=clang --enable-fuzzers" links it with libFuzzer, and "tests/fuzz/run [SECONDS]" runs all of them for
 * a bounded time from their corpora, tests/fuzz/corpus/NAME/.  Every other build links it with replay.c, and "make
 * check" runs it over its corpus, so that target and corpus stay valid.
 *
 * A target checks more than "does not crash": what was accepted must be written and read again as the same. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Always returns 0.  'data' may not be kept. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(CONDITION, ...)                                              \
    do {                                                                        \
        if (!(CONDITION)) {                                                     \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #CONDITION);     \
            fprintf(stderr, __VA_ARGS__);                                       \
            fputc('\n', stderr);                                                \
            abort();                                                            \
        }                                                                       \
    } while (0)

#endif /* tests/fuzz/fuzz.h */
