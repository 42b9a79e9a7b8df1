#ifndef SLUICE_LATE_H
#define SLUICE_LATE_H 1

/* Functions of a library that is opened when the first of them is called; late-curl.c says what for.
 *
 * Who includes this has a "static void *find(const char *name)", made with late_find(); then each LATE() is a function with
 * the library's own name, so that those who call it know nothing of this.  Only the main thread calls them. */

#include <dlfcn.h>
#include <stdbool.h>

#include "util.h"

/* Ends the program with 'why' if there is no such function.  If there is no library at all: NULL if it is 'optional'. */
static inline void *
late_find(const char *file, const char *name, bool optional, const char *why)
{
    /* Opening it again only counts. */
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    void *function = library ? dlsym(library, name) : NULL;

    if (!function && (library || !optional)) {
        ovs_fatal(0, "%s: %s", why, dlerror());
    }
    return function;
}

#define LATE(RESULT, NAME, PARAMS, ARGS)        \
    RESULT                                      \
    NAME PARAMS                                 \
    {                                           \
        static RESULT (*function) PARAMS;       \
                                                \
        if (!function) {                        \
            function = (RESULT (*) PARAMS) find(#NAME); \
        }                                       \
        return function ARGS;                   \
    }

#endif /* controller/late.h */
