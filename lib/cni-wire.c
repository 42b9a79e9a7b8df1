#include "cni-wire.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verb_names[] = {
    [CNI_ADD] = "ADD", [CNI_DEL] = "DEL", [CNI_CHECK] = "CHECK", [CNI_STATUS] = "STATUS", [CNI_GC] = "GC",
    [CNI_VERSION] = "VERSION",
};

const char *
cni_verb_name(enum cni_verb verb)
{
    return verb_names[verb];
}

bool
cni_verb_parse(const char *s, enum cni_verb *verb)
{
    for (size_t i = 0; i < sizeof verb_names / sizeof *verb_names; i++) {
        if (!strcmp(s, verb_names[i])) {
            *verb = i;
            return true;
        }
    }
    return false;
}

/* Value checks. -------------------------------------------------------------------------------------------------- */

/* ^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$ (SPEC.md, "Parameters"). */
bool
cni_container_id_ok(const char *s)
{
    static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    if (!s || !*s || !strchr(alnum, *s)) {
        return false;
    }
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return !s[n] && n <= CNI_MAX_NAME;
}

bool
cni_network_ok(const char *s)
{
    return cni_container_id_ok(s);
}

bool
cni_ifname_ok(const char *s)
{
    if (!s || !*s || strlen(s) >= IF_NAMESIZE || !strcmp(s, ".") || !strcmp(s, "..")) {
        return false;
    }
    for (; *s; s++) {
        if (*s == '/' || *s == ':' || isspace((unsigned char) *s)) {
            return false;
        }
    }
    return true;
}

bool
cni_mac_ok(const char *s)
{
    unsigned int sum = 0;

    if (!s || strlen(s) != 17) {
        return false;
    }
    for (int i = 0; i < 17; i++) {
        if (i % 3 == 2 ? s[i] != ':' : !isxdigit((unsigned char) s[i])) {
            return false;
        }
        sum |= i % 3 != 2 && s[i] != '0';
    }
    return sum && !(strtoul(s, NULL, 16) & 1);
}

bool
cni_address_ok(const char *s)
{
    struct in6_addr addr;
    return s && (inet_pton(AF_INET, s, &addr) == 1 || inet_pton(AF_INET6, s, &addr) == 1);
}

bool
cni_cidr_ok(const char *s)
{
    const char *slash = s ? strchr(s, '/') : NULL;
    char addr[CNI_MAX_ADDRESS + 1];

    if (!slash || slash - s > CNI_MAX_ADDRESS) {
        return false;
    }
    memcpy(addr, s, slash - s);
    addr[slash - s] = '\0';

    size_t digits = strspn(slash + 1, "0123456789");
    if (!digits || digits > 3 || slash[1 + digits] || (slash[1] == '0' && digits > 1)) {
        return false;
    }
    return cni_address_ok(addr) && atoi(slash + 1) <= (strchr(addr, ':') ? 128 : 32);
}

/* Destruction. --------------------------------------------------------------------------------------------------- */

void
cni_ips_free(struct cni_ip *ips, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(ips[i].address);
        free(ips[i].gateway);
    }
    free(ips);
}

void
cni_routes_free(struct cni_route *routes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(routes[i].dst);
        free(routes[i].gw);
    }
    free(routes);
}

void
cni_ports_free(struct cni_port_mapping *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(ports[i].protocol);
        free(ports[i].host_ip);
    }
    free(ports);
}

void
cni_attachments_free(struct cni_attachment_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(ids[i].container_id);
        free(ids[i].ifname);
    }
    free(ids);
}

void
cni_strings_free(char **strings, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(strings[i]);
    }
    free(strings);
}

void
cni_request_destroy(struct cni_request *r)
{
    free(r->network);
    free(r->container_id);
    free(r->ifname);
    free(r->netns);
    free(r->pod_namespace);
    free(r->pod_name);
    free(r->pod_uid);
    free(r->mac);
    cni_strings_free(r->ips, r->n_ips);
    cni_ports_free(r->ports, r->n_ports);
    cni_ips_free(r->d_ips, r->n_d_ips);
    cni_routes_free(r->d_routes, r->n_d_routes);
    free(r->check_host_ifname);
    free(r->check_mac);
    cni_ips_free(r->check_ips, r->n_check_ips);
    cni_routes_free(r->check_routes, r->n_check_routes);
    cni_attachments_free(r->valid, r->n_valid);
    memset(r, 0, sizeof *r);
}

void
cni_result_destroy(struct cni_result *r)
{
    free(r->host_ifname);
    free(r->host_mac);
    free(r->ifname);
    free(r->mac);
    cni_ips_free(r->ips, r->n_ips);
    cni_routes_free(r->routes, r->n_routes);
    memset(r, 0, sizeof *r);
}

void
cni_reply_destroy(struct cni_reply *r)
{
    free(r->message);
    free(r->details);
    cni_result_destroy(&r->result);
    memset(r, 0, sizeof *r);
}
