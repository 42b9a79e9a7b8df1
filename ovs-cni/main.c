/* ovs-cni: reads stdin, runs one verb, prints one document.  plugin.h says what happens in between. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

/* A descriptor that the runtime left closed must not become our socket, or the result would go to the daemon. */
static void
fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

static int
about(void)
{
    fprintf(stderr, "ovs-cni %s: CNI plugin of Sluice, Kubernetes networking on Open vSwitch\n"
            "CNI protocol versions supported:", SLUICE_VERSION);
    for (int i = 0; i < CNI_N_VERSIONS; i++) {
        fprintf(stderr, "%s %s", i ? "," : "", cni_version_name(i));
    }
    fputc('\n', stderr);
    return EXIT_SUCCESS;
}

/* One write(), as far as the kernel allows.  False: stdout is gone or full. */
static bool
print(const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    size_t size = text ? strlen(text) : 0, done = 0;

    if (text) {
        text[size++] = '\n';            /* In place of the terminator. */
    }
    while (done < size) {
        ssize_t n = write(STDOUT_FILENO, text + done, size - done);
        if (n > 0) {
            done += n;
        } else if (n < 0 && errno != EINTR) {
            fprintf(stderr, "ovs-cni: writing the result: %s\n", strerror(errno));
            free(text);
            return false;
        }
    }
    free(text);
    return size > 0;
}

/* SPEC.md, "Error". */
static json_t *
error_object(const struct plugin *plugin, enum cni_code code, const struct error *error)
{
    char *version = cni_conf_peek_version(plugin->input, plugin->input_size);
    enum cni_version known;
    const char *shown = version && cni_version_parse(version, &known) ? version : cni_version_name(CNI_N_VERSIONS - 1);
    json_t *json = json_pack("{s:s, s:i, s:s, s:s*}", "cniVersion", shown, "code", (int) code, "msg",
                             error_message(error), "details", plugin->details);

    free(version);
    return json;
}

static int
finish(struct plugin *plugin, enum cni_code code, const struct error *error)
{
    if (code) {
        json_t *json = error_object(plugin, code, error);
        print(json);
        json_decref(json);
        return EXIT_FAILURE;
    }
    return plugin->output && !print(plugin->output) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
main(void)
{
    struct plugin plugin = { .environment = environ, .netns_fd = -1 };
    ERROR_AUTO struct error error = ERROR_INIT;

    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    enum cni_code code = cni_env_parse(environ, &plugin.env, &error);
    if (!code && plugin.env.about) {
        return about();
    }

    code = code ? code : plugin_run(&plugin, &error);
    int status = finish(&plugin, code, &error);
    json_decref(plugin.output);
    free(plugin.details);
    free(plugin.input);
    cni_conf_destroy(&plugin.conf);
    cni_env_destroy(&plugin.env);
    return status;
}
