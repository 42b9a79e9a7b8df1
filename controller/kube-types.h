#ifndef SLUICE_KUBE_TYPES_H
#define SLUICE_KUBE_TYPES_H 1

/* Kubernetes objects as Sluice keeps them, and their decoders.
 *
 * One typed struct and one decoder for each kind, shared by the directory of manifests and the API.  Only what some part of
 * Sluice reads is kept.  A decoder takes a JSON tree whose every byte may be hostile, checks names and addresses, and gives an
 * immutable object or an error that names the member ("status.podIPs[1].ip: ...").
 *
 * Field meaning: the Kubernetes API reference, v1.34. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "inet.h"
#include "smap.h"

#define KUBE_KINDS                              \
    KUBE_KIND(NAMESPACE, "Namespace", "v1")     \
    KUBE_KIND(NODE, "Node", "v1")               \
    KUBE_KIND(POD, "Pod", "v1")

enum kube_kind {
#define KUBE_KIND(ENUM, NAME, VERSION) KUBE_##ENUM,
    KUBE_KINDS
#undef KUBE_KIND
    KUBE_N_KINDS
};

#define KUBE_MAX_CIDRS 2
#define KUBE_MAX_ADDRS 16
#define KUBE_MAX_PORTS 256

/* The head of every object. */
struct kube_object {
    enum kube_kind kind;
    char *namespace_;                   /* "" for kinds without. */
    char *name;
    char *uid;                          /* "" in manifests without. */
    struct smap labels;
    struct smap annotations;            /* Only those that begin with KUBE_ANNOTATION_PREFIX. */
};

#define KUBE_ANNOTATION_PREFIX "sluice.dev/"

struct kube_namespace {
    struct kube_object object;
};

struct kube_node {
    struct kube_object object;
    struct inet_prefix pod_cidrs[KUBE_MAX_CIDRS];       /* spec.podCIDRs, else spec.podCIDR. */
    size_t n_pod_cidrs;
    struct in6_addr addrs[KUBE_MAX_ADDRS];              /* status.addresses of type InternalIP, in their order. */
    size_t n_addrs;
};

struct kube_port {
    char *name;                         /* "" if it has none. */
    char *protocol;                     /* "TCP", "UDP", "SCTP". */
    uint16_t container_port;
};

struct kube_pod {
    struct kube_object object;
    char *node;                         /* spec.nodeName; "" before scheduling. */
    bool host_network;
    bool finished;                      /* status.phase Succeeded or Failed: its addresses are no longer its own. */
    struct in6_addr addrs[KUBE_MAX_ADDRS];              /* status.podIPs, else status.podIP. */
    size_t n_addrs;
    struct kube_port *ports;            /* Of all containers. */
    size_t n_ports;
};

/* Decodes one object.  ENOTSUP: a kind or version that Sluice does not read (the error names it); EINVAL: a wrong object. */
int kube_object_decode(const json_t *, struct kube_object **, struct error *);
void kube_object_destroy(struct kube_object *);
bool kube_object_equal(const struct kube_object *, const struct kube_object *);

const char *kube_kind_name(enum kube_kind);
bool kube_kind_from_name(const char *, enum kube_kind *);
/* Whether objects of the kind live in a namespace. */
bool kube_kind_is_namespaced(enum kube_kind);

static inline const struct kube_node *kube_node_cast(const struct kube_object *o) { return (const struct kube_node *) o; }
static inline const struct kube_pod *kube_pod_cast(const struct kube_object *o) { return (const struct kube_pod *) o; }

#endif /* controller/kube-types.h */
