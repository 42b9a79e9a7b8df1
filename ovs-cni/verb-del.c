/* DEL: best effort, and own cleanup before anything else that can fail (acceptance D1 to D9). */

#include "delegate.h"
#include "plugin.h"

enum cni_code
verb_del(struct plugin *plugin, struct error *error)
{
    bool own = false;

    /* The namespace may be gone or never have been; the daemon knows what to remove without it.  One that has become
     * our own (a /proc/PID/ns/net whose PID was used again) must not be touched. */
    if (plugin->env.netns && !netns_open(plugin, &own, NULL) && own && !plugin->env.netns_override) {
        netns_close(plugin);
    } else {
        own = false;
    }

    enum cni_code code = release_attachment(plugin, error);
    ERROR_AUTO struct error theirs = ERROR_INIT;
    enum cni_code theirs_code = delegate_run(plugin, CNI_DEL, &theirs);
    if (!code && theirs_code) {
        error_move(error, &theirs);
        code = theirs_code;
    }
    if (!code && own) {
        code = error_set(error, CNI_E_NETNS, "CNI_NETNS=%s is the namespace of the plugin itself; the attachment was "
                         "released, the namespace was left alone", plugin->env.netns);
    }
    return code;
}
