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

/* Enum, kind, API version, where the API serves the collection. */
#define KUBE_KINDS                                                                                              \
    KUBE_KIND(NAMESPACE, "Namespace", "v1", "/api/v1/namespaces")                                               \
    KUBE_KIND(NODE, "Node", "v1", "/api/v1/nodes")                                                              \
    KUBE_KIND(POD, "Pod", "v1", "/api/v1/pods")                                                                 \
    KUBE_KIND(SERVICE, "Service", "v1", "/api/v1/services")                                                     \
    KUBE_KIND(ENDPOINTSLICE, "EndpointSlice", "discovery.k8s.io/v1", "/apis/discovery.k8s.io/v1/endpointslices") \
    KUBE_KIND(NETWORKPOLICY, "NetworkPolicy", "networking.k8s.io/v1",                                           \
              "/apis/networking.k8s.io/v1/networkpolicies")                                                     \
    KUBE_KIND(CLUSTERNETWORKPOLICY, "ClusterNetworkPolicy", "policy.networking.k8s.io/v1alpha2",                \
              "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies")

enum kube_kind {
#define KUBE_KIND(ENUM, NAME, VERSION, PATH) KUBE_##ENUM,
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
/* The same for an element of a list that the API gave: such ones lack "kind" and "apiVersion".  If they are there they must be
 * those of 'kind'. */
int kube_object_decode_kind(enum kube_kind, const json_t *, struct kube_object **, struct error *);
void kube_object_destroy(struct kube_object *);
bool kube_object_equal(const struct kube_object *, const struct kube_object *);

const char *kube_kind_name(enum kube_kind);
bool kube_kind_from_name(const char *, enum kube_kind *);
/* "/api/v1/pods", "/apis/discovery.k8s.io/v1/endpointslices". */
const char *kube_kind_path(enum kube_kind);
/* The kind is a CustomResourceDefinition's: an API server may not have it, or get it later. */
bool kube_kind_may_be_absent(enum kube_kind);
/* Whether objects of the kind live in a namespace. */
bool kube_kind_is_namespaced(enum kube_kind);

static inline const struct kube_node *kube_node_cast(const struct kube_object *o) { return (const struct kube_node *) o; }
static inline const struct kube_pod *kube_pod_cast(const struct kube_object *o) { return (const struct kube_pod *) o; }

#endif /* controller/kube-types.h */
