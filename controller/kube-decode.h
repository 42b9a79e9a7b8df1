#ifndef SLUICE_KUBE_DECODE_H
#define SLUICE_KUBE_DECODE_H 1

/* Helpers that the decoders of single kinds (kube-*.c) share.  Private to them.
 *
 * Each reads one member of a JSON object.  A member that is absent or null is fine and leaves the default; one of a
 * wrong type or value is an error that names it, and callers put the path in front with error_wrap(). */

#include <jansson.h>

#include "controller/kube-types.h"

/* '*out' borrows from 'json'; "" when the member is absent. */
int kube_get_string(const json_t *json, const char *key, const char **out, struct error *);
int kube_get_bool(const json_t *json, const char *key, bool *out, struct error *);
/* A port number: 1 to 65535; 0 when absent. */
int kube_get_port(const json_t *json, const char *key, uint16_t *out, struct error *);
/* NULL when absent. */
int kube_get_object(const json_t *json, const char *key, const json_t **out, struct error *);
int kube_get_array(const json_t *json, const char *key, const json_t **out, struct error *);
/* An element that must be an object. */
int kube_check_object(const json_t *, struct error *);
/* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP; TCP when absent. */
int kube_get_protocol(const json_t *json, const char *key, uint8_t *out, struct error *);
const char *kube_protocol_name(uint8_t protocol);
/* A time of RFC 3339, in seconds since 1970; leaves '*out' when absent.  'present' may be NULL. */
int kube_get_time(const json_t *json, const char *key, int64_t *out, bool *present, struct error *);
int kube_get_uid(const json_t *json, const char *key, struct kube_uid *, struct error *);

/* kube-uid.c.  clear: gives up the reference that parse gave. */
void kube_uid_parse(const char *text, struct kube_uid *);
void kube_uid_clear(struct kube_uid *);
void kube_uid_share(struct kube_uid *, struct intern *);

/* RFC 1123: a label or (with dots) a subdomain, as names of objects must be. */
bool kube_name_ok(const char *name, bool dots, size_t max);
bool kube_label_key_ok(const char *);
bool kube_label_value_ok(const char *);
/* The name of a port, RFC 6335: at most 15 characters, with a letter. */
bool kube_port_name_ok(const char *);

/* metadata, decoded; strings are borrowed from the JSON. */
struct kube_meta {
    const char *name, *namespace_;
    struct kube_uid uid;
    const struct labels *labels, *annotations;
    int64_t created;
    bool deleting;
};

/* An object of 'size' bytes, zeroed but for its head, for which it takes the references out of 'meta'. */
struct kube_object *kube_object_create(enum kube_kind, struct kube_meta *meta, size_t size);

/* The kinds.  decode: 'json' is the whole object, 'meta' its metadata.  clear: gives up what the object references
 * behind its head; share: exchanges it; equal: compares it. */
int kube_node_decode(const json_t *, struct kube_meta *, struct kube_object **, struct error *);
bool kube_node_equal(const struct kube_object *, const struct kube_object *);
int kube_pod_decode(const json_t *, struct kube_meta *, struct kube_object **, struct error *);
void kube_pod_clear(struct kube_object *);
void kube_pod_share(struct kube_object *, struct intern *);
bool kube_pod_equal(const struct kube_object *, const struct kube_object *);

#endif /* controller/kube-decode.h */
