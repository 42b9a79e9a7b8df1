#include <config.h>

#include "controller/kube-types.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "util.h"

/* What the kinds differ in.  A kind without members of its own has no functions. */
struct kind_class {
    bool namespaced, may_be_absent;
    size_t size;
    int (*decode)(const json_t *, struct kube_object *, struct error *);
    void (*destroy)(struct kube_object *);
    bool (*equal)(const struct kube_object *, const struct kube_object *);
};

static const struct kind_class classes[KUBE_N_KINDS] = {
    [KUBE_NAMESPACE] = { false, false, sizeof(struct kube_namespace), NULL, NULL, NULL },
    [KUBE_NODE] = { false, false, sizeof(struct kube_node), kube_node_decode, kube_node_destroy, kube_node_equal },
    [KUBE_POD] = { true, false, sizeof(struct kube_pod), kube_pod_decode, kube_pod_destroy, kube_pod_equal },
    [KUBE_SERVICE] = { true, false, sizeof(struct kube_object), NULL, NULL, NULL },
    [KUBE_ENDPOINTSLICE] = { true, false, sizeof(struct kube_object), NULL, NULL, NULL },
    [KUBE_NETWORKPOLICY] = { true, false, sizeof(struct kube_object), NULL, NULL, NULL },
    [KUBE_CLUSTERNETWORKPOLICY] = { false, true, sizeof(struct kube_object), NULL, NULL, NULL },
};

static const struct kind_name {
    const char *name, *version, *path;
} names[KUBE_N_KINDS] = {
#define KUBE_KIND(ENUM, NAME, VERSION, PATH) [KUBE_##ENUM] = { NAME, VERSION, PATH },
    KUBE_KINDS
#undef KUBE_KIND
};

const char *
kube_kind_name(enum kube_kind kind)
{
    return names[kind].name;
}

const char *
kube_kind_path(enum kube_kind kind)
{
    return names[kind].path;
}

bool
kube_kind_may_be_absent(enum kube_kind kind)
{
    return classes[kind].may_be_absent;
}

bool
kube_kind_from_name(const char *name, enum kube_kind *kind)
{
    for (size_t i = 0; i < KUBE_N_KINDS; i++) {
        if (!strcmp(names[i].name, name)) {
            *kind = i;
            return true;
        }
    }
    return false;
}

bool
kube_kind_is_namespaced(enum kube_kind kind)
{
    return classes[kind].namespaced;
}

/* metadata: name, namespace, uid, labels and our annotations. */
static int
decode_metadata(const json_t *metadata, const struct kind_class *class, struct kube_object *object, struct error *error)
{
    const char *name, *namespace_, *uid;

    if (kube_get_string(metadata, "name", &name, error) || kube_get_string(metadata, "namespace", &namespace_, error)
        || kube_get_string(metadata, "uid", &uid, error)
        || kube_get_string_map(metadata, "labels", "", &object->labels, error)
        || kube_get_string_map(metadata, "annotations", KUBE_ANNOTATION_PREFIX, &object->annotations, error)) {
        return EINVAL;
    }
    if (!kube_name_ok(name, object->kind != KUBE_NAMESPACE, object->kind == KUBE_NAMESPACE ? 63 : 253)) {
        return error_set(error, EINVAL, "name: \"%.64s\" is not a name that Kubernetes allows (RFC 1123)", name);
    }
    if (class->namespaced && !*namespace_) {
        namespace_ = "default";
    }
    if (class->namespaced ? !kube_name_ok(namespace_, false, 63) : *namespace_ != '\0') {
        return error_set(error, EINVAL, class->namespaced
                         ? "namespace: \"%.64s\" is not a name that Kubernetes allows (RFC 1123)"
                         : "namespace: \"%.64s\" is given, but objects of this kind have none", namespace_);
    }
    object->name = xstrdup(name);
    object->namespace_ = xstrdup(namespace_);
    object->uid = xstrdup(uid);
    return 0;
}

static int
find_class(const json_t *json, enum kube_kind *kind, struct error *error)
{
    const char *name, *version;

    if (!json_is_object(json)) {
        return error_set(error, EINVAL, "not an object with \"apiVersion\" and \"kind\"");
    }
    if (kube_get_string(json, "kind", &name, error) || kube_get_string(json, "apiVersion", &version, error)) {
        return EINVAL;
    }
    if (!*name || !*version) {
        return error_set(error, EINVAL, "\"%s\" is missing", *name ? "apiVersion" : "kind");
    }
    /* Before the kind: an object that lacks it may be one that is only half written. */
    if (!json_is_object(json_object_get(json, "metadata"))) {
        return error_set(error, EINVAL, "\"metadata\" is missing");
    }
    if (!kube_kind_from_name(name, kind) || strcmp(names[*kind].version, version)) {
        return error_set(error, ENOTSUP, "kind %.64s of %.64s is not one that this version of Sluice reads", name, version);
    }
    return 0;
}

/* What the object calls itself goes in front of an error, as far as it can be read. */
static void
wrap_error(enum kube_kind kind, const json_t *metadata, struct error *error)
{
    const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));
    const char *name = json_string_value(json_object_get(metadata, "name"));

    if (name && kube_name_ok(name, true, 253)) {
        bool slash = namespace_ && kube_name_ok(namespace_, false, 63);
        error_wrap(error, "%s %s%s%s", names[kind].name, slash ? namespace_ : "", slash ? "/" : "", name);
    } else {
        error_wrap(error, "%s", names[kind].name);
    }
}

static int
decode(enum kube_kind kind, const json_t *json, struct kube_object **objectp, struct error *error)
{
    const struct kind_class *class = &classes[kind];
    const json_t *metadata = json_object_get(json, "metadata");
    struct kube_object *object = xzalloc(class->size);

    object->kind = kind;
    smap_init(&object->labels);
    smap_init(&object->annotations);
    int retval = decode_metadata(metadata, class, object, error);
    if (retval) {
        error_wrap(error, "metadata");
    }
    if (!retval && class->decode) {
        retval = class->decode(json, object, error);
    }
    if (retval) {
        wrap_error(kind, metadata, error);
        kube_object_destroy(object);
        return retval;
    }
    *objectp = object;
    return 0;
}

int
kube_object_decode(const json_t *json, struct kube_object **objectp, struct error *error)
{
    enum kube_kind kind = KUBE_N_KINDS;
    int retval = find_class(json, &kind, error);
    return retval ? retval : decode(kind, json, objectp, error);
}

int
kube_object_decode_kind(enum kube_kind kind, const json_t *json, struct kube_object **objectp, struct error *error)
{
    const char *name, *version;

    if (!json_is_object(json)) {
        return error_set(error, EINVAL, "%s: not an object", names[kind].name);
    }
    if (kube_get_string(json, "kind", &name, error) || kube_get_string(json, "apiVersion", &version, error)) {
        wrap_error(kind, json_object_get(json, "metadata"), error);
        return EINVAL;
    }
    if ((*name && strcmp(name, names[kind].name)) || (*version && strcmp(version, names[kind].version))) {
        return error_set(error, EINVAL, "kind %.64s of %.64s stands where %s of %s should", name, version, names[kind].name,
                         names[kind].version);
    }
    if (!json_is_object(json_object_get(json, "metadata"))) {
        return error_set(error, EINVAL, "%s: \"metadata\" is missing", names[kind].name);
    }
    return decode(kind, json, objectp, error);
}

void
kube_object_destroy(struct kube_object *object)
{
    if (!object) {
        return;
    }
    if (classes[object->kind].destroy) {
        classes[object->kind].destroy(object);
    }
    smap_destroy(&object->labels);
    smap_destroy(&object->annotations);
    free(object->name);
    free(object->namespace_);
    free(object->uid);
    free(object);
}

bool
kube_object_equal(const struct kube_object *a, const struct kube_object *b)
{
    return (a->kind == b->kind && !strcmp(a->name, b->name) && !strcmp(a->namespace_, b->namespace_)
            && !strcmp(a->uid, b->uid) && smap_equal(&a->labels, &b->labels)
            && smap_equal(&a->annotations, &b->annotations)
            && (!classes[a->kind].equal || classes[a->kind].equal(a, b)));
}
