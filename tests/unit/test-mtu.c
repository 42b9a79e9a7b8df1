#include <config.h>

#include <errno.h>
#include <string.h>

#include "controller/mtu.h"
#include "unit.h"

static const struct {
    struct mtu_input in;
    int mtu;                            /* 0: refused, and the message contains... */
    const char *message;
} cases[] = {
    { { 0, ENCAP_GENEVE, false, true, "eth0", 1500 }, 1450, NULL },
    { { 0, ENCAP_GENEVE, true, true, "eth0", 1500 }, 1430, NULL },
    { { 0, ENCAP_VXLAN, false, true, "eth0", 1500 }, 1450, NULL },
    { { 0, ENCAP_VXLAN, true, true, "eth0", 1500 }, 1430, NULL },
    { { 0, ENCAP_NONE, false, true, "eth0", 1500 }, 1500, NULL },
    { { 0, ENCAP_NONE, true, true, "eth0", 1500 }, 1500, NULL },
    { { 0, ENCAP_HYBRID, false, true, "eth0", 1500 }, 1450, NULL },
    { { 0, ENCAP_HYBRID, true, true, "eth0", 1500 }, 1430, NULL },
    { { 0, ENCAP_GENEVE, false, true, "eth0", 9000 }, 8950, NULL },
    { { 0, ENCAP_GENEVE, false, true, "lo", 65535 }, 65485, NULL },
    { { 1400, ENCAP_GENEVE, false, true, "eth0", 1500 }, 1400, NULL },
    { { 1450, ENCAP_GENEVE, false, true, "eth0", 1500 }, 1450, NULL },
    { { 1451, ENCAP_GENEVE, false, true, "eth0", 1500 }, 0,
      "mtu: 1451 does not fit: uplink eth0 has 1500, geneve over IPv4 needs 50, so at most 1450" },
    { { 9000, ENCAP_VXLAN, true, true, "bond0", 1500 }, 0,
      "mtu: 9000 does not fit: uplink bond0 has 1500, vxlan over IPv6 needs 70, so at most 1430" },
    { { 1501, ENCAP_NONE, false, true, "eth0", 1500 }, 0, "mtu: 1501 does not fit: uplink eth0 has 1500" },
    { { 1279, ENCAP_GENEVE, false, true, "eth0", 1500 }, 0, "mtu: 1279 is too small: IPv6 in the pods needs at least 1280" },
    { { 1279, ENCAP_GENEVE, false, false, "eth0", 1500 }, 1279, NULL },
    { { 575, ENCAP_GENEVE, false, false, "eth0", 1500 }, 0, "at least 576" },
    { { 0, ENCAP_GENEVE, false, true, "eth0", 1330 }, 1280, NULL },
    { { 0, ENCAP_GENEVE, false, true, "eth0", 1329 }, 0,
      "the uplink eth0 has an MTU of 1329 only: geneve over IPv4 needs 50, and IPv6 in the pods at least 1280; raise it to 1330" },
    { { 0, ENCAP_GENEVE, false, false, "eth0", 1329 }, 1279, NULL },
    { { 1280, ENCAP_GENEVE, true, true, "eth0", 1300 }, 0, "raise it to 1350" },
    { { 0, ENCAP_NONE, false, true, "eth0", 1279 }, 0, "IPv6 in the pods needs at least 1280" },
    { { 0, ENCAP_GENEVE, true, false, "eth0", 60 }, 0, "raise it to 646" },
    { { 0, ENCAP_GENEVE, true, false, "eth0", 0 }, 0, "raise it to 646" },
};

START_TEST(test_choose)
{
    ERROR_AUTO struct error error = ERROR_INIT;
    uint16_t mtu = 0;

    int retval = mtu_choose(&cases[_i].in, &mtu, &error);
    if (cases[_i].mtu) {
        ck_assert_msg(!retval, "%s", error_message(&error));
        ck_assert_int_eq(mtu, cases[_i].mtu);
    } else {
        ck_assert_int_eq(retval, ERANGE);
        ck_assert_int_eq(mtu, 0);
        ck_assert_msg(strstr(error_message(&error), cases[_i].message), "%s", error_message(&error));
    }
}
END_TEST

UNIT_MAIN("mtu", {
    tcase_add_loop_test(tc, test_choose, 0, sizeof cases / sizeof *cases);
})
