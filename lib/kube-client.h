#ifndef SLUICE_KUBE_CLIENT_H
#define SLUICE_KUBE_CLIENT_H 1

/* The connection to a Kubernetes API server: any number of reflectors (kube-reflector.h) and single requests, over one
 * set of credentials (kube-credentials.h) that is read again when its files change or the server answers 401.
 *
 * Follows the run / wait pattern; nothing blocks but reading the small files of credentials.  Callbacks come from within
 * kube_client_run() only. */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "error.h"
#include "kube-reflector.h"

struct kube_client;
struct kube_call;

/* As for kube_credentials_load().  Credentials that cannot be read now are a problem, and tried again. */
struct kube_client *kube_client_create(const char *kubeconfig, const char *account_dir, const char *user_agent);
void kube_client_destroy(struct kube_client *);
void kube_client_run(struct kube_client *);
void kube_client_wait(struct kube_client *);

/* Keeps a collection; see reflector_create().  The reflector is the client's and goes with it.  That an 'optional' one
 * may not be read (403) is no problem of the client's. */
const struct reflector *kube_client_reflect(struct kube_client *, const char *path, const char *query, bool optional,
                                            const struct reflector_ops *, void *aux);

/* A single request.  'body' may be NULL and is borrowed.  'cb' is called once with the answer: an HTTP status and its JSON (NULL
 * when it has none, borrowed), or status 0 and 'error'.  Retrying is the caller's. */
typedef void kube_call_cb(void *aux, int status, long long int retry_after_ms, const json_t *answer, const struct error *);
struct kube_call *kube_client_call(struct kube_client *, const char *method, const char *path, const char *content_type,
                                   const json_t *body, kube_call_cb *, void *aux);
void kube_call_cancel(struct kube_call *);      /* 'cb' is not called any more. */

/* NULL: the server answers.  Else why not: no credentials, no connection, not allowed. */
const char *kube_client_problem(const struct kube_client *);
const char *kube_client_server(const struct kube_client *);     /* URL; NULL while not known. */

#endif /* lib/kube-client.h */
