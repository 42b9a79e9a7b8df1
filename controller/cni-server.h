#ifndef SLUICE_CNI_SERVER_H
#define SLUICE_CNI_SERVER_H 1

/* The daemon's socket for ovs-cni (lib/cni-wire.h).
 *
 * Mode 0600, so that only root can ask.  A socket that a dead daemon left is replaced; the caller makes sure that no
 * other daemon lives (the lock of the pid file).  At most CNI_SERVER_MAX_CLIENTS connections are served at once, later
 * ones wait in the kernel's queue.  A client that does not finish its request in CNI_SERVER_READ_MS is dropped.
 *
 * Each request is handed to 'request' with a number (never 0, never used again), to be answered later by
 * cni_server_reply(); when its client goes before that, 'gone' is called. */

#include <stdint.h>

#include "cni-wire.h"
#include "error.h"

struct cni_server;

#define CNI_SERVER_MAX_CLIENTS 1024
#define CNI_SERVER_READ_MS 10000

struct cni_server_class {
    /* 'rq' stays the server's.  'netns_fd' (-1: none) is now the callee's.  'started': when the client's process was
     * started, milliseconds of the wall clock. */
    void (*request)(void *aux, uint64_t number, const struct cni_request *rq, int netns_fd, long long int started);
    void (*gone)(void *aux, uint64_t number);
};

int cni_server_create(const char *path, const struct cni_server_class *, void *aux, struct cni_server **, struct error *);
/* Removes the socket. */
void cni_server_destroy(struct cni_server *);
void cni_server_run(struct cni_server *);
void cni_server_wait(struct cni_server *);
/* An unknown number is fine: its client has gone. */
void cni_server_reply(struct cni_server *, uint64_t number, const struct cni_reply *);

#endif /* controller/cni-server.h */
