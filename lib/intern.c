#include <config.h>

#include "intern.h"

#include <string.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "util.h"

struct intern {
    struct hmap values;                 /* Has "struct value"s. */
};

/* What stands in front of a value's bytes. */
struct value {
    struct hmap_node node;              /* In 'pool->values' if there is a pool. */
    struct intern *pool;
    unsigned int n_refs;
    unsigned int size : 31;             /* Of the bytes: with its NUL, or of the array of pointers. */
    unsigned int is_tuple : 1;
    char bytes[] __attribute__((aligned(8)));
};

static struct value *
value_of(const void *bytes)
{
    return CONTAINER_OF((char *) CONST_CAST(void *, bytes), struct value, bytes[0]);
}

static struct value *
value_create(const void *bytes, size_t size, bool is_tuple)
{
    ovs_assert(size < 1u << 31);

    struct value *value = xmalloc(offsetof(struct value, bytes) + size);
    value->pool = NULL;
    value->n_refs = 1;
    value->size = size;
    value->is_tuple = is_tuple;
    if (size) {
        memcpy(value->bytes, bytes, size);
    }
    return value;
}

struct intern *
intern_create(void)
{
    struct intern *pool = xmalloc(sizeof *pool);
    hmap_init(&pool->values);
    return pool;
}

void
intern_destroy(struct intern *pool)
{
    if (pool) {
        struct value *value;

        HMAP_FOR_EACH_POP (value, node, &pool->values) {
            value->pool = NULL;
        }
        hmap_destroy(&pool->values);
        free(pool);
    }
}

size_t
intern_count(const struct intern *pool)
{
    return hmap_count(&pool->values);
}

const char *
intern_string(const char *s)
{
    return value_create(s, strlen(s) + 1, false)->bytes;
}

const char *const *
intern_tuple(const char *const *strings, size_t n)
{
    return (const char *const *) (void *) value_create(strings, n * sizeof *strings, true)->bytes;
}

size_t
intern_tuple_size(const char *const *tuple)
{
    return tuple ? value_of(tuple)->size / sizeof *tuple : 0;
}

const void *
intern_ref(const void *bytes)
{
    if (bytes) {
        value_of(bytes)->n_refs++;
    }
    return bytes;
}

void
intern_unref(const void *bytes)
{
    struct value *value = bytes ? value_of(bytes) : NULL;

    if (!value || --value->n_refs) {
        return;
    }
    if (value->pool) {
        hmap_remove(&value->pool->values, &value->node);
    }
    if (value->is_tuple) {
        const char *const *tuple = bytes;
        for (size_t i = 0; i < intern_tuple_size(tuple); i++) {
            intern_unref(tuple[i]);
        }
    }
    free(value);
}

/* A value of the same content that nobody else holds and no pool has; takes the caller's reference to 'value'. */
static struct value *
own(struct value *value)
{
    if (!value->pool && value->n_refs == 1) {
        return value;
    }

    struct value *copy = value_create(value->bytes, value->size, value->is_tuple);
    for (size_t i = 0; value->is_tuple && i < value->size / sizeof(char *); i++) {
        intern_ref(((const char *const *) (void *) value->bytes)[i]);
    }
    intern_unref(value->bytes);
    return copy;
}

static struct value *
find(const struct intern *pool, const struct value *value, uint32_t hash)
{
    struct value *other;

    HMAP_FOR_EACH_WITH_HASH (other, node, hash, &pool->values) {
        if (other->size == value->size && other->is_tuple == value->is_tuple
            && !memcmp(other->bytes, value->bytes, value->size)) {
            return other;
        }
    }
    return NULL;
}

const void *
intern_share(struct intern *pool, const void *bytes)
{
    struct value *value = bytes ? value_of(bytes) : NULL;

    if (!value || value->pool == pool) {
        return bytes;
    }
    if (value->is_tuple) {              /* Of the pool's strings, so that their pointers can be compared. */
        value = own(value);
        const char **tuple = (const char **) (void *) value->bytes;
        for (size_t i = 0; i < value->size / sizeof *tuple; i++) {
            tuple[i] = intern_share(pool, tuple[i]);
        }
    }

    uint32_t hash = hash_bytes(value->bytes, value->size, value->is_tuple);
    struct value *other = find(pool, value, hash);
    if (other) {
        other->n_refs++;
        intern_unref(value->bytes);
        return other->bytes;
    }
    value = own(value);
    value->pool = pool;
    hmap_insert(&pool->values, &value->node, hash);
    return value->bytes;
}

bool
intern_string_equal(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

bool
intern_tuple_equal(const char *const *a, const char *const *b)
{
    size_t n = intern_tuple_size(a);

    if (a == b) {
        return true;
    }
    if (!a || !b || intern_tuple_size(b) != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!intern_string_equal(a[i], b[i])) {
            return false;
        }
    }
    return true;
}
