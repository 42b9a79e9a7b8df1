#include <config.h>

#include "controller/node-report-core.h"

#include <string.h>
#include <time.h>

#include "util.h"

void
node_report_request_clear(struct node_report_request *rq)
{
    free(rq->path);
    json_decref(rq->body);
    memset(rq, 0, sizeof *rq);
}

long long int
node_report_backoff(long long int *delay, const struct node_report_answer *answer, long long int now, uint32_t jitter)
{
    *delay = MIN(MAX(*delay * 2, NODE_REPORT_BACKOFF_MIN_MS), NODE_REPORT_BACKOFF_MAX_MS);
    return now + MAX(*delay / 2 + jitter % (*delay / 2), MIN(answer->retry_after_ms, NODE_REPORT_BACKOFF_MAX_MS));
}

char *
node_report_describe(const char *method, const char *path, const struct node_report_answer *answer)
{
    if (!answer->status) {
        return xasprintf("%s %s: %s", method, path, answer->error ? error_message(answer->error) : "no answer");
    }
    const char *message = json_string_value(json_object_get(answer->json, "message"));
    const char *advice = answer->status == 403 ? "; apply deploy/rbac.yaml" : "";
    return xasprintf("%s %s: %d%s%.512s%s", method, path, answer->status, message ? ": " : "", message ? message : "",
                     advice);
}

json_t *
node_report_time(long long int wall)
{
    time_t seconds = wall / 1000;
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

json_t *
node_report_text(const char *s, size_t max)
{
    size_t n = strnlen(s, max + 1);

    if (n > max) {
        /* Not in the middle of a character. */
        for (n = max; n && (s[n] & 0xc0) == 0x80; n--) {
            continue;
        }
    }
    json_t *text = json_stringn(s, n);
    if (!text) {
        /* Not UTF-8: whatever is not ASCII is lost. */
        char *ascii = xmemdup0(s, n);
        for (char *p = ascii; *p; p++) {
            *p = (unsigned char) *p < 0x80 ? *p : '?';
        }
        text = json_string(ascii);
        free(ascii);
    }
    return text;
}
