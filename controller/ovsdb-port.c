#include <config.h>

#include "ovsdb-internal.h"

#include <net/if.h>

#include "flow.h"
#include "lib/ovsdb-idl.h"
#include "smap.h"
#include "unicode.h"
#include "util.h"

/* The text columns of a pod with their keys in external_ids. */
static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    { "container-id", offsetof(struct ovsdb_port, container_id) },
    { "if-name", offsetof(struct ovsdb_port, ifname) },
    { "network", offsetof(struct ovsdb_port, network) },
    { "pod-namespace", offsetof(struct ovsdb_port, pod_namespace) },
    { "pod-name", offsetof(struct ovsdb_port, pod_name) },
    { "pod-uid", offsetof(struct ovsdb_port, pod_uid) },
    { "ip-addresses", offsetof(struct ovsdb_port, addresses) },
};

static const char **
text_of(const struct ovsdb_port *port, size_t i)
{
    return ALIGNED_CAST(const char **, (char *) port + texts[i].offset);
}

void
ovsdb_port_copy(struct ovsdb_port *dst, const struct ovsdb_port *src)
{
    dst->name = xstrdup(src->name);
    dst->ofport = src->ofport;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *s = *text_of(src, i);
        *text_of(dst, i) = s ? xstrdup(s) : NULL;
    }
}

void
ovsdb_port_free(struct ovsdb_port *port)
{
    free(CONST_CAST(char *, port->name));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        free(CONST_CAST(char *, *text_of(port, i)));
    }
}

bool
ovsdb_port_equals(const struct ovsdb_port *a, const struct ovsdb_port *b)
{
    bool equal = a->ofport == b->ofport;
    for (size_t i = 0; i < ARRAY_SIZE(texts) && equal; i++) {
        equal = nullable_string_is_equal(*text_of(a, i), *text_of(b, i));
    }
    return equal;
}

/* NULL, or what is wrong with a string that is to go into the database. */
static char *
string_problem(const char *what, const char *s, size_t max)
{
    size_t length = strlen(s);
    if (length > max) {
        return xasprintf("%s has %"PRIuSIZE" bytes, more than %"PRIuSIZE, what, length, max);
    }
    char *error = utf8_validate(s, NULL);
    if (error) {
        free(error);
        return xasprintf("%s is not valid UTF-8", what);
    }
    for (const char *p = s; *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            return xasprintf("%s contains a control character", what);
        }
    }
    return NULL;
}

char *
ovsdb_port_problem(const struct ovsdb *ovsdb, const struct ovsdb_port *port)
{
    uint32_t ofport = ofp_to_u16(port->ofport);
    if (!port->name[0] || strpbrk(port->name, "/ ")) {
        return xasprintf("\"%s\" is no name for a network device", port->name);
    } else if (ofport < OFPORT_FIRST_POD || ofport > OFPORT_LAST_POD) {
        return xasprintf("OpenFlow port %"PRIu32" is none for pods (%d to %d)", ofport, OFPORT_FIRST_POD,
                         OFPORT_LAST_POD);
    } else if (ovsdb_base_holds(ovsdb->base, port->name)) {
        return xasprintf("the name %s is that of a port of the node", port->name);
    }
    char *problem = string_problem("name", port->name, IFNAMSIZ - 1);
    for (size_t i = 0; i < ARRAY_SIZE(texts) && !problem; i++) {
        const char *s = *text_of(port, i);
        problem = s ? string_problem(texts[i].key, s, OVSDB_STRING_MAX) : NULL;
    }
    return problem;
}

void
ovsdb_pod_row(const struct ovsdb *ovsdb, const struct ovsdb_pod *pod, struct smap *ids, struct smap *options,
              struct ovsdb_row_port *row)
{
    smap_init(ids);
    smap_init(options);
    smap_add(ids, OVSDB_OWNER_KEY, OVSDB_OWNER);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *s = *text_of(&pod->want, i);
        if (s) {
            smap_add(ids, texts[i].key, s);
        }
    }
    *row = (struct ovsdb_row_port) {
        .name = pod->want.name,
        .type = ovsdb->base && ovsdb->base->datapath == DATAPATH_AFXDP ? "afxdp-nonpmd" : "",
        .ofport = ofp_to_u16(pod->want.ofport),
        .options = options,
        .external_ids = ids,
    };
}

void
ovsdb_for_each_port(const struct ovsdb *ovsdb, void (*cb)(const struct ovsdb_port *, void *aux), void *aux)
{
    const struct ovsrec_interface *iface;
    OVSREC_INTERFACE_FOR_EACH (iface, ovsdb->idl) {
        if (ovsdb_is_ours(&iface->external_ids) && smap_get(&iface->external_ids, "container-id")) {
            struct ovsdb_port port = {
                .name = iface->name,
                .ofport = u16_to_ofp(iface->n_ofport_request ? *iface->ofport_request : 0),
            };
            for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                *text_of(&port, i) = smap_get(&iface->external_ids, texts[i].key);
            }
            cb(&port, aux);
        }
    }
}
