#include <config.h>

#include "controller/kube-types.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "controller/kube-decode.h"
#include "controller/kube-policy.h"
#include "controller/kube-schema.h"
#include "intern.h"
#include "util.h"

/* What the kinds differ in.  A kind without members of its own has no functions. */
struct kind_class {
    bool namespaced, may_be_absent, optional;
    int (*decode)(const json_t *, struct kube_meta *, struct kube_object **, struct error *);
    void (*clear)(struct kube_object *);
    void (*share)(struct kube_object *, struct intern *);
    bool (*equal)(const struct kube_object *, const struct kube_object *);
    const struct kube_schema *schema;   /* Instead of all of them. */
    /* For kinds with 'problem'. */
    bool (*close)(const json_t *, struct kube_object *);
    const char **(*problem)(struct kube_object *);
};

static const char **
np_problem(struct kube_object *object)
{
    return &((struct kube_networkpolicy *) object)->problem;
}

static const char **
cnp_problem(struct kube_object *object)
{
    return &((struct kube_clusternetworkpolicy *) object)->problem;
}

static const struct kind_class classes[KUBE_N_KINDS] = {
    [KUBE_NODE] = { .decode = kube_node_decode, .equal = kube_node_equal },
    [KUBE_POD] = { .namespaced = true, .decode = kube_pod_decode, .clear = kube_pod_clear, .share = kube_pod_share,
                   .equal = kube_pod_equal },
    [KUBE_SERVICE] = { .namespaced = true, .schema = &kube_service_schema },
    [KUBE_ENDPOINTSLICE] = { .namespaced = true, .schema = &kube_endpointslice_schema },
    [KUBE_NETWORKPOLICY] = { .namespaced = true, .schema = &kube_networkpolicy_schema, .close = kube_networkpolicy_close,
                             .problem = np_problem },
    [KUBE_CLUSTERNETWORKPOLICY] = { .may_be_absent = true, .schema = &kube_clusternetworkpolicy_schema,
                                    .close = kube_clusternetworkpolicy_close, .problem = cnp_problem },
    [KUBE_SERVICECIDR] = { .may_be_absent = true, .optional = true, .schema = &kube_servicecidr_schema },
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
kube_kind_version(enum kube_kind kind)
{
    return names[kind].version;
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
kube_kind_is_optional(enum kube_kind kind)
{
    return classes[kind].optional;
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

static bool
keep_annotation(const char *key)
{
    return (!strncmp(key, KUBE_ANNOTATION_PREFIX, strlen(KUBE_ANNOTATION_PREFIX))
            || !strcmp(key, KUBE_ANNOTATION_MIRROR));
}

static void
meta_clear(struct kube_meta *meta)
{
    kube_uid_clear(&meta->uid);
    intern_unref(meta->labels);
    intern_unref(meta->annotations);
}

static int
decode_names(const json_t *metadata, enum kube_kind kind, struct kube_meta *meta, struct error *error)
{
    bool namespaced = classes[kind].namespaced;

    if (kube_get_string(metadata, "name", &meta->name, error)
        || kube_get_string(metadata, "namespace", &meta->namespace_, error)) {
        return EINVAL;
    }
    if (!kube_name_ok(meta->name, kind != KUBE_NAMESPACE, kind == KUBE_NAMESPACE ? 63 : 253)) {
        return error_set(error, EINVAL, "name: \"%.64s\" is not a name that Kubernetes allows (RFC 1123)", meta->name);
    }
    if (namespaced && !*meta->namespace_) {
        meta->namespace_ = "default";
    }
    if (namespaced ? !kube_name_ok(meta->namespace_, false, 63) : *meta->namespace_ != '\0') {
        return error_set(error, EINVAL, namespaced
                         ? "namespace: \"%.64s\" is not a name that Kubernetes allows (RFC 1123)"
                         : "namespace: \"%.64s\" is given, but objects of this kind have none", meta->namespace_);
    }
    return 0;
}

/* On failure too 'meta' is for meta_clear(). */
static int
decode_metadata(const json_t *metadata, enum kube_kind kind, struct kube_meta *meta, struct error *error)
{
    if (decode_names(metadata, kind, meta, error) || kube_get_uid(metadata, "uid", &meta->uid, error)
        || kube_get_time(metadata, "creationTimestamp", &meta->created, NULL, error)) {
        return EINVAL;
    }
    if (labels_decode(json_object_get(metadata, "labels"), true, NULL, &meta->labels, error)) {
        error_wrap(error, "labels");
        return EINVAL;
    }
    if (labels_decode(json_object_get(metadata, "annotations"), false, keep_annotation, &meta->annotations, error)) {
        error_wrap(error, "annotations");
        return EINVAL;
    }
    int64_t deletion;
    return kube_get_time(metadata, "deletionTimestamp", &deletion, &meta->deleting, error);
}

struct kube_object *
kube_object_create(enum kube_kind kind, struct kube_meta *meta, size_t size)
{
    size_t n = strlen(meta->name) + 1;
    struct kube_object *object = xmalloc(size + n);
    char *name = (char *) object + size;

    memset(object, 0, size);
    memcpy(name, meta->name, n);
    object->kind = kind;
    object->n_refs = 1;
    object->namespace_ = intern_string(meta->namespace_);
    object->name = name;
    object->uid = meta->uid;
    object->labels = meta->labels;
    object->annotations = meta->annotations;
    memset(&meta->uid, 0, sizeof meta->uid);
    meta->labels = meta->annotations = NULL;
    return object;
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
        return error_set(error, ENOTSUP, "kind %.64s of %.64s is not one that this version of Sluice reads", name,
                         version);
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
    const json_t *metadata = json_object_get(json, "metadata");
    struct kube_meta meta = { .name = NULL };
    int retval = decode_metadata(metadata, kind, &meta, error);

    if (retval) {
        error_wrap(error, "metadata");
    } else if (classes[kind].schema) {
        struct kube_object *object = kube_object_create(kind, &meta, classes[kind].schema->size);
        retval = kube_schema_decode(classes[kind].schema, json, object, NULL, error);
        if (retval) {
            kube_object_destroy(object);
        } else {
            *objectp = object;
        }
    } else if (classes[kind].decode) {
        retval = classes[kind].decode(json, &meta, objectp, error);
    } else {
        *objectp = kube_object_create(kind, &meta, sizeof **objectp);
    }
    if (retval) {
        wrap_error(kind, metadata, error);
    }
    meta_clear(&meta);
    return retval;
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
        return error_set(error, EINVAL, "kind %.64s of %.64s stands where %s of %s should", name, version,
                         names[kind].name, names[kind].version);
    }
    if (!json_is_object(json_object_get(json, "metadata"))) {
        return error_set(error, EINVAL, "%s: \"metadata\" is missing", names[kind].name);
    }
    return decode(kind, json, objectp, error);
}

/* Why the members behind metadata cannot be decoded; NULL: they can. */
static char *
spec_problem(enum kube_kind kind, const json_t *json, struct kube_meta *meta)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    struct kube_meta borrowed = { .name = meta->name, .namespace_ = meta->namespace_ };
    struct kube_object *object = kube_object_create(kind, &borrowed, classes[kind].schema->size);
    int retval = kube_schema_decode(classes[kind].schema, json, object, NULL, &error);

    kube_object_destroy(object);
    return retval ? xstrdup(error_message(&error)) : NULL;
}

int
kube_object_decode_closed(enum kube_kind kind, const json_t *json, struct kube_object **objectp)
{
    const json_t *metadata = json_object_get(json, "metadata");
    struct kube_meta meta = { .name = NULL };
    int retval = EINVAL;

    if (classes[kind].close && json_is_object(metadata) && !decode_metadata(metadata, kind, &meta, NULL)) {
        char *problem = spec_problem(kind, json, &meta);
        struct kube_object *object = problem ? kube_object_create(kind, &meta, classes[kind].schema->size) : NULL;

        if (object && classes[kind].close(json, object)) {
            *classes[kind].problem(object) = intern_string(problem);
            *objectp = object;
            retval = 0;
        } else {
            kube_object_destroy(object);
        }
        free(problem);
    }
    meta_clear(&meta);
    return retval;
}

const char *
kube_object_problem(const struct kube_object *object_)
{
    struct kube_object *object = CONST_CAST(struct kube_object *, object_);

    return classes[object->kind].problem ? *classes[object->kind].problem(object) : NULL;
}

void
kube_object_destroy(const struct kube_object *object_)
{
    struct kube_object *object = CONST_CAST(struct kube_object *, object_);

    if (!object || --object->n_refs) {
        return;
    }
    if (classes[object->kind].schema) {
        kube_schema_clear(classes[object->kind].schema, object);
    } else if (classes[object->kind].clear) {
        classes[object->kind].clear(object);
    }
    intern_unref(object->labels);
    intern_unref(object->annotations);
    intern_unref(object->namespace_);
    kube_uid_clear(&object->uid);
    free(object);
}

const struct kube_object *
kube_object_ref(const struct kube_object *object)
{
    if (object) {
        CONST_CAST(struct kube_object *, object)->n_refs++;
    }
    return object;
}

void
kube_object_share(struct kube_object *object, struct intern *pool)
{
    object->namespace_ = intern_share(pool, object->namespace_);
    object->labels = intern_share(pool, object->labels);
    object->annotations = intern_share(pool, object->annotations);
    kube_uid_share(&object->uid, pool);
    if (classes[object->kind].schema) {
        kube_schema_share(classes[object->kind].schema, object, pool);
    } else if (classes[object->kind].share) {
        classes[object->kind].share(object, pool);
    }
}

bool
kube_object_equal(const struct kube_object *a, const struct kube_object *b)
{
    return (a->kind == b->kind && !strcmp(a->name, b->name) && !strcmp(a->namespace_, b->namespace_)
            && kube_uid_equal(&a->uid, &b->uid) && labels_equal(a->labels, b->labels)
            && labels_equal(a->annotations, b->annotations)
            && (!classes[a->kind].schema || kube_schema_equal(classes[a->kind].schema, a, b))
            && (!classes[a->kind].equal || classes[a->kind].equal(a, b)));
}
