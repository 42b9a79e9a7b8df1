#include <config.h>

#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "flow.h"
#include "openvswitch/util.h"
#include "packets.h"
#include "policy-flow.h"
#include "service-flow.h"
#include "util.h"

static char *
read_file(const char *path)
{
    FILE *stream = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    if (stream) {
        if (getdelim(&text, &size, '\0', stream) < 0) {
            free(text);
            text = NULL;
        }
        fclose(stream);
    }
    return text;
}

/* The values of one "KEY VALUE" pair. */
static int
parse_mac(const char *value, struct eth_addr *mac, struct error *error)
{
    return eth_addr_from_string(value, mac) ? 0 : error_set(error, EINVAL, "\"%s\" is not a MAC", value);
}

static int
parse_number(const char *value, unsigned int max, unsigned int *n, struct error *error)
{
    return str_to_uint(value, 10, n) && *n <= max ? 0 : error_set(error, EINVAL, "\"%s\" is not a number", value);
}

static int
parse_port(const char *value, ofp_port_t *port, struct error *error)
{
    unsigned int n = 0;
    int retval = strcmp(value, "none") ? parse_number(value, 0xfeff, &n, error) : 0;
    *port = n ? u16_to_ofp(n) : OFPP_NONE;
    return retval;
}

static int
parse_addrs(char *value, struct in6_addr *addrs, size_t *n, struct error *error)
{
    for (char *save = NULL, *s = strtok_r(value, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (*n >= FIXTURE_MAX_LIST) {
            return error_set(error, E2BIG, "too many addresses");
        }
        int retval = inet_addr_parse(s, &addrs[(*n)++], error);
        if (retval) {
            return retval;
        }
    }
    return 0;
}

static int
parse_cidrs(char *value, struct inet_prefix *cidrs, size_t *n, struct error *error)
{
    for (char *save = NULL, *s = strtok_r(value, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (*n >= FIXTURE_MAX_LIST) {
            return error_set(error, E2BIG, "too many prefixes");
        }
        int retval = inet_cidr_parse(s, &cidrs[(*n)++], error);
        if (retval) {
            return retval;
        }
    }
    return 0;
}

static int
set_node(struct fixture *f, const char *key, char *value, struct error *error)
{
    struct flow_local *local = &f->input.local;
    unsigned int n = 0;
    int retval;

    if (!strcmp(key, "node")) {
        local->name = value;
        return 0;
    } else if (!strcmp(key, "router-mac")) {
        return parse_mac(value, &local->router_mac, error);
    } else if (!strcmp(key, "gateway-mac")) {
        return parse_mac(value, &local->gateway_mac, error);
    } else if (!strcmp(key, "own-mac")) {
        return parse_mac(value, &local->own_mac, error);
    } else if (!strcmp(key, "gateway-port")) {
        return parse_port(value, &local->gateway_port, error);
    } else if (!strcmp(key, "tunnel-port")) {
        return parse_port(value, &local->tunnel_port, error);
    } else if (!strcmp(key, "tunnel-udp")) {
        retval = parse_number(value, UINT16_MAX, &n, error);
        local->tunnel_udp = n;
        return retval;
    } else if (!strcmp(key, "mtu")) {
        retval = parse_number(value, UINT16_MAX, &n, error);
        local->mtu = n;
        return retval;
    } else if (!strcmp(key, "kernel-datapath")) {
        local->kernel_datapath = !strcmp(value, "yes");
        return 0;
    }
    return error_set(error, EINVAL, "unknown key \"%s\"", key);
}

static int
set_pod_cidr(struct fixture *f, const char *key, char *value, struct error *error)
{
    struct flow_local *local = &f->input.local;

    if (!strcmp(key, "pod-cidr")) {
        return parse_cidrs(value, f->pod_cidrs, &local->n_pod_cidrs, error);
    } else if (!strcmp(key, "gateway")) {
        return parse_addrs(value, f->gateway_addrs, &local->n_gateway_addrs, error);
    }
    return error_set(error, EINVAL, "unknown key \"%s\"", key);
}

static int
set_pod(struct fixture *f, const char *key, char *value, struct error *error)
{
    size_t i = f->input.n_pods - 1;
    struct flow_pod *pod = &f->pods[i];
    unsigned int n = FLOW_NETWORK_DEFAULT;
    int retval;

    if (!strcmp(key, "pod")) {
        pod->owner = value;
        pod->network = n;
        pod->addrs = f->pod_addrs[i];
        return 0;
    } else if (!strcmp(key, "port")) {
        return parse_port(value, &pod->ofport, error);
    } else if (!strcmp(key, "mac")) {
        return parse_mac(value, &pod->mac, error);
    } else if (!strcmp(key, "addrs")) {
        return parse_addrs(value, f->pod_addrs[i], &pod->n_addrs, error);
    } else if (!strcmp(key, "network")) {
        retval = parse_number(value, 0xffffff, &n, error);
        pod->network = n;
        return retval;
    } else if (!strcmp(key, "isolated")) {
        pod->isolated = !strcmp(value, "yes");
        return 0;
    } else if (!strcmp(key, "subject")) {
        return (sscanf(value, "%"SCNu32",%"SCNu32, &pod->policy.subject[FLOW_EGRESS],
                       &pod->policy.subject[FLOW_INGRESS]) == 2
                ? 0 : error_set(error, EINVAL, "\"%s\" is no pair of subjects", value));
    } else if (!strcmp(key, "default-deny")) {
        pod->policy.isolated[FLOW_EGRESS] = strcmp(value, "ingress");
        pod->policy.isolated[FLOW_INGRESS] = strcmp(value, "egress");
        return 0;
    } else if (!strcmp(key, "domains")) {
        pod->policy.domains = !strcmp(value, "yes");
        return 0;
    } else if (!strcmp(key, "log")) {
        pod->policy.log = strcmp(value, "all") ? FLOW_LOG_DROPS : FLOW_LOG_ALL;
        return 0;
    }
    return error_set(error, EINVAL, "unknown key \"%s\"", key);
}

static int
set_peer(struct fixture *f, const char *key, char *value, struct error *error)
{
    size_t i = f->input.n_peers - 1, n = 0;
    struct flow_peer *peer = &f->peers[i];

    if (!strcmp(key, "peer")) {
        peer->owner = value;
        peer->pod_cidrs = f->peer_cidrs[i];
        return 0;
    } else if (!strcmp(key, "tunnel")) {
        peer->reach = FLOW_REACH_TUNNEL;
        return parse_addrs(value, &peer->tunnel_dst, &n, error);
    } else if (!strcmp(key, "reach")) {
        peer->reach = FLOW_REACH_GATEWAY;
        return 0;
    } else if (!strcmp(key, "cidrs")) {
        return parse_cidrs(value, f->peer_cidrs[i], &peer->n_pod_cidrs, error);
    }
    return error_set(error, EINVAL, "unknown key \"%s\"", key);
}

/* What policies say.  These lines have one order. */

static bool
name_is(const char *name, const char *const names[], size_t n, int *i)
{
    for (*i = 0; *i < n; ++*i) {
        if (!strcmp(name, names[*i])) {
            return true;
        }
    }
    return false;
}

static bool
parse_direction(const char *name, enum flow_direction *direction)
{
    static const char *const names[] = { [FLOW_EGRESS] = "egress", [FLOW_INGRESS] = "ingress" };
    int i;
    bool ok = name_is(name, names, ARRAY_SIZE(names), &i);
    *direction = i;
    return ok;
}

static bool
parse_tier(const char *name, enum flow_tier *tier)
{
    static const char *const names[] = { "admin", "policy", "baseline" };
    int i;
    bool ok = name_is(name, names, ARRAY_SIZE(names), &i);
    *tier = i;
    return ok;
}

static bool
parse_action(const char *name, enum flow_action *action)
{
    static const char *const names[] = { [FLOW_ACCEPT] = "accept", [FLOW_DENY] = "deny", [FLOW_PASS] = "pass" };
    int i;
    bool ok = name_is(name, names, ARRAY_SIZE(names), &i);
    *action = i;
    return ok;
}

static bool
add_address(struct fixture *f, const char *line)
{
    char direction_name[16], prefix_text[INET_PREFIX_STRLEN];
    enum flow_direction direction;
    struct inet_prefix prefix;
    uint32_t identity;

    if (sscanf(line, "address %15s prefix %49s identity %"SCNu32, direction_name, prefix_text, &identity) != 3
        || !parse_direction(direction_name, &direction) || inet_cidr_parse(prefix_text, &prefix, NULL)) {
        return false;
    }
    flow_set_add_nocopy(&f->policy, flow_make_address(direction, FLOW_NETWORK_DEFAULT, &prefix, identity));
    return true;
}

static size_t
parse_conjs(char *text, struct flow_conj *conjs, size_t max)
{
    size_t n = 0;
    for (char *save = NULL, *s = strtok_r(text, ",", &save); s && n < max; s = strtok_r(NULL, ",", &save)) {
        struct flow_conj *c = &conjs[n++];
        if (sscanf(s, "%"SCNu32":%"SCNu8"/%"SCNu8, &c->id, &c->k, &c->n) != 3) {
            return 0;
        }
    }
    return n;
}

static bool
add_clause(struct fixture *f, const char *line)
{
    static const char *const kinds[] = { "subject", "peer", "ports", "always" };
    char direction[16], tier[16], kind[16], value[32], conj_text[128];
    struct flow_conj conjs[FIXTURE_MAX_LIST];
    struct flow_clause c = { .conjs = conjs };
    int i;

    if (sscanf(line, "clause %15s tier %15s level %"SCNu16" %15s %31s conj %127s", direction, tier, &c.level, kind,
               value, conj_text) != 6
        || !parse_direction(direction, &c.direction) || !parse_tier(tier, &c.tier)
        || !name_is(kind, kinds, ARRAY_SIZE(kinds), &i)
        || !(c.n_conjs = parse_conjs(conj_text, conjs, ARRAY_SIZE(conjs)))) {
        return false;
    }
    c.kind = i;
    if (c.kind != FLOW_CLAUSE_L4) {
        c.number = strtoul(value, NULL, 10);
        flow_set_add_nocopy(&f->policy, flow_make_clause(&c));
        return true;
    }
    struct flow_l4 l4[FLOW_L4_MAX];
    unsigned int protocol, first, last;
    if (sscanf(value, "%u:%u-%u", &protocol, &first, &last) != 3) {
        return false;
    }
    size_t n = flow_l4_range(protocol, first, last, l4);
    for (size_t j = 0; j < n; j++) {
        c.l4 = l4[j];
        flow_set_add_nocopy(&f->policy, flow_make_clause(&c));
    }
    return true;
}

static bool
add_rule(struct fixture *f, const char *line)
{
    char direction[16], tier[16], action[16];
    struct flow_rule rule;

    if (sscanf(line, "rule %15s tier %15s level %"SCNu16" conj %"SCNu32" action %15s", direction, tier, &rule.level,
               &rule.conj_id, action) != 5
        || !parse_direction(direction, &rule.direction) || !parse_tier(tier, &rule.tier)
        || !parse_action(action, &rule.action)) {
        return false;
    }
    rule.cookie = flow_rule_cookie(rule.conj_id);
    flow_set_add_nocopy(&f->policy, flow_make_rule(&rule));
    return true;
}

/* What Services say: the same. */

static bool
parse_l4(const char *text, unsigned int *protocol, unsigned int *port)
{
    return sscanf(text, "%u:%u", protocol, port) == 2;
}

static bool
parse_door_addr(const char *text, struct flow_door *door)
{
    static const char *const any[] = { "node-v4", "node-v6" };
    int i;

    door->node_addr = name_is(text, any, ARRAY_SIZE(any), &i);
    return !inet_addr_parse(!door->node_addr ? text : i ? "::" : "0.0.0.0", &door->addr, NULL);
}

static bool
add_door(struct fixture *f, const char *line)
{
    static const char *const sources[] = {
        [FLOW_DOOR_ANYBODY] = "anybody", [FLOW_DOOR_OUTSIDE] = "outside", [FLOW_DOOR_NODE] = "node",
    };
    static const char *const actions[] = {
        [FLOW_DOOR_GROUP] = "group", [FLOW_DOOR_SHARDS] = "shards", [FLOW_DOOR_AFFINITY] = "affinity",
        [FLOW_DOOR_REJECT] = "reject", [FLOW_DOOR_DROP] = "drop", [FLOW_DOOR_DIRECT] = "direct",
    };
    char addr[INET6_ADDRSTRLEN], l4[16], source[16], src_text[INET_PREFIX_STRLEN], action[16], frag[16] = "";
    struct flow_door door = { .network = FLOW_NETWORK_DEFAULT };
    struct inet_prefix src;
    unsigned int protocol, port;
    int s, a;

    if (sscanf(line, "door %45s %15s from %15s %49s %15s %"SCNu32" %15s", addr, l4, source, src_text, action,
               &door.number, frag) < 6
        || !parse_door_addr(addr, &door) || !parse_l4(l4, &protocol, &port)
        || !name_is(source, sources, ARRAY_SIZE(sources), &s) || !name_is(action, actions, ARRAY_SIZE(actions), &a)
        || (strcmp(src_text, "any") && inet_cidr_parse(src_text, &src, NULL))) {
        return false;
    }
    door.protocol = protocol;
    door.port = port;
    door.source = s;
    door.action = a;
    door.src = strcmp(src_text, "any") ? &src : NULL;
    door.fragments = !strcmp(frag, "fragments");
    door.cookie = flow_service_cookie(door.number);
    flow_add_door(&door, &f->policy);
    return true;
}

static bool
add_node_address(struct fixture *f, const char *line)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (sscanf(line, "node-address %45s", text) != 1 || inet_addr_parse(text, &addr, NULL)) {
        return false;
    }
    flow_set_add_nocopy(&f->policy, flow_make_node_addr(FLOW_NETWORK_DEFAULT, &addr));
    return true;
}

static bool
add_tracked_port(struct fixture *f, const char *line)
{
    unsigned int protocol, port;

    if (sscanf(line, "tracked-port %u:%u", &protocol, &port) != 2) {
        return false;
    }
    flow_add_tracked_port(FLOW_NETWORK_DEFAULT, protocol, port, &f->policy);
    return true;
}

static bool
parse_endpoint(const char *text, struct flow_endpoint *e)
{
    char addr[INET6_ADDRSTRLEN];

    return (sscanf(text, "%45[^,],%"SCNu16",%"SCNu16",%"SCNu32, addr, &e->port, &e->weight, &e->number) == 4
            && !inet_addr_parse(addr, &e->addr, NULL));
}

static bool
add_group(struct fixture *f, const char *line)
{
    struct flow_endpoint endpoints[FIXTURE_MAX_LIST * 2];
    struct flow_affinity affinity;
    char text[512];
    uint32_t id;
    size_t n = 0;

    if (sscanf(line, "group %"SCNu32" set %"SCNu32"/%"SCNu32" endpoints %511s", &id, &affinity.set, &affinity.timeout,
               text) != 4) {
        return false;
    }
    for (char *save = NULL, *e = strtok_r(text, ";", &save); e; e = strtok_r(NULL, ";", &save)) {
        if (n >= ARRAY_SIZE(endpoints) || !parse_endpoint(e, &endpoints[n++])) {
            return false;
        }
    }
    flow_set_add_group(&f->policy, flow_make_group(id, endpoints, n, affinity.set ? &affinity : NULL));
    return true;
}

static bool
add_select(struct fixture *f, const char *line)
{
    uint32_t set, id;

    if (sscanf(line, "select %"SCNu32" group %"SCNu32, &set, &id) != 2) {
        return false;
    }
    flow_set_add_nocopy(&f->policy, flow_make_select(set, id, flow_service_cookie(set)));
    return true;
}

static bool
add_endpoint(struct fixture *f, const char *line)
{
    struct flow_affinity affinity;
    struct flow_endpoint endpoint;
    char text[64];

    if (sscanf(line, "endpoint %"SCNu32"/%"SCNu32" %63s", &affinity.set, &affinity.timeout, text) != 3
        || !parse_endpoint(text, &endpoint)) {
        return false;
    }
    flow_set_add_nocopy(&f->policy, flow_make_endpoint(FLOW_NETWORK_DEFAULT, &affinity, &endpoint,
                                                       flow_service_cookie(affinity.set)));
    return true;
}

static bool
add_shard(struct fixture *f, const char *line)
{
    unsigned int value, mask;
    uint32_t set, id;

    if (sscanf(line, "shard %"SCNu32" %x/%x group %"SCNu32, &set, &value, &mask, &id) != 4 || (value | mask) > 255) {
        return false;
    }
    flow_set_add_nocopy(&f->policy, flow_make_shard(set, value, mask, id, flow_service_cookie(set)));
    return true;
}

/* True if 'line' is one of these. */
static bool
parse_policy_line(struct fixture *f, char *line, int *retval, struct error *error)
{
    static const struct {
        const char *word;
        bool (*add)(struct fixture *, const char *line);
    } kinds[] = {
        { "address ", add_address }, { "clause ", add_clause }, { "rule ", add_rule }, { "door ", add_door },
        { "node-address ", add_node_address }, { "tracked-port ", add_tracked_port }, { "group ", add_group },
        { "select ", add_select }, { "endpoint ", add_endpoint }, { "shard ", add_shard },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!strncmp(line, kinds[i].word, strlen(kinds[i].word))) {
            *retval = kinds[i].add(f, line) ? 0 : error_set(error, EINVAL, "cannot read \"%s\"", line);
            return true;
        }
    }
    return false;
}

static int
parse_line(struct fixture *f, char *line, struct error *error)
{
    static const char *const white = " \t\r";
    int (*set)(struct fixture *, const char *, char *, struct error *) = NULL;
    char *save = NULL;
    int policy_retval;

    if (parse_policy_line(f, line, &policy_retval, error)) {
        return policy_retval;
    }
    for (char *key = strtok_r(line, white, &save); key; key = strtok_r(NULL, white, &save)) {
        char *value = strtok_r(NULL, white, &save);
        if (!value) {
            return error_set(error, EINVAL, "\"%s\" has no value", key);
        }
        if (!set) {
            set = (!strcmp(key, "node") ? set_node : !strcmp(key, "pod-cidr") ? set_pod_cidr
                   : !strcmp(key, "pod") ? set_pod : !strcmp(key, "peer") ? set_peer : NULL);
            if (!set || f->input.n_pods >= FIXTURE_MAX_OBJECTS || f->input.n_peers >= FIXTURE_MAX_OBJECTS) {
                return error_set(error, EINVAL, "\"%s\" is no kind of object, or one too many", key);
            }
            f->input.n_pods += set == set_pod;
            f->input.n_peers += set == set_peer;
        }
        int retval = set(f, key, value, error);
        if (retval) {
            return retval;
        }
    }
    return 0;
}

int
fixture_load(const char *path, struct fixture *f, struct error *error)
{
    memset(f, 0, sizeof *f);
    f->input.local.pod_cidrs = f->pod_cidrs;
    f->input.local.gateway_addrs = f->gateway_addrs;
    f->input.pods = f->pods;
    f->input.peers = f->peers;
    f->text = read_file(path);
    if (!f->text) {
        return error_set_errno(error, errno, "reading %s", path);
    }

    int n = 0;
    for (char *next = f->text; next; ) {
        char *line = strsep(&next, "\n");
        line[strcspn(line, "#")] = '\0';
        n++;
        int retval = parse_line(f, line, error);
        if (retval) {
            error_wrap(error, "%s:%d", path, n);
            return retval;
        }
    }
    return 0;
}

void
fixture_destroy(struct fixture *f)
{
    flow_set_destroy(&f->policy);
    free(f->text);
}

void
fixture_compile(const struct fixture *f, struct flow_set *out)
{
    compile(&f->input, out);
    for (size_t i = 0; i < f->policy.n_flows; i++) {
        flow_set_add_nocopy(out, flow_entry_ref(f->policy.flows[i]));
    }
    for (size_t i = 0; i < f->policy.n_groups; i++) {
        flow_set_add_group(out, group_entry_ref(f->policy.groups[i]));
    }
    flow_set_sort(out);
}
