#ifndef SLUICE_KUBE_TYPES_H
#define SLUICE_KUBE_TYPES_H 1

/* Kubernetes objects as Sluice keeps them, and their decoders.
 *
 * One typed struct and one decoder for each kind, shared by the directory of manifests and the API.  Only what some
 * part of Sluice reads is kept.  A decoder takes a JSON tree whose every byte may be hostile, checks names and
 * addresses, and gives an immutable object or an error that names the member ("status.podIPs[1].ip: ...").
 *
 * Field meaning: the Kubernetes API reference, v1.34. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "controller/labels.h"
#include "error.h"
#include "inet.h"
#include "openvswitch/hmap.h"

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
              "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies")                                 \
    KUBE_KIND(SERVICECIDR, "ServiceCIDR", "networking.k8s.io/v1", "/apis/networking.k8s.io/v1/servicecidrs")

enum kube_kind {
#define KUBE_KIND(ENUM, NAME, VERSION, PATH) KUBE_##ENUM,
    KUBE_KINDS
#undef KUBE_KIND
    KUBE_N_KINDS
};

struct intern;

#define KUBE_MAX_CIDRS 2
#define KUBE_MAX_ADDRS 16
#define KUBE_MAX_PORTS 256
#define KUBE_PORT_NAME_LEN 15

/* metadata.uid: 16 bytes if it is a UUID in canonical form, else its text (intern.h), or nothing in manifests without.
 * Compare with kube_uid_equal() only. */
struct kube_uid {
    uint64_t words[2];                  /* A text: 0 and its pointer.  None: 0 and 0. */
};
#define KUBE_UID_STRLEN 37
#define KUBE_UID_MAX_TEXT 128

/* The head of every object.  An object is one allocation, immutable once decoded, counted by reference; its strings are
 * values of intern.h, which the store shares between objects. */
struct kube_object {
    struct hmap_node node;              /* The store's. */
    enum kube_kind kind : 8;
    bool marked;                        /* The store's. */
    unsigned int n_refs;
    const char *namespace_;             /* "" for kinds without. */
    const char *name;                   /* Inside the object. */
    struct kube_uid uid;
    const struct labels *labels;
    const struct labels *annotations;   /* KUBE_ANNOTATION_MIRROR, and those that begin with KUBE_ANNOTATION_PREFIX. */
};

#define KUBE_ANNOTATION_PREFIX "sluice.dev/"
/* On the API's copy of a static pod: what its kubelet takes for the pod's UID. */
#define KUBE_ANNOTATION_MIRROR "kubernetes.io/config.mirror"

struct kube_namespace {
    struct kube_object object;
};

struct kube_node {
    struct kube_object object;
    int64_t created;                    /* metadata.creationTimestamp, seconds since 1970; 0: none. */
    struct inet_prefix pod_cidrs[KUBE_MAX_CIDRS];       /* spec.podCIDRs, else spec.podCIDR. */
    bool going;                         /* About to be removed: deletionTimestamp, or the cluster autoscaler's taint. */
    uint8_t n_pod_cidrs;
    uint8_t n_addrs;                    /* status.addresses of type InternalIP, in their order. */
    uint8_t n_external;                 /* Those of type ExternalIP, behind them in 'addrs'. */
    struct in6_addr addrs[];
};

/* A port of a container that has a name. */
struct kube_port {
    char name[KUBE_PORT_NAME_LEN + 1];
    uint8_t protocol;                   /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP. */
    uint16_t number;                    /* Host byte order. */
};

struct kube_pod {
    struct kube_object object;
    const char *node;                   /* spec.nodeName; "" before scheduling. */
    const char *const *ports;           /* A tuple; see kube_pod_port(). */
    int64_t created;                    /* metadata.creationTimestamp, seconds since 1970; 0: none. */
    bool host_network;
    bool finished;                      /* status.phase Succeeded or Failed: its addresses are no longer its own. */
    bool deleting;                      /* metadata.deletionTimestamp is set. */
    uint8_t n_addrs;
    struct in6_addr addrs[];            /* status.podIPs, else status.podIP. */
};

/* The named ports of all containers, init containers last, in their order. */
size_t kube_pod_n_ports(const struct kube_pod *);
void kube_pod_port(const struct kube_pod *, size_t i, struct kube_port *);
/* The UID by which the pod's kubelet, and so CNI, calls it: of a static pod not that of its object. */
const char *kube_pod_runtime_uid(const struct kube_pod *, char buf[KUBE_UID_STRLEN]);

/* Decodes one object.  ENOTSUP: a kind or version that Sluice does not read (the error names it); EINVAL: a wrong
 * object. */
int kube_object_decode(const json_t *, struct kube_object **, struct error *);
/* The same for an element of a list that the API gave: such ones lack "kind" and "apiVersion".  If they are there they
 * must be those of 'kind'. */
int kube_object_decode_kind(enum kube_kind, const json_t *, struct kube_object **, struct error *);
/* For a policy that kube_object_decode_kind() refuses because of its spec: an object that does as much harm as that policy
 * could at worst, but lets nothing through that it would not.  A NetworkPolicy isolates whom its podSelector selects (whole
 * namespace if that cannot be read either) in the directions of its policyTypes (both if they cannot be read) and
 * allows nothing; a ClusterNetworkPolicy denies its subject everything.  Its 'problem' says what is wrong.  EINVAL: no such
 * object can be made, or none is needed. */
int kube_object_decode_closed(enum kube_kind, const json_t *, struct kube_object **);
/* Why it is one of those; NULL: it is as it was written. */
const char *kube_object_problem(const struct kube_object *);
/* Gives up the caller's reference. */
void kube_object_destroy(const struct kube_object *);
const struct kube_object *kube_object_ref(const struct kube_object *);
/* Exchanges the object's values for the pool's; nobody else may hold the object yet. */
void kube_object_share(struct kube_object *, struct intern *);
/* Equal in all but what the store has in it. */
bool kube_object_equal(const struct kube_object *, const struct kube_object *);

/* Two objects without are equal too: then only their names tell them apart. */
bool kube_uid_equal(const struct kube_uid *, const struct kube_uid *);
bool kube_uid_equal_text(const struct kube_uid *, const char *);
bool kube_uid_is_none(const struct kube_uid *);
/* For an order that does not depend on anything else.  Like strcmp(). */
int kube_uid_compare(const struct kube_uid *, const struct kube_uid *);
/* The text, in 'buf' or in the object; "" if there is none. */
const char *kube_uid_format(const struct kube_uid *, char buf[KUBE_UID_STRLEN]);

const char *kube_kind_name(enum kube_kind);
bool kube_kind_from_name(const char *, enum kube_kind *);
/* "v1", "discovery.k8s.io/v1". */
const char *kube_kind_version(enum kube_kind);
/* "/api/v1/pods", "/apis/discovery.k8s.io/v1/endpointslices". */
const char *kube_kind_path(enum kube_kind);
/* The kind is a CustomResourceDefinition's, or younger than the oldest Kubernetes: an API server may not have it, or get it
 * later. */
bool kube_kind_may_be_absent(enum kube_kind);
/* Its objects only make something better: a source that may not read them is no worse for it. */
bool kube_kind_is_optional(enum kube_kind);
/* Whether objects of the kind live in a namespace. */
bool kube_kind_is_namespaced(enum kube_kind);

static inline const struct kube_node *
kube_node_cast(const struct kube_object *o)
{
    return (const struct kube_node *) o;
}

static inline const struct kube_pod *
kube_pod_cast(const struct kube_object *o)
{
    return (const struct kube_pod *) o;
}

#endif /* controller/kube-types.h */
