#include <config.h>

#include "controller/policy-log.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "controller/dataplane-private.h"
#include "controller/log-file.h"
#include "controller/policy-explain.h"
#include "controller/policy-log-record.h"
#include "fields.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(policy_log);

/* How long after a packet the switch is asked what its meter held back. */
#define METER_MS 1000

struct policy_log {
    struct dataplane *dp;
    struct log_file *file;
    enum flow_log level;                /* The configuration's, as it was read last. */
    uint64_t n_lines, n_metered;
    uint64_t lost_seen;

    unsigned int connection;            /* ofctrl_connection_seqno() of 'meter_seen'. */
    bool meter_known;
    uint64_t meter_seen;                /* Packets that the meter had held back. */
    long long int meter_at;             /* When to ask; time_msec(). */

    uint64_t isolating_seqnos[2];       /* Of NetworkPolicies and Pods, for: */
    struct shash isolating;             /* "egress NAMESPACE/NAME" -> "struct svec" of policies. */
};

static void packet_in(const struct ofputil_packet_in *, void *log);
static void meter_told(uint32_t meter_id, uint64_t n_held_back, void *log);

struct policy_log *
policy_log_create(struct dataplane *dp)
{
    struct policy_log *log = xzalloc(sizeof *log);

    log->dp = dp;
    log->level = dp->config->policy_log;
    log->file = log_file_create(dp->config->policy_log_file);
    log->meter_at = LLONG_MAX;
    shash_init(&log->isolating);
    pinctrl_set_policy_log(dp->pinctrl, packet_in, log);
    ofctrl_set_meter(dp->ofctrl, meter_told, log);
    return log;
}

static void
forget_isolating(struct policy_log *log)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &log->isolating) {
        svec_destroy(node->data);
    }
    shash_clear_free_data(&log->isolating);
}

void
policy_log_destroy(struct policy_log *log)
{
    if (log) {
        pinctrl_set_policy_log(log->dp->pinctrl, NULL, NULL);
        ofctrl_set_meter(log->dp->ofctrl, NULL, NULL);
        log_file_destroy(log->file);
        forget_isolating(log);
        shash_destroy(&log->isolating);
        free(log);
    }
}

bool
policy_log_reconfigure(struct policy_log *log)
{
    enum flow_log old = log->level;

    log->level = log->dp->config->policy_log;
    log_file_reopen(log->file, log->dp->config->policy_log_file);
    return log->level != old;
}

enum flow_log
policy_log_level(const struct config *config, const struct store *store, const char *namespace_)
{
    const struct kube_object *object = store_get(store, KUBE_NAMESPACE, "", namespace_);
    const char *value = object ? labels_get(object->annotations, POLICY_LOG_ANNOTATION) : NULL;
    enum flow_log level;

    return value && policy_log_from_name(value, &level) ? level : config->policy_log;
}

void
policy_log_get_stats(const struct policy_log *log, struct policy_log_stats *stats)
{
    struct log_file_stats file;

    log_file_get_stats(log->file, &file);
    *stats = (struct policy_log_stats) {
        .n_lines = log->n_lines, .n_metered = log->n_metered, .n_lost = file.n_lost, .error = file.error,
    };
}

/* What is missing. ----------------------------------------------------------------------------------------------- */

static void
put_line(struct policy_log *log, struct ds *line)
{
    log_file_put(log->file, ds_cstr(line), line->length);
    ds_destroy(line);
}

static void
put_gap(struct policy_log *log, uint64_t n, const char *why)
{
    struct ds line = DS_EMPTY_INITIALIZER;

    policy_log_gap_format(time_wall_msec(), log->dp->config->node, n, why, &line);
    put_line(log, &line);
}

static void
meter_told(uint32_t meter_id, uint64_t n, void *log_)
{
    struct policy_log *log = log_;

    if (meter_id != METER_POLICY_LOG) {
        return;
    }
    if (log->meter_known && n > log->meter_seen) {
        log->n_metered += n - log->meter_seen;
        put_gap(log, n - log->meter_seen, "more than the meter lets through");
        log->meter_at = MIN(log->meter_at, time_msec() + METER_MS);
    }
    log->meter_known = true;
    log->meter_seen = n;
}

static void
look_at_file(struct policy_log *log)
{
    struct log_file_stats stats;

    log_file_get_stats(log->file, &stats);
    if (stats.n_lost > log->lost_seen) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
        VLOG_WARN_RL(&rl, "%s: %"PRIu64" lines could not be written%s%s", log->dp->config->policy_log_file,
                     stats.n_lost - log->lost_seen, stats.error ? ": " : "",
                     stats.error ? ovs_strerror(stats.error) : "");
        put_gap(log, stats.n_lost - log->lost_seen, "more than the file could take");
        log->lost_seen = stats.n_lost;
    }
}

void
policy_log_run(struct policy_log *log)
{
    unsigned int connection = ofctrl_connection_seqno(log->dp->ofctrl);

    if (log->dp->not_ready) {
        return;                         /* The meter may not be there. */
    }
    if (connection != log->connection) {        /* From where to count. */
        log->connection = connection;
        log->meter_known = false;
        ofctrl_ask_meter(log->dp->ofctrl, METER_POLICY_LOG);
    }
    if (time_msec() >= log->meter_at) {
        log->meter_at = LLONG_MAX;
        ofctrl_ask_meter(log->dp->ofctrl, METER_POLICY_LOG);
        look_at_file(log);
    }
}

void
policy_log_wait(struct policy_log *log)
{
    if (log->meter_at != LLONG_MAX) {
        poll_timer_wait_until(log->meter_at);
    }
}

/* Whose packet it is. -------------------------------------------------------------------------------------------- */

struct holder {
    const struct in6_addr *addr;
    const struct attachment *found;
};

static void
look_at_attachment(const struct attachment *a, void *holder_)
{
    struct holder *holder = holder_;

    for (size_t i = 0; i < a->n_ips && a->pod_name; i++) {
        if (!memcmp(&a->ips[i].prefix.addr, holder->addr, sizeof *holder->addr)) {
            holder->found = a;
        }
    }
}

/* The pod with that address: one that is attached here, else the one that the cluster knows.  NULL: nobody. */
static const struct kube_pod *
pod_of(const struct dataplane *dp, const struct in6_addr *addr)
{
    struct holder holder = { addr, NULL };

    attachments_for_each(dp->attachments, look_at_attachment, &holder);
    if (holder.found) {
        const char *namespace_ = holder.found->pod_namespace ? holder.found->pod_namespace : "";
        return kube_pod_cast(store_get(dp->store, KUBE_POD, namespace_, holder.found->pod_name));
    }
    return endpoints_find(dp->endpoints, addr, NULL);
}

/* Who decided. --------------------------------------------------------------------------------------------------- */

struct decision {
    const char *tier, *rule_name;
    char *rule;
    struct svec rule_policies;          /* Of a rule. */
    const struct svec *policies;
};

static void
add_rule(const struct policy_rule_ref *ref, void *decision_)
{
    struct decision *d = decision_;

    if (!d->rule) {
        d->tier = policy_tier_name(ref->tier);
        d->rule = policy_rule_name(ref->direction, ref->index);
        d->rule_name = ref->name;
    }
    svec_add_nocopy(&d->rule_policies, policy_object_name(ref->object));
}

static void
add_isolating(const struct kube_object *object, void *policies)
{
    svec_add_nocopy(policies, policy_object_name(object));
}

/* The policies that isolate a pod; all are looked through, so the answer is kept until one or a pod changes. */
static const struct svec *
isolating(struct policy_log *log, const struct kube_pod *pod, enum flow_direction direction)
{
    const struct store *store = log->dp->store;
    const uint64_t seqnos[] = { store_seqno(store, KUBE_NETWORKPOLICY), store_seqno(store, KUBE_POD) };
    char *key = xasprintf("%s %s/%s", policy_direction_name(direction), pod->object.namespace_, pod->object.name);

    if (memcmp(seqnos, log->isolating_seqnos, sizeof seqnos)) {
        memcpy(log->isolating_seqnos, seqnos, sizeof seqnos);
        forget_isolating(log);
    }
    struct svec *policies = shash_find_data(&log->isolating, key);
    if (!policies) {
        policies = xmalloc(sizeof *policies);
        svec_init(policies);
        policy_explain_isolating(store, pod, direction, add_isolating, policies);
        shash_add(&log->isolating, key, policies);
    }
    free(key);
    return policies;
}

static void
find_decision(struct policy_log *log, const struct policy_verdict *v, const struct kube_pod *subject,
              struct decision *d)
{
    *d = (struct decision) { .policies = &d->rule_policies, .rule_policies = SVEC_EMPTY_INITIALIZER };
    if (v->conj_id) {
        policy_rules_of_conj(log->dp->policy, v->conj_id, add_rule, d);
    } else if (v->denied) {
        d->tier = policy_tier_name(FLOW_TIER_POLICY);
        d->rule = xstrdup(POLICY_DEFAULT_DENY);
        d->policies = subject ? isolating(log, subject, v->direction) : d->policies;
    }
}

static void
packet_in(const struct ofputil_packet_in *pin, void *log_)
{
    struct policy_log *log = log_;
    struct ds line = DS_EMPTY_INITIALIZER;
    struct policy_verdict verdict;
    struct policy_packet packet;
    struct decision d;

    if (!policy_verdict_decode(pin->table_id, &pin->flow_metadata, &verdict)
        || !policy_packet_parse(pin->packet, pin->packet_len, &packet)) {
        return;
    }
    const struct kube_pod *src = pod_of(log->dp, &packet.src), *dst = pod_of(log->dp, &packet.dst);
    find_decision(log, &verdict, verdict.direction == FLOW_EGRESS ? src : dst, &d);
    const struct policy_log_entry entry = {
        .time = time_wall_msec(), .node = log->dp->config->node, .packet = &packet, .direction = verdict.direction,
        .denied = verdict.denied, .tier = d.tier, .policies = d.policies, .rule = d.rule, .rule_name = d.rule_name,
        .src_namespace = src ? src->object.namespace_ : NULL, .src_name = src ? src->object.name : NULL,
        .dst_namespace = dst ? dst->object.namespace_ : NULL, .dst_name = dst ? dst->object.name : NULL,
    };
    policy_log_entry_format(&entry, &line);
    put_line(log, &line);
    log->n_lines++;
    log->meter_at = MIN(log->meter_at, time_msec() + METER_MS);
    svec_destroy(&d.rule_policies);
    free(d.rule);
}
