/* STATUS: could an ADD be served now?  Own answer first, then the delegate's. */

#include "delegate.h"
#include "plugin.h"

enum cni_code
verb_status(struct plugin *plugin, struct error *error)
{
    struct cni_request request = { .verb = CNI_STATUS, .network = plugin->conf.name };
    struct cni_reply reply;
    enum cni_code code = daemon_call(plugin, &request, &reply, error);

    cni_reply_destroy(&reply);
    return code ? code : delegate_run(plugin, CNI_STATUS, error);
}
