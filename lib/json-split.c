#include <config.h>

#include "json-split.h"

#include <errno.h>
#include <string.h>

#include "util.h"

#define FIRST_BYTES 4096        /* Kept of an object that is too large. */
#define KEEP_BUFFER (256 * 1024)        /* A buffer that grew beyond is given back after its object. */

/* What may come next: those before AT_TOP are within a token, the others between tokens. */
enum state {
    IN_STRING,                  /* A value; its opening quote was seen. */
    IN_KEY,                     /* A member's name. */
    IN_WORD,                    /* A number, true, false or null. */
    ESCAPED,                    /* Behind a backslash in 'in_key ? IN_KEY : IN_STRING'. */
    AT_TOP,                     /* Between two objects of a stream, or before the only one. */
    AT_VALUE,
    AT_ELEMENT,                 /* A value, or the end of an array without elements. */
    AT_MEMBER,
    AT_FIRST_MEMBER,            /* A member, or the end of an object without members. */
    AT_COLON,
    BEHIND_VALUE,               /* A comma, or the end of what the value is in. */
    AT_END                      /* Nothing may follow. */
};

/* What is special about the value of the member whose name was just read. */
enum member_kind { MEMBER_PLAIN, MEMBER_SKIPPED, MEMBER_ITEMS };

struct buffer {
    char *data;
    size_t size, allocated;
};

struct json_split {
    enum json_split_mode mode;
    const char *const *skip;
    uint64_t skip_lengths, skip_letters;    /* Bits: a name of this length (first letter) may be among them. */
    const struct json_split_ops *ops;
    void *aux;

    enum state state;
    bool in_key;                            /* For ESCAPED. */
    unsigned int depth;                     /* Open objects and arrays. */
    bool is_object[JSON_SPLIT_MAX_DEPTH + 1];       /* Of the one that made 'depth' this. */
    /* When a value ends at this depth, so does a skipped member, an item, the items, or the whole object. */
    unsigned int stop_depth;
    bool skipping;
    bool behind_skipped;                    /* The last member of this object was left out. */
    bool in_items, seen_items;
    enum member_kind kind;
    size_t member;                          /* Where the member begins in 'out', counting what of 'run' is to follow. */

    /* Text goes to 'out' (NULL: nowhere) in runs: from 'run' on nothing was copied yet. */
    struct buffer around, item;
    struct buffer *out;
    const char *run;
    bool too_large;                         /* The item in 'item', of which only the beginning was kept. */

    const char *data;                       /* What is being fed... */
    unsigned long long int offset;          /* ...and how much was before it. */
    bool seen;                              /* An object has begun. */
    struct error error;
};

static const char *string_bytes(struct json_split *, const char *p, const char *end);
static const char *word_bytes(struct json_split *, const char *p, const char *end);
static const char *between_tokens(struct json_split *, const char *p);
static void put_run(struct json_split *, const char *end);

struct json_split *
json_split_create(enum json_split_mode mode, const char *const *skip, const struct json_split_ops *ops, void *aux)
{
    struct json_split *js = xzalloc(sizeof *js);

    js->mode = mode;
    js->skip = skip;
    js->ops = ops;
    js->aux = aux;
    js->state = AT_TOP;
    for (; skip && *skip; skip++) {
        js->skip_lengths |= UINT64_C(1) << strlen(*skip) % 64;
        js->skip_letters |= UINT64_C(1) << (unsigned char) **skip % 64;
    }
    return js;
}

void
json_split_destroy(struct json_split *js)
{
    if (js) {
        free(js->around.data);
        free(js->item.data);
        error_clear(&js->error);
        free(js);
    }
}

int
json_split_feed(struct json_split *js, const char *data, size_t size, struct error *error)
{
    const char *p = data, *end = data + size;

    js->data = js->run = data;
    while (p < end && !js->error.code) {
        if (js->state >= AT_TOP) {
            p = between_tokens(js, p);
        } else if (js->state == IN_WORD) {
            p = word_bytes(js, p, end);
        } else if (js->state == ESCAPED) {
            js->state = js->in_key ? IN_KEY : IN_STRING;
            p++;
        } else {
            p = string_bytes(js, p, end);
        }
    }
    put_run(js, p);
    js->offset += p - data;
    return js->error.code ? error_set(error, js->error.code, "%s", error_message(&js->error)) : 0;
}

int
json_split_end(struct json_split *js, struct error *error)
{
    if (js->error.code) {
        return error_set(error, js->error.code, "%s", error_message(&js->error));
    } else if (js->state != AT_END && js->state != AT_TOP) {
        return error_set(error, EPROTO, "the text ends after byte %llu in the middle of an object", js->offset);
    } else if (!js->seen && js->mode != JSON_SPLIT_STREAM) {
        return error_set(error, EPROTO, "the text has no object");
    }
    return 0;
}

/* Output --------------------------------------------------------------------------------------------------------- */

/* Sets the error, unless there is one, and returns 'p', where it was found. */
static const char *
fail(struct json_split *js, const char *p, const char *what)
{
    if (!js->error.code) {
        error_set(&js->error, EPROTO, "byte %llu: %s", js->offset + (p - js->data), what);
    }
    return p;
}

static void
buffer_put(struct buffer *b, const char *data, size_t n)
{
    if (b->size + n >= b->allocated) {
        b->allocated = MAX(b->size + n + 1, MAX(4096, b->allocated * 2));
        b->data = xrealloc(b->data, b->allocated);
    }
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void
buffer_empty(struct buffer *b)
{
    if (b->allocated > KEEP_BUFFER) {
        free(b->data);
        *b = (struct buffer) { NULL, 0, 0 };
    }
    b->size = 0;
}

/* Copies what was read up to 'end'. */
static void
put_run(struct json_split *js, const char *end)
{
    struct buffer *out = js->out;
    size_t n = end - js->run;

    if (out && n <= JSON_SPLIT_MAX_OBJECT - out->size) {
        buffer_put(out, js->run, n);
    } else if (out == &js->around) {
        fail(js, end, "what is around the items is too large");
    } else if (out) {
        if (out->size < FIRST_BYTES) {
            buffer_put(out, js->run, MIN(n, FIRST_BYTES - out->size));
        }
        out->size = MIN(out->size, FIRST_BYTES);
        js->too_large = true;
        js->out = NULL;
    }
    js->run = end;
}

static bool
deliver(struct json_split *js, struct buffer *b, bool (*cb)(void *aux, const char *, size_t))
{
    b->data[b->size] = '\0';
    bool more = cb(js->aux, b->data, b->size);
    buffer_empty(b);
    if (!more) {
        error_set(&js->error, ECANCELED, "the receiver wants no more");
    }
    return more;
}

/* The object of a stream, or an item, ends before 'p'. */
static void
end_item(struct json_split *js, const char *p)
{
    put_run(js, p);
    js->out = NULL;
    if (js->too_large) {
        js->item.data[js->item.size] = '\0';
        js->ops->too_large(js->aux, js->item.data, js->item.size);
        buffer_empty(&js->item);
        js->too_large = false;
    } else {
        deliver(js, &js->item, js->ops->object);
    }
}

/* Tokens --------------------------------------------------------------------------------------------------------- */

/* What began at the present depth ends before 'p'. */
static void
stop(struct json_split *js, const char *p)
{
    if (js->skipping) {
        js->skipping = false;
        js->out = js->in_items || js->mode != JSON_SPLIT_LIST ? &js->item : &js->around;
        js->out = js->too_large ? NULL : js->out;
        js->run = p;
        js->behind_skipped = true;
        js->stop_depth = js->in_items ? 2 : 0;
    } else if (js->in_items && js->depth == 2) {
        end_item(js, p);
        js->stop_depth = 1;
    } else if (js->in_items) {
        js->in_items = false;
        js->out = &js->around;
        js->run = p;
        js->behind_skipped = true;
        js->stop_depth = 0;
    } else if (js->mode == JSON_SPLIT_LIST) {
        put_run(js, p);
        js->state = AT_END;
        if (js->out && !js->error.code) {
            js->out = NULL;
            deliver(js, &js->around, js->ops->rest);
        }
    } else {
        js->state = js->mode == JSON_SPLIT_STREAM ? AT_TOP : AT_END;
        end_item(js, p);
    }
}

/* A value has ended; 'p' is what follows. */
static inline const char *
end_value(struct json_split *js, const char *p)
{
    js->state = BEHIND_VALUE;
    if (js->depth == js->stop_depth) {
        stop(js, p);
    }
    return p;
}

/* The name of a member has ended before the quote at 'quote': is its value special? */
static void
end_key(struct json_split *js, const char *quote)
{
    js->state = AT_COLON;
    if (!js->out) {
        return;
    }
    if (js->member < js->out->size) {       /* It began in an earlier piece. */
        put_run(js, quote);
        if (!js->out) {
            return;
        }
    }
    const char *name = (js->member < js->out->size ? js->out->data + js->member
                        : js->run + (js->member - js->out->size)) + 1;
    size_t n = (js->member < js->out->size ? js->out->data + js->out->size : quote) - name;

    if (js->depth == 1 && js->mode == JSON_SPLIT_LIST && n == 5 && !memcmp(name, "items", 5)) {
        js->kind = MEMBER_ITEMS;
        return;
    }
    if (!n || !(js->skip_lengths >> n % 64 & js->skip_letters >> (unsigned char) *name % 64 & 1)) {
        return;
    }
    for (const char *const *skip = js->skip; *skip; skip++) {
        if (name[0] == (*skip)[0] && strlen(*skip) == n && !memcmp(*skip, name, n)) {
            js->kind = MEMBER_SKIPPED;
            return;
        }
    }
}

static const char *
string_bytes(struct json_split *js, const char *p, const char *end)
{
    while (p < end && *p != '"' && *p != '\\') {
        p++;
    }
    if (p == end) {
        return p;
    } else if (*p == '\\') {
        js->in_key = js->state == IN_KEY;
        js->state = ESCAPED;
        return p + 1;
    } else if (js->state == IN_KEY) {
        end_key(js, p);
        return p + 1;
    } else {
        return end_value(js, p + 1);
    }
}

static bool
is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+'
        || c == '.';
}

static const char *
word_bytes(struct json_split *js, const char *p, const char *end)
{
    while (p < end && is_word(*p)) {
        p++;
    }
    return p < end ? end_value(js, p) : p;
}

static const char *
open_at(struct json_split *js, const char *p)
{
    if (js->depth >= JSON_SPLIT_MAX_DEPTH) {
        return fail(js, p, "nested too deeply");
    }
    js->is_object[++js->depth] = *p == '{';
    js->state = *p == '{' ? AT_FIRST_MEMBER : AT_ELEMENT;
    return p + 1;
}

static const char *
close_at(struct json_split *js, const char *p)
{
    if (js->is_object[js->depth] != (*p == '}')) {
        return fail(js, p, "an object ends as an array, or the other way round");
    }
    js->depth--;
    return end_value(js, p + 1);
}

/* Members that are left out ---------------------------------------------------------------------------------------- */

/* The member that began at 'js->member', and whose value begins at 'p', does not go to the output. */
static void
leave_out(struct json_split *js, const char *p)
{
    if (js->member >= js->out->size) {
        put_run(js, js->run + (js->member - js->out->size));
    } else {
        js->out->size = js->member;
    }
    js->run = p;
    js->out = NULL;
    js->stop_depth = js->depth;
}

/* The value at 'p' belongs to a special member. */
static void
special_value(struct json_split *js, const char *p)
{
    enum member_kind kind = js->kind;

    js->kind = MEMBER_PLAIN;
    if (kind == MEMBER_SKIPPED && (*p == '[' || *p == '{')) {
        leave_out(js, p);
        js->skipping = true;
    } else if (kind == MEMBER_ITEMS && js->seen_items) {
        fail(js, p, "\"items\" for the second time");
    } else if (kind == MEMBER_ITEMS) {
        js->seen_items = true;
        if (*p == '[') {
            leave_out(js, p);
            js->in_items = true;
        } else if (*p != 'n') {
            fail(js, p, "\"items\" is not an array");
        }
    }
}

static const char *
value_at(struct json_split *js, const char *p)
{
    if (js->kind != MEMBER_PLAIN) {
        special_value(js, p);
        if (js->error.code) {
            return p;
        }
    } else if (js->in_items && js->depth == 2) {
        js->out = &js->item;
        js->run = p;
        js->stop_depth = 2;
    }
    if (*p == '"') {
        js->state = IN_STRING;
        return p + 1;
    } else if (*p == '{' || *p == '[') {
        return open_at(js, p);
    } else if (is_word(*p)) {
        js->state = IN_WORD;
        return p + 1;
    } else {
        return fail(js, p, "a value is missing");
    }
}

/* Between a value and what follows it in an object or array. */
static const char *
behind_value(struct json_split *js, const char *p)
{
    if (*p != ',' && *p != '}' && *p != ']') {
        return fail(js, p, "a comma or an end is missing");
    }
    if (js->behind_skipped) {
        struct buffer *out = js->out;

        js->behind_skipped = false;
        js->run = *p == ',' ? p + 1 : p;
        while (*p != ',' && out && out->size && strchr(" \t\r\n,", out->data[out->size - 1])) {
            out->size--;
        }
    }
    if (*p == ',') {
        js->state = js->is_object[js->depth] ? AT_MEMBER : AT_VALUE;
        return p + 1;
    }
    return close_at(js, p);
}

static const char *
member_at(struct json_split *js, const char *p)
{
    if (*p != '"') {
        return fail(js, p, "the name of a member is missing");
    }
    js->member = js->out ? js->out->size + (p - js->run) : 0;
    js->state = IN_KEY;
    return p + 1;
}

static const char *
top_at(struct json_split *js, const char *p)
{
    if (*p != '{') {
        return fail(js, p, "no object begins here");
    }
    js->seen = true;
    js->out = js->mode == JSON_SPLIT_LIST ? &js->around : &js->item;
    js->run = p;
    return open_at(js, p);
}

static const char *
between_tokens(struct json_split *js, const char *p)
{
    if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
        js->run = js->behind_skipped ? p + 1 : js->run;
        return p + 1;
    }
    switch ((int) js->state) {
    case AT_TOP:
        return top_at(js, p);
    case AT_ELEMENT:
        return *p == ']' ? close_at(js, p) : value_at(js, p);
    case AT_VALUE:
        return value_at(js, p);
    case AT_FIRST_MEMBER:
        return *p == '}' ? close_at(js, p) : member_at(js, p);
    case AT_MEMBER:
        return member_at(js, p);
    case AT_COLON:
        js->state = AT_VALUE;
        return *p == ':' ? p + 1 : fail(js, p, "a colon is missing");
    case BEHIND_VALUE:
        return behind_value(js, p);
    default:
        return fail(js, p, "something follows the end");
    }
}
