#ifndef SLUICE_KUBE_CREDENTIALS_H
#define SLUICE_KUBE_CREDENTIALS_H 1

/* Where the Kubernetes API server is, how it proves who it is, and how we prove who we are.
 *
 * From a kubeconfig (KUBECONFIG's syntax: several files separated by colons, merged as kubectl does; the current context),
 * or from the service account that the kubelet mounts into a pod.  Certificates and keys given as files are read here, so
 * that what is used together was read together; relative paths are relative to the kubeconfig that names them.
 *
 * Files change: the kubelet rotates a service account's token, certificates are renewed.  kube_credentials_changed() tells
 * by looking at the files' identity and time; the client looks before it opens a connection and when the server answers 401.
 *
 * Refused, each with a message that says what to do: a server that is not https, skipping the verification of its
 * certificate, exec plugins and auth providers, a missing current context, files that cannot be read.
 *
 * Sources: Kubernetes' client-go, tools/clientcmd/api/v1 (the format); "Accessing the Kubernetes API from a Pod". */

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* PEM text, or NULL.  Not NUL-terminated by contract, though it is. */
struct kube_pem {
    char *data;
    size_t size;
};

struct kube_credentials {
    char *server;               /* "https://HOST[:PORT][/PREFIX]", without a slash at the end. */
    char *server_name;          /* Name in the server's certificate; NULL: HOST. */
    char *proxy;                /* "http://...", "https://...", "socks5://..."; NULL: as the environment says. */
    struct kube_pem ca;         /* Certificates of those who may have signed the server's; NULL: the system's. */
    struct kube_pem certificate, key;           /* Ours; both or neither. */
    char *token;                /* Bearer token; NULL: none. */
    char *username, *password;  /* Basic authentication; NULL: none. */

    /* Private. */
    struct kube_credentials_file *files;
    size_t n_files;
};

/* 'kubeconfig': path or colon-separated paths; NULL: the service account of the pod that we run in, from 'account_dir'
 * (NULL: where the kubelet mounts it) and from KUBERNETES_SERVICE_HOST and _PORT.  Does blocking reads of small files. */
int kube_credentials_load(const char *kubeconfig, const char *account_dir, struct kube_credentials **, struct error *);
void kube_credentials_destroy(struct kube_credentials *);

/* Whether a file that was read is another one now. */
bool kube_credentials_changed(const struct kube_credentials *);

#endif /* lib/kube-credentials.h */
