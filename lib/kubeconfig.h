#ifndef SLUICE_KUBECONFIG_H
#define SLUICE_KUBECONFIG_H 1

/* The text of kubeconfig files, merged: what the current context says of the server and of us.
 *
 * Pure: the files that it names are only named (relative to the kubeconfig that names them), kube-credentials.c reads
 * them.
 *
 * Merged as kubectl does: "current-context" is that of the first file that has one; a cluster, user or context is
 * wholly that of the first file that has one of that name.  What stands as data wins over what stands as a file.
 * Unknown members are skipped, as client-go does.
 *
 * Sources: client-go, tools/clientcmd/api/v1/types.go (the format), tools/clientcmd/loader.go (merging). */

#include <stddef.h>

#include "kube-credentials.h"

#define KUBECONFIG_MAX_SIZE (4 * 1024 * 1024)
#define KUBECONFIG_MAX_ENTRIES 10000            /* Clusters, users, contexts: of each, in a file. */

/* One file, borrowed. */
struct kubeconfig_text {
    const char *path;
    const char *data;
    size_t size;
};

/* Given as data, or as the path of a file, or (both NULL) not at all. */
struct kubeconfig_pem {
    struct kube_pem pem;
    char *path;
};

struct kubeconfig {
    char *server;               /* Checked: "https://...", no slash at the end. */
    char *server_name, *proxy;  /* NULL: none. */
    struct kubeconfig_pem ca, certificate, key;
    char *token, *token_path;   /* Both may be given: the file wins, if it can be read. */
    char *username, *password;  /* Both or neither. */
    char *user;                 /* Name of the user, for messages; NULL: a context without one (anonymous). */
};

int kubeconfig_parse(const struct kubeconfig_text *, size_t n, struct kubeconfig *, struct error *);
void kubeconfig_destroy(struct kubeconfig *);

/* Whether 'token' can stand in a header: visible ASCII.  The message does not show it. */
int kubeconfig_check_token(const char *token, struct error *);

/* Whether 'server' is an https URL that can be used; takes the slashes at its end off. */
int kubeconfig_take_server(char *server, struct error *);

void kube_pem_destroy(struct kube_pem *);       /* Wipes it, too. */
void kubeconfig_free_secret(char *);            /* Wipes and frees; NULL is fine. */

#endif /* lib/kubeconfig.h */
