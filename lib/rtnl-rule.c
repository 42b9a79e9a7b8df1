/* Rules of lib/rtnl.h. */

#include <config.h>

#include "rtnl.h"

#include <linux/fib_rules.h>
#include <stdlib.h>

#include "netlink.h"
#include "openvswitch/ofpbuf.h"
#include "rtnl-private.h"
#include "util.h"

static void
put_rule_request(struct ofpbuf *msg, uint16_t type, uint16_t flags, const struct rtnl_rule *rule)
{
    ofpbuf_init(msg, 128);
    nl_msg_put_nlmsghdr(msg, 0, type, NLM_F_REQUEST | NLM_F_ACK | flags);
    struct fib_rule_hdr *header = nl_msg_put_uninit(msg, sizeof *header);
    *header = (struct fib_rule_hdr) { .family = rule->family, .action = FR_ACT_TO_TBL };
    nl_msg_put_u32(msg, FRA_PRIORITY, rule->priority);
    nl_msg_put_u32(msg, FRA_FWMARK, rule->mark);
    nl_msg_put_u32(msg, FRA_FWMASK, rule->mask);
    nl_msg_put_u32(msg, FRA_TABLE, rule->table);
    nl_msg_put_u8(msg, FRA_PROTOCOL, rule->protocol);
}

int
rtnl_rule_add(struct rtnl *rtnl, const struct rtnl_rule *rule, struct error *error)
{
    struct ofpbuf msg;

    put_rule_request(&msg, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
    return rtnl_transact(rtnl, &msg, NULL, error, "add the rule %u for routes", (unsigned int) rule->priority);
}

int
rtnl_rule_delete(struct rtnl *rtnl, const struct rtnl_rule *rule, struct error *error)
{
    struct ofpbuf msg;

    put_rule_request(&msg, RTM_DELRULE, 0, rule);
    return rtnl_transact(rtnl, &msg, NULL, error, "delete the rule %u for routes", (unsigned int) rule->priority);
}

static bool
parse_rule(const struct ofpbuf *msg, struct rtnl_rule *rule)
{
    const struct fib_rule_hdr *header = ofpbuf_at(msg, NLMSG_HDRLEN, sizeof *header);
    const struct nlattr *attrs[FRA_PROTOCOL + 1];

    if (!header || nl_msg_nlmsghdr(msg)->nlmsg_type != RTM_NEWRULE) {
        return false;
    }
    rtnl_parse_attrs(msg, sizeof *header, attrs, ARRAY_SIZE(attrs));
    const struct nlattr *protocol = attrs[FRA_PROTOCOL];
    *rule = (struct rtnl_rule) {
        .family = header->family,
        .priority = rtnl_attr_u32(attrs[FRA_PRIORITY]),
        .mark = rtnl_attr_u32(attrs[FRA_FWMARK]),
        .mask = rtnl_attr_u32(attrs[FRA_FWMASK]),
        .table = attrs[FRA_TABLE] ? rtnl_attr_u32(attrs[FRA_TABLE]) : header->table,
        .protocol = protocol && nl_attr_get_size(protocol) >= 1 ? nl_attr_get_u8(protocol) : 0,
    };
    return true;
}

struct rule_list {
    int family;                         /* A kernel without IPv6 answers with everything that it has. */
    uint8_t protocol;
    struct rtnl_rule *rules;
    size_t n, allocated;
};

static void
collect_rule(const struct ofpbuf *msg, void *list_)
{
    struct rule_list *list = list_;

    if (list->n >= list->allocated) {
        list->rules = x2nrealloc(list->rules, &list->allocated, sizeof *list->rules);
    }
    struct rtnl_rule *rule = &list->rules[list->n];
    list->n += parse_rule(msg, rule) && rule->family == list->family && rule->protocol == list->protocol;
}

int
rtnl_rule_list(struct rtnl *rtnl, uint8_t protocol, struct rtnl_rule **rules, size_t *n, struct error *error)
{
    struct rule_list list = { .protocol = protocol };
    static const uint8_t families[] = { AF_INET, AF_INET6 };

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        struct ofpbuf request;

        list.family = families[i];
        ofpbuf_init(&request, 64);
        nl_msg_put_nlmsghdr(&request, 0, RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP);
        struct fib_rule_hdr *header = nl_msg_put_uninit(&request, sizeof *header);
        *header = (struct fib_rule_hdr) { .family = families[i] };
        int retval = rtnl_dump(rtnl, &request, collect_rule, &list, error, "rules for routes");
        if (retval) {
            free(list.rules);
            return retval;
        }
    }
    *rules = list.rules;
    *n = list.n;
    return 0;
}
