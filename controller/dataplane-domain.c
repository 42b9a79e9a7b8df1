#include <config.h>

#include "controller/dataplane-private.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/domain.h"
#include "dns-answer.h"
#include "dp-packet.h"
#include "flow.h"
#include "openvswitch/match.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "policy-flow.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dataplane_domain);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

/* A DNS answer is held back until the switch has confirmed the flows that it makes, but not for longer, nor are more than
 * that many: then the pod gets it, and its first packet may be too early. */
#define HOLD_MS 2000
#define MAX_HELD 1000

#define COMPACT_BYTES (256 * 1024)      /* The journal is written anew if it is larger, and mostly old. */
#define RECORD_BYTES 80                 /* About. */

struct held {
    struct ovs_list node;
    ofp_port_t port;
    uint64_t version;                   /* Of the flows; 0: not declared yet. */
    long long int deadline;
    size_t size;
    uint8_t frame[];
};

struct dataplane_domain {
    struct domains *core;
    char *path;
    struct journal *journal;            /* NULL: nothing was ever saved, or it cannot be. */
    bool broken;
    struct ovs_list held;               /* "struct held"s, oldest first. */
    size_t n_held;
    bool learned;                       /* domains_pop() may have something. */
};

static void answer(const void *frame, size_t, ofp_port_t, void *dp);
static void tell_policy(struct dataplane *);
static void used(uint8_t table_id, const struct match *, int idle, void *dp);

/* Saving. -------------------------------------------------------------------------------------------------------- */

/* The core's clock starts anew with the machine; the file has the time of day. */
static long long int
wall_offset(void)
{
    return time_wall_msec() - time_msec();
}

static int
replay(const void *payload, size_t size, void *core, struct error *error)
{
    char name[DOMAIN_NAME_SIZE];
    struct domain_entry e;
    int code = domain_entry_decode(payload, size, &e, name, error);

    if (code) {
        return code;
    } else if (e.expires == DOMAIN_GONE) {
        domains_forget(core, &e);
    } else {
        e.expires -= wall_offset();
        domains_restore(core, &e, time_msec());
    }
    return 0;
}

static void
open_journal(struct dataplane_domain *d)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct journal_report report = { .n_records = 0 };

    if (journal_open(d->path, replay, d->core, &d->journal, &report, &error)) {
        VLOG_ERR("addresses of domain names will not survive a restart: %s", error_message(&error));
        d->broken = true;
    } else if (report.lost_bytes) {
        VLOG_WARN("%s: the last %"PRIuSIZE" bytes were torn or corrupt", d->path, report.lost_bytes);
    }
    free(report.saved_as);
}

struct records {
    struct journal_record *records;     /* Payloads are malloc()ed. */
    size_t n, allocated;
};

static char *
encode(const struct domain_entry *e_)
{
    struct domain_entry e = *e_;
    e.expires += e.expires == DOMAIN_GONE ? 0 : wall_offset();
    return domain_entry_encode(&e);
}

static void
add_record(const struct domain_entry *e, void *records_)
{
    struct records *records = records_;

    if (records->n == records->allocated) {
        records->records = x2nrealloc(records->records, &records->allocated, sizeof *records->records);
    }
    char *s = encode(e);
    records->records[records->n++] = (struct journal_record) { s, strlen(s) };
}

static void
compact(struct dataplane_domain *d)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct records records = { .n = 0 };
    struct domains_stats stats;

    domains_get_stats(d->core, &stats);
    if (journal_size(d->journal) < COMPACT_BYTES + 2 * stats.n_addrs * RECORD_BYTES) {
        return;
    }
    domains_for_each(d->core, add_record, &records);
    if (journal_rewrite(d->journal, records.records, records.n, &error)) {
        VLOG_WARN_RL(&rl, "%s", error_message(&error));
    }
    for (size_t i = 0; i < records.n; i++) {
        free(CONST_CAST(void *, records.records[i].payload));
    }
    free(records.records);
}

static void
save(struct dataplane_domain *d, const struct domain_entry *e)
{
    ERROR_AUTO struct error error = ERROR_INIT;

    if (!d->journal && !d->broken) {
        open_journal(d);
    }
    if (d->journal) {
        char *s = encode(e);
        if (journal_append(d->journal, s, strlen(s), NULL, &error)) {
            VLOG_WARN_RL(&rl, "an address of %s will not survive a restart: %s", e->name, error_message(&error));
        }
        free(s);
        compact(d);
    }
}

/* Life. ---------------------------------------------------------------------------------------------------------- */

void
dataplane_domain_init_(struct dataplane *dp)
{
    struct dataplane_domain *d = xzalloc(sizeof *d);

    dp->domain = d;
    d->core = domains_create(dp->config->domain_idle_ms);
    d->path = xasprintf("%s/domains", dp->config->state_dir);
    ovs_list_init(&d->held);
    if (!access(d->path, F_OK)) {
        open_journal(d);
        tell_policy(dp);                /* Before anything is declared: a restart must change nothing. */
    }
    pinctrl_set_dns(dp->pinctrl, answer, dp);
    ofctrl_set_use(dp->ofctrl, used, dp);
}

void
dataplane_domain_destroy_(struct dataplane *dp)
{
    struct dataplane_domain *d = dp->domain;
    struct held *held;

    if (d) {
        LIST_FOR_EACH_POP (held, node, &d->held) {
            free(held);
        }
        if (d->journal) {
            journal_close(d->journal);
        }
        domains_destroy(d->core);
        free(d->path);
        free(d);
    }
}

/* Answers. ------------------------------------------------------------------------------------------------------- */

static bool
is_wanted(const char *name, void *policy)
{
    return policy_wants_domain(policy, name);
}

/* True if the frame is a DNS answer with addresses of names that rules name. */
static bool
learn(struct dataplane *dp, const void *frame, size_t size)
{
    struct dns_answer message;
    struct dp_packet packet;
    struct flow flow;

    dp_packet_use_const(&packet, frame, size);
    flow_extract(&packet, &flow);
    const void *payload = flow.nw_proto == IPPROTO_UDP ? dp_packet_get_udp_payload(&packet) : NULL;
    return (payload && !dns_answer_parse(payload, dp_packet_l4_size(&packet) - UDP_HEADER_LEN, &message, NULL)
            && domains_answer(dp->domain->core, &message, is_wanted, dp->policy, time_msec()));
}

static void
answer(const void *frame, size_t size, ofp_port_t port, void *dp_)
{
    struct dataplane *dp = dp_;
    struct dataplane_domain *d = dp->domain;

    bool learned = learn(dp, frame, size);

    d->learned |= learned;
    if (!learned || d->n_held >= MAX_HELD) {
        pinctrl_output(dp->pinctrl, frame, size, port);
        return;
    }
    struct held *held = xmalloc(sizeof *held + size);
    *held = (struct held) { .port = port, .deadline = time_msec() + HOLD_MS, .size = size };
    memcpy(held->frame, frame, size);
    ovs_list_push_back(&d->held, &held->node);
    d->n_held++;
}

/* The flows that they have waited for are declared. */
static void
stamp(struct dataplane *dp)
{
    struct held *held;

    LIST_FOR_EACH (held, node, &dp->domain->held) {
        if (!held->version && dp->sources_synced) {
            held->version = of_state_version(ofctrl_state(dp->ofctrl));
        }
    }
}

static void
release(struct dataplane *dp)
{
    struct dataplane_domain *d = dp->domain;
    const struct of_state *of = ofctrl_state(dp->ofctrl);
    struct held *held;

    LIST_FOR_EACH_SAFE (held, node, &d->held) {
        if ((held->version && of_state_acked(of) >= held->version) || time_msec() >= held->deadline) {
            pinctrl_output(dp->pinctrl, held->frame, held->size, held->port);
            ovs_list_remove(&held->node);
            d->n_held--;
            free(held);
        }
    }
}

/* Time. ---------------------------------------------------------------------------------------------------------- */

/* When the address was used last.  An address of a name that no rule names any more has no flow that could tell. */
static void
ask(struct dataplane *dp, const char *name, const struct in6_addr *addr)
{
    if (!policy_wants_domain(dp->policy, name)) {
        domains_idle(dp->domain->core, name, addr, LLONG_MAX, time_msec());
        dp->domain->learned = true;
        return;
    }

    const struct inet_prefix host = inet_prefix_host(addr);
    struct flow_entry *flow = flow_make_address(FLOW_EGRESS, FLOW_NETWORK_DEFAULT, &host, 1);
    struct match match;

    minimatch_expand(&flow->match, &match);
    ofctrl_ask_use(dp->ofctrl, flow->table_id, &match);
    flow_entry_unref(flow);
}

static void
used(uint8_t table_id OVS_UNUSED, const struct match *match, int idle, void *dp_)
{
    struct dataplane *dp = dp_;
    struct in6_addr addr;

    if (match->flow.dl_type == htons(ETH_TYPE_IP)) {
        in6_addr_set_mapped_ipv4(&addr, match->flow.nw_dst);
    } else {
        addr = match->flow.ipv6_dst;
    }
    domains_idle(dp->domain->core, NULL, &addr, idle * 1000LL, time_msec());
    dp->domain->learned = true;
}

static void
tell_policy(struct dataplane *dp)
{
    struct dataplane_domain *d = dp->domain;
    struct domain_change change;
    struct domain_entry e;

    while (domains_pop(d->core, &change)) {
        policy_domain_address(dp->policy, change.name, &change.addr, change.present);
        if (!change.present) {
            e = (struct domain_entry) { change.name, change.addr, DOMAIN_GONE };
            save(d, &e);
        }
    }
    while (domains_pop_unsaved(d->core, &e)) {
        save(d, &e);
    }
}

const struct domains *
dataplane_domains_(const struct dataplane *dp)
{
    return dp->domain->core;
}

void
dataplane_domain_run_(struct dataplane *dp)
{
    struct dataplane_domain *d = dp->domain;
    struct in6_addr addr;
    const char *name;

    domains_set_idle(d->core, dp->config->domain_idle_ms);
    domains_run(d->core, time_msec());
    while (domains_pop_question(d->core, &name, &addr)) {
        ask(dp, name, &addr);
    }
    if (d->learned) {
        d->learned = false;
        tell_policy(dp);
        dataplane_policy_run_(dp);
        stamp(dp);
        ofctrl_run(dp->ofctrl);         /* It may bring more answers, for the next turn. */
    }
    release(dp);
}

void
dataplane_domain_wait_(struct dataplane *dp)
{
    const struct dataplane_domain *d = dp->domain;
    long long int next = domains_next(d->core);

    if (d->learned) {
        poll_immediate_wake();
    }
    if (next != LLONG_MAX) {
        poll_timer_wait_until(next);
    }
    if (!ovs_list_is_empty(&d->held)) {
        poll_timer_wait_until(CONTAINER_OF(ovs_list_front(&d->held), struct held, node)->deadline);
    }
}

/* Looking at it. ------------------------------------------------------------------------------------------------- */

struct listing {
    const struct policy *policy;
    json_t *array;
};

static void
list_entry(const struct domain_entry *e, void *listing_)
{
    struct listing *listing = listing_;
    char addr[INET_ADDR_STRLEN];
    json_int_t left = MAX(e->expires - time_msec(), 0) / 1000;

    json_array_append_new(listing->array, json_pack("{s:s, s:s, s:I, s:b}", "name", e->name, "address",
                                                    inet_addr_format(&e->addr, addr), "secondsLeft", left, "wanted",
                                                    policy_wants_domain(listing->policy, e->name)));
}

static int
compare_entries(const void *a_, const void *b_)
{
    json_t *const *a = a_, *const *b = b_;
    int cmp = strcmp(json_string_value(json_object_get(*a, "name")), json_string_value(json_object_get(*b, "name")));

    return cmp ? cmp : strcmp(json_string_value(json_object_get(*a, "address")),
                              json_string_value(json_object_get(*b, "address")));
}

json_t *
dataplane_domain_list_(const struct dataplane *dp)
{
    struct listing listing = { dp->policy, json_array() };

    domains_for_each(dp->domain->core, list_entry, &listing);

    size_t n = json_array_size(listing.array), i;
    json_t **entries = xmalloc((n + 1) * sizeof *entries), *entry, *sorted = json_array();
    json_array_foreach (listing.array, i, entry) {
        entries[i] = entry;
    }
    qsort(entries, n, sizeof *entries, compare_entries);
    for (i = 0; i < n; i++) {
        json_array_append(sorted, entries[i]);
    }
    free(entries);
    json_decref(listing.array);
    return sorted;
}
