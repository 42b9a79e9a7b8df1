/* bench-policy-match: what it costs to know which selectors select which pods (controller/policy-match.h).
 *
 *     bench-policy-match
 *
 * Whole clusters built in both orders and taken down, with the memory they need; growth; single events beside few and
 * many terms that they have nothing to do with; pods of large classes.  Time is that of this thread alone, so other work
 * on the machine changes it little; "most / least" compares only figures of the same run. */

#include <config.h>

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/policy-match.h"
#include "intern.h"
#include "util.h"

static double
busy_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Objects as the store has them: strings and sets of labels are shared. ------------------------------------------- */

struct world {
    struct intern *pool;
    struct kube_pod *pods;
    size_t n_pods;
    struct world_term {
        const char *namespace_;
        struct kube_selector namespaces, pods;
        struct match_term *term;
    } *terms;
    size_t n_terms;
    const char **namespaces;            /* Each with a label company=. */
    size_t n_namespaces;
};

static const char *
name(struct world *w, const char *prefix, size_t i)
{
    char buf[64];
    snprintf(buf, sizeof buf, "%s%"PRIuSIZE, prefix, i);
    return intern_share(w->pool, intern_string(buf));
}

static void
world_create(struct world *w, size_t n_namespaces, size_t n_pods, size_t n_terms)
{
    *w = (struct world) { .pool = intern_create(), .pods = xcalloc(n_pods, sizeof *w->pods),
                          .terms = xcalloc(n_terms, sizeof *w->terms),
                          .namespaces = xcalloc(n_namespaces, sizeof *w->namespaces) };
    for (; w->n_namespaces < n_namespaces; w->n_namespaces++) {
        w->namespaces[w->n_namespaces] = name(w, "namespace-", w->n_namespaces);
    }
}

/* A pod with one label. */
static struct kube_pod *
add_pod(struct world *w, const char *namespace_, const char *key, const char *value)
{
    struct kube_pod *pod = &w->pods[w->n_pods++];
    const char *pair[2] = { key, value };

    pod->object.namespace_ = namespace_;
    intern_ref(key);
    intern_ref(value);
    pod->object.labels = intern_share(w->pool, intern_tuple(pair, 2));
    return pod;
}

static struct kube_selector
selector(const char *key, const char *value)
{
    struct kube_selector s = { NULL, 0 };

    if (key) {
        s.n_requirements = 1;
        s.requirements = xzalloc(sizeof *s.requirements);
        *s.requirements = (struct kube_requirement) { .key = key, .op = KUBE_OP_IN, .n_values = 1,
                                                      .values = xmalloc(sizeof *s.requirements->values) };
        s.requirements->values[0] = value;
    }
    return s;
}

/* namespace_ NULL: of the namespaces with the label company=. */
static struct world_term *
add_term(struct world *w, const char *namespace_, const char *company, const char *key, const char *value)
{
    struct world_term *t = &w->terms[w->n_terms++];

    t->namespace_ = namespace_;
    t->namespaces = selector(company ? name(w, "company", 0) : NULL, company);
    t->pods = selector(key, value);
    return t;
}

static void
ref(struct policy_match *m, struct world_term *t)
{
    t->term = policy_match_term_ref(m, t->namespace_, t->namespace_ ? NULL : &t->namespaces, &t->pods);
}

static struct kube_namespace *
make_namespace(struct world *w, size_t company)
{
    struct kube_namespace *ns = xzalloc(sizeof *ns);
    const char *pair[2] = { name(w, "company", 0), name(w, "", company) };

    ns->object.labels = intern_share(w->pool, intern_tuple(pair, 2));
    return ns;
}

/* Shapes of clusters.  Each namespace has classes of 'n' pods. ------------------------------------------------------ */

static void
make_namespaced(struct world *w, size_t n_namespaces, size_t n_labels, size_t n_pods)
{
    world_create(w, n_namespaces, n_namespaces * n_labels * n_pods, n_namespaces * (n_labels + 1));
    for (size_t i = 0; i < n_namespaces; i++) {
        add_term(w, w->namespaces[i], NULL, NULL, NULL);
        for (size_t k = 0; k < n_labels; k++) {
            const char *key = name(w, "app-", k), *value = name(w, "scale-", k);

            add_term(w, w->namespaces[i], NULL, key, value);
            for (size_t n = 0; n < n_pods; n++) {
                add_pod(w, w->namespaces[i], key, value);
            }
        }
    }
}

static void
small_namespaces(struct world *w)
{
    make_namespaced(w, 25000, 2, 2);
}

static void
large_namespaces(struct world *w)
{
    make_namespaced(w, 100, 100, 10);
}

static void
pairs(struct world *w, size_t n)
{
    make_namespaced(w, 1, n / 2, 2);
}

static void
policy_per_pod(struct world *w)
{
    pairs(w, 10000);
}

static void
cluster_scoped(struct world *w)
{
    world_create(w, 1000, 100000, 1000);
    for (size_t k = 0; k < 1000; k++) {
        add_term(w, NULL, name(w, "", k / 10), name(w, "app", 0), name(w, "", k % 10));
    }
    for (size_t i = 0; i < 100000; i++) {
        add_pod(w, w->namespaces[i / 100], name(w, "app", 0), name(w, "", i / 10 % 10));
    }
}

/* Each term selects two classes: one label in two of 1,000 namespaces. */
static void
everywhere(struct world *w, size_t n)
{
    world_create(w, 1000, n, n / 2);
    for (size_t i = 0; i < n / 2; i++) {
        add_term(w, NULL, NULL, name(w, "key-", i % 50), name(w, "value-", i));
        add_pod(w, w->namespaces[i % 1000], name(w, "key-", i % 50), name(w, "value-", i));
        add_pod(w, w->namespaces[(i + 500) % 1000], name(w, "key-", i % 50), name(w, "value-", i));
    }
}

static void
everywhere_10000(struct world *w)
{
    everywhere(w, 10000);
}

static size_t
pop_all(struct policy_match *m)
{
    size_t n = 0;

    while (policy_match_pop_changed(m)) {
        n++;
    }
    return n;
}

static size_t
memory(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

struct cost {
    double pods, terms, pop, removal;   /* Nanoseconds. */
    size_t memory, class_memory;        /* Of everything; of the classes before there are terms.  Bytes. */
    size_t n_classes, n_pairs;
};

static void
add_all(struct policy_match *m, struct world *w, bool terms, struct cost *cost)
{
    double start = busy_ns();

    for (size_t i = 0; terms && i < w->n_terms; i++) {
        ref(m, &w->terms[i]);
    }
    for (size_t i = 0; !terms && i < w->n_pods; i++) {
        policy_match_add_pod(m, &w->pods[i]);
    }
    *(terms ? &cost->terms : &cost->pods) = busy_ns() - start;
}

static struct cost
run(struct world *w, bool terms_first)
{
    struct policy_match *m = policy_match_create();
    size_t before = memory();
    struct cost cost = { 0 };

    for (size_t i = 0; i < w->n_namespaces; i++) {
        struct kube_namespace *ns = make_namespace(w, i % 100);
        policy_match_namespace(m, w->namespaces[i], ns);
        free(ns);
    }
    size_t namespaces = memory();
    add_all(m, w, terms_first, &cost);
    cost.class_memory = memory() - namespaces;
    add_all(m, w, !terms_first, &cost);

    double start = busy_ns();
    pop_all(m);
    cost.pop = busy_ns() - start;
    cost.memory = memory() - before;
    cost.n_classes = policy_match_n_classes(m);
    for (size_t i = 0; i < w->n_terms; i++) {
        cost.n_pairs += w->terms[i].term->n_classes;
    }

    start = busy_ns();
    for (size_t i = 0; i < w->n_terms && terms_first; i++) {
        policy_match_term_unref(m, w->terms[i].term);
    }
    for (size_t i = 0; i < w->n_pods; i++) {
        policy_match_remove_pod(m, &w->pods[i]);
    }
    for (size_t i = 0; i < w->n_terms && !terms_first; i++) {
        policy_match_term_unref(m, w->terms[i].term);
    }
    pop_all(m);
    cost.removal = busy_ns() - start;
    policy_match_destroy(m);
    return cost;
}

static void
bench_shape(const char *title, void (*make)(struct world *))
{
    struct world w;

    make(&w);
    printf("%-17s %8"PRIuSIZE" %8"PRIuSIZE, title, w.n_pods, w.n_terms);
    for (int terms_first = 0; terms_first < 2; terms_first++) {
        struct cost best = { .pods = INFINITY };

        for (int i = 0; i < 3; i++) {
            struct cost c = run(&w, terms_first);
            best = c.pods + c.terms + c.pop < best.pods + best.terms + best.pop ? c : best;
        }
        if (!terms_first) {
            printf(" %8"PRIuSIZE" %8"PRIuSIZE" %5.1f MB %5.0f B", best.n_classes, best.n_pairs, best.memory / 1e6,
                   (double) best.class_memory / best.n_classes);
        }
        printf(" | %6.1f %6.1f %6.1f %6.1f ms", best.pods / 1e6, best.terms / 1e6, best.pop / 1e6, best.removal / 1e6);
    }
    printf("\n");
}

static void
bench_growth(const char *title, void (*make)(struct world *, size_t n))
{
    double first = 0;

    printf("%-35s", title);
    for (size_t n = 2500; n <= 40000; n *= 2) {
        double best = INFINITY;
        struct world w;

        make(&w, n);
        for (int i = 0; i < 5; i++) {
            struct cost c = run(&w, i % 2);
            best = MIN(best, (c.pods + c.terms + c.pop + c.removal) / n);
        }
        first = first ? first : best;
        printf(" %6.0f ns", best);
        if (n == 40000) {
            printf("   %.2f", best / first);
        }
    }
    printf("\n");
}

/* Events beside 'n' namespaces with a term, a class and a pod each, that they have nothing to do with. --------------- */

struct event_costs {
    double pod, class, term, namespace_;
};

static struct event_costs
run_events(size_t n)
{
    enum { N = 20000 };
    struct event_costs costs;
    struct policy_match *m = policy_match_create();
    struct world w;

    world_create(&w, n + 1, n + 3, n + 3);
    for (size_t i = 0; i < n; i++) {
        add_pod(&w, w.namespaces[i], name(&w, "app", 0), name(&w, "a-", i));
        add_term(&w, i % 2 ? w.namespaces[i] : NULL, i % 4 ? NULL : name(&w, "", 99), name(&w, "app", 0),
                 name(&w, "a-", i));
    }
    for (size_t i = 0; i < n; i++) {
        policy_match_add_pod(m, &w.pods[i]);
        ref(m, &w.terms[i]);
    }
    const char *ns = w.namespaces[n];
    struct kube_pod *pod = add_pod(&w, ns, name(&w, "app", 0), name(&w, "web", 0));
    struct kube_pod *same = add_pod(&w, ns, name(&w, "app", 0), name(&w, "web", 0));
    struct kube_pod *other = add_pod(&w, ns, name(&w, "app", 0), name(&w, "db", 0));
    struct world_term *own = add_term(&w, ns, NULL, name(&w, "app", 0), name(&w, "web", 0));
    struct world_term *company = add_term(&w, NULL, name(&w, "", 7), name(&w, "app", 0), name(&w, "web", 0));
    struct kube_namespace *objects[2] = { make_namespace(&w, 7), make_namespace(&w, 8) };

    policy_match_namespace(m, ns, objects[0]);
    policy_match_add_pod(m, pod);
    ref(m, company);
    pop_all(m);

    double start = busy_ns();
    for (int i = 0; i < N; i++) {
        policy_match_add_pod(m, same);
        policy_match_remove_pod(m, same);
    }
    costs.pod = (busy_ns() - start) / N;
    start = busy_ns();
    for (int i = 0; i < N; i++) {
        policy_match_add_pod(m, other);
        pop_all(m);
        policy_match_remove_pod(m, other);
        pop_all(m);
    }
    costs.class = (busy_ns() - start) / N;
    start = busy_ns();
    for (int i = 0; i < N; i++) {
        ref(m, own);
        pop_all(m);
        policy_match_term_unref(m, own->term);
        pop_all(m);
    }
    costs.term = (busy_ns() - start) / N;
    start = busy_ns();
    for (int i = 0; i < N; i++) {
        policy_match_namespace(m, ns, objects[(i + 1) % 2]);
        ovs_assert(pop_all(m) == 1);
    }
    costs.namespace_ = (busy_ns() - start) / N;
    policy_match_destroy(m);
    return costs;
}

static void
bench_events(void)
{
    static const size_t sizes[] = { 100, 1000, 10000 };
    static const char *const titles[] = { "a pod of a class that there is, and away", "a pod of a new class, and away",
                                          "a term, and away", "a namespace's labels" };
    double results[4][3];

    for (int i = 0; i < 3; i++) {
        struct event_costs best = { INFINITY, INFINITY, INFINITY, INFINITY };
        for (int k = 0; k < 5; k++) {
            struct event_costs c = run_events(sizes[i]);
            best = (struct event_costs) { MIN(best.pod, c.pod), MIN(best.class, c.class), MIN(best.term, c.term),
                                          MIN(best.namespace_, c.namespace_) };
        }
        results[0][i] = best.pod;
        results[1][i] = best.class;
        results[2][i] = best.term;
        results[3][i] = best.namespace_;
    }
    printf("\nOne event beside so many namespaces with a term and a pod each that it does not concern\n\n");
    printf("%-44s %9s %9s %9s   most / least\n", "", "100", "1000", "10000");
    for (int k = 0; k < 4; k++) {
        double *r = results[k];
        printf("%-44s %6.0f ns %6.0f ns %6.0f ns   %.2f\n", titles[k], r[0], r[1], r[2],
               MAX(r[0], MAX(r[1], r[2])) / MIN(r[0], MIN(r[1], r[2])));
    }
}

static void
bench_class(size_t n)
{
    enum { N = 20000 };
    struct policy_match *m = policy_match_create();
    struct world w;
    size_t before;
    double start;

    world_create(&w, 1, n + N, 0);
    for (size_t i = 0; i < n + N; i++) {
        add_pod(&w, w.namespaces[0], name(&w, "app", 0), name(&w, "web", 0));
    }
    policy_match_add_pod(m, &w.pods[0]);
    before = memory();
    for (size_t i = 1; i < n; i++) {
        policy_match_add_pod(m, &w.pods[i]);
    }
    double bytes = n > 1 ? (double) (memory() - before) / (n - 1) : 0;
    start = busy_ns();
    for (size_t i = 0; i < N; i++) {
        policy_match_add_pod(m, &w.pods[n + i]);
        policy_match_remove_pod(m, &w.pods[n + i]);
    }
    printf("%8"PRIuSIZE" pods: %5.0f ns, %4.1f bytes a pod\n", n, (busy_ns() - start) / N, bytes);
    policy_match_destroy(m);
}

int
main(void)
{
    printf("Clusters, best of three\n\n");
    printf("%-17s %8s %8s %8s %8s %8s %7s | %-30s | %s\n", "", "", "", "", "", "", "memory", "pods, then terms",
           "terms, then pods");
    printf("%-17s %8s %8s %8s %8s %8s %7s | %6s %6s %6s %6s %2s | %6s %6s %6s %6s\n", "shape", "pods", "terms",
           "classes", "pairs", "memory", "/ class", "pods", "terms", "pop", "remove", "", "pods", "terms", "pop", "remove");
    bench_shape("small-namespaces", small_namespaces);
    bench_shape("large-namespaces", large_namespaces);
    bench_shape("policy-per-pod", policy_per_pod);
    bench_shape("cluster-scoped", cluster_scoped);
    bench_shape("everywhere", everywhere_10000);

    printf("\nGrowth: adding and removing all, for each pod\n\n");
    printf("%-35s %9s %9s %9s %9s %9s   last / first\n", "pods", "2500", "5000", "10000", "20000", "40000");
    bench_growth("pairs in one namespace", pairs);
    bench_growth("pairs anywhere in 1000 namespaces", everywhere);

    bench_events();
    printf("\nA pod comes to a class, and goes\n\n");
    for (size_t n = 1; n <= 100000; n *= 10) {
        bench_class(n);
    }
    return 0;
}
