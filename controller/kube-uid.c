#include <config.h>

#include "controller/kube-decode.h"

#include <stdio.h>
#include <string.h>

#include "intern.h"
#include "util.h"

/* The text of an UID that has one. */
static const char *
text_of(const struct kube_uid *uid)
{
    return uid->words[0] ? NULL : (const char *) (uintptr_t) uid->words[1];
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 8-4-4-4-12 digits, in lower case. */
static bool
parse_canonical(const char *text, uint64_t words[2])
{
    size_t n = 0;

    if (strlen(text) != KUBE_UID_STRLEN - 1) {
        return false;
    }
    for (size_t i = 0; i < KUBE_UID_STRLEN - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        int digit = hex_digit(text[i]);

        if (dash ? text[i] != '-' : digit < 0) {
            return false;
        }
        if (!dash) {
            words[n / 16] = words[n / 16] << 4 | digit;
            n++;
        }
    }
    return words[0] != 0;
}

void
kube_uid_parse(const char *text, struct kube_uid *uid)
{
    uint64_t words[2] = { 0, 0 };

    if (parse_canonical(text, words)) {
        memcpy(uid->words, words, sizeof words);
    } else {
        uid->words[0] = 0;
        uid->words[1] = *text ? (uintptr_t) intern_string(text) : 0;
    }
}

void
kube_uid_clear(struct kube_uid *uid)
{
    intern_unref(text_of(uid));
    memset(uid, 0, sizeof *uid);
}

void
kube_uid_share(struct kube_uid *uid, struct intern *pool)
{
    if (text_of(uid)) {
        uid->words[1] = (uintptr_t) intern_share(pool, text_of(uid));
    }
}

bool
kube_uid_is_none(const struct kube_uid *uid)
{
    return !uid->words[0] && !uid->words[1];
}

int
kube_uid_compare(const struct kube_uid *a, const struct kube_uid *b)
{
    char a_text[KUBE_UID_STRLEN], b_text[KUBE_UID_STRLEN];
    return strcmp(kube_uid_format(a, a_text), kube_uid_format(b, b_text));
}

bool
kube_uid_equal(const struct kube_uid *a, const struct kube_uid *b)
{
    return (a->words[0] == b->words[0]
            && (a->words[1] == b->words[1] || (text_of(a) && text_of(b) && !strcmp(text_of(a), text_of(b)))));
}

bool
kube_uid_equal_text(const struct kube_uid *uid, const char *text)
{
    char buf[KUBE_UID_STRLEN];
    return !strcmp(kube_uid_format(uid, buf), text);
}

const char *
kube_uid_format(const struct kube_uid *uid, char buf[KUBE_UID_STRLEN])
{
    if (!uid->words[0]) {
        return text_of(uid) ? text_of(uid) : "";
    }

    unsigned long long int high = uid->words[0], low = uid->words[1];
    snprintf(buf, KUBE_UID_STRLEN, "%08llx-%04llx-%04llx-%04llx-%012llx", high >> 32, high >> 16 & 0xffff,
             high & 0xffff, low >> 48, low & 0xffffffffffffULL);
    return buf;
}
