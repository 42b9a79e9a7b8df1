/* Fuzz target of controller/punt-reply.h: a code (1 byte), an MTU (2 bytes) and the frame that the switch punted. */

#include <config.h>

#include "controller/punt-reply.h"
#include "csum.h"
#include "dp-packet.h"
#include "fuzz.h"
#include "packets.h"

/* An answer is never longer than the standards allow, and its checksums are right. */
static void
check(struct dp_packet *reply)
{
    const uint8_t *frame = dp_packet_data(reply);
    size_t len = dp_packet_size(reply);

    FUZZ_CHECK(len >= ETH_HEADER_LEN + IP_HEADER_LEN + 8 && len <= ETH_HEADER_LEN + 1280, "%zu bytes", len);
    if (frame[12] == 0x08) {
        const uint8_t *ip = frame + ETH_HEADER_LEN;
        FUZZ_CHECK(len <= ETH_HEADER_LEN + 576, "%zu bytes", len);
        FUZZ_CHECK(!csum(ip, IP_HEADER_LEN), "header");
        struct ip_header header;
        memcpy(&header, ip, sizeof header);
        uint32_t sum = header.ip_proto == IPPROTO_TCP ? packet_csum_pseudoheader(&header) : 0;
        sum = csum_continue(sum, ip + IP_HEADER_LEN, len - ETH_HEADER_LEN - IP_HEADER_LEN);
        FUZZ_CHECK(!csum_finish(sum), "payload");
    } else {
        struct ovs_16aligned_ip6_hdr *ip = dp_packet_at_assert(reply, ETH_HEADER_LEN, IPV6_HEADER_LEN);
        FUZZ_CHECK(!csum_finish(csum_continue(packet_csum_pseudoheader6(ip), ip + 1,
                                              len - ETH_HEADER_LEN - IPV6_HEADER_LEN)), "payload");
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct in6_addr gateways[] = {
        { .s6_addr = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 244, 1, 1 } },
        { .s6_addr = { 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
    };
    const struct punt_local local = { ETH_ADDR_C(02,73,6c,00,00,01), gateways, 2 };

    if (size < 3) {
        return 0;
    }
    struct punt punt = { .code = data[0], .mtu = htons(data[1] << 8 | data[2]) };
    struct dp_packet *reply = punt_reply(&local, &punt, data + 3, size - 3);
    if (reply) {
        check(reply);
        dp_packet_delete(reply);
    }

    /* A node without addresses can only say which MAC it has, and that nobody serves. */
    const struct punt_local nobody = { ETH_ADDR_C(02,73,6c,00,00,01), NULL, 0 };
    if (punt.code != PUNT_ND_SOLICIT) {
        reply = punt_reply(&nobody, &punt, data + 3, size - 3);
        FUZZ_CHECK(!reply || punt.code == PUNT_REJECT, "an answer from nobody");
        if (reply) {
            check(reply);
            dp_packet_delete(reply);
        }
    }
    return 0;
}
