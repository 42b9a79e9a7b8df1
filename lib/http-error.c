#include <config.h>

#include "http-private.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

/* What X509_verify_cert() says of a chain that ends at nobody we know, or outside its time: <openssl/x509_vfy.h>.
 * libcurl hands these numbers on; other TLS libraries give none, and then its own words say it. */
enum {
    NOT_YET_VALID = 9, EXPIRED = 10, SELF_SIGNED = 18, SELF_SIGNED_IN_CHAIN = 19, NO_ISSUER = 20, UNVERIFIABLE = 21
};

/* libcurl's own words, or else its words for 'code'. */
static const char *
words(const struct http_request *request, CURLcode code)
{
    return request->text[0] ? request->text : curl_easy_strerror(code);
}

/* Adds the names that the server's certificate is for. */
static void
put_names(const struct http_request *request, struct ds *s)
{
    static const char *const fields[] = { "X509v3 Subject Alternative Name:", "Subject:" };
    struct curl_certinfo *info = NULL;
    curl_easy_getinfo(request->easy, CURLINFO_CERTINFO, &info);
    for (size_t i = 0; info && info->num_of_certs > 0 && i < ARRAY_SIZE(fields); i++) {
        for (const struct curl_slist *entry = info->certinfo[0]; entry; entry = entry->next) {
            if (!strncmp(entry->data, fields[i], strlen(fields[i]))) {
                ds_put_format(s, "; it is for %.400s", entry->data + strlen(fields[i]));
                return;
            }
        }
    }
}

static int
explain_verification(const struct http_request *request, CURLcode code, struct error *error)
{
    const struct kube_credentials *c = &request->login->c;
    long int result = 0;
    curl_easy_getinfo(request->easy, CURLINFO_SSL_VERIFYRESULT, &result);
    switch (result) {
    case NOT_YET_VALID:
    case EXPIRED:
        return error_set(error, EPERM, "%s: the server's certificate, or one above it, %s: renew it, or set the "
                         "clock of this host or the server's", c->server,
                         result == EXPIRED ? "has expired" : "is not valid yet");
    case SELF_SIGNED:
    case SELF_SIGNED_IN_CHAIN:
    case NO_ISSUER:
    case UNVERIFIABLE:
        return error_set(error, EPERM, "%s: the server's certificate is signed by an authority that is not trusted "
                         "here: put the right one into %s (%s)", c->server,
                         c->ca.data ? "the kubeconfig's certificate-authority or the service account's ca.crt"
                         : "the kubeconfig's certificate-authority; now only the system's are trusted",
                         words(request, code));
    }
    if (result <= 1 && strstr(request->text, "name")) {         /* Nothing was said of the chain. */
        struct ds names = DS_EMPTY_INITIALIZER;
        put_names(request, &names);
        error_set(error, EPERM, "%s: the server's certificate is not for %s%s: set tls-server-name in the "
                  "kubeconfig to a name that the certificate has, or renew the certificate", c->server,
                  c->server_name ? c->server_name : "this host", ds_cstr(&names));
        ds_destroy(&names);
        return error->code;
    }
    return error_set(error, EPERM, "%s: the server's certificate is refused: %s", c->server, words(request, code));
}

static int
explain_connect(const struct http_request *request, CURLcode code, struct error *error)
{
    const char *server = request->login->c.server, *where = request->peer;
    const char *or_proxy = request->login->c.proxy ? " (or the proxy)" : "";
    long int number = 0;
    curl_easy_getinfo(request->easy, CURLINFO_OS_ERRNO, &number);
    switch (number) {
    case ECONNREFUSED:
        return error_set(error, ECONNREFUSED, "%s: connection refused%s: is the server%s running, and on this "
                         "port?", server, where, or_proxy);
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
        return error_set_errno(error, EHOSTUNREACH, "%s: there is no way to the server%s%s", server, or_proxy,
                               where);
    case ETIMEDOUT:
        return error_set(error, ETIMEDOUT, "%s: the server does not answer%s: check the address and firewalls", server,
                         where);
    }
    return error_set(error, EIO, "%s: cannot connect%s: %s", server, where, words(request, code));
}

/* The answer broke off, or the connection before it. */
static int
explain_broken(const struct http_request *request, CURLcode code, struct error *error)
{
    const char *server = request->login->c.server, *text = words(request, code);
    long int status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    if (strstr(text, "alert")) {
        return error_set(error, EPERM, "%s: the server refuses our client certificate, or wants one: check "
                         "client-certificate and client-key in the kubeconfig (%s)", server, text);
    }
    if (status && status / 100 != 2) {
        return error_set(error, ECONNREFUSED, "%s: the proxy refuses to connect to it (status %ld): check proxy-url "
                         "in the kubeconfig and HTTPS_PROXY and NO_PROXY in the environment", server, status);
    }
    if (code == CURLE_SSL_CONNECT_ERROR) {
        return error_set(error, EPROTO, "%s: there is no TLS with the server: is this the port for https? (%s)", server,
                         text);
    }
    if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY) {
        return error_set(error, EPROTO, "%s: what answers there does not speak HTTP: %s", server, text);
    }
    if (!request->has_head) {
        return error_set(error, EPROTO, "%s: the connection broke off before an answer came, as when the server "
                         "wants another client certificate: %s", server, text);
    }
    return error_set(error, EPROTO, "%s: the answer broke off: %s", server, text);
}

int
http_explain(const struct http_request *request, CURLcode code, struct error *error)
{
    const struct kube_credentials *c = &request->login->c;
    const char *text = words(request, code);
    switch ((int) code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return explain_verification(request, code, error);
    case CURLE_COULDNT_RESOLVE_HOST:
        return error_set(error, EHOSTUNREACH, "%s: the name of the server has no address: %s", c->server, text);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return error_set(error, EHOSTUNREACH, "%s: the name of the proxy has no address: %s", c->server, text);
    case CURLE_COULDNT_CONNECT:
        return explain_connect(request, code, error);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(error, ETIMEDOUT, "%s: no connection within %lld ms: check the address, the route to it, "
                         "firewalls and the proxy (%s)", c->server, request->connect_timeout_ms, text);
    case CURLE_SSL_CERTPROBLEM:
        return error_set(error, EPERM, "%s: our client certificate or its key cannot be used: check "
                         "client-certificate and client-key in the kubeconfig (%s)", c->server, text);
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(error, EPERM, "%s: the certificate authority given cannot be used: check "
                         "certificate-authority in the kubeconfig (%s)", c->server, text);
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return error_set(error, EINVAL, "%s: %s", c->server, text);
    case CURLE_OUT_OF_MEMORY:
        return error_set(error, ENOMEM, "%s: there is no memory for a request", c->server);
    case CURLE_PROXY:
        return error_set(error, ECONNREFUSED, "%s: the proxy refuses to connect to it: %s", c->server, text);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_BAD_CONTENT_ENCODING:
        return explain_broken(request, code, error);
    }
    return error_set(error, EIO, "%s: %s", c->server, text);
}
