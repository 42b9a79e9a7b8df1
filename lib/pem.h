#ifndef SLUICE_PEM_H
#define SLUICE_PEM_H 1

/* Base64, and whether a text is what a TLS library will take as certificates or as a private key.
 *
 * The TLS library says of a wrong file no more than that it could not load it, and it says so when the connection is
 * opened; here the message says what is wrong with it, when it is read.  What is inside (names, dates, curves) stays
 * the TLS library's.
 *
 * Pure.  Sources: RFC 4648, section 4; RFC 7468 (the textual encodings of certificates and keys). */

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Decodes 'n' characters with padding; line ends in between are skipped, as Go's decoder does.  Returns false if they
 * are not Base64.  Else '*out' is the caller's to free() and NUL-terminated, '*size' its length without the NUL. */
bool base64_decode(const char *text, size_t n, char **out, size_t *size);

/* At least one well-formed CERTIFICATE block, and no block that is broken. */
int pem_check_certificates(const char *text, size_t n, struct error *);

/* Exactly one private key, not encrypted.  Other blocks may stand beside it: certificate and key are often one file. */
int pem_check_key(const char *text, size_t n, struct error *);

#endif /* lib/pem.h */
