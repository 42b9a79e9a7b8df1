#include <config.h>

#include "controller/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "ovs-thread.h"
#include "seq.h"
#include "util.h"

struct job {
    struct ovs_list node;
    void (*work)(void *);
    void (*done)(void *);
    void *aux;
};

struct workers {
    pthread_t *threads;
    size_t n_threads;
    size_t n_jobs;                      /* Main thread only. */
    uint64_t seen;                      /* Likewise: of 'finished_seq'. */
    struct seq *finished_seq;

    struct ovs_mutex mutex;
    pthread_cond_t wake;
    struct ovs_list queue OVS_GUARDED;
    struct ovs_list finished OVS_GUARDED;
    bool stop OVS_GUARDED;
};

/* The next job, or NULL at the end. */
static struct job *
next_job(struct workers *w)
{
    struct job *job = NULL;

    ovs_mutex_lock(&w->mutex);
    while (!w->stop && ovs_list_is_empty(&w->queue)) {
        ovs_mutex_cond_wait(&w->wake, &w->mutex);
    }
    if (!w->stop) {
        job = CONTAINER_OF(ovs_list_pop_front(&w->queue), struct job, node);
    }
    ovs_mutex_unlock(&w->mutex);
    return job;
}

static void *
thread_main(void *aux)
{
    struct workers *w = aux;
    struct job *job;

    while ((job = next_job(w))) {
        job->work(job->aux);
        ovs_mutex_lock(&w->mutex);
        ovs_list_push_back(&w->finished, &job->node);
        ovs_mutex_unlock(&w->mutex);
        seq_change(w->finished_seq);
    }
    return NULL;
}

struct workers *
workers_create(size_t n_threads)
{
    struct workers *w = xzalloc(sizeof *w);
    w->finished_seq = seq_create();
    w->seen = seq_read(w->finished_seq);
    ovs_mutex_init(&w->mutex);
    xpthread_cond_init(&w->wake, NULL);
    ovs_list_init(&w->queue);
    ovs_list_init(&w->finished);
    w->n_threads = n_threads;
    w->threads = xcalloc(n_threads, sizeof *w->threads);
    for (size_t i = 0; i < n_threads; i++) {
        w->threads[i] = ovs_thread_create("worker", thread_main, w);
    }
    return w;
}

static void
free_jobs(struct ovs_list *list)
{
    struct job *job;
    LIST_FOR_EACH_POP (job, node, list) {
        free(job);
    }
}

void
workers_destroy(struct workers *w)
{
    if (!w) {
        return;
    }
    ovs_mutex_lock(&w->mutex);
    w->stop = true;
    xpthread_cond_broadcast(&w->wake);
    ovs_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < w->n_threads; i++) {
        xpthread_join(w->threads[i], NULL);
    }
    free_jobs(&w->queue);
    free_jobs(&w->finished);
    seq_destroy(w->finished_seq);
    ovs_mutex_destroy(&w->mutex);
    xpthread_cond_destroy(&w->wake);
    free(w->threads);
    free(w);
}

void
workers_submit(struct workers *w, void (*work)(void *aux), void (*done)(void *aux), void *aux)
{
    struct job *job = xmalloc(sizeof *job);
    job->work = work;
    job->done = done;
    job->aux = aux;
    w->n_jobs++;
    ovs_mutex_lock(&w->mutex);
    ovs_list_push_back(&w->queue, &job->node);
    xpthread_cond_signal(&w->wake);
    ovs_mutex_unlock(&w->mutex);
}

void
workers_run(struct workers *w)
{
    struct ovs_list finished = OVS_LIST_INITIALIZER(&finished);
    struct job *job;

    w->seen = seq_read(w->finished_seq);
    ovs_mutex_lock(&w->mutex);
    ovs_list_push_back_all(&finished, &w->finished);
    ovs_mutex_unlock(&w->mutex);
    LIST_FOR_EACH_POP (job, node, &finished) {
        w->n_jobs--;
        job->done(job->aux);
        free(job);
    }
}

void
workers_wait(struct workers *w)
{
    seq_wait(w->finished_seq, w->seen);
}

size_t
workers_count(const struct workers *w)
{
    return w->n_jobs;
}
