#include <config.h>

#include "controller/mtu.h"

#include <errno.h>

#include "controller/config.h"

#define TUNNEL_OVERHEAD_IPV4 (20 + 8 + 8 + 14)
#define TUNNEL_OVERHEAD_IPV6 (40 + 8 + 8 + 14)

uint16_t
mtu_overhead(enum encap encap, bool underlay_ipv6)
{
    return encap == ENCAP_NONE ? 0 : underlay_ipv6 ? TUNNEL_OVERHEAD_IPV6 : TUNNEL_OVERHEAD_IPV4;
}

static int
refuse(const struct mtu_input *in, uint16_t overhead, int mtu, int min, struct error *error)
{
    const char *family = in->underlay_ipv6 ? "IPv6" : "IPv4";
    const char *pods = min == MTU_MIN_IPV6 ? "IPv6" : "IPv4";

    if (in->wish && mtu >= min) {
        return overhead ? error_set(error, ERANGE, "mtu: %u does not fit: uplink %s has %u, %s over %s needs %u, "
                                    "so at most %d", in->wish, in->uplink, in->uplink_mtu, encap_name(in->encap),
                                    family, overhead, mtu)
                        : error_set(error, ERANGE, "mtu: %u does not fit: uplink %s has %u", in->wish, in->uplink,
                                    in->uplink_mtu);
    }
    return overhead ? error_set(error, ERANGE, "the uplink %s has an MTU of %u only: %s over %s needs %u, "
                                "and %s in the pods at least %d; raise it to %d", in->uplink, in->uplink_mtu,
                                encap_name(in->encap), family, overhead, pods, min, min + overhead)
                    : error_set(error, ERANGE, "the uplink %s has an MTU of %u only: %s in the pods needs at least %d",
                                in->uplink, in->uplink_mtu, pods, min);
}

int
mtu_choose(const struct mtu_input *in, uint16_t *mtu, struct error *error)
{
    uint16_t overhead = mtu_overhead(in->encap, in->underlay_ipv6);
    int min = in->pods_ipv6 ? MTU_MIN_IPV6 : MTU_MIN_IPV4;
    int max = (int) in->uplink_mtu - overhead;

    if (max < min || in->wish > max) {
        return refuse(in, overhead, max, min, error);
    }
    if (in->wish && in->wish < min) {
        return error_set(error, ERANGE, "mtu: %u is too small: %s in the pods needs at least %d", in->wish,
                         in->pods_ipv6 ? "IPv6" : "IPv4", min);
    }
    *mtu = in->wish ? in->wish : max;
    return 0;
}
