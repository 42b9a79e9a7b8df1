#include <config.h>

#include "controller/status-text.h"

#include "json-get.h"
#include "openvswitch/dynamic-string.h"

static const char *
text_of(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : "-";
}

static void
put_list(struct ds *s, const json_t *array)
{
    size_t i;
    json_t *value;
    json_array_foreach (array, i, value) {
        ds_put_format(s, "%s%s", i ? ", " : "", json_string_value(value));
    }
    if (!json_array_size(array)) {
        ds_put_char(s, '-');
    }
}

void
status_format_pods(const json_t *pods, struct ds *s)
{
    size_t i;
    json_t *pod;

    ds_put_format(s, "%-16s %-32s %-16s %-13s %s\n", "NAMESPACE", "NAME", "NODE", "STATE", "ADDRESSES");
    json_array_foreach (pods, i, pod) {
        ds_put_format(s, "%-16s %-32s %-16s %-13s ", text_of(pod, "namespace"), text_of(pod, "name"),
                      text_of(pod, "node"),
                      text_of(pod, "state"));
        put_list(s, json_object_get(pod, "ips"));
        if (json_object_get(pod, "problem")) {
            ds_put_format(s, "  (%s)", text_of(pod, "problem"));
        }
        ds_put_char(s, '\n');
    }
}

void
status_format_nodes(const json_t *nodes, struct ds *s)
{
    size_t i;
    json_t *node;

    ds_put_format(s, "%-24s %-9s %-40s %s\n", "NAME", "REALIZED", "ADDRESSES", "POD CIDRS");
    json_array_foreach (nodes, i, node) {
        struct ds ips = DS_EMPTY_INITIALIZER;
        put_list(&ips, json_object_get(node, "ips"));
        ds_put_format(s, "%-24s %-9s %-40s ", text_of(node, "name"), json_is_true(json_object_get(node, "realized"))
                      ? "yes" : "no", ds_cstr(&ips));
        put_list(s, json_object_get(node, "podCIDRs"));
        ds_put_format(s, "%s\n", json_is_true(json_object_get(node, "self")) ? "  (this node)" : "");
        if (json_object_get(node, "problem")) {
            ds_put_format(s, "  problem: %s\n", text_of(node, "problem"));
        }
        ds_destroy(&ips);
    }
}

void
status_format_domains(const json_t *domains, struct ds *s)
{
    size_t i;
    json_t *domain;

    ds_put_format(s, "%-40s %-40s %s\n", "NAME", "ADDRESS", "STAYS");
    json_array_foreach (domains, i, domain) {
        json_int_t left = json_integer_value(json_object_get(domain, "secondsLeft"));

        ds_put_format(s, "%-40s %-40s ", text_of(domain, "name"), text_of(domain, "address"));
        if (left) {
            ds_put_format(s, "%"JSON_INTEGER_FORMAT" s at least", left);
        } else {
            ds_put_cstr(s, "while it is used");
        }
        ds_put_cstr(s, json_is_true(json_object_get(domain, "wanted")) ? "\n" : "; no rule names it now\n");
    }
}

void
status_format_ipam(const json_t *pools, struct ds *s)
{
    size_t i;
    json_t *pool;

    json_array_foreach (pools, i, pool) {
        ds_put_format(s, "pool %s: %lld used, %lld quarantined (%lld not acknowledged), %lld free, %lld reserved, "
                      "%lld taken early\n", text_of(pool, "pool"), json_number(pool, "used"),
                      json_number(pool, "quarantined"),
                      json_number(pool, "unacknowledged"), json_number(pool, "free"), json_number(pool, "reserved"),
                      json_number(pool, "takenEarly"));
    }
    if (!json_array_size(pools)) {
        ds_put_cstr(s, "no pool\n");
    }
}

void
status_format_check(const json_t *check, struct ds *s)
{
    const json_t *findings = json_object_get(check, "findings");
    size_t i;
    json_t *finding;

    status_format_ipam(json_object_get(check, "pools"), s);
    json_array_foreach (findings, i, finding) {
        ds_put_format(s, "%s\n", json_string_value(finding));
    }
    if (!json_array_size(findings)) {
        ds_put_cstr(s, "journal, OVSDB, host and source agree\n");
    }
}

static void
put_source_kind(const json_t *kind, struct ds *s)
{
    ds_put_format(s, "  %-21s ", text_of(kind, "kind"));
    if (json_is_true(json_object_get(kind, "absent"))) {
        ds_put_cstr(s, "not in this cluster\n");
    } else {
        ds_put_format(s, "%7lld %6lld %6lld %8lld %9lld %9lld  %s%s\n", json_number(kind, "count"),
                      json_number(kind, "wrong"), json_number(kind, "lists"), json_number(kind, "watches"),
                      json_number(kind, "events"), json_number(kind, "failures"), text_of(kind, "resourceVersion"),
                      json_is_true(json_object_get(kind, "synced")) ? "" : "  (not read yet)");
    }
}

static void
put_source(const json_t *source, struct ds *s)
{
    const json_t *kinds = json_object_get(source, "kinds");
    const char *state = json_is_true(json_object_get(source, "synced")) ? "read" : "being read";
    size_t i;
    json_t *kind;

    if (json_object_get(source, "path")) {
        ds_put_format(s, "source: the directory %s, %s\n", text_of(source, "path"), state);
    } else if (source) {
        ds_put_format(s, "source: the Kubernetes API at %s, %s\n", text_of(source, "server"), state);
        ds_put_format(s, "  %-21s OBJECTS  WRONG  LISTS  WATCHES    EVENTS  FAILURES  VERSION\n", "KIND");
    }
    json_array_foreach (kinds, i, kind) {
        put_source_kind(kind, s);
    }
}

static void
put_known(const json_t *known, struct ds *s)
{
    const char *kinds, *separator = "known:";
    json_t *n;

    json_object_foreach ((json_t *) known, kinds, n) {
        ds_put_format(s, "%s %lld %s", separator, json_integer_value(n), kinds);
        separator = ",";
    }
    ds_put_char(s, '\n');
}

static void
put_services(const json_t *n, struct ds *s)
{
    ds_put_format(s, "services: %lld with %lld ports: %lld ways in to %lld sets of endpoints, in %lld groups with %lld buckets\n",
                  json_number(n, "services"), json_number(n, "ports"), json_number(n, "doors"), json_number(n, "sets"),
                  json_number(n, "groups"), json_number(n, "buckets"));
}

void
status_format_status(const json_t *status, struct ds *s)
{
    const json_t *counts = json_object_get(status, "counts"), *of = json_object_get(status, "openflow");
    const json_t *problems = json_object_get(status, "problems");
    bool ready = json_is_true(json_object_get(status, "ready"));
    size_t i;
    json_t *problem;

    ds_put_format(s, "node %s: %s%s\n", text_of(status, "node"), ready ? "ready" : "not ready: ",
                  !ready ? text_of(status, "reason")
                  : json_is_true(json_object_get(status, "realized")) ? ", everything is realized"
                  : ", changes under way");
    ds_put_format(s, "sluiced %s", text_of(status, "version"));
    if (json_object_get(status, "ovs")) {       /* In the database if the distribution's scripts started it. */
        ds_put_format(s, ", Open vSwitch %s", text_of(status, "ovs"));
    }
    ds_put_char(s, '\n');
    if (json_object_get(status, "datapath")) {
        ds_put_format(s, "datapath %s: %s\n", text_of(status, "datapath"), text_of(status, "datapathReason"));
        ds_put_format(s, "encapsulation %s\nuplink %s, MTU %lld; MTU of pods %lld\n", text_of(status, "encapsulation"),
                      text_of(status, "uplink"), json_number(status, "uplinkMTU"), json_number(status, "mtu"));
    }
    ds_put_format(s, "attachments: %lld up, %lld being added, %lld waiting, %lld being removed\n",
                  json_number(counts, "up"),
                  json_number(counts, "adding"), json_number(counts, "waiting"), json_number(counts, "removing"));
    put_source(json_object_get(status, "source"), s);
    put_known(json_object_get(status, "known"), s);
    ds_put_format(s, "flows: %lld desired, %lld installed, %lld refused; %lld modifications in %lld bundles since the "
                  "start\n",
                  json_number(of, "desired"), json_number(of, "installed"), json_number(of, "refused"),
                  json_number(of, "modifications"), json_number(of, "bundles"));
    put_services(json_object_get(status, "services"), s);
    status_format_ipam(json_object_get(status, "ipam"), s);
    json_array_foreach (problems, i, problem) {
        ds_put_format(s, "problem: %s\n", json_string_value(problem));
    }
}
