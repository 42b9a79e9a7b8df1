#ifndef SLUICE_COMPILE_H
#define SLUICE_COMPILE_H 1

/* The flow compiler: objects in, flows out, pure.
 *
 * Each function appends to 'out' the flows of exactly one owner, which depend on nothing but its arguments.  So a
 * change of one object means one call and the difference of one owner's flows, however many others exist; a change of
 * 'struct flow_local' means all of them again.  compile() is the sum, and the truth that increments must equal.
 *
 * No function here opens, reads, waits, asks for the time or for a random number; "make check" proves it from the
 * symbols. */

#include "flow-input.h"
#include "flow-set.h"

/* Owner OWNER_BASE: what the node has without any object, and the meters. */
void compile_base(const struct flow_local *, struct flow_set *out);
/* Owner pod->owner. */
void compile_pod(const struct flow_local *, const struct flow_pod *, struct flow_set *out);
/* Owner peer->owner. */
void compile_peer(const struct flow_local *, const struct flow_peer *, struct flow_set *out);
/* All of it, sorted. */
void compile(const struct flow_input *, struct flow_set *out);

#endif /* flows/compile.h */
