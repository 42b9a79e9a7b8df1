/* ADD: address (the daemon's or the delegate's), then the daemon makes the rest, then the result. */

#include "delegate.h"
#include "plugin.h"
#include "result.h"

/* The daemon allocates nothing then. */
static void
use_delegated(struct cni_request *request, struct delegate_result *d)
{
    request->delegated = true;
    request->d_ips = d->ips;
    request->n_d_ips = d->n_ips;
    request->d_routes = d->routes;
    request->n_d_routes = d->n_routes;
    d->ips = NULL;
    d->routes = NULL;
    d->n_ips = d->n_routes = 0;

    /* The delegate has seen these wishes itself. */
    cni_strings_free(request->ips, request->n_ips);
    request->ips = NULL;
    request->n_ips = 0;
}

static enum cni_code
attach(struct plugin *plugin, struct delegate_result *delegated, struct cni_reply *reply, struct error *error)
{
    struct cni_request request;

    if (!cni_conf_to_request(&plugin->conf, &plugin->env, &request)) {
        return error_set(error, CNI_E_FAILED, "no memory");
    }
    if (plugin->conf.ipam_type) {
        use_delegated(&request, delegated);
    }
    enum cni_code code = daemon_call(plugin, &request, reply, error);
    if (!code && !reply->has_result) {
        code = error_set(error, CNI_E_FAILED, "sluiced answered ADD without a result");
    }
    cni_request_destroy(&request);
    return code;
}

static enum cni_code
make_output(struct plugin *plugin, const struct cni_reply *reply, json_t *dns, struct error *error)
{
    const struct cni_conf *conf = &plugin->conf;

    plugin->output = result_create(conf->version, conf->prev_result, &reply->result, plugin->env.netns,
                                   conf->dns ? conf->dns : dns);
    return plugin->output ? CNI_OK : error_set(error, CNI_E_FAILED, "no memory for the result");
}

/* If the daemon's answer was lost it may yet finish.  Without a delegate the runtime's DEL takes care of that; with one
 * the daemon must hear of it before the address is given to another. */
static void
undo(struct plugin *plugin, bool attached)
{
    if (attached) {
        release_attachment(plugin, NULL);
    } else if (plugin->unanswered && plugin->conf.ipam_type) {
        release_later(plugin, NULL);
    }
    delegate_run(plugin, CNI_DEL, NULL);
}

static enum cni_code
check_netns(struct plugin *plugin, struct error *error)
{
    bool own;
    enum cni_code code = netns_open(plugin, &own, error);

    return code || !own || plugin->env.netns_override ? code
           : error_set(error, CNI_E_NETNS, "CNI_NETNS=%s is the namespace of the plugin itself; nothing was done "
                       "(CNI_NETNS_OVERRIDE=1 would allow it)", plugin->env.netns);
}

enum cni_code
verb_add(struct plugin *plugin, struct error *error)
{
    struct delegate_result delegated = { .n_ips = 0 };
    struct cni_reply reply = { .code = CNI_OK };
    enum cni_code code = check_netns(plugin, error);

    code = code || !plugin->conf.ipam_type ? code : delegate_add(plugin, &delegated, error);
    if (code) {
        return code;
    }
    code = attach(plugin, &delegated, &reply, error);
    bool attached = !code;
    code = code ? code : make_output(plugin, &reply, delegated.dns, error);
    if (code) {
        undo(plugin, attached);
    }
    cni_reply_destroy(&reply);
    delegate_result_destroy(&delegated);
    return code;
}
