/* bench-reflector: what it costs to read what an API server says of pods: tests/bench/pod.json, 50 of them in a list,
 * and one event for each.
 *
 *     bench-reflector [ROUNDS]
 *
 * CPU time of this process; each figure is the best of five, because other work on the machine only ever adds. */

#include <config.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json-split.h"
#include "kube-reflector.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

#define N_PODS 50
#define PIECE 16384             /* As libcurl gives it. */

static int rounds = 200;
static size_t n_objects;

static int64_t
busy_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void
put_pod(struct ds *s, const char *pod, int n)
{
    const char *p;

    for (; (p = strstr(pod, "NNNNN")); pod = p + 5) {
        ds_put_buffer(s, pod, p - pod);
        ds_put_format(s, "%05d", n);
    }
    ds_put_cstr(s, pod);
    ds_chomp(s, '\n');
}

static void
read_pod(struct ds *pod)
{
    char buffer[16384];
    FILE *f = fopen(TOP_SRCDIR "/tests/bench/pod.json", "r");
    size_t n = f ? fread(buffer, 1, sizeof buffer, f) : 0;

    if (!n) {
        fprintf(stderr, "no tests/bench/pod.json\n");
        exit(EXIT_FAILURE);
    }
    ds_put_buffer(pod, buffer, n);
    fclose(f);
}

static void
make_bodies(struct ds *list, struct ds *events)
{
    struct ds pod = DS_EMPTY_INITIALIZER;

    read_pod(&pod);
    ds_put_cstr(list, "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"1000\"},\"items\":[");
    for (int i = 0; i < N_PODS; i++) {
        ds_put_cstr(list, i ? "," : "");
        put_pod(list, ds_cstr(&pod), i);
        ds_put_cstr(events, "{\"type\":\"MODIFIED\",\"object\":");
        put_pod(events, ds_cstr(&pod), i);
        ds_put_cstr(events, "}\n");
    }
    ds_put_cstr(list, "]}\n");
    printf("%d pods of %"PRIuSIZE" bytes\n", N_PODS, pod.length);
    ds_destroy(&pod);
}

/* What is measured ------------------------------------------------------------------------------------------------- */

static bool
count_object(void *aux OVS_UNUSED, const char *text OVS_UNUSED, size_t size OVS_UNUSED)
{
    n_objects++;
    return true;
}

static bool
parse_object(void *aux OVS_UNUSED, const char *text, size_t size)
{
    json_decref(json_loadb(text, size, 0, NULL));
    n_objects++;
    return true;
}

static bool
ignore_rest(void *aux OVS_UNUSED, const char *text OVS_UNUSED, size_t size OVS_UNUSED)
{
    return true;
}

static void
ignore_large(void *aux OVS_UNUSED, const char *text OVS_UNUSED, size_t size OVS_UNUSED)
{
}

static const char *const skip[] = { "managedFields", NULL };
static const struct json_split_ops count_ops = { count_object, ignore_rest, ignore_large };
static const struct json_split_ops parse_ops = { parse_object, ignore_rest, ignore_large };

static void
split(const struct ds *body, const char *const *names, const struct json_split_ops *ops)
{
    struct json_split *js = json_split_create(JSON_SPLIT_LIST, names, ops, NULL);

    for (size_t i = 0; i < body->length; i += PIECE) {
        json_split_feed(js, body->string + i, MIN(PIECE, body->length - i), NULL);
    }
    ovs_assert(!json_split_end(js, NULL));
    json_split_destroy(js);
}

static void
split_all(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    split(list, NULL, &count_ops);
}

static void
split_skip(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    split(list, skip, &count_ops);
}

static void
parse_whole(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    json_decref(json_loadb(list->string, list->length, 0, NULL));
    n_objects += N_PODS;
}

static void
split_and_parse(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    split(list, NULL, &parse_ops);
}

static void
split_skip_and_parse(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    split(list, skip, &parse_ops);
}

static void
on_object(void *aux OVS_UNUSED, enum reflector_event event OVS_UNUSED, const json_t *object OVS_UNUSED)
{
    n_objects++;
}

static void
on_nothing(void *aux OVS_UNUSED)
{
}

static void
on_bad(void *aux OVS_UNUSED, const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(EXIT_FAILURE);
}

/* What the decoders do not read (controller/source-kind.c). */
static const char *const more[] = {
    "affinity", "allocatedResources", "conditions", "containerStatuses", "env", "envFrom", "ephemeralContainerStatuses",
    "imagePullSecrets", "initContainerStatuses", "lifecycle", "livenessProbe", "ownerReferences", "readinessProbe",
    "resources", "securityContext", "startupProbe", "tolerations", "topologySpreadConstraints", "volumeDevices",
    "volumeMounts", "volumes", NULL
};
static const struct reflector_ops reflector_ops = { on_nothing, on_object, on_nothing, on_nothing, on_bad, NULL };
static const struct reflector_ops small_ops = { on_nothing, on_object, on_nothing, on_nothing, on_bad, more };

static void
answer(struct reflector *r, const struct ds *body)
{
    struct reflector_request request;

    ovs_assert(reflector_next(r, 1, &request));
    free(request.path);
    reflector_head(r, 200, -1, 1);
    for (size_t i = 0; i < body->length; i += PIECE) {
        reflector_body(r, body->string + i, MIN(PIECE, body->length - i), 1);
    }
    reflector_done(r, NULL, 1);
    ovs_assert(!reflector_problem(r));
}

static void
reflector_list(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    struct reflector *r = reflector_create("/api/v1/pods", NULL, 1, &reflector_ops, NULL);

    answer(r, list);
    reflector_destroy(r);
}

static void
small_list(const struct ds *list, const struct ds *events OVS_UNUSED)
{
    struct reflector *r = reflector_create("/api/v1/pods", NULL, 1, &small_ops, NULL);

    answer(r, list);
    reflector_destroy(r);
}

static void
watch(const struct ds *events, const struct reflector_ops *ops)
{
    static const char empty[] = "{\"metadata\":{\"resourceVersion\":\"1000\"},\"items\":[]}";
    struct reflector *r = reflector_create("/api/v1/pods", NULL, 1, ops, NULL);
    struct ds none = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&none, empty);
    answer(r, &none);
    answer(r, events);
    reflector_destroy(r);
    ds_destroy(&none);
}

static void
reflector_watch(const struct ds *list OVS_UNUSED, const struct ds *events)
{
    watch(events, &reflector_ops);
}

static void
small_watch(const struct ds *list OVS_UNUSED, const struct ds *events)
{
    watch(events, &small_ops);
}

static void
measure(const char *what, void (*run)(const struct ds *, const struct ds *), const struct ds *list,
        const struct ds *events)
{
    int64_t best = INT64_MAX;

    for (int k = 0; k < 5; k++) {
        n_objects = 0;
        int64_t begin = busy_ns();
        for (int i = 0; i < rounds; i++) {
            run(list, events);
        }
        best = MIN(best, busy_ns() - begin);
        ovs_assert(n_objects == (size_t) N_PODS * rounds);
    }
    printf("%-52s %7.1f us a pod %7.0f MB/s\n", what, best / 1e3 / rounds / N_PODS, list->length * 1e3 * rounds / best);
}

int
main(int argc, char *argv[])
{
    struct ds list = DS_EMPTY_INITIALIZER, events = DS_EMPTY_INITIALIZER;

    rounds = argc > 1 ? MAX(1, atoi(argv[1])) : rounds;
    make_bodies(&list, &events);
    measure("split", split_all, &list, &events);
    measure("split, without managedFields", split_skip, &list, &events);
    measure("jansson, the whole list", parse_whole, &list, &events);
    measure("split, jansson for each object", split_and_parse, &list, &events);
    measure("split, without managedFields, jansson", split_skip_and_parse, &list, &events);
    measure("reflector, listed", reflector_list, &list, &events);
    measure("reflector, events", reflector_watch, &list, &events);
    measure("reflector with a list of what nobody reads, listed", small_list, &list, &events);
    measure("reflector with a list of what nobody reads, events", small_watch, &list, &events);
    ds_destroy(&list);
    ds_destroy(&events);
    return 0;
}
