#include "pem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "-----BEGIN LABEL-----" to "-----END LABEL-----". */
struct pem_block {
    const char *label;
    size_t label_len;
    const char *body;
    size_t body_len;
};

static const char BEGIN[] = "-----BEGIN ";
static const char END[] = "-----END ";
static const char DASHES[] = "-----";

/* Base64 --------------------------------------------------------------------------------------------------------- */

static int
base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    } else if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    } else if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into 'out' (room for 3 bytes for each 4 characters), or only checks if it is NULL.  Returns -1 if it is not
 * Base64. */
static long int
base64_bytes(const char *text, size_t n, char *out)
{
    unsigned int bits = 0, digits = 0, padding = 0;
    long int size = 0;

    for (size_t i = 0; i < n; i++) {
        int value = base64_value(text[i]);

        if (text[i] == '\n' || text[i] == '\r') {
            continue;
        } else if (text[i] == '=' && digits % 4 >= 2 && padding < 2) {
            padding++;
        } else if (value < 0 || padding) {
            return -1;
        } else {
            bits = bits << 6 | value;
        }
        if (padding) {
            bits <<= 6;
        }
        if (++digits % 4 == 0) {
            for (unsigned int b = 0; b < 3 - padding; b++) {
                if (out) {
                    out[size] = bits >> (16 - 8 * b);
                }
                size++;
            }
            bits = 0;
        }
    }
    return digits % 4 ? -1 : size;
}

bool
base64_decode(const char *text, size_t n, char **out, size_t *size)
{
    char *bytes = malloc(n / 4 * 3 + 1);
    long int decoded = bytes ? base64_bytes(text, n, bytes) : -1;

    if (decoded < 0) {
        free(bytes);
        return false;
    }
    bytes[decoded] = '\0';
    *out = bytes;
    *size = decoded;
    return true;
}

/* Blocks --------------------------------------------------------------------------------------------------------- */

static const char *
find(const char *text, const char *end, const char *what)
{
    return memmem(text, end - text, what, strlen(what));
}

static bool
is_label(const struct pem_block *block, const char *label)
{
    return block->label_len == strlen(label) && !memcmp(block->label, label, block->label_len);
}

static bool
is_key(const struct pem_block *block)
{
    static const char suffix[] = "PRIVATE KEY";
    size_t n = strlen(suffix);
    return block->label_len >= n && !memcmp(block->label + block->label_len - n, suffix, n);
}

static bool
is_encrypted_key(const struct pem_block *block)
{
    return is_label(block, "ENCRYPTED PRIVATE KEY") || find(block->body, block->body + block->body_len, "ENCRYPTED");
}

/* Takes the next block from '*text'; sets '*found' to false behind the last one. */
static int
next_block(const char **text, const char *end, struct pem_block *block, bool *found, struct error *error)
{
    const char *begin = find(*text, end, BEGIN);

    *found = begin != NULL;
    if (!begin) {
        return 0;
    }
    block->label = begin + strlen(BEGIN);
    const char *dashes = find(block->label, end, DASHES);
    const char *eol = memchr(block->label, '\n', end - block->label);
    if (!dashes || (eol && eol < dashes) || dashes - block->label > 64) {
        return error_set(error, EINVAL, "a line \"-----BEGIN ...-----\" is broken");
    }
    block->label_len = dashes - block->label;
    block->body = dashes + strlen(DASHES);

    char closing[100];
    snprintf(closing, sizeof closing, "%s%.*s%s", END, (int) block->label_len, block->label, DASHES);
    const char *close = find(block->body, end, closing);
    if (!close) {
        return error_set(error, EINVAL, "\"-----BEGIN %.*s-----\" is not followed by \"%s\"; is the end missing?",
                         (int) block->label_len, block->label, closing);
    }
    block->body_len = close - block->body;
    *text = close + strlen(closing);
    return 0;
}

int
pem_check_certificates(const char *text, size_t n, struct error *error)
{
    const char *end = text + n;
    size_t n_certificates = 0;
    struct pem_block block;
    bool found;
    int retval;

    while (!(retval = next_block(&text, end, &block, &found, error)) && found) {
        if (!is_label(&block, "CERTIFICATE")) {
            continue;
        } else if (base64_bytes(block.body, block.body_len, NULL) <= 0) {
            return error_set(error, EINVAL, "certificate %zu in it is not Base64", n_certificates + 1);
        }
        n_certificates++;
    }
    if (!retval && !n_certificates) {
        return error_set(error, EINVAL, "no certificate in it: PEM is needed (\"-----BEGIN CERTIFICATE-----\")");
    }
    return retval;
}

int
pem_check_key(const char *text, size_t n, struct error *error)
{
    const char *end = text + n;
    size_t n_keys = 0;
    struct pem_block block;
    bool found;
    int retval;

    while (!(retval = next_block(&text, end, &block, &found, error)) && found) {
        if (!is_key(&block)) {
            continue;
        } else if (is_encrypted_key(&block)) {
            return error_set(error, EINVAL, "the private key is encrypted, and nobody is there to type the passphrase; "
                             "store it decrypted, readable only by its owner");
        } else if (base64_bytes(block.body, block.body_len, NULL) <= 0) {
            return error_set(error, EINVAL, "the private key is not Base64");
        }
        n_keys++;
    }
    if (!retval && n_keys != 1) {
        return n_keys ? error_set(error, EINVAL, "%zu private keys in it; which one?", n_keys)
                      : error_set(error, EINVAL, "no private key in it: PEM is needed "
                                  "(\"-----BEGIN PRIVATE KEY-----\")");
    }
    return retval;
}
