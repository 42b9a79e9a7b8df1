/* controller/hostnet-nft-list.c: any bytes as what nftables lists.  Only one form of them is what was declared, spaces and the
 * order of elements apart. */

#include <config.h>

#include <string.h>

#include "controller/hostnet-private.h"
#include "fuzz.h"
#include "util.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char declared[] = "table inet sluice { }\ndelete table inet sluice\ntable inet sluice {\n  set a {\n  }\n}\n"
                                   "add element inet sluice a { 1, 2 . 3 }\n";
    char *listing = xmemdup0((const char *) data, size);

    if (hostnet_nft_is_same(declared, listing)) {
        FUZZ_CHECK(strstr(listing, "table") && strstr(listing, "elements") && strchr(listing, '3'), "%s", listing);
    }
    hostnet_nft_is_same("", listing);
    free(listing);
    return 0;
}
