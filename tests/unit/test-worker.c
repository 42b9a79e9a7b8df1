#include <config.h>

#include <pthread.h>

#include "controller/worker.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "unit.h"
#include "util.h"

struct job {
    pthread_t main, worker, done;
    int n_work, n_done;
    pthread_barrier_t *together;
};

static void
work(void *job_)
{
    struct job *job = job_;
    job->worker = pthread_self();
    job->n_work++;
    if (job->together) {
        pthread_barrier_wait(job->together);
    }
}

static void
done(void *job_)
{
    struct job *job = job_;
    job->done = pthread_self();
    job->n_done++;
}

static void
finish(struct workers *w)
{
    long long int deadline = time_msec() + 10000;
    while (workers_count(w)) {
        workers_run(w);
        ck_assert(time_msec() < deadline);
        if (workers_count(w)) {
            workers_wait(w);
            poll_timer_wait_until(deadline);
            poll_block();               /* The completion wakes it: there is no other timer. */
        }
    }
}

START_TEST(test_jobs)
{
    struct workers *w = workers_create(3);
    struct job jobs[200] = { { .n_work = 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        workers_submit(w, work, done, &jobs[i]);
    }
    finish(w);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        ck_assert_int_eq(jobs[i].n_work, 1);
        ck_assert_int_eq(jobs[i].n_done, 1);
        ck_assert(!pthread_equal(jobs[i].worker, pthread_self()));
        ck_assert(pthread_equal(jobs[i].done, pthread_self()));
    }
    workers_destroy(w);
}
END_TEST

START_TEST(test_side_by_side)           /* A job that blocks does not keep others from running. */
{
    struct workers *w = workers_create(2);
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 2);
    struct job jobs[2] = { { .together = &together }, { .together = &together } };
    workers_submit(w, work, done, &jobs[0]);
    workers_submit(w, work, done, &jobs[1]);
    finish(w);
    ck_assert(!pthread_equal(jobs[0].worker, jobs[1].worker));
    pthread_barrier_destroy(&together);
    workers_destroy(w);
}
END_TEST

START_TEST(test_destroy)                /* With jobs that nobody waits for. */
{
    struct workers *w = workers_create(1);
    struct job jobs[50] = { { .n_work = 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        workers_submit(w, work, done, &jobs[i]);
    }
    workers_destroy(w);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        ck_assert_int_le(jobs[i].n_work, 1);
        ck_assert_int_eq(jobs[i].n_done, 0);
    }
}
END_TEST

UNIT_MAIN("worker", {
    tcase_add_test(tc, test_jobs);
    tcase_add_test(tc, test_side_by_side);
    tcase_add_test(tc, test_destroy);
})
