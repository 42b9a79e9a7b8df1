/* golden [--plain|--groups] FILE.in: compiles a fixture and prints its flows, sorted, one a line; with table names, or as
 * "ovs-ofctl parse-flows" reads them.  --groups: only the groups, as "ovs-ofctl add-groups" reads them. */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "openvswitch/dynamic-string.h"

int
main(int argc, char *argv[])
{
    bool plain = argc == 3 && !strcmp(argv[1], "--plain"), groups = argc == 3 && !strcmp(argv[1], "--groups");
    struct error error = ERROR_INIT;
    struct fixture fixture;

    if (argc != 2 + (plain || groups)) {
        fprintf(stderr, "usage: golden [--plain|--groups] FILE.in\n");
        return 2;
    }
    if (fixture_load(argv[argc - 1], &fixture, &error)) {
        fprintf(stderr, "golden: %s\n", error_message(&error));
        error_clear(&error);
        fixture_destroy(&fixture);
        return EXIT_FAILURE;
    }

    struct flow_set set = FLOW_SET_INIT;
    struct ds ds = DS_EMPTY_INITIALIZER;
    fixture_compile(&fixture, &set);
    if (groups) {
        for (size_t i = 0; i < set.n_groups; i++) {
            group_entry_format(set.groups[i], &ds);
            ds_put_char(&ds, '\n');
        }
    } else {
        flow_set_format(&set, !plain, &ds);
    }
    fputs(ds_cstr(&ds), stdout);
    ds_destroy(&ds);
    flow_set_destroy(&set);
    fixture_destroy(&fixture);
    return EXIT_SUCCESS;
}
