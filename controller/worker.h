#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H 1

/* Threads for what would block the main loop: network namespaces, rtnetlink.
 *
 * A job is run once in one of the threads, several jobs side by side and in no order; its completion is delivered by
 * workers_run() in the main loop, which workers_wait() wakes.  A job shares nothing with the main thread between the
 * two.  Threads without a job sleep, without a timer. */

#include <stddef.h>

struct workers;

struct workers *workers_create(size_t n_threads);
/* Waits for the jobs that run, drops those that have not begun and delivers no completion any more.  'done' of a
 * dropped job is not called, so its memory is lost: only for the end of the process. */
void workers_destroy(struct workers *);

/* 'work' in a thread, then 'done' in the main loop. */
void workers_submit(struct workers *, void (*work)(void *aux), void (*done)(void *aux), void *aux);
void workers_run(struct workers *);
void workers_wait(struct workers *);
/* Jobs that are not done. */
size_t workers_count(const struct workers *);

#endif /* controller/worker.h */
