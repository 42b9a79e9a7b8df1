/* controller/punt-reply.h: any frame of a pod or a peer.  The first byte is the code, the next two are the MTU. */

#include <config.h>

#include <string.h>

#include "controller/punt-reply.h"
#include "dp-packet.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct in6_addr gateways[2];
    struct punt_local local = { ETH_ADDR_C(02,53,4c,00,00,01), gateways, 2 };
    struct punt punt = { .zero = 0 };

    if (size < 3) {
        return 0;
    }
    inet_addr_parse("10.244.1.1", &gateways[0], NULL);
    inet_addr_parse("fd00:10:244:1::1", &gateways[1], NULL);
    local.n_gateway_addrs = data[0] >> 6;
    local.n_gateway_addrs = local.n_gateway_addrs > 2 ? 2 : local.n_gateway_addrs;
    punt.code = data[0] & 7;
    memcpy(&punt.mtu, data + 1, 2);

    struct dp_packet *reply = punt_reply(&local, &punt, data + 3, size - 3);
    if (reply) {
        const struct eth_header *eth = dp_packet_data(reply);
        FUZZ_CHECK(dp_packet_size(reply) <= PUNT_MAX_LEN, "%u bytes", dp_packet_size(reply));
        FUZZ_CHECK(eth->eth_type != htons(ETH_TYPE_IP) || dp_packet_size(reply) <= ETH_HEADER_LEN + 576, "%u bytes",
                   dp_packet_size(reply));
        FUZZ_CHECK(local.n_gateway_addrs || punt.code == PUNT_ND_SOLICIT, "an answer from nobody");
        dp_packet_delete(reply);
    }
    return 0;
}
