#ifndef SLUICE_UNIT_H
#define SLUICE_UNIT_H 1

/* The main() of every unit test: one Check suite, its closing line on the screen, exit status 1 if a test failed.
 *
 *     UNIT_MAIN("inet", { tcase_add_test(tc, test_parse); tcase_add_test(tc, test_format); })
 *
 * Each assertion of Check writes to a file, also one that holds: in a loop that runs a million times use ck_abort_msg(). */

#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN(NAME, ...)                                            \
    int                                                                 \
    main(void)                                                          \
    {                                                                   \
        Suite *suite = suite_create(NAME);                              \
        TCase *tc = tcase_create(NAME);                                 \
        tcase_set_timeout(tc, 60);                                      \
        __VA_ARGS__                                                     \
        suite_add_tcase(suite, tc);                                     \
        SRunner *runner = srunner_create(suite);                        \
        srunner_run_all(runner, CK_ENV);                                \
        int failed = srunner_ntests_failed(runner);                     \
        srunner_free(runner);                                           \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                    \
    }

#endif /* tests/unit/unit.h */
