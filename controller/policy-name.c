#include <config.h>

#include "controller/policy-name.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

static const struct { const char *name; uint8_t number; } protocols[] = {
    { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP }, { "icmp", IPPROTO_ICMP },
    { "icmp6", IPPROTO_ICMPV6 },
};

const char *
policy_direction_name(enum flow_direction direction)
{
    return direction == FLOW_EGRESS ? "egress" : "ingress";
}

const char *
policy_tier_name(enum flow_tier tier)
{
    return tier == FLOW_TIER_ADMIN ? "Admin" : tier == FLOW_TIER_POLICY ? "NetworkPolicy" : "Baseline";
}

const char *
policy_action_name(enum flow_action action)
{
    return action == FLOW_ACCEPT ? "Accept" : action == FLOW_DENY ? "Deny" : "Pass";
}

void
policy_object_put(struct ds *s, const struct kube_object *object)
{
    ds_put_format(s, "%s/%s%s%s", kube_kind_name(object->kind), object->namespace_, *object->namespace_ ? "/" : "",
                  object->name);
}

char *
policy_object_name(const struct kube_object *object)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    policy_object_put(&s, object);
    return ds_steal_cstr(&s);
}

char *
policy_rule_name(enum flow_direction direction, size_t index)
{
    return xasprintf("%s[%"PRIuSIZE"]", policy_direction_name(direction), index);
}

const char *
policy_protocol_name(uint8_t protocol, char buf[POLICY_PROTOCOL_STRLEN])
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (protocols[i].number == protocol) {
            return protocols[i].name;
        }
    }
    snprintf(buf, POLICY_PROTOCOL_STRLEN, "%d", protocol);
    return buf;
}

uint8_t
policy_protocol_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (!strcmp(protocols[i].name, name)) {
            return protocols[i].number;
        }
    }
    return 0;
}
