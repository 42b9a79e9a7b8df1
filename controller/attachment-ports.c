#include <config.h>

#include "attachment-private.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "packets.h"
#include "util.h"

/* Ports of the host that lead to an attachment (CNI's capability portMappings; services 31). */

static const struct { const char *name; uint8_t number; } protocols[] = {
    { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP },
};

static const char *
protocol_name(uint8_t number)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (protocols[i].number == number) {
            return protocols[i].name;
        }
    }
    OVS_NOT_REACHED();
}

static uint8_t
protocol_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (!strcmp(protocols[i].name, name)) {
            return protocols[i].number;
        }
    }
    return 0;
}

/* "tcp 8080", "udp 192.0.2.1:53". */
static char *
port_to_text(const struct attachment_port *port)
{
    char s[INET_ADDR_STRLEN];

    inet_addr_format(&port->host_addr, s);
    return IN6_IS_ADDR_UNSPECIFIED(&port->host_addr)
           ? xasprintf("%s %u", protocol_name(port->protocol), port->host_port)
           : xasprintf(inet_is_v4(&port->host_addr) ? "%s %s:%u" : "%s [%s]:%u", protocol_name(port->protocol), s,
                       port->host_port);
}

static bool
is_same_host_port(const struct attachment_port *a, const struct attachment_port *b)
{
    return (a->host_port == b->host_port && a->protocol == b->protocol
            && ipv6_addr_equals(&a->host_addr, &b->host_addr));
}

static const struct attachment_port *
find_port(const struct attachment *a, const struct attachment_port *port)
{
    for (size_t i = 0; i < a->n_ports; i++) {
        if (is_same_host_port(&a->ports[i], port)) {
            return &a->ports[i];
        }
    }
    return NULL;
}

static int
read_mapping(const struct cni_port_mapping *mapping, struct attachment_port *port, struct error *error)
{
    int code = mapping->host_ip ? inet_addr_parse(mapping->host_ip, &port->host_addr, error) : 0;

    if (code) {
        return error_wrap(error, "\"portMappings\": \"hostIP\"");
    }
    if (inet_is_any(&port->host_addr)) {
        port->host_addr = in6addr_any;
    }
    port->host_port = mapping->host_port;
    port->pod_port = mapping->container_port;
    port->protocol = protocol_from_name(mapping->protocol);
    return (port->host_port && port->pod_port && port->protocol ? 0
            : error_set(error, EINVAL, "\"portMappings\": ports must be 1 to 65535, the protocol tcp, udp or sctp"));
}

int
attachment_parse_ports_(struct attachment *a, const struct cni_request *rq, struct error *error)
{
    a->ports = xcalloc(rq->n_ports, sizeof *a->ports);
    for (size_t i = 0; i < rq->n_ports; i++) {
        struct attachment_port port = { .host_port = 0 };
        int code = read_mapping(&rq->ports[i], &port, error);
        if (code) {
            return code;
        }
        const struct attachment_port *old = find_port(a, &port);
        if (!old) {
            a->ports[a->n_ports++] = port;
        } else if (old->pod_port != port.pod_port) {
            char *text = port_to_text(&port);
            code = error_set(error, EINVAL, "\"portMappings\": port %s of the host cannot lead to both %u and %u", text,
                             old->pod_port, port.pod_port);
            free(text);
            return code;
        }
    }
    return 0;
}

/* One whose removal is answered does not count: the same port may be another's then. */
static const struct attachment *
find_holder(const struct attachment *a, const struct attachment_port *port)
{
    const struct attachment *other;

    HMAP_FOR_EACH (other, id_node, &a->table->by_id) {
        if (other != a && !other->replied && find_port(other, port)) {
            return other;
        }
    }
    return NULL;
}

char *
attachment_ports_taken_(const struct attachment *a, enum cni_code *code)
{
    for (size_t i = 0; i < a->n_ports; i++) {
        const struct attachment *other = find_holder(a, &a->ports[i]);
        if (other) {
            char *text = port_to_text(&a->ports[i]);
            char *why = other->pod_name
                        ? xasprintf("port %s of the host is taken by pod %s/%s", text,
                                    other->pod_namespace ? other->pod_namespace : "", other->pod_name)
                        : xasprintf("port %s of the host is taken by %s of container %s", text, other->ifname,
                                    other->container_id);
            free(text);
            *code = other->state == ATTACHMENT_REMOVING ? CNI_E_AGAIN : CNI_E_FAILED;
            return why;
        }
    }
    return NULL;
}

char *
attachment_compare_ports_(const struct attachment *a, const struct cni_request *rq)
{
    for (size_t i = 0; i < rq->n_ports; i++) {
        ERROR_AUTO struct error error = ERROR_INIT;
        struct attachment_port port = { .host_port = 0 };
        if (read_mapping(&rq->ports[i], &port, &error)) {
            return xstrdup(error_message(&error));
        }
        const struct attachment_port *old = find_port(a, &port);
        if (!old || old->pod_port != port.pod_port) {
            char *text = port_to_text(&port);
            char *why = xasprintf("port %s of the host does not lead to port %u of the attachment", text, port.pod_port);
            free(text);
            return why;
        }
    }
    return NULL;
}

/* The journal. --------------------------------------------------------------------------------------------------- */

json_t *
attachment_ports_to_json_(const struct attachment *a)
{
    json_t *array = json_array();

    for (size_t i = 0; i < a->n_ports; i++) {
        const struct attachment_port *port = &a->ports[i];
        char s[INET_ADDR_STRLEN];
        json_array_append_new(array, json_pack("{s:s, s:s, s:i, s:i}", "proto", protocol_name(port->protocol), "ip",
                                               inet_addr_format(&port->host_addr, s), "host", (int) port->host_port,
                                               "pod", (int) port->pod_port));
    }
    return array;
}

bool
attachment_read_ports_(struct attachment *a, const json_t *array)
{
    size_t i;
    json_t *value;

    if (array && !json_is_array(array)) {
        return false;
    }
    a->ports = xcalloc(json_array_size(array), sizeof *a->ports);
    json_array_foreach (array, i, value) {
        struct attachment_port *port = &a->ports[a->n_ports];
        const char *protocol, *ip;
        int host_port, pod_port;
        if (json_unpack(value, "{s:s, s:s, s:i, s:i}", "proto", &protocol, "ip", &ip, "host", &host_port, "pod",
                        &pod_port)
            || host_port < 1 || host_port > UINT16_MAX || pod_port < 1 || pod_port > UINT16_MAX
            || inet_addr_parse(ip, &port->host_addr, NULL) || !protocol_from_name(protocol)) {
            return false;
        }
        port->host_port = host_port;
        port->pod_port = pod_port;
        port->protocol = protocol_from_name(protocol);
        a->n_ports++;
    }
    return true;
}
