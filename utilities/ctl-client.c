#include <config.h>

#include "utilities/ctl-client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "unixctl.h"
#include "util.h"

struct ctl_client {
    struct jsonrpc *rpc;
    char *path;
};

int
ctl_client_open(const char *path, struct ctl_client **client, struct error *error)
{
    struct jsonrpc *rpc;
    int code = unixctl_client_create(path, &rpc);

    if (code) {
        return error_set_errno(error, code, "%s: no answer", path);
    }
    *client = xmalloc(sizeof **client);
    (*client)->rpc = rpc;
    (*client)->path = xstrdup(path);
    return 0;
}

int
ctl_client_open_vswitchd(const char *rundir, struct ctl_client **client, struct error *error)
{
    char *path = xasprintf("%s/ovs-vswitchd.pid", rundir);
    FILE *file = fopen(path, "re");
    int code = file ? 0 : error_set_errno(error, errno, "%s: is ovs-vswitchd running?", path);
    long int pid;

    if (file) {
        if (fscanf(file, "%ld", &pid) != 1) {
            code = error_set(error, EINVAL, "%s holds no process id", path);
        }
        fclose(file);
    }
    free(path);
    if (!code) {
        path = xasprintf("%s/ovs-vswitchd.%ld.ctl", rundir, pid);
        code = ctl_client_open(path, client, error);
        free(path);
    }
    return code;
}

void
ctl_client_close(struct ctl_client *client)
{
    if (client) {
        jsonrpc_close(client->rpc);
        free(client->path);
        free(client);
    }
}

int
ctl_client_ask(struct ctl_client *client, const char *command, const char *const args[], size_t n_args, char **answer,
               struct error *error)
{
    char *result = NULL, *refusal = NULL;
    int code = unixctl_client_transact(client->rpc, command, n_args, (char **) args, &result, &refusal);

    if (code) {
        code = error_set(error, code > 0 ? code : ECONNRESET, "%s: no answer: %s", client->path,
                         ovs_retval_to_string(code));
    } else if (refusal || !result) {
        size_t n = refusal ? strcspn(refusal, "\n") : 0;
        code = error_set(error, EPROTO, "%.*s", (int) n, n ? refusal : "");
        free(result);
    } else {
        *answer = result;
    }
    free(refusal);
    return code;
}
