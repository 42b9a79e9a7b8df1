#ifndef SLUICE_KUBE_DECODE_H
#define SLUICE_KUBE_DECODE_H 1

/* Helpers that the decoders of single kinds (kube-*.c) share.  Private to them.
 *
 * Each reads one member of a JSON object.  A member that is absent or null is fine and leaves the default; one of a wrong type or
 * value is an error that names it, and callers put the path in front with error_wrap(). */

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
/* An object of strings; only keys that begin with 'prefix'. */
int kube_get_string_map(const json_t *json, const char *key, const char *prefix, struct smap *, struct error *);

/* RFC 1123: a label or (with dots) a subdomain, as names of objects must be. */
bool kube_name_ok(const char *name, bool dots, size_t max);

/* The kinds.  'object' points to the head of a zeroed struct of the kind whose head is filled in already. */
int kube_node_decode(const json_t *, struct kube_object *object, struct error *);
void kube_node_destroy(struct kube_object *);
bool kube_node_equal(const struct kube_object *, const struct kube_object *);
int kube_pod_decode(const json_t *, struct kube_object *object, struct error *);
void kube_pod_destroy(struct kube_object *);
bool kube_pod_equal(const struct kube_object *, const struct kube_object *);

#endif /* controller/kube-decode.h */
