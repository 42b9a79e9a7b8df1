#ifndef SLUICE_KUBE_REFLECTOR_PRIVATE_H
#define SLUICE_KUBE_REFLECTOR_PRIVATE_H 1

/* What the two halves of the reflector share: kube-reflector.c decides which request comes next and when, and
 * kube-reflector-body.c reads what comes back. */

#include <string.h>

#include "json-split.h"
#include "kube-reflector.h"

/* What a request came to. */
enum reflector_outcome {
    OUTCOME_OPEN,               /* Not known yet. */
    OUTCOME_DONE,               /* Complete: a page, a probe, a watch that ended as it should. */
    OUTCOME_EXPIRED,            /* 410: the server does not remember so far back. */
    OUTCOME_GONE_BACK,          /* The server is where it was before. */
    OUTCOME_ABSENT,             /* 404 */
    OUTCOME_QUIET,              /* A watch without a sign of life: is anybody there? */
    OUTCOME_FAILED,             /* Try again later. */
    OUTCOME_UNUSABLE            /* Try again later, with a list. */
};

/* One request and what is known of its answer. */
struct reflector_answer {
    enum reflector_request_type type;
    long long int started;
    int status;                 /* 0: no head yet. */
    long long int retry_after_ms;       /* -1: not said. */
    struct json_split *split;   /* Of status 200; else NULL, and... */
    char *text;                 /* ...the beginning of the body. */
    size_t size;
    char *resource_version, *continue_token;    /* Of a list's metadata. */
    bool advanced;              /* A watch told something new. */
    enum reflector_outcome outcome;
};

struct reflector {
    char *path, *query, *resource;      /* 'resource' points into 'path': "pods". */
    const struct reflector_ops *ops;
    void *aux;
    const char **skip;          /* ops->skip and ours. */
    uint32_t random;

    enum reflector_request_type next;   /* The request to send at 'next_time'. */
    long long int next_time;
    bool under_way;
    struct reflector_answer answer;

    char *resource_version;     /* How far the copy is; NULL: there is none. */
    char *list_version;         /* Of the list's first page, while it goes on. */
    char *continue_token;       /* The list goes on here; NULL: it begins. */
    unsigned int n_expired;     /* Lists in a row whose token expired. */
    unsigned int n_failures;    /* Lists and probes in a row that failed. */
    unsigned int n_fruitless;   /* Watches in a row that failed or ended at once, and brought nothing. */
    unsigned int n_short;       /* Those of them that had begun well. */

    bool kicked;                /* Since a watch was last alive. */

    bool synced, absent, unauthorized, forbidden;
    char *problem;
    struct reflector_stats stats;
};

/* The head has come: makes ready for the body. */
void reflector_answer_begin(struct reflector *);
/* False: the request is to be ended, and answer.outcome says why. */
bool reflector_answer_body(struct reflector *, const char *data, size_t size);
/* The outcome; sets the problem where it is a failure.  'error' as for reflector_done(). */
enum reflector_outcome reflector_answer_end(struct reflector *, const struct error *);
void reflector_answer_clear(struct reflector *);

/* -1, 0 or 1 if both are numbers (Kubernetes, KEP-5504); 0 if one is opaque or NULL. */
int reflector_compare_versions(const char *a, const char *b);

/* "list" or "watch". */
const char *reflector_verb(const struct reflector *);
/* "cannot list /api/v1/pods: ..." */
void reflector_set_problem(struct reflector *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reflector_clear_problem(struct reflector *);
/* The watch has told something, or has lasted. */
void reflector_watch_lives(struct reflector *);

/* tests/sim/sim-reflector plants these. */
#ifdef REFLECTOR_BUGS
extern const char *reflector_bug;
#define REFLECTOR_BUG(NAME) (reflector_bug && !strcmp(reflector_bug, NAME))
#else
#define REFLECTOR_BUG(NAME) false
#endif

#endif /* lib/kube-reflector-private.h */
