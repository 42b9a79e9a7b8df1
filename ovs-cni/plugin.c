#include "plugin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* P6: all of stdin, one byte more than the limit at most, so that the parser sees that it is too long. */
static enum cni_code
read_input(struct plugin *plugin, struct error *error)
{
    size_t max = (plugin->env.verb == CNI_GC ? CNI_CONF_MAX_GC : CNI_CONF_MAX) + 1, allocated = 0;

    for (;;) {
        if (plugin->input_size == allocated) {
            size_t wanted = allocated ? allocated * 4 : 16384;
            char *input = realloc(plugin->input, wanted > max ? max : wanted);
            if (!input) {
                return error_set(error, CNI_E_FAILED, "no memory for the network configuration");
            }
            plugin->input = input;
            allocated = wanted > max ? max : wanted;
        }

        ssize_t n = read(STDIN_FILENO, plugin->input + plugin->input_size, allocated - plugin->input_size);
        if (n < 0 && errno != EINTR) {
            return error_set(error, CNI_E_IO, "reading the network configuration from stdin: %s", strerror(errno));
        }
        plugin->input_size += n > 0 ? n : 0;
        if (!n || plugin->input_size == max) {
            return CNI_OK;
        }
    }
}

enum cni_code
plugin_run(struct plugin *plugin, struct error *error)
{
    static enum cni_code (*const verbs[])(struct plugin *, struct error *) = {
        [CNI_ADD] = verb_add, [CNI_DEL] = verb_del, [CNI_CHECK] = verb_check, [CNI_STATUS] = verb_status,
        [CNI_GC] = verb_gc, [CNI_VERSION] = verb_version,
    };
    enum cni_verb verb = plugin->env.verb;
    enum cni_code code = read_input(plugin, error);

    if (!code && verb != CNI_VERSION) {
        code = cni_conf_parse(plugin->input, plugin->input_size, &plugin->env, &plugin->conf, error);
    }
    code = code ? code : verbs[verb](plugin, error);
    netns_close(plugin);
    return code;
}
