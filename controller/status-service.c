#include <config.h>

#include "controller/status.h"

#include <stdlib.h>

#include "controller/ctl-service.h"
#include "controller/dataplane-private.h"
#include "controller/services.h"
#include "util.h"

/* More than these are only counted. */
#define MAX_NAMED 50

struct problems {
    const struct dataplane *dp;
    json_t *array;
    struct sset said;
    size_t n_more;
};

/* 'text' is the function's. */
static void
add_problem_steal(struct problems *p, char *text)
{
    if (!sset_contains(&p->said, text)) {
        if (sset_count(&p->said) < MAX_NAMED) {
            sset_add(&p->said, text);
            json_array_append_new(p->array, json_string(text));
        } else {
            p->n_more++;
        }
    }
    free(text);
}

static void
put_problem(const struct kube_service *service, const char *problem, void *problems)
{
    const struct kube_object *object = &service->object;

    add_problem_steal(problems, xasprintf("Service/%s/%s: %s", object->namespace_, object->name, problem));
}

static void
put_refused(const struct flow_entry *flow, const char *why, void *problems_)
{
    struct problems *problems = problems_;
    char *owner = ctl_service_owner(problems->dp, flow->cookie);

    add_problem_steal(problems, xasprintf("%s: %s", owner ? owner : OWNER_SERVICE, why));
    free(owner);
}

void
status_put_service_problems(const struct dataplane *dp, json_t *out)
{
    struct problems problems = { .dp = dp, .array = out };

    sset_init(&problems.said);
    services_for_each_problem(dataplane_services_(dp), put_problem, &problems);
    of_state_for_each_refused(ofctrl_state(dp->ofctrl), OWNER_SERVICE, put_refused, &problems);
    if (dataplane_service_problem_(dp)) {
        json_array_append_new(out, json_sprintf("services: UDP may still go to endpoints that are gone: %s",
                                                dataplane_service_problem_(dp)));
    }
    if (problems.n_more) {
        json_array_append_new(out, json_sprintf("services: %"PRIuSIZE" more with a problem", problems.n_more));
    }
    sset_destroy(&problems.said);
}
