/* GC: everything of this network but the listed attachments goes.  The delegate collects even when the daemon could
 * not, and both errors are reported (acceptance G4). */

#include "delegate.h"
#include "plugin.h"

enum cni_code
verb_gc(struct plugin *plugin, struct error *error)
{
    ERROR_AUTO struct error theirs = ERROR_INIT;
    struct cni_request request;
    struct cni_reply reply;

    if (!cni_conf_to_request(&plugin->conf, &plugin->env, &request)) {
        return error_set(error, CNI_E_FAILED, "no memory");
    }
    enum cni_code code = daemon_call(plugin, &request, &reply, error);
    cni_reply_destroy(&reply);
    cni_request_destroy(&request);

    enum cni_code theirs_code = delegate_run(plugin, CNI_GC, &theirs);
    if (theirs_code && code) {
        error_set(&theirs, code, "%s; and %s", error_message(error), error_message(&theirs));
    }
    if (theirs_code) {
        error_move(error, &theirs);
    }
    return code ? code : theirs_code;
}
