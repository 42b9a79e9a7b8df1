#include <config.h>

#include "build.h"
#include "fields.h"
#include "openvswitch/ofp-actions.h"

void
punt_reply_actions(uint32_t network, struct ofpbuf *ofpacts)
{
    struct build b;
    build_init(&b, NULL, 0);
    build_match(&b);
    build_load(&b, FIELD_NETWORK, network);
    build_load(&b, FIELD_SOURCE, SOURCE_ROUTER);

    struct ofpact_resubmit *resubmit = ofpact_put_RESUBMIT(&b.actions);
    resubmit->in_port = OFPP_IN_PORT;
    resubmit->table_id = TABLE_L3_FORWARD;
    ofpbuf_put(ofpacts, b.actions.data, b.actions.size);
    build_destroy(&b);
}
