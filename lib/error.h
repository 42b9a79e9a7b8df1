#ifndef SLUICE_ERROR_H
#define SLUICE_ERROR_H 1

/* Errors with a story.
 *
 * Convention of the whole tree: a function that can fail returns 0 or a positive errno value, and takes a
 * 'struct error *' as its last argument.  On success the error is untouched.  On failure it holds the same code and
 * a message that says what was being done, to what, why it failed and, where the reader can act, what to do.  Callers
 * on the way up prefix their own context with error_wrap(); the edge (a program's main, a socket's reply, a status)
 * prints it once.  Library code never logs.
 *
 *     struct error error = ERROR_INIT;
 *     if (config_load(&config, path, &error)) {
 *         fprintf(stderr, "%s\n", error_message(&error));
 *         error_clear(&error);
 *     }
 *
 * A NULL 'struct error *' is allowed everywhere: the caller then wants only the code.  Only libc is used here, because
 * the plugin shares this file. */

#include <stdarg.h>

struct error {
    int code;           /* Positive errno value; 0: no error. */
    char *message;      /* Owned; NULL: no error, or no memory for the text. */
};

#define ERROR_INIT { 0, NULL }

/* Sets 'error' to 'code' (a positive errno value) and the formatted message, replacing what it held.
 * Returns 'code', so that "return error_set(...)" works. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int error_set_valist(struct error *error, int code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Like error_set(), with ": " and strerror(code) behind the message. */
int error_set_errno(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts the formatted text and ": " in front of the message that 'error' already holds.  Returns its code. */
int error_wrap(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The message for people; never NULL. */
const char *error_message(const struct error *error);

/* Frees the message and goes back to ERROR_INIT. */
void error_clear(struct error *error);

/* Moves 'src' into 'dst' (dropping what 'dst' held) and leaves 'src' empty.  A NULL 'dst' drops 'src'. */
void error_move(struct error *dst, struct error *src);

/* For "ERROR_AUTO struct error e = ERROR_INIT;": cleared when it goes out of scope. */
#define ERROR_AUTO __attribute__((cleanup(error_clear)))

#endif /* lib/error.h */
