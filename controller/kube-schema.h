#ifndef SLUICE_KUBE_SCHEMA_H
#define SLUICE_KUBE_SCHEMA_H 1

/* Kinds whose members stand in tables.  Private to the decoders (kube-*.c).
 *
 * A schema says for each member of a JSON object where it goes in a struct, what it may be and how much of it.  From
 * one table come the decoder, whose every error names the member by its path ("spec.ports[1].port: ..."), the
 * comparison, the sharing of strings and the clearing.  Members that no table names are not looked at; null is as good
 * as absent, and so is an empty text.  What a table cannot say, 'finish' does. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/kube-types.h"
#include "error.h"

/* Where in a document: the path to a member or an element. */
struct kube_at {
    const struct kube_at *up;           /* NULL: the document itself. */
    const char *member;                 /* NULL: element 'index' of 'up'. */
    size_t index;
};

/* EINVAL with the path in front of the message. */
int kube_fail(const struct kube_at *, struct error *, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum kube_field_type {
    KUBE_F_STRING,                      /* const char *, a value of intern.h; NULL if absent. */
    KUBE_F_BOOL,                        /* bool. */
    KUBE_F_INT,                         /* int32_t, from 'min' to 'max'. */
    KUBE_F_PORT,                        /* uint16_t, from 'min' to 65535. */
    KUBE_F_ENUM,                        /* uint8_t, the place in 'names'. */
    KUBE_F_PROTOCOL,                    /* uint8_t, IPPROTO_*; TCP if absent. */
    KUBE_F_ADDR,                        /* struct in6_addr. */
    KUBE_F_PREFIX,                      /* struct inet_prefix, without host bits. */
    KUBE_F_STRUCT,                      /* A struct in place; absent is as good as {}. */
    KUBE_F_POINTER,                     /* A pointer to a struct; NULL if absent. */
    KUBE_F_INLINE,                      /* Members for the same struct, one level deeper; absent is as good as {}. */
};

struct kube_field {
    const char *member;                 /* NULL: 'finish' fills it. */
    enum kube_field_type type;
    bool required;
    bool (*ok)(const char *);           /* What a string must be; NULL: anything. */
    uint32_t max_n;                     /* Not 0: a list of as many at most... */
    size_t offset, n_offset;            /* ...'offset' of a pointer to the elements, 'n_offset' of their uint32_t. */
    int32_t min, max;                   /* A string's longest length is 'max', 0: 253. */
    const char *const *names;           /* NULL-terminated. */
    const struct kube_schema *schema;
};

struct kube_schema {
    size_t size;
    const struct kube_field *fields;
    size_t n_fields;
    /* After the fields.  'json' is NULL if the object is absent. */
    int (*finish)(const json_t *json, void *value, const struct kube_at *, struct error *);
};

#define KUBE_SCHEMA(STRUCT, FIELDS, FINISH) { sizeof(STRUCT), FIELDS, ARRAY_SIZE(FIELDS), FINISH }
#define KUBE_FIELD(STRUCT, MEMBER) .offset = offsetof(STRUCT, MEMBER)
#define KUBE_LIST(STRUCT, MEMBER, MAX) \
    .offset = offsetof(STRUCT, MEMBER), .n_offset = offsetof(STRUCT, n_##MEMBER), .max_n = MAX

/* 'value' is zeroed; on failure it is for kube_schema_clear() all the same. */
int kube_schema_decode(const struct kube_schema *, const json_t *, void *value, const struct kube_at *, struct error *);
void kube_schema_clear(const struct kube_schema *, void *value);
void kube_schema_share(const struct kube_schema *, void *value, struct intern *);
bool kube_schema_equal(const struct kube_schema *, const void *a, const void *b);

/* Single values, for 'finish'. */
int kube_decode_addr(const json_t *, struct in6_addr *, const struct kube_at *, struct error *);
/* As Kubernetes refuses them for what others send to: unspecified, loopback, link-local, multicast. */
int kube_check_target(const struct in6_addr *, const struct kube_at *, struct error *);
/* The member; NULL if it is absent or null. */
const json_t *kube_member(const json_t *, const char *key);
/* Adds a zeroed element to a list, of 'size' bytes. */
void *kube_list_add(void *listp, uint32_t *n, size_t size);

/* The kinds, and what they have in common. */
extern const struct kube_schema kube_selector_schema;
extern const struct kube_schema kube_service_schema, kube_endpointslice_schema, kube_servicecidr_schema;
extern const struct kube_schema kube_networkpolicy_schema, kube_clusternetworkpolicy_schema;

/* Fill a zeroed object of their kind from one that cannot be decoded, for kube_object_decode_closed().  False: not even
 * that can be done; the object is for kube_schema_clear() all the same. */
bool kube_networkpolicy_close(const json_t *, struct kube_object *);
bool kube_clusternetworkpolicy_close(const json_t *, struct kube_object *);

#endif /* controller/kube-schema.h */
