/* Is what nftables lists the same as what was declared?  nft has no other way to tell: it knows no "replace" that changes
 * nothing.
 *
 * Both are brought to one form: words, and apart from them the elements of named sets, in whatever order they are listed.  What
 * this version of nft lists in other words than it was declared in counts as different, and is then declared again, which is
 * never wrong. */

#include <config.h>

#include "hostnet-private.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "svec.h"
#include "util.h"

struct form {
    struct ds words;                    /* With a space behind each. */
    struct svec elements;               /* "NAME ELEMENT". */
};

static void
form_init(struct form *form)
{
    ds_init(&form->words);
    svec_init(&form->elements);
}

static void
form_destroy(struct form *form)
{
    ds_destroy(&form->words);
    svec_destroy(&form->elements);
}

/* The next word, not terminated; NULL at the end.  A comma is a word. */
static const char *
next_word(const char **text, size_t *len)
{
    static const char spaces[] = " \t\n";
    const char *word = *text + strspn(*text, spaces);

    while (*word == '#') {              /* A comment. */
        word += strcspn(word, "\n");
        word += strspn(word, spaces);
    }
    if (!*word) {
        return NULL;
    }
    *len = *word == ',' ? 1 : strcspn(word, " \t\n,");
    *text = word + *len;
    return word;
}

static bool
word_is(const char *word, size_t len, const char *s)
{
    return word && len == strlen(s) && !memcmp(word, s, len);
}

/* The elements of the set 'name', behind the opening brace. */
static void
take_elements(struct form *form, const char **text, const char *name)
{
    struct ds element = DS_EMPTY_INITIALIZER;
    const char *word;
    size_t len;

    do {
        word = next_word(text, &len);
        bool ends = !word || word_is(word, len, "}");
        if (ends || *word == ',') {
            if (element.length) {
                svec_add_nocopy(&form->elements, xasprintf("%s%s", name, ds_cstr(&element)));
                ds_clear(&element);
            }
            word = ends ? NULL : word;
        } else {
            ds_put_char(&element, ' ');
            ds_put_buffer(&element, word, len);
        }
    } while (word);
    ds_destroy(&element);
}

/* Takes in "... elements = { E, ... } ...", which belongs to the set that was named last, and other text as words. */
static void
take_listing(struct form *form, const char *text)
{
    char *name = NULL;
    const char *word, *before = NULL;
    size_t len, before_len = 0;

    while ((word = next_word(&text, &len))) {
        if (word_is(before, before_len, "set") || word_is(before, before_len, "map")) {
            free(name);
            name = xmemdup0(word, len);
        }
        if (word_is(word, len, "elements")) {
            next_word(&text, &len);     /* "=" */
            next_word(&text, &len);     /* "{" */
            take_elements(form, &text, name ? name : "");
        } else {
            ds_put_buffer(&form->words, word, len);
            ds_put_char(&form->words, ' ');
        }
        before = word;
        before_len = len;
    }
    free(name);
}

/* As hostnet_nft_rules() writes it, then hostnet_services_put_elements(): tables are emptied first, elements added in the end. */
static void
take_declared(struct form *form, const char *text)
{
    static const char reset[] = "delete table ", add[] = "add element inet "HOSTNET_NFT_TABLE" ";
    struct ds rest = DS_EMPTY_INITIALIZER;

    while (*text) {
        size_t len = strcspn(text, "\n"), all = len + (text[len] == '\n');
        if (!strncmp(text, add, strlen(add))) {
            char *name = xmemdup0(text + strlen(add), strcspn(text + strlen(add), " "));
            const char *elements = strchr(text, '{') + 1;
            take_elements(form, &elements, name);
            free(name);
        } else if (strncmp(text, reset, strlen(reset)) && !(len > 4 && !strncmp(text + len - 3, "{ }", 3))) {
            ds_put_buffer(&rest, text, all);
        }
        text += all;
    }
    take_listing(form, ds_cstr(&rest));
    ds_destroy(&rest);
}

bool
hostnet_nft_is_same(const char *declared, const char *listing)
{
    struct form a, b;

    form_init(&a);
    form_init(&b);
    take_declared(&a, declared);
    take_listing(&b, listing);
    svec_sort(&a.elements);
    svec_sort(&b.elements);
    bool same = !strcmp(ds_cstr(&a.words), ds_cstr(&b.words)) && svec_equal(&a.elements, &b.elements);
    form_destroy(&a);
    form_destroy(&b);
    return same;
}
