/* VERSION.  Works with any stdin, also none. */

#include <stdlib.h>

#include "plugin.h"

enum cni_code
verb_version(struct plugin *plugin, struct error *error)
{
    char *version = cni_conf_peek_version(plugin->input, plugin->input_size);
    json_t *supported = json_array();

    for (int i = 0; i < CNI_N_VERSIONS; i++) {
        json_array_append_new(supported, json_string(cni_version_name(i)));
    }
    plugin->output = json_pack("{s:s, s:o}", "cniVersion", version, "supportedVersions", supported);
    free(version);
    return plugin->output ? CNI_OK : error_set(error, CNI_E_FAILED, "no memory");
}
