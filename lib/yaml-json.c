#include "yaml-json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One document on its way to JSON.  'made' has the JSON of each node that is complete, so that an alias shares it. */
struct converter {
    const char *name;
    yaml_document_t *document;
    json_t **made;
    bool *open;                 /* Nodes that are being converted: an alias to one is a loop. */
    unsigned int depth;
};

static json_t *convert_node(struct converter *, int index, struct error *);

/* Core schema ---------------------------------------------------------------------------------------------------- */

static bool
is_one_of(const char *s, const char *const words[])
{
    for (; *words; words++) {
        if (!strcmp(s, *words)) {
            return true;
        }
    }
    return false;
}

/* [-+]?[0-9]+ that fits 64 bits, 0o octal or 0x hexadecimal. */
static json_t *
resolve_int(const char *s)
{
    const char *digits = s + (*s == '-' || *s == '+');
    int base = 10;

    if (digits == s && s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
        base = s[1] == 'o' ? 8 : 16;
        digits = s + 2;
    }
    if (!isxdigit((unsigned char) *digits)) {
        return NULL;
    }

    char *end;
    errno = 0;
    long long int value = strtoll(base == 10 ? s : digits, &end, base);
    return *end || errno ? NULL : json_integer(value);
}

static json_t *
resolve_float(const char *s)
{
    if (strspn(s, "+-.0123456789eE") != strlen(s) || !strpbrk(s, "0123456789")) {
        return NULL;
    }

    char *end;
    double value = strtod(s, &end);
    return *end || !isfinite(value) ? NULL : json_real(value);
}

static json_t *
resolve_plain(const char *s, size_t length)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };

    if (is_one_of(s, nulls)) {
        return json_null();
    } else if (is_one_of(s, trues)) {
        return json_true();
    } else if (is_one_of(s, falses)) {
        return json_false();
    }

    json_t *number = resolve_int(s);
    if (!number) {
        number = resolve_float(s);
    }
    return number ? number : json_stringn(s, length);
}

json_t *
yaml_json_scalar(const yaml_node_t *node)
{
    const char *s = (const char *) node->data.scalar.value;
    size_t length = node->data.scalar.length;
    const char *tag = (const char *) node->tag;

    if (strlen(s) != length) {
        return NULL;            /* A NUL byte. */
    }
    /* libyaml's loader gives every untagged scalar the tag !!str. */
    if (tag && strcmp(tag, YAML_STR_TAG)) {
        bool core = is_one_of(tag, (const char *const[]) { YAML_NULL_TAG, YAML_BOOL_TAG, YAML_INT_TAG, YAML_FLOAT_TAG, NULL });
        return core ? resolve_plain(s, length) : NULL;
    }
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? resolve_plain(s, length) : json_stringn(s, length);
}

/* Documents ------------------------------------------------------------------------------------------------------ */

static int
fail_at(const struct converter *c, const yaml_node_t *node, struct error *error, const char *what)
{
    return error_set(error, EINVAL, "%s:%zu: %s", c->name, node->start_mark.line + 1, what);
}

static json_t *
convert_mapping(struct converter *c, const yaml_node_t *node, struct error *error)
{
    json_t *object = json_object();

    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(c->document, p->key);
        const char *name = (const char *) key->data.scalar.value;
        const char *wrong = (key->type != YAML_SCALAR_NODE ? "a key must be a scalar"
                             : strlen(name) != key->data.scalar.length ? "a key has a NUL byte"
                             : !strcmp(name, "<<") && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
                             ? "merge keys (\"<<\") are not supported: write the members out"
                             : json_object_get(object, name) ? "this key stands here twice" : NULL);
        if (wrong) {
            fail_at(c, key, error, wrong);
            json_decref(object);
            return NULL;
        }

        json_t *value = convert_node(c, p->value, error);
        if (!value || json_object_set_new(object, name, value)) {
            if (value) {
                fail_at(c, key, error, "this key is not UTF-8");
            }
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *
convert_sequence(struct converter *c, const yaml_node_t *node, struct error *error)
{
    json_t *array = json_array();

    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        json_t *value = convert_node(c, *item, error);
        if (!value) {
            json_decref(array);
            return NULL;
        }
        json_array_append_new(array, value);
    }
    return array;
}

/* Returns a new reference, or NULL with 'error' set. */
static json_t *
convert_node(struct converter *c, int index, struct error *error)
{
    const yaml_node_t *node = yaml_document_get_node(c->document, index);

    if (c->made[index]) {
        return json_incref(c->made[index]);
    }
    if (c->open[index]) {
        fail_at(c, node, error, "an alias names a node that contains it");
        return NULL;
    }
    if (c->depth >= YAML_JSON_MAX_DEPTH) {
        fail_at(c, node, error, "nested too deeply");
        return NULL;
    }

    json_t *json = NULL;
    c->open[index] = true;
    c->depth++;
    if (node->type == YAML_SCALAR_NODE) {
        json = yaml_json_scalar(node);
        if (!json) {
            fail_at(c, node, error, "this scalar has a tag or a byte that is not supported");
        }
    } else {
        json = node->type == YAML_MAPPING_NODE ? convert_mapping(c, node, error) : convert_sequence(c, node, error);
    }
    c->depth--;
    c->open[index] = false;
    c->made[index] = json ? json_incref(json) : NULL;
    return json;
}

static int
convert_document(const char *name, yaml_document_t *document, yaml_json_cb *cb, void *aux, struct error *error)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    size_t n = document->nodes.top - document->nodes.start + 1;
    struct converter c = {
        .name = name,
        .document = document,
        .made = calloc(n, sizeof *c.made),
        .open = calloc(n, sizeof *c.open),
    };
    int retval = c.made && c.open ? 0 : error_set(error, ENOMEM, "%s: out of memory", name);

    if (!retval) {
        json_t *json = convert_node(&c, 1, error);

        retval = json ? 0 : EINVAL;
        if (json && !json_is_null(json)) {
            retval = cb(json, root->start_mark.line + 1, aux, error);
        }
        json_decref(json);
        for (size_t i = 0; i < n; i++) {
            json_decref(c.made[i]);
        }
    }
    free(c.made);
    free(c.open);
    return retval;
}

int
yaml_json_parse(const char *name, const void *text, size_t size, yaml_json_cb *cb, void *aux, struct error *error)
{
    yaml_parser_t parser;
    int retval = 0;

    if (!yaml_parser_initialize(&parser)) {
        return error_set(error, ENOMEM, "%s: out of memory", name);
    }
    yaml_parser_set_input_string(&parser, text, size);
    for (size_t i = 0; !retval; i++) {
        yaml_document_t document;

        if (!yaml_parser_load(&parser, &document)) {
            retval = error_set(error, EINVAL, "%s:%zu: %s", name, parser.problem_mark.line + 1,
                               parser.problem ? parser.problem : "not YAML");
            break;
        }
        if (!yaml_document_get_root_node(&document)) {
            yaml_document_delete(&document);
            break;
        }
        retval = (i < YAML_JSON_MAX_DOCUMENTS ? convert_document(name, &document, cb, aux, error)
                  : error_set(error, EFBIG, "%s: more than %d documents", name, YAML_JSON_MAX_DOCUMENTS));
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return retval;
}
