#include <config.h>

#include "dns-answer.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "util.h"

enum { HEADER_LEN = 12, MAX_POINTERS = 16 };
enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, CLASS_IN = 1 };

/* A cursor; 'why' is set once something was wrong, and then all reads give 0. */
struct reader {
    const uint8_t *data;
    size_t size, at;
    const char *why;
};

/* A record of the answer section. */
struct record {
    char owner[DNS_NAME_SIZE];
    uint16_t type, class;
    uint32_t ttl;
    size_t data, size;                  /* Where its data is. */
};

static uint32_t
get(struct reader *r, size_t n)
{
    uint32_t value = 0;

    if (r->why || r->size - r->at < n) {
        r->why = r->why ? r->why : "it ends too early";
        return 0;
    }
    while (n--) {
        value = value << 8 | r->data[r->at++];
    }
    return value;
}

/* Adds the label to 'name', in lower case. */
static void
add_label(struct reader *r, const uint8_t *label, size_t n, char name[DNS_NAME_SIZE], size_t *len)
{
    if (*len + !!*len + n >= DNS_NAME_SIZE) {
        r->why = "a name is too long";
        return;
    }
    if (*len) {
        name[(*len)++] = '.';
    }
    for (size_t i = 0; i < n; i++) {
        char c = label[i] >= 'A' && label[i] <= 'Z' ? label[i] + 'a' - 'A' : label[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            r->why = "a name is not one of a host";
            return;
        }
        name[(*len)++] = c;
    }
}

/* Reads a name and goes behind it.  Each pointer must lead to before where the one before it led (the first: to before
 * the name), so that there is an end; and there may be few, so that it comes soon. */
static void
get_name(struct reader *r, char name[DNS_NAME_SIZE])
{
    size_t len = 0, limit = r->at, after = 0;
    int n_pointers = 0;

    while (!r->why) {
        uint8_t n = get(r, 1);

        if (n >= 0xc0) {
            size_t target = (n & 0x3f) << 8 | get(r, 1);
            after = after ? after : r->at;
            if (!r->why && (target < HEADER_LEN || target >= limit || ++n_pointers > MAX_POINTERS)) {
                r->why = "a compression pointer does not lead backwards, or is one of too many";
            }
            r->at = limit = target;
        } else if (n > 63) {
            r->why = "a label is of an unknown kind";
        } else if (!n) {
            break;
        } else if (r->size - r->at < n) {
            r->why = "it ends too early";
        } else {
            add_label(r, r->data + r->at, n, name, &len);
            r->at += n;
        }
    }
    name[r->why ? 0 : len] = '\0';
    r->at = after ? after : r->at;
}

static void
get_record(struct reader *r, struct record *record)
{
    get_name(r, record->owner);
    record->type = get(r, 2);
    record->class = get(r, 2);
    record->ttl = get(r, 4);
    record->ttl = record->ttl > INT32_MAX ? 0 : record->ttl;            /* RFC 2181, 8. */
    record->size = get(r, 2);
    record->data = r->at;
    if (!r->why && r->size - r->at < record->size) {
        r->why = "it ends too early";
    }
    r->at += r->why ? 0 : record->size;
    if (record->class == CLASS_IN
        && ((record->type == TYPE_A && record->size != 4) || (record->type == TYPE_AAAA && record->size != 16))) {
        r->why = r->why ? r->why : "an address has the wrong size";
    }
}

/* The name that a CNAME record gives. */
static void
get_target(const struct reader *r, const struct record *record, char target[DNS_NAME_SIZE], const char **why)
{
    struct reader sub = { .data = r->data, .size = record->data + record->size, .at = record->data };

    get_name(&sub, target);
    if (!sub.why && sub.at != sub.size) {
        sub.why = "a CNAME has the wrong size";
    }
    *why = sub.why;
}

static void
put_addr(const struct reader *r, const struct record *record, uint32_t ttl, struct dns_answer *answer)
{
    struct dns_addr *a = &answer->addrs[answer->n_addrs];

    if (answer->n_addrs == DNS_MAX_ADDRS) {
        return;
    }
    if (record->type == TYPE_A) {
        memset(&a->addr, 0, sizeof a->addr);
        memset(&a->addr.s6_addr[10], 0xff, 2);
        memcpy(&a->addr.s6_addr[12], r->data + record->data, 4);
    } else {
        memcpy(&a->addr, r->data + record->data, 16);
        if (inet_is_v4(&a->addr)) {
            return;                     /* No IPv6 address that a packet could have. */
        }
    }
    a->ttl = MIN(ttl, record->ttl);
    answer->n_addrs++;
}

/* One pass over the 'n' records from 'r' on, for those of 'name'.  If one of them is a CNAME, 'name' becomes its target.
 * Returns whether there was one. */
static bool
follow(struct reader *r, unsigned int n, char name[DNS_NAME_SIZE], uint32_t *ttl, struct dns_answer *answer)
{
    char target[DNS_NAME_SIZE] = "";
    uint32_t target_ttl = 0;
    bool found = false;

    for (unsigned int i = 0; i < n && !r->why; i++) {
        struct record record;

        get_record(r, &record);
        if (r->why || record.class != CLASS_IN || strcmp(record.owner, name)) {
            continue;
        }
        if (record.type == TYPE_CNAME && !found) {
            get_target(r, &record, target, &r->why);
            target_ttl = record.ttl;
            found = true;
        } else if (record.type == TYPE_A || record.type == TYPE_AAAA) {
            put_addr(r, &record, *ttl, answer);
        }
    }
    if (found) {
        ovs_strlcpy(name, target, DNS_NAME_SIZE);
        *ttl = MIN(*ttl, target_ttl);
    }
    return found;
}

static void
parse(struct reader *r, struct dns_answer *answer)
{
    get(r, 2);
    uint16_t flags = get(r, 2), n_questions = get(r, 2), n = get(r, 2);
    get(r, 4);
    if (!r->why && (!(flags & 0x8000) || flags & 0x7800)) {
        r->why = "it is not the answer to a query";
    }
    if (!r->why && n_questions != 1) {
        r->why = "it has not one question";
    }
    get_name(r, answer->name);
    get(r, 2);
    if (get(r, 2) != CLASS_IN && !r->why) {
        r->why = "its class is not IN";
    }

    bool refused = flags & 0xf;
    size_t records = r->at;
    char name[DNS_NAME_SIZE];
    uint32_t ttl = UINT32_MAX;

    ovs_strlcpy(name, answer->name, sizeof name);
    for (int i = 0; i < DNS_MAX_CHAIN && !r->why && !refused; i++) {
        r->at = records;
        answer->n_addrs = 0;            /* What has a CNAME has nothing else. */
        if (!follow(r, n, name, &ttl, answer)) {
            return;
        }
    }
    answer->n_addrs = 0;
}

int
dns_answer_parse(const void *data, size_t size, struct dns_answer *answer, struct error *error)
{
    struct reader r = { .data = data, .size = size };

    answer->name[0] = '\0';
    answer->n_addrs = 0;
    parse(&r, answer);
    if (r.why) {
        answer->n_addrs = 0;
        return error_set(error, EINVAL, "DNS message of %zu bytes: %s", size, r.why);
    }
    return 0;
}
