/* Table 72, OUTPUT.
 *
 * Decides:  nothing more: sends to the port that was chosen.
 * From:     MTU, SRC_IDENTITY, CT_COMMIT.
 * Reads:    OUT_PORT.
 * Writes:   nothing.
 * To:       the port.  A port that does not exist (yet) is a drop; so is the port that the packet came from. */

#include <config.h>

#include "tables.h"

void
table_output_base(struct build *b)
{
    build_match(b);
    build_output_field(b, FIELD_OUT_PORT);
    build_flow(b, TABLE_OUTPUT, PRIORITY_OUTPUT_SEND);
}
