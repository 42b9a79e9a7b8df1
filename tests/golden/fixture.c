#include <config.h>

#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "openvswitch/util.h"
#include "packets.h"
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
    } else if (!strcmp(key, "gateway-port")) {
        return parse_port(value, &local->gateway_port, error);
    } else if (!strcmp(key, "tunnel-port")) {
        return parse_port(value, &local->tunnel_port, error);
    } else if (!strcmp(key, "mtu")) {
        retval = parse_number(value, UINT16_MAX, &n, error);
        local->mtu = n;
        return retval;
    } else if (!strcmp(key, "nd-by-controller")) {
        local->nd_by_controller = !strcmp(value, "yes");
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

static int
parse_line(struct fixture *f, char *line, struct error *error)
{
    static const char *const white = " \t\r";
    int (*set)(struct fixture *, const char *, char *, struct error *) = NULL;
    char *save = NULL;

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
    free(f->text);
}
