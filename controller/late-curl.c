#include <config.h>

/* The functions of libcurl, found when the first of them is called.
 *
 * Only the source "kubernetes" needs libcurl, and libcurl comes with two dozen libraries (two of them for TLS,
 * LDAP, Kerberos, ...) that take 5 MB of resident memory at once when the program is linked with it.  So sluiced is
 * linked with this instead.  A program that is linked with libcurl itself, as the tests are, has no use for it.
 *
 * As with any library that is missing, the program ends if it is not there.  Only the main thread calls libcurl. */

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdarg.h>

#include "controller/late.h"
#include "util.h"

#undef curl_easy_getinfo
#undef curl_easy_setopt
#undef curl_multi_setopt

static void *
find(const char *name)
{
    return late_find("libcurl.so.4", name, false, "source \"kubernetes\" needs libcurl");
}

/* Those with an optional argument: it is a pointer, a long or a curl_off_t, all of the same size. */
BUILD_ASSERT_DECL(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *));
#define LATE_VALUE(RESULT, NAME, HANDLE, OPTION)                \
    RESULT                                                      \
    NAME(HANDLE *handle, OPTION option, ...)                    \
    {                                                           \
        static RESULT (*function)(HANDLE *, OPTION, ...);       \
        va_list args;                                           \
                                                                \
        va_start(args, option);                                 \
        void *value = va_arg(args, void *);                     \
        va_end(args);                                           \
        if (!function) {                                        \
            function = (RESULT (*)(HANDLE *, OPTION, ...)) find(#NAME); \
        }                                                       \
        return function(handle, option, value);                 \
    }

LATE(CURLcode, curl_global_init, (long flags), (flags))
LATE(void, curl_global_cleanup, (void), ())
LATE(void, curl_free, (void *p), (p))
LATE(struct curl_slist *, curl_slist_append, (struct curl_slist *list, const char *s), (list, s))
LATE(void, curl_slist_free_all, (struct curl_slist *list), (list))

LATE(CURL *, curl_easy_init, (void), ())
LATE(void, curl_easy_cleanup, (CURL *easy), (easy))
LATE_VALUE(CURLcode, curl_easy_setopt, CURL, CURLoption)
LATE_VALUE(CURLcode, curl_easy_getinfo, CURL, CURLINFO)
LATE(CURLcode, curl_easy_pause, (CURL *easy, int bitmask), (easy, bitmask))
LATE(const char *, curl_easy_strerror, (CURLcode code), (code))

LATE(CURLM *, curl_multi_init, (void), ())
LATE(CURLMcode, curl_multi_cleanup, (CURLM *multi), (multi))
LATE_VALUE(CURLMcode, curl_multi_setopt, CURLM, CURLMoption)
LATE(CURLMcode, curl_multi_add_handle, (CURLM *multi, CURL *easy), (multi, easy))
LATE(CURLMcode, curl_multi_remove_handle, (CURLM *multi, CURL *easy), (multi, easy))
LATE(CURLMcode, curl_multi_socket_action, (CURLM *multi, curl_socket_t s, int events, int *running),
     (multi, s, events, running))
LATE(CURLMcode, curl_multi_timeout, (CURLM *multi, long *ms), (multi, ms))
LATE(CURLMsg *, curl_multi_info_read, (CURLM *multi, int *left), (multi, left))

LATE(CURLU *, curl_url, (void), ())
LATE(void, curl_url_cleanup, (CURLU *url), (url))
LATE(CURLUcode, curl_url_get, (CURLU *url, CURLUPart part, char **text, unsigned int flags), (url, part, text, flags))
LATE(CURLUcode, curl_url_set, (CURLU *url, CURLUPart part, const char *text, unsigned int flags),
     (url, part, text, flags))
LATE(const char *, curl_url_strerror, (CURLUcode code), (code))
