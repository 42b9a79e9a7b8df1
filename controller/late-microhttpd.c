#include <config.h>

/* The functions of libmicrohttpd, found when the first of them is called, for the reason of late-curl.c: it brings a
 * library for TLS, which nobody here uses, and with it 2.7 MB of resident memory at once (nothing more where libcurl has
 * brought that already).  A node that no load balancer asks has no use for it. */

#include <microhttpd.h>
#include <stdarg.h>

#include "controller/late.h"
#include "util.h"

static void *
find(const char *name)
{
    return late_find("libmicrohttpd.so.12", name, true, "libmicrohttpd");
}

/* With MHD_OPTION_ARRAY and MHD_OPTION_END alone.  NULL too if there is no library; then nothing else is called. */
struct MHD_Daemon *
MHD_start_daemon(unsigned int flags, uint16_t port, MHD_AcceptPolicyCallback apc, void *apc_cls,
                 MHD_AccessHandlerCallback dh, void *dh_cls, ...)
{
    struct MHD_Daemon *(*function)(unsigned int, uint16_t, MHD_AcceptPolicyCallback, void *, MHD_AccessHandlerCallback,
                                   void *, ...) = find("MHD_start_daemon");
    va_list args;

    va_start(args, dh_cls);
    int option = va_arg(args, int);
    struct MHD_OptionItem *options = va_arg(args, struct MHD_OptionItem *);
    va_end(args);
    ovs_assert(option == MHD_OPTION_ARRAY);
    return !function ? NULL : function(flags, port, apc, apc_cls, dh, dh_cls, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/* The same. */
const union MHD_DaemonInfo *
MHD_get_daemon_info(struct MHD_Daemon *daemon, enum MHD_DaemonInfoType type, ...)
{
    const union MHD_DaemonInfo *(*function)(struct MHD_Daemon *, enum MHD_DaemonInfoType, ...)
        = find("MHD_get_daemon_info");

    return function(daemon, type);
}

const union MHD_ConnectionInfo *
MHD_get_connection_info(struct MHD_Connection *connection, enum MHD_ConnectionInfoType type, ...)
{
    static const union MHD_ConnectionInfo *(*function)(struct MHD_Connection *, enum MHD_ConnectionInfoType, ...);

    if (!function) {
        function = find("MHD_get_connection_info");
    }
    return function(connection, type);
}

LATE(void, MHD_stop_daemon, (struct MHD_Daemon *daemon), (daemon))
LATE(enum MHD_Result, MHD_run, (struct MHD_Daemon *daemon), (daemon))
LATE(enum MHD_Result, MHD_get_timeout, (struct MHD_Daemon *daemon, MHD_UNSIGNED_LONG_LONG *ms), (daemon, ms))
LATE(struct MHD_Response *, MHD_create_response_from_buffer,
     (size_t size, void *buffer, enum MHD_ResponseMemoryMode mode), (size, buffer, mode))
LATE(enum MHD_Result, MHD_add_response_header, (struct MHD_Response *response, const char *name, const char *value),
     (response, name, value))
LATE(enum MHD_Result, MHD_queue_response,
     (struct MHD_Connection *connection, unsigned int status, struct MHD_Response *response),
     (connection, status, response))
LATE(void, MHD_destroy_response, (struct MHD_Response *response), (response))
