#include <config.h>

#include "kubeconfig.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <jansson.h>

#include "json-get.h"
#include "pem.h"
#include "util.h"
#include "yaml-json.h"

#define MAX_STRING (1024 * 1024)

/* A parsed file. */
struct document {
    const char *path;
    json_t *root;               /* NULL: an empty file. */
};

/* An entry of one of the three lists, and the file that has it. */
struct entry {
    const struct document *from;
    json_t *value;              /* The object below "cluster", "user" or "context"; borrowed. */
};

static int merge(const struct document *, size_t n, struct kubeconfig *, struct error *);
static int find_entry(const struct document *, size_t n, const char *list, const char *member, const char *name,
                      struct entry *, struct error *);
static int read_cluster(const struct entry *, struct kubeconfig *, struct error *);
static int read_user(const struct entry *, struct kubeconfig *, struct error *);

void
kubeconfig_free_secret(char *s)
{
    if (s) {
        explicit_bzero(s, strlen(s));
        free(s);
    }
}

void
kube_pem_destroy(struct kube_pem *pem)
{
    if (pem->data) {
        explicit_bzero(pem->data, pem->size);
        free(pem->data);
    }
    *pem = (struct kube_pem) { NULL, 0 };
}

void
kubeconfig_destroy(struct kubeconfig *config)
{
    struct kubeconfig_pem *pems[] = { &config->ca, &config->certificate, &config->key };

    for (size_t i = 0; i < ARRAY_SIZE(pems); i++) {
        kube_pem_destroy(&pems[i]->pem);
        free(pems[i]->path);
    }
    free(config->server);
    free(config->server_name);
    free(config->proxy);
    kubeconfig_free_secret(config->token);
    free(config->token_path);
    free(config->username);
    kubeconfig_free_secret(config->password);
    free(config->user);
    memset(config, 0, sizeof *config);
}

/* Files ---------------------------------------------------------------------------------------------------------- */

static int
take_document(const json_t *json, size_t line, void *document_, struct error *error)
{
    struct document *document = document_;
    const char *path = document->path;
    char *kind = NULL, *version = NULL;
    int retval = 0;

    if (document->root) {
        return error_set(error, EINVAL, "%s:%zu: a second document; a kubeconfig is one", path, line);
    } else if (!json_is_object(json)) {
        return error_set(error, EINVAL, "%s:%zu: not a kubeconfig: an object is needed", path, line);
    } else if (json_get_string(json, "kind", 256, &kind, error)
               || json_get_string(json, "apiVersion", 256, &version, error)) {
        retval = error_wrap(error, "%s", path);
    } else if ((kind && strcmp(kind, "Config")) || (version && strcmp(version, "v1"))) {
        retval = error_set(error, EINVAL, "%s: not a kubeconfig: apiVersion \"v1\" and kind \"Config\" are needed",
                           path);
    } else {
        document->root = json_incref(CONST_CAST(json_t *, json));
    }
    free(kind);
    free(version);
    return retval;
}

int
kubeconfig_parse(const struct kubeconfig_text *texts, size_t n, struct kubeconfig *config, struct error *error)
{
    struct document *documents = xcalloc(n ? n : 1, sizeof *documents);
    int retval = 0;

    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < n && !retval; i++) {
        documents[i].path = texts[i].path;
        retval = yaml_json_parse(texts[i].path, texts[i].data, texts[i].size, take_document, &documents[i], error);
    }
    if (!retval) {
        retval = merge(documents, n, config, error);
    }
    for (size_t i = 0; i < n; i++) {
        json_decref(documents[i].root);
    }
    free(documents);
    if (retval) {
        kubeconfig_destroy(config);
    }
    return retval;
}

/* Like json_get_string(), but "" is the same as nothing, as for client-go. */
static int
get_string(const json_t *object, const char *key, char **out, struct error *error)
{
    int retval = json_get_string(object, key, MAX_STRING, out, error);
    if (!retval && *out && !**out) {
        free(*out);
        *out = NULL;
    }
    return retval;
}

static int
current_context(const struct document *documents, size_t n, char **name, struct error *error)
{
    for (size_t i = 0; i < n && !*name; i++) {
        int retval = get_string(documents[i].root, "current-context", name, error);
        if (retval) {
            return error_wrap(error, "%s", documents[i].path);
        }
    }
    return *name ? 0 : error_set(error, EINVAL, "%s%s: no \"current-context\", so it is open which cluster is meant; "
                                 "set it (kubectl config use-context NAME)", n ? documents[0].path : "no kubeconfig",
                                 n > 1 ? " and the others" : "");
}

static int
merge(const struct document *documents, size_t n, struct kubeconfig *config, struct error *error)
{
    char *context_name = NULL, *cluster_name = NULL;
    struct entry context, cluster, user;
    int retval = current_context(documents, n, &context_name, error);

    if (!retval) {
        retval = find_entry(documents, n, "contexts", "context", context_name, &context, error);
    }
    if (!retval
        && ((retval = get_string(context.value, "cluster", &cluster_name, error))
            || (retval = get_string(context.value, "user", &config->user, error)))) {
        error_wrap(error, "%s: context \"%s\"", context.from->path, context_name);
    }
    if (!retval && !cluster_name) {
        retval = error_set(error, EINVAL, "%s: context \"%s\" names no cluster", context.from->path, context_name);
    }
    if (!retval && !(retval = find_entry(documents, n, "clusters", "cluster", cluster_name, &cluster, error))
        && (retval = read_cluster(&cluster, config, error))) {
        error_wrap(error, "%s: cluster \"%s\"", cluster.from->path, cluster_name);
    }
    if (!retval && config->user
        && !(retval = find_entry(documents, n, "users", "user", config->user, &user, error))
        && (retval = read_user(&user, config, error))) {
        error_wrap(error, "%s: user \"%s\"", user.from->path, config->user);
    }
    free(context_name);
    free(cluster_name);
    return retval;
}

/* Lists ---------------------------------------------------------------------------------------------------------- */

/* Looks for 'name' in the list 'list' of one file.  '*value' stays NULL if it is not there. */
static int
find_in_file(const json_t *root, const char *list, const char *member, const char *name, json_t **value,
             struct error *error)
{
    json_t *entries = NULL, *entry;
    size_t i;
    int retval = json_get_array(root, list, KUBECONFIG_MAX_ENTRIES, &entries, error);

    json_array_foreach (entries, i, entry) {
        const char *its_name = json_string_value(json_object_get(entry, "name"));
        if (!its_name) {
            return error_set(error, EINVAL, "\"%s\": element %zu has no name", list, i + 1);
        } else if (strcmp(its_name, name)) {
            continue;
        } else if (*value) {
            return error_set(error, EINVAL, "\"%s\" has \"%s\" twice; remove one", list, name);
        }
        *value = json_object_get(entry, member);
        if (!json_is_object(*value)) {
            return error_set(error, EINVAL, "\"%s\": \"%s\" has no object \"%s\"", list, name, member);
        }
    }
    return retval;
}

static int
find_entry(const struct document *documents, size_t n, const char *list, const char *member, const char *name,
           struct entry *entry, struct error *error)
{
    for (size_t i = 0; i < n; i++) {
        json_t *value = NULL;
        int retval = find_in_file(documents[i].root, list, member, name, &value, error);

        if (retval) {
            return error_wrap(error, "%s", documents[i].path);
        } else if (value) {
            *entry = (struct entry) { &documents[i], value };
            return 0;
        }
    }
    return error_set(error, EINVAL, "%s%s: there is no %s \"%s\", which is needed%s", documents[0].path,
                     n > 1 ? " and the others" : "", member, name,
                     strcmp(member, "context") ? "" : " because \"current-context\" names it");
}

/* URLs ----------------------------------------------------------------------------------------------------------- */

static bool
starts_with(const char *s, const char *prefix)
{
    return !strncasecmp(s, prefix, strlen(prefix));
}

static bool
url_part_exists(CURLU *url, CURLUPart part)
{
    char *value = NULL;
    bool exists = !curl_url_get(url, part, &value, 0);
    curl_free(value);
    return exists;
}

/* The parser of libcurl, so that what is taken here is what will be used. */
static int
check_url(const char *text, bool is_server, struct error *error)
{
    CURLU *url = curl_url();
    /* libcurl may be built without a scheme; that shows when it is used. */
    CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) : CURLUE_OUT_OF_MEMORY;
    int retval = 0;

    if ((code || !url_part_exists(url, CURLUPART_HOST)) && is_server) {
        retval = error_set(error, EINVAL, "\"server\": \"%s\" is not a URL; an example: \"https://192.0.2.1:6443\"",
                           text);
    } else if (code || !url_part_exists(url, CURLUPART_HOST)) {
        /* May hold a password: not shown. */
        retval = error_set(error, EINVAL, "\"proxy-url\": it is not a URL; an example: \"http://192.0.2.1:3128\"");
    } else if (is_server && (url_part_exists(url, CURLUPART_QUERY) || url_part_exists(url, CURLUPART_FRAGMENT))) {
        retval = error_set(error, EINVAL, "\"server\": \"%s\" has a query or a fragment, which makes no sense here",
                           text);
    }
    curl_url_cleanup(url);
    return retval;
}

int
kubeconfig_take_server(char *server, struct error *error)
{
    if (starts_with(server, "http://")) {
        return error_set(error, EINVAL, "\"server\": \"%s\" is not encrypted, and what it says could come from "
                         "anybody; use \"https://\"", server);
    } else if (!starts_with(server, "https://")) {
        return error_set(error, EINVAL, "\"server\": \"%s\" must begin with \"https://\"", server);
    } else if (memchr(server, '@', strcspn(server + 8, "/?#") + 8)) {
        return error_set(error, EINVAL, "\"server\": a user and a password stand in the URL; give them as \"username\" "
                         "and \"password\" of the user");
    }
    int retval = check_url(server, true, error);
    for (size_t n = strlen(server); !retval && server[n - 1] == '/'; n--) {
        server[n - 1] = '\0';
    }
    return retval;
}

static int
check_proxy(const char *proxy, struct error *error)
{
    static const char *const schemes[] = { "http://", "https://", "socks5://", "socks5h://" };

    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (starts_with(proxy, schemes[i])) {
            return check_url(proxy, false, error);
        }
    }
    return error_set(error, EINVAL, "\"proxy-url\": it must begin with \"http://\", \"https://\" or \"socks5://\"");
}

static int
check_server_name(const char *name, struct error *error)
{
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char) *p) && !strchr("-._:", *p)) {
            return error_set(error, EINVAL, "\"tls-server-name\": \"%s\" is neither a host name nor an address", name);
        }
    }
    return 0;
}

/* Clusters and users --------------------------------------------------------------------------------------------- */

/* A path below the folder of the kubeconfig. */
static char *
resolve_path(const char *kubeconfig, const char *path)
{
    const char *slash = strrchr(kubeconfig, '/');
    if (path[0] == '/' || !slash) {
        return xstrdup(path);
    }
    return xasprintf("%.*s%s", (int) (slash - kubeconfig + 1), kubeconfig, path);
}

static int
get_path(const struct entry *entry, const char *key, char **out, struct error *error)
{
    char *path = NULL;
    int retval = get_string(entry->value, key, &path, error);

    if (path) {
        *out = resolve_path(entry->from->path, path);
        free(path);
    }
    return retval;
}

/* "KEY-data", else "KEY". */
static int
get_pem(const struct entry *entry, const char *key, int (*check)(const char *, size_t, struct error *),
        struct kubeconfig_pem *out, struct error *error)
{
    char *data_key = xasprintf("%s-data", key), *text = NULL;
    int retval = get_string(entry->value, data_key, &text, error);

    if (!retval && !text) {
        retval = get_path(entry, key, &out->path, error);
    } else if (!retval && !base64_decode(text, strlen(text), &out->pem.data, &out->pem.size)) {
        retval = error_set(error, EINVAL, "\"%s\" is not Base64", data_key);
    } else if (!retval && (retval = check(out->pem.data, out->pem.size, error))) {
        error_wrap(error, "\"%s\"", data_key);
    }
    kubeconfig_free_secret(text);
    free(data_key);
    return retval;
}

static int
read_cluster(const struct entry *entry, struct kubeconfig *config, struct error *error)
{
    const json_t *value = entry->value;
    bool insecure = false;
    int retval;

    if ((retval = get_string(value, "server", &config->server, error))
        || (retval = get_string(value, "tls-server-name", &config->server_name, error))
        || (retval = get_string(value, "proxy-url", &config->proxy, error))
        || (retval = json_get_bool(value, "insecure-skip-tls-verify", &insecure, error))
        || (retval = get_pem(entry, "certificate-authority", pem_check_certificates, &config->ca, error))) {
        return retval;
    } else if (!config->server) {
        return error_set(error, EINVAL, "it has no \"server\"");
    } else if (insecure) {
        return error_set(error, EINVAL, "\"insecure-skip-tls-verify\": a server that is not verified could be "
                         "anybody's; remove it and name the certificates of its issuer as \"certificate-authority\"");
    }
    if ((retval = kubeconfig_take_server(config->server, error))
        || (config->server_name && (retval = check_server_name(config->server_name, error)))
        || (config->proxy && (retval = check_proxy(config->proxy, error)))) {
        return retval;
    }
    return 0;
}

static int
refuse_plugins(const json_t *user, struct error *error)
{
    static const char advice[] = "use a \"tokenFile\" that something else renews, or a client certificate, or run in "
                                 "the cluster with a service account";
    static const char *const plugins[] = { "exec", "auth-provider" };
    static const char *const impersonation[] = { "as", "as-uid", "as-groups", "as-user-extra" };

    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++) {
        const json_t *plugin = json_object_get(user, plugins[i]);
        if (plugin && !json_is_null(plugin)) {
            return error_set(error, ENOTSUP, "\"%s\": a network daemon does not run other programs to get its "
                             "credentials; %s", plugins[i], advice);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(impersonation); i++) {
        const json_t *as = json_object_get(user, impersonation[i]);
        if (as && !json_is_null(as)) {
            return error_set(error, ENOTSUP, "\"%s\": acting as somebody else is not supported; give the credentials "
                             "of the account itself", impersonation[i]);
        }
    }
    return 0;
}

int
kubeconfig_check_token(const char *token, struct error *error)
{
    if (!*token) {
        return error_set(error, EINVAL, "the token is empty");
    }
    for (const char *p = token; *p; p++) {
        if (*p <= ' ' || *p > '~') {
            return error_set(error, EINVAL, "the token has a space or another character at position %td that no token "
                             "has", p - token + 1);
        }
    }
    return 0;
}

static bool
pem_is_given(const struct kubeconfig_pem *pem)
{
    return pem->path || pem->pem.data;
}

/* What is given must fit together, and be something. */
static int
check_user(const struct kubeconfig *config, struct error *error)
{
    bool certificate = pem_is_given(&config->certificate), key = pem_is_given(&config->key);
    bool token = config->token || config->token_path;

    if (certificate != key) {
        return error_set(error, EINVAL, "\"client-%s\" without \"client-%s\"; they belong together",
                         certificate ? "certificate" : "key", certificate ? "key" : "certificate");
    } else if (config->password && !config->username) {
        return error_set(error, EINVAL, "\"password\" without \"username\"");
    } else if (config->username && strpbrk(config->username, ":\r\n")) {
        return error_set(error, EINVAL, "\"username\": it may not have a colon or a line end");
    } else if (token && config->username) {
        return error_set(error, EINVAL, "a token and a username: only one of them can be sent");
    } else if (!token && !certificate && !config->username) {
        return error_set(error, EINVAL, "it has no credentials: \"token\", \"tokenFile\", \"client-certificate\" with "
                         "\"client-key\", or \"username\" with \"password\"");
    } else if (config->token && kubeconfig_check_token(config->token, error)) {
        return error_wrap(error, "\"token\"");
    }
    return 0;
}

static int
read_user(const struct entry *entry, struct kubeconfig *config, struct error *error)
{
    const json_t *value = entry->value;
    int retval;

    if ((retval = refuse_plugins(value, error))
        || (retval = get_string(value, "token", &config->token, error))
        || (retval = get_path(entry, "tokenFile", &config->token_path, error))
        || (retval = get_string(value, "username", &config->username, error))
        || (retval = get_string(value, "password", &config->password, error))
        || (retval = get_pem(entry, "client-certificate", pem_check_certificates, &config->certificate, error))
        || (retval = get_pem(entry, "client-key", pem_check_key, &config->key, error))
        || (retval = check_user(config, error))) {
        return retval;
    }
    if (config->username && !config->password) {
        config->password = xstrdup("");
    }
    return 0;
}
