#include <config.h>

#include "world-flows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

void
world_fail(char **failure, const char *format, ...)
{
    if (!*failure) {
        va_list args;
        va_start(args, format);
        *failure = xvasprintf(format, args);
        va_end(args);
    }
}

struct kube_object *
world_decode(const char *text)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_object *object;
    char *copy = xstrdup(text);
    json_error_t e;

    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    json_t *json = json_loads(copy, 0, &e);
    if (!json || kube_object_decode(json, &object, &error)) {
        fprintf(stderr, "%s: %s\n", text, json ? error_message(&error) : e.text);
        abort();
    }
    json_decref(json);
    free(copy);
    return object;
}

void
world_flows_destroy(struct hmap *flows)
{
    struct world_flow *wf;

    HMAP_FOR_EACH_POP (wf, node, flows) {
        flow_entry_unref(wf->flow);
        free(wf);
    }
    hmap_destroy(flows);
}

static struct world_flow *
find_flow(const struct hmap *flows, const struct flow_entry *flow)
{
    struct world_flow *wf;

    HMAP_FOR_EACH_WITH_HASH (wf, node, flow->hash, flows) {
        if (flow_entry_same_key(wf->flow, flow)) {
            return wf;
        }
    }
    return NULL;
}

static void
fail_flow(char **failure, const char *what, const struct flow_entry *flow)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    flow_entry_format(flow, true, &ds);
    world_fail(failure, "%s: %s", what, ds_cstr(&ds));
    ds_destroy(&ds);
}

void
world_flows_put(struct hmap *flows, struct flow_entry *flow, char **failure)
{
    struct world_flow *wf = find_flow(flows, flow);

    if (!wf) {
        wf = xmalloc(sizeof *wf);
        hmap_insert(flows, &wf->node, flow->hash);
    } else {
        if (flow_entry_equal(wf->flow, flow)) {
            fail_flow(failure, "put as it was", flow);
        }
        flow_entry_unref(wf->flow);
    }
    wf->flow = flow;
}

void
world_flows_drop(struct hmap *flows, struct flow_entry *flow, char **failure)
{
    struct world_flow *wf = find_flow(flows, flow);

    if (!wf) {
        fail_flow(failure, "dropped what is not there", flow);
    } else {
        hmap_remove(flows, &wf->node);
        flow_entry_unref(wf->flow);
        free(wf);
    }
    flow_entry_unref(flow);
}

void
world_flows_compare(const struct hmap *flows, const struct flow_set *want, char **failure)
{
    for (size_t i = 0; i < want->n_flows; i++) {
        struct world_flow *wf = find_flow(flows, want->flows[i]);
        if (!wf || !flow_entry_equal(wf->flow, want->flows[i])) {
            fail_flow(failure, wf ? "another flow is wanted" : "a flow is missing", want->flows[i]);
        }
    }
    if (want->n_flows != hmap_count(flows)) {
        world_fail(failure, "%"PRIuSIZE" flows instead of %"PRIuSIZE, hmap_count(flows), want->n_flows);
    }
}

const struct flow_entry *
world_flows_lookup(const struct hmap *flows, uint8_t table_id, const struct flow *flow)
{
    const struct flow_entry *best = NULL;
    struct world_flow *wf;

    HMAP_FOR_EACH (wf, node, flows) {
        if (wf->flow->table_id == table_id && (!best || wf->flow->priority > best->priority)
            && minimatch_matches_flow(&wf->flow->match, flow)) {
            best = wf->flow;
        }
    }
    return best;
}

void
world_set_field(struct flow *flow, enum flow_field field, uint32_t value)
{
    const struct flow_field_info *info = flow_field_info(field);
    uint32_t mask = (info->n_bits == 32 ? UINT32_MAX : (1u << info->n_bits) - 1) << info->ofs;

    if (info->store == MFF_METADATA) {
        flow->metadata = htonll(value);
    } else {
        ovs_assert(info->store >= MFF_REG0 && info->store <= MFF_REG15);
        uint32_t *reg = &flow->regs[info->store - MFF_REG0];
        *reg = (*reg & ~mask) | ((value << info->ofs) & mask);
    }
}
