#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
error_set_valist(struct error *error, int code, const char *format, va_list args)
{
    if (error) {
        char *message;

        if (vasprintf(&message, format, args) < 0) {
            message = NULL;
        }
        free(error->message);
        error->code = code;
        error->message = message;
    }
    return code;
}

int
error_set(struct error *error, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_set_valist(error, code, format, args);
    va_end(args);
    return code;
}

int
error_set_errno(struct error *error, int code, const char *format, ...)
{
    if (error) {
        va_list args;

        va_start(args, format);
        error_set_valist(error, code, format, args);
        va_end(args);

        char *message = error->message;
        error->message = NULL;
        error_set(error, code, "%s: %s", message ? message : "error", strerror(code));
        free(message);
    }
    return code;
}

int
error_wrap(struct error *error, const char *format, ...)
{
    if (!error) {
        return 0;
    }

    va_list args;
    char *context;

    va_start(args, format);
    if (vasprintf(&context, format, args) < 0) {
        context = NULL;
    }
    va_end(args);
    if (context) {
        char *inner = error->message;

        error->message = NULL;
        error_set(error, error->code, "%s: %s", context, inner ? inner : strerror(error->code));
        free(inner);
        free(context);
    }
    return error->code;
}

const char *
error_message(const struct error *error)
{
    return error->message ? error->message : error->code ? strerror(error->code) : "no error";
}

void
error_clear(struct error *error)
{
    if (error) {
        free(error->message);
        error->message = NULL;
        error->code = 0;
    }
}

void
error_move(struct error *dst, struct error *src)
{
    if (dst) {
        error_clear(dst);
        *dst = *src;
    } else {
        free(src->message);
    }
    src->message = NULL;
    src->code = 0;
}
