#ifndef SLUICE_OVS_JSON_H
#define SLUICE_OVS_JSON_H 1

/* libopenvswitch's own JSON, for the few files that must speak it (arguments of the IDL, unixctl); all other JSON is jansson.
 *
 * Both libraries define these six functions.  ./configure links a copy of libopenvswitch in which they have the names below
 * (m4/sluice.m4); include this instead of "openvswitch/json.h", and never together with <jansson.h>. */

#define json_array ovs_json_array
#define json_equal ovs_json_equal
#define json_integer ovs_json_integer
#define json_object ovs_json_object
#define json_real ovs_json_real
#define json_string ovs_json_string

#include "openvswitch/json.h"

#endif /* lib/ovs-json.h */
