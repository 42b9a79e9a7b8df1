/* plugin.h: taking an attachment away, so that it is never forgotten.
 *
 * The daemon does it.  If it is away, or its answer does not come, the DEL goes to the spool.  A daemon that started
 * meanwhile may have read the spool before our file was in it, so it is asked once more; when it then did the work the
 * file goes again. */

#include <errno.h>
#include <stdlib.h>

#include "plugin.h"
#include "spool.h"

#define DEFAULT_SPOOL SLUICE_STATEDIR "/spool"

/* Writes the DEL to the spool; '*name' (if not NULL) is its file. */
static enum cni_code
spool(struct plugin *plugin, const struct cni_request *request, char **name, struct error *error)
{
    const char *dir = plugin->conf.spool ? plugin->conf.spool : DEFAULT_SPOOL;

    if (spool_put(dir, request, name, error)) {
        if (error) {
            error->code = CNI_E_IO;
        }
        return CNI_E_IO;
    }
    return CNI_OK;
}

/* 'why' is the failure of asking the daemon. */
static enum cni_code
spool_and_ask_again(struct plugin *plugin, const struct cni_request *request, const struct error *why,
                    struct error *error)
{
    const char *dir = plugin->conf.spool ? plugin->conf.spool : DEFAULT_SPOOL;
    char *name = NULL;
    enum cni_code code = spool(plugin, request, &name, error);

    if (code) {
        error_wrap(error, "%s; and", error_message(why));
    } else if (name && (why->code == ENOENT || why->code == ECONNREFUSED)) {
        struct cni_reply reply;
        if (!daemon_try(plugin, request, &reply, NULL) && !reply.code) {
            spool_remove(dir, name, NULL);
        }
        cni_reply_destroy(&reply);
    }
    free(name);
    return code;
}

/* Two tries: a daemon that was restarted in the middle of the first may answer the second. */
static enum cni_code
release(struct plugin *plugin, const struct cni_request *request, struct error *error)
{
    ERROR_AUTO struct error why = ERROR_INIT;
    struct cni_reply reply;
    int retval = daemon_try(plugin, request, &reply, &why);

    if (retval == ECONNRESET || retval == EPIPE) {
        retval = daemon_try(plugin, request, &reply, &why);
    }
    enum cni_code code = retval ? spool_and_ask_again(plugin, request, &why, error)
                         : daemon_verdict(plugin, &reply, error);
    cni_reply_destroy(&reply);
    return code;
}

static enum cni_code
with_request(struct plugin *plugin, bool later, struct error *error)
{
    struct cni_request request;

    if (!cni_conf_to_request(&plugin->conf, &plugin->env, &request)) {
        return error_set(error, CNI_E_FAILED, "no memory");
    }
    request.verb = CNI_DEL;
    enum cni_code code = later ? spool(plugin, &request, NULL, error) : release(plugin, &request, error);
    cni_request_destroy(&request);
    return code;
}

enum cni_code
release_attachment(struct plugin *plugin, struct error *error)
{
    return with_request(plugin, false, error);
}

enum cni_code
release_later(struct plugin *plugin, struct error *error)
{
    return with_request(plugin, true, error);
}
