/* CHECK: is everything that ADD made still there?  The daemon knows; it also gets what prevResult says. */

#include "delegate.h"
#include "plugin.h"
#include "result.h"

enum cni_code
verb_check(struct plugin *plugin, struct error *error)
{
    struct cni_request request;
    struct cni_reply reply;
    bool own;
    enum cni_code code = netns_open(plugin, &own, error);

    if (!code && own && !plugin->env.netns_override) {
        code = error_set(error, CNI_E_NETNS, "CNI_NETNS=%s is the namespace of the plugin itself", plugin->env.netns);
    }
    if (code) {
        return code;
    } else if (!cni_conf_to_request(&plugin->conf, &plugin->env, &request)) {
        return error_set(error, CNI_E_FAILED, "no memory");
    }
    code = result_to_check(plugin->conf.prev_result, plugin->env.ifname, plugin->env.netns, &request, error);
    if (!code) {
        code = daemon_call(plugin, &request, &reply, error);
        cni_reply_destroy(&reply);
    }
    cni_request_destroy(&request);
    return code ? code : delegate_run(plugin, CNI_CHECK, error);
}
