#include <config.h>

#include "kube-credentials.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kubeconfig.h"
#include "pem.h"
#include "svec.h"
#include "util.h"

#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define MAX_PEM (1024 * 1024)
#define MAX_TOKEN (64 * 1024)

/* A set of files that changes while it is read is read again so often. */
#define MAX_TRIES 3

/* A file as it was when it was read.  All zero but 'path': it was not there. */
struct kube_credentials_file {
    char *path;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

static int load(struct kube_credentials *, const char *kubeconfig, const char *account_dir, struct error *);
static int load_kubeconfig(struct kube_credentials *, const char *paths, struct error *);
static int load_account(struct kube_credentials *, const char *dir, struct error *);

int
kube_credentials_load(const char *kubeconfig, const char *account_dir, struct kube_credentials **credentials,
                      struct error *error)
{
    for (int i = 1; ; i++) {
        struct kube_credentials *loaded = xzalloc(sizeof *loaded);
        ERROR_AUTO struct error mine = ERROR_INIT;
        int retval = load(loaded, kubeconfig, account_dir, &mine);

        if (i < MAX_TRIES && kube_credentials_changed(loaded)) {
            kube_credentials_destroy(loaded);
            continue;
        }
        if (retval) {
            kube_credentials_destroy(loaded);
            error_move(error, &mine);
        } else {
            *credentials = loaded;
        }
        return retval;
    }
}

void
kube_credentials_destroy(struct kube_credentials *credentials)
{
    if (!credentials) {
        return;
    }
    free(credentials->server);
    free(credentials->server_name);
    free(credentials->proxy);
    kube_pem_destroy(&credentials->ca);
    kube_pem_destroy(&credentials->certificate);
    kube_pem_destroy(&credentials->key);
    kubeconfig_free_secret(credentials->token);
    free(credentials->username);
    kubeconfig_free_secret(credentials->password);
    for (size_t i = 0; i < credentials->n_files; i++) {
        free(credentials->files[i].path);
    }
    free(credentials->files);
    free(credentials);
}

static void
identify(struct kube_credentials_file *file, const struct stat *s)
{
    file->dev = s->st_dev;
    file->ino = s->st_ino;
    file->size = s->st_size;
    file->mtime = s->st_mtim;
}

bool
kube_credentials_changed(const struct kube_credentials *credentials)
{
    for (size_t i = 0; i < credentials->n_files; i++) {
        const struct kube_credentials_file *was = &credentials->files[i];
        struct kube_credentials_file is = { .path = was->path };
        struct stat s;

        if (!stat(was->path, &s)) {
            identify(&is, &s);
        }
        if (is.dev != was->dev || is.ino != was->ino || is.size != was->size || is.mtime.tv_sec != was->mtime.tv_sec
            || is.mtime.tv_nsec != was->mtime.tv_nsec) {
            return true;
        }
    }
    return false;
}

/* Files ---------------------------------------------------------------------------------------------------------- */

static struct kube_credentials_file *
add_file(struct kube_credentials *credentials, const char *path)
{
    credentials->files = xrealloc(credentials->files, (credentials->n_files + 1) * sizeof *credentials->files);
    struct kube_credentials_file *file = &credentials->files[credentials->n_files++];
    *file = (struct kube_credentials_file) { .path = xstrdup(path) };
    return file;
}

/* Reads until the end of 'fd', whatever its size was said to be. */
static int
read_all(int fd, const char *path, size_t max, struct kube_pem *out, struct error *error)
{
    struct kube_pem got = { xmalloc(max + 2), 0 };
    ssize_t n;

    while (got.size <= max && (n = read(fd, got.data + got.size, max + 1 - got.size))) {
        if (n < 0 && errno != EINTR) {
            int status = errno;
            kube_pem_destroy(&got);
            return error_set_errno(error, status, "%s: reading", path);
        }
        got.size += n < 0 ? 0 : n;
    }
    if (got.size > max) {
        kube_pem_destroy(&got);
        return error_set(error, EFBIG, "%s: larger than %zu bytes; is it the right file?", path, max);
    }
    got.data[got.size] = '\0';
    out->data = xmemdup0(got.data, got.size);
    out->size = got.size;
    kube_pem_destroy(&got);
    return 0;
}

/* Reads 'path' and keeps what it was. */
static int
read_file(struct kube_credentials *credentials, const char *path, size_t max, struct kube_pem *out, struct error *error)
{
    struct kube_credentials_file *file = add_file(credentials, path);
    /* Not to be held up by a FIFO. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat s;
    int retval;

    if (fd < 0) {
        int status = errno;
        if (!stat(path, &s)) {
            identify(file, &s);
        }
        return error_set_errno(error, status, "%s: opening", path);
    }
    if (fstat(fd, &s)) {
        retval = error_set_errno(error, errno, "%s: looking at it", path);
    } else if (!S_ISREG(s.st_mode)) {
        retval = error_set(error, EINVAL, "%s: not a file", path);
    } else {
        identify(file, &s);
        retval = read_all(fd, path, max, out, error);
    }
    close(fd);
    return retval;
}

static int
read_pem(struct kube_credentials *credentials, const char *path, int (*check)(const char *, size_t, struct error *),
         struct kube_pem *out, struct error *error)
{
    int retval = read_file(credentials, path, MAX_PEM, out, error);
    if (!retval && (retval = check(out->data, out->size, error))) {
        error_wrap(error, "%s", path);
    }
    return retval;
}

/* White space around the token is not part of it, as for client-go. */
static int
read_token(struct kube_credentials *credentials, const char *path, char **token, struct error *error)
{
    struct kube_pem text = { NULL, 0 };
    int retval = read_file(credentials, path, MAX_TOKEN, &text, error);

    if (!retval) {
        const char *begin = text.data, *end = text.data + text.size;
        while (begin < end && isspace((unsigned char) *begin)) {
            begin++;
        }
        while (end > begin && isspace((unsigned char) end[-1])) {
            end--;
        }
        char *trimmed = xmemdup0(begin, end - begin);
        if (memchr(begin, '\0', end - begin)) {
            retval = error_set(error, EINVAL, "%s: not a token, but binary", path);
        } else if ((retval = kubeconfig_check_token(trimmed, error))) {
            error_wrap(error, "%s", path);
        }
        if (retval) {
            kubeconfig_free_secret(trimmed);
        } else {
            kubeconfig_free_secret(*token);
            *token = trimmed;
        }
    }
    kube_pem_destroy(&text);
    return retval;
}

/* Kubeconfig ----------------------------------------------------------------------------------------------------- */

static int
load(struct kube_credentials *credentials, const char *kubeconfig, const char *account_dir, struct error *error)
{
    if (kubeconfig) {
        return load_kubeconfig(credentials, kubeconfig, error);
    }
    int retval = load_account(credentials, account_dir ? account_dir : ACCOUNT_DIR, error);
    return retval ? error_wrap(error, "service account of this pod (no kubeconfig is configured)") : 0;
}

/* The files that 'config' names. */
static int
read_named_files(struct kube_credentials *credentials, const struct kubeconfig *config, struct error *error)
{
    int retval = 0;

    if (config->ca.path) {
        retval = read_pem(credentials, config->ca.path, pem_check_certificates, &credentials->ca, error);
    }
    if (!retval && config->certificate.path) {
        retval = read_pem(credentials, config->certificate.path, pem_check_certificates, &credentials->certificate,
                          error);
    }
    if (!retval && config->key.path) {
        retval = read_pem(credentials, config->key.path, pem_check_key, &credentials->key, error);
    }
    if (!retval && config->token_path) {
        /* With a "token" beside it, that is what is left when the file cannot be read. */
        bool fallback = credentials->token != NULL;
        ERROR_AUTO struct error mine = ERROR_INIT;
        retval = read_token(credentials, config->token_path, &credentials->token, &mine);
        if (retval && fallback) {
            retval = 0;
        } else if (retval) {
            error_move(error, &mine);
        }
    }
    return retval;
}

#define STEAL(P) ({ typeof(P) p__ = (P); (P) = (typeof(P)) { 0 }; p__; })

static int
take_kubeconfig(struct kube_credentials *credentials, struct kubeconfig *config, struct error *error)
{
    credentials->server = STEAL(config->server);
    credentials->server_name = STEAL(config->server_name);
    credentials->proxy = STEAL(config->proxy);
    credentials->ca = STEAL(config->ca.pem);
    credentials->certificate = STEAL(config->certificate.pem);
    credentials->key = STEAL(config->key.pem);
    credentials->token = STEAL(config->token);
    credentials->username = STEAL(config->username);
    credentials->password = STEAL(config->password);
    return read_named_files(credentials, config, error);
}

static void
split_paths(const char *paths, struct svec *out)
{
    char *copy = xstrdup(paths), *save = NULL;

    for (char *path = strtok_r(copy, ":", &save); path; path = strtok_r(NULL, ":", &save)) {
        if (!svec_contains_unsorted(out, path)) {
            svec_add(out, path);
        }
    }
    free(copy);
}

/* Reads those of 'paths' that exist.  One that is alone must. */
static int
read_kubeconfigs(struct kube_credentials *credentials, const struct svec *paths, struct kubeconfig_text *texts,
                 size_t *n, struct error *error)
{
    for (size_t i = 0; i < paths->n; i++) {
        ERROR_AUTO struct error mine = ERROR_INIT;
        struct kube_pem text = { NULL, 0 };
        int retval = read_file(credentials, paths->names[i], KUBECONFIG_MAX_SIZE, &text, &mine);

        if (!retval) {
            texts[(*n)++] = (struct kubeconfig_text) { paths->names[i], text.data, text.size };
        } else if (retval != ENOENT || paths->n == 1) {
            error_move(error, &mine);
            return error_wrap(error, "kubeconfig");
        }
    }
    return *n ? 0 : error_set(error, ENOENT, "kubeconfig: none of its %zu files exists%s%s", paths->n,
                              paths->n ? ", beginning with " : "", paths->n ? paths->names[0] : "");
}

static int
load_kubeconfig(struct kube_credentials *credentials, const char *kubeconfig, struct error *error)
{
    struct svec paths = SVEC_EMPTY_INITIALIZER;
    split_paths(kubeconfig, &paths);

    struct kubeconfig_text *texts = xcalloc(paths.n + 1, sizeof *texts);
    struct kubeconfig config;
    size_t n = 0;
    int retval = read_kubeconfigs(credentials, &paths, texts, &n, error);

    if (!retval && !(retval = kubeconfig_parse(texts, n, &config, error))) {
        retval = take_kubeconfig(credentials, &config, error);
        kubeconfig_destroy(&config);
    }
    for (size_t i = 0; i < n; i++) {
        kubeconfig_free_secret(CONST_CAST(char *, texts[i].data));
    }
    free(texts);
    svec_destroy(&paths);
    return retval;
}

/* Service account ------------------------------------------------------------------------------------------------ */

static int
server_from_environment(char **server, struct error *error)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");

    if (!host || !*host || !port || !*port) {
        return error_set(error, ENOENT, "%s is not set, as the kubelet does in every pod; outside a pod configure a "
                         "kubeconfig", host && *host ? "KUBERNETES_SERVICE_PORT" : "KUBERNETES_SERVICE_HOST");
    } else if (port[strspn(port, "0123456789")]) {
        return error_set(error, EINVAL, "KUBERNETES_SERVICE_PORT: \"%s\" is not a port", port);
    }
    *server = xasprintf(strchr(host, ':') && *host != '[' ? "https://[%s]:%s" : "https://%s:%s", host, port);
    int retval = kubeconfig_take_server(*server, error);
    return retval ? error_wrap(error, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT") : 0;
}

static int
load_account(struct kube_credentials *credentials, const char *dir, struct error *error)
{
    char *token_path = xasprintf("%s/token", dir), *ca_path = xasprintf("%s/ca.crt", dir);
    int retval = server_from_environment(&credentials->server, error);

    if (!retval) {
        retval = read_token(credentials, token_path, &credentials->token, error);
    }
    if (!retval) {
        retval = read_pem(credentials, ca_path, pem_check_certificates, &credentials->ca, error);
    }
    free(token_path);
    free(ca_path);
    return retval;
}
