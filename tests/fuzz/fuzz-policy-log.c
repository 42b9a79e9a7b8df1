/* Fuzz target of controller/policy-log-record.h: the frame of a verdict becomes a line that is one JSON object. */

#include <config.h>

#include <jansson.h>
#include <string.h>

#include "controller/policy-log-record.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct svec policies = SVEC_EMPTY_INITIALIZER;
    struct ds s = DS_EMPTY_INITIALIZER;
    struct policy_packet p;

    if (policy_packet_parse(data, size, &p)) {
        const struct policy_log_entry e = { .node = "n", .packet = &p, .policies = &policies };

        FUZZ_CHECK(inet_is_v4(&p.src) == inet_is_v4(&p.dst), "families");
        FUZZ_CHECK(p.has_ports || (!p.src_port && !p.dst_port), "ports");
        policy_log_entry_format(&e, &s);
        json_t *json = json_loads(ds_cstr(&s), 0, NULL);
        FUZZ_CHECK(json && !strchr(ds_cstr(&s), '\n'), "%s", ds_cstr(&s));
        json_decref(json);
    }
    ds_destroy(&s);
    svec_destroy(&policies);
    return 0;
}
