#ifndef SLUICE_FAULT_H
#define SLUICE_FAULT_H 1

/* Fault points: named places in the code where a test makes the process die, fail or stop.
 *
 * A place says "if ((retval = fault_point("hostnet-recorded")))" between two effects.  Nothing happens unless the
 * environment variable SLUICE_FAULT names it, as a list of NAME:ACTION separated by commas:
 *
 *     kill            the process ends by SIGKILL, so no cleanup runs
 *     fail:ERRNO      fault_point() returns that errno (by name, "ENOSPC", or number); the caller treats it as its own
 *     pause           the process stops (SIGSTOP) until somebody sends SIGCONT
 *
 * Compiled in always, so that what is tested is what is shipped: whoever sets the environment of a daemon could kill
 * it anyway. Names begin with their module.  Only libc is used, because the plugin shares this file. */

/* 0, or the errno to fail with.  A part of SLUICE_FAULT that cannot be understood is ignored. */
int fault_point(const char *name);

#endif /* lib/fault.h */
