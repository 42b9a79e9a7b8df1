#ifndef SLUICE_KUBE_REFLECTOR_H
#define SLUICE_KUBE_REFLECTOR_H 1

/* Keeps a copy of one Kubernetes collection up to date: list in pages, then watch from where the list was.
 *
 * A core of decisions without I/O and clock: what happened goes in with its time ('now', milliseconds of a monotonic
 * clock), and reflector_next() says which request to send.  kube-client.h is the shell around it; tests/sim drives it
 * through seeded histories of cuts, delays, refusals and restored servers.
 *
 *   LIST    limit=N, then continue=TOKEN.  410 (the token has expired) begins again, the second time without pages.  So
 *           does every other failure between two pages, except 429: pages of two servers are not mixed.
 *   WATCH   from the list's resourceVersion, with bookmarks.  An event moves the resourceVersion on.  410, as a status
 *           or as an ERROR event, lists again; so does an event without a resourceVersion or with a smaller one.  A
 *           normal end watches again at once, unless the watch was very short and brought nothing: then it has failed.
 *   PROBE   after a watch has failed, before it goes on: a list with limit=1, whose resourceVersion tells whether the
 *           server has gone back in time (etcd restored from a backup); then it lists again.  Also when nothing came
 *           for so long that the connection may be dead; that alone is no problem, because a server whose etcd does not
 *           tell its progress sends no bookmarks where nothing changes.
 *   wait    after a failure: exponential backoff with jitter, and at least as long as Retry-After says.  Failures of
 *           watches are counted apart from those of lists and probes, because a list that works says nothing of the
 *           watch; an event or bookmark ends the one count, a complete list or a probe the other.
 *   404     of an API server: the collection does not exist (a CRD that is not installed): gone() once, then it is
 *           looked for again.  404 of somebody else, a proxy, is a failure.
 *
 * Listing again does not empty the copy: begin(), the objects, end(); what was not among them is gone then.  Events
 * come outside of begin() and end() only.
 *
 * resourceVersions are compared where both are numbers (KEP-5504), and opaque otherwise.  What no client can see: a
 * server that was restored and has gone on beyond our version before we ask.  "etcdutl snapshot restore
 * --bump-revision" prevents that.
 *
 * Source: the Kubernetes API concepts, "Efficient detection of changes", "Resource versions", "Retrieving large results
 * sets in chunks"; client-go's tools/cache Reflector. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"

#define REFLECTOR_PAGE 500              /* Objects a page. */
#define REFLECTOR_BACKOFF_MIN_MS 200
#define REFLECTOR_BACKOFF_MAX_MS 30000
#define REFLECTOR_ABSENT_MS 30000       /* A collection that does not exist is looked for again. */
#define REFLECTOR_WATCH_MIN_S 300       /* A watch's timeoutSeconds: between this and twice it. */
#define REFLECTOR_IDLE_MS 90000         /* A watch without any byte, bookmarks included (one comes each minute). */

enum reflector_event { REFLECTOR_LISTED, REFLECTOR_ADDED, REFLECTOR_MODIFIED, REFLECTOR_DELETED };

struct reflector_ops {
    void (*begin)(void *aux);                   /* A list begins, perhaps anew in the middle of one. */
    /* 'object' is borrowed.  Items of a list may lack "kind" and "apiVersion". */
    void (*object)(void *aux, enum reflector_event, const json_t *object);
    void (*end)(void *aux);                     /* The list is complete. */
    void (*gone)(void *aux);                    /* The collection does not exist (any more). */
    /* An object that could not be read: not JSON, too large.  'what' names it as far as possible. */
    void (*bad)(void *aux, const char *what);
    /* Members that nobody reads, NULL-terminated; NULL: none.  Those that are objects or arrays are left out of
     * 'object', wherever they stand, without being parsed; labels and annotations may have such names and stay.
     * "managedFields" always belongs to them. */
    const char *const *skip;
};

enum reflector_request_type { REFLECTOR_LIST, REFLECTOR_WATCH, REFLECTOR_PROBE };

struct reflector_request {
    enum reflector_request_type type;
    char *path;                         /* With its query; to be freed by the caller. */
    long long int idle_timeout_ms;      /* 0: none. */
    long long int timeout_ms;           /* 0: none. */
};

struct reflector_stats {
    uint64_t lists, watches, events, bookmarks, failures, gone_back;
};

struct reflector;

/* 'path': "/api/v1/pods"; 'query': more parameters ("fieldSelector=...", escaped), or NULL.  'seed' is for the jitter.
 * The operations stay the caller's. */
struct reflector *reflector_create(const char *path, const char *query, uint32_t seed, const struct reflector_ops *,
                                   void *aux);
void reflector_destroy(struct reflector *);

/* True, with a request to send now, if none is under way and it is time. */
bool reflector_next(struct reflector *, long long int now, struct reflector_request *);
/* When to ask again; LLONG_MAX while a request is under way. */
long long int reflector_next_time(const struct reflector *);
/* Ask for it without waiting: credentials were renewed, or something else tells that the server is back.  Except after
 * a 401 it is done only once between two watches that were alive: two reflectors that take each other's answers for a
 * sign must not drive one another. */
void reflector_kick(struct reflector *, long long int now);

/* While a request is under way: when reflector_settle() is due; LLONG_MAX: not at all.  A watch that has lasted is well, though
 * watches before it ended at once and it has told nothing yet: its problem is over. */
long long int reflector_settle_time(const struct reflector *);
void reflector_settle(struct reflector *, long long int now);

/* What came back: head once, body any number of times, done once ('error' NULL or code 0: complete).  reflector_body()
 * returns false when the request should be ended at once (its done is then ECANCELED). */
void reflector_head(struct reflector *, int status, long long int retry_after_ms, long long int now);
bool reflector_body(struct reflector *, const char *data, size_t size, long long int now);
void reflector_done(struct reflector *, const struct error *, long long int now);

/* A complete list was seen, or the collection is known not to exist. */
bool reflector_synced(const struct reflector *);
bool reflector_absent(const struct reflector *);
/* NULL: all is well; else the last failure: what was done, why it failed, what to do ("cannot list /api/v1/pods: 403
 * Forbidden: ...: no right to list pods: apply deploy/rbac.yaml"). */
const char *reflector_problem(const struct reflector *);
/* The last failure was a 401: the credentials may have been renewed. */
bool reflector_unauthorized(const struct reflector *);
/* There was a 403, no right to read the collection, and no success since. */
bool reflector_forbidden(const struct reflector *);
const char *reflector_resource_version(const struct reflector *);
void reflector_get_stats(const struct reflector *, struct reflector_stats *);

#endif /* lib/kube-reflector.h */
