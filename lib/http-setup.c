#include <config.h>

#include "http-private.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "util.h"

/* A peer that is gone is found after this: the first probe, and how long it may stay without an answer. */
#define KEEPALIVE_S 15
#define USER_TIMEOUT_MS 30000
/* libcurl's receive buffer of each transfer.  Small: watches are many and idle, and what one buffer unpacks to is
 * kept in memory while a transfer is paused. */
#define RECEIVE_BUFFER 4096
#define UPLOAD_BUFFER 16384             /* The least that libcurl takes. */

static bool
string_equals(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "") && !a == !b;
}

static bool
pem_equals(const struct kube_pem *a, const struct kube_pem *b)
{
    return !a->data == !b->data && (!a->data || (a->size == b->size && !memcmp(a->data, b->data, a->size)));
}

static struct kube_pem
pem_clone(const struct kube_pem *pem)
{
    return (struct kube_pem) { .data = pem->data ? xmemdup0(pem->data, pem->size) : NULL, .size = pem->size };
}

struct http_login *
http_login_create(const struct kube_credentials *c)
{
    struct http_login *login = xzalloc(sizeof *login);
    login->n_refs = 1;
    login->c = (struct kube_credentials) {
        .server = xstrdup(c->server),
        .server_name = nullable_xstrdup(c->server_name),
        .proxy = nullable_xstrdup(c->proxy),
        .ca = pem_clone(&c->ca),
        .certificate = pem_clone(&c->certificate),
        .key = pem_clone(&c->key),
        .token = nullable_xstrdup(c->token),
        .username = nullable_xstrdup(c->username),
        .password = nullable_xstrdup(c->password),
    };
    return login;
}

struct http_login *
http_login_ref(struct http_login *login)
{
    login->n_refs++;
    return login;
}

static void
free_secret(char *data, size_t size)
{
    if (data) {
        explicit_bzero(data, size);
        free(data);
    }
}

void
http_login_unref(struct http_login *login)
{
    if (login && !--login->n_refs) {
        struct kube_credentials *c = &login->c;
        free(c->server);
        free(c->server_name);
        free(c->proxy);
        free(c->ca.data);
        free(c->certificate.data);
        free_secret(c->key.data, c->key.size);
        free_secret(c->token, c->token ? strlen(c->token) : 0);
        free(c->username);
        free_secret(c->password, c->password ? strlen(c->password) : 0);
        free(login);
    }
}

bool
http_login_equals(const struct http_login *login, const struct kube_credentials *b)
{
    const struct kube_credentials *a = &login->c;
    return (string_equals(a->server, b->server) && string_equals(a->server_name, b->server_name)
            && string_equals(a->proxy, b->proxy) && string_equals(a->token, b->token)
            && string_equals(a->username, b->username) && string_equals(a->password, b->password)
            && pem_equals(&a->ca, &b->ca) && pem_equals(&a->certificate, &b->certificate)
            && pem_equals(&a->key, &b->key));
}

static void
add_header(struct http_request *request, const char *name, const char *value)
{
    char *line = xasprintf("%s: %s", name, value);
    request->headers = curl_slist_append(request->headers, line);
    free_secret(line, strlen(line));
}

/* The peer's name in the certificate may be another than the one to connect to. */
static int
set_url(struct http_request *request, const char *path, struct error *error)
{
    const struct kube_credentials *c = &request->login->c;
    CURLU *url = curl_url();
    char *text = xasprintf("%s%s", c->server, path);
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
    if (!code && c->server_name) {
        char *host = NULL, *port = NULL, *whole = NULL;
        curl_url_get(url, CURLUPART_HOST, &host, 0);
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
        char *connect_to = xasprintf("::%s:%s", host, port), *authority = xasprintf("%s:%s", host, port);
        request->connect_to = curl_slist_append(NULL, connect_to);
        add_header(request, "Host", authority);
        code = curl_url_set(url, CURLUPART_HOST, c->server_name, 0);
        if (!code && !curl_url_get(url, CURLUPART_URL, &whole, 0)) {
            free(text);
            text = xstrdup(whole);
        }
        curl_free(host);
        curl_free(port);
        curl_free(whole);
        free(connect_to);
        free(authority);
    }
    curl_url_cleanup(url);
    if (code) {
        error_set(error, EINVAL, "%s%s: this is not a URL: %s", c->server, path, curl_url_strerror(code));
    } else {
        curl_easy_setopt(request->easy, CURLOPT_URL, text);
        curl_easy_setopt(request->easy, CURLOPT_CONNECT_TO, request->connect_to);
    }
    free(text);
    return code ? EINVAL : 0;
}

static curl_socket_t
on_open_socket(void *request_, curlsocktype purpose OVS_UNUSED, struct curl_sockaddr *address)
{
    struct http_request *request = request_;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        return CURL_SOCKET_BAD;
    }
    unsigned int timeout = USER_TIMEOUT_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);    /* Only helps: works without as well. */

    char host[48], port[8];
    if (!getnameinfo(&address->addr, address->addrlen, host, sizeof host, port, sizeof port,
                     NI_NUMERICHOST | NI_NUMERICSERV)) {
        snprintf(request->peer, sizeof request->peer, strchr(host, ':') ? " ([%s]:%s)" : " (%s:%s)", host, port);
    }
    return fd;
}

static void
set_connection(struct http_request *request)
{
    CURL *easy = request->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);        /* See http.h. */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long) UPLOAD_BUFFER);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long) KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long) KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (request->login->c.proxy) {
        curl_easy_setopt(easy, CURLOPT_PROXY, request->login->c.proxy);
        /* The environment's exceptions are for the environment's proxy. */
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    }
}

static void
set_blob(CURL *easy, CURLoption option, const struct kube_pem *pem)
{
    struct curl_blob blob = { .data = pem->data, .len = pem->size, .flags = CURL_BLOB_NOCOPY };
    curl_easy_setopt(easy, option, &blob);
}

static void
set_tls(CURL *easy, const struct kube_credentials *c)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);       /* For the names in the message about a wrong one. */
    if (c->ca.data) {
        /* The system's own directory would be trusted beside it. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        set_blob(easy, CURLOPT_CAINFO_BLOB, &c->ca);
    }
    if (c->certificate.data) {
        curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
        curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
        set_blob(easy, CURLOPT_SSLCERT_BLOB, &c->certificate);
        set_blob(easy, CURLOPT_SSLKEY_BLOB, &c->key);
    }
}

/* Who we are. */
static int
set_authentication(struct http_request *request, struct error *error)
{
    const struct kube_credentials *c = &request->login->c;
    if (c->token) {
        for (const char *p = c->token; *p; p++) {
            if (!isgraph((unsigned char) *p)) {
                return error_set(error, EINVAL, "%s: the bearer token has a space or a control character in it",
                                 c->server);
            }
        }
        char *value = xasprintf("Bearer %s", c->token);
        add_header(request, "Authorization", value);
        free_secret(value, strlen(value));
    } else if (c->username) {
        curl_easy_setopt(request->easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
        curl_easy_setopt(request->easy, CURLOPT_USERNAME, c->username);
        curl_easy_setopt(request->easy, CURLOPT_PASSWORD, c->password ? c->password : "");
    }
    return 0;
}

static void
set_message(struct http_request *request, const struct http_options *options, const char *user_agent)
{
    CURL *easy = request->easy;
    curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    add_header(request, "Accept", options->accept ? options->accept : "application/json");
    if (strcmp(options->method, "GET")) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, options->method);
    }
    if (options->body) {
        request->body = xmemdup0(options->body, options->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) options->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
        add_header(request, "Content-Type", options->content_type ? options->content_type : "application/json");
        request->headers = curl_slist_append(request->headers, "Expect:");
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
}

int
http_setup(struct http_request *request, const struct http_options *options, const char *user_agent,
           struct error *error)
{
    if (!request->login) {
        return error_set(error, EINVAL, "%s %s: there are no credentials yet, and so no server", options->method,
                         options->path);
    }
    request->easy = curl_easy_init();
    if (!request->easy) {
        return error_set(error, ENOMEM, "%s: there is no memory for a request", request->login->c.server);
    }
    int code = set_url(request, options->path, error);
    if (!code) {
        code = set_authentication(request, error);
    }
    if (!code) {
        curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request);
        curl_easy_setopt(request->easy, CURLOPT_ERRORBUFFER, request->text);
        set_connection(request);
        set_tls(request->easy, &request->login->c);
        set_message(request, options, user_agent);
    }
    return code;
}
