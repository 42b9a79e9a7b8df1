/* lib/pem.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pem.h"
#include "unit.h"

#define CERT "-----BEGIN CERTIFICATE-----\nTUlJ\nQg==\n-----END CERTIFICATE-----\n"
#define KEY "-----BEGIN EC PRIVATE KEY-----\nTUlJQg==\n-----END EC PRIVATE KEY-----\n"

START_TEST(test_base64)
{
    static const struct {
        const char *text, *want;        /* NULL: refused. */
    } cases[] = {
        { "", "" },
        { "Zg==", "f" },
        { "Zm8=", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYg==", "foob" },
        { "Zm9v\r\nYmFy\n", "foobar" },
        { "+/+/", "\xfb\xff\xbf" },
        { "Z", NULL },
        { "Zg", NULL },
        { "Zg=", NULL },
        { "=", NULL },
        { "Z===", NULL },
        { "====", NULL },
        { "Zg==Zg==", NULL },
        { "Zg==Z", NULL },
        { "Zm9v ", NULL },
        { "Zm9-", NULL },
        { "Zm\xc3\xa9", NULL },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = NULL;
        size_t size;
        bool ok = base64_decode(cases[i].text, strlen(cases[i].text), &out, &size);
        ck_assert_msg(ok == (cases[i].want != NULL), "\"%s\": %d", cases[i].text, ok);
        if (ok) {
            ck_assert_str_eq(out, cases[i].want);
            ck_assert_uint_eq(size, strlen(cases[i].want));
        }
        free(out);
    }
}
END_TEST

static void
check(int (*function)(const char *, size_t, struct error *), const char *text, const char *want)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    int retval = function(text, strlen(text), &error);

    if (!want) {
        ck_assert_msg(!retval && !error.message, "refused: %s: %s", text, error_message(&error));
    } else {
        ck_assert_msg(retval == EINVAL, "taken: %s", text);
        ck_assert_msg(strstr(error_message(&error), want), "\"%s\" is not in \"%s\"", want, error_message(&error));
    }
}

START_TEST(test_certificates)
{
    check(pem_check_certificates, CERT, NULL);
    check(pem_check_certificates, "comment\n" CERT "\n" CERT, NULL);
    check(pem_check_certificates, KEY CERT, NULL);
    check(pem_check_certificates, "-----BEGIN CERTIFICATE-----\r\nTUlJ\r\n-----END CERTIFICATE-----\r\n", NULL);
    check(pem_check_certificates, "", "no certificate in it");
    check(pem_check_certificates, KEY, "no certificate in it");
    check(pem_check_certificates, "MIIB", "no certificate in it");
    check(pem_check_certificates, CERT "-----BEGIN CERTIFICATE-----\nTUlJ\n", "is the end missing");
    check(pem_check_certificates, CERT "-----BEGIN CERTIFICATE-----\nTUlJ*\n-----END CERTIFICATE-----\n",
          "certificate 2 in it is not Base64");
    check(pem_check_certificates, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
          "certificate 1 in it is not Base64");
    check(pem_check_certificates, "-----BEGIN CERTIFICATE\nTUlJ\n-----END CERTIFICATE-----\n", "is broken");
    check(pem_check_certificates, "-----BEGIN ", "is broken");
}
END_TEST

START_TEST(test_key)
{
    check(pem_check_key, KEY, NULL);
    check(pem_check_key, CERT KEY, NULL);
    check(pem_check_key, "-----BEGIN EC PARAMETERS-----\nTUlJ\n-----END EC PARAMETERS-----\n" KEY, NULL);
    check(pem_check_key, CERT, "no private key in it");
    check(pem_check_key, KEY KEY, "2 private keys in it");
    check(pem_check_key, "-----BEGIN PRIVATE KEY-----\n:\n-----END PRIVATE KEY-----\n",
          "the private key is not Base64");
    check(pem_check_key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nTUlJ\n-----END ENCRYPTED PRIVATE KEY-----\n",
          "is encrypted");
    check(pem_check_key, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nTUlJ\n"
          "-----END RSA PRIVATE KEY-----\n", "is encrypted");
    check(pem_check_key, "-----BEGIN PRIVATE KEY-----\nTUlJ\n", "is the end missing");
}
END_TEST

UNIT_MAIN("pem", {
    tcase_add_test(tc, test_base64);
    tcase_add_test(tc, test_certificates);
    tcase_add_test(tc, test_key);
})
