#include <config.h>

#include "controller/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "socket-util.h"
#include "util.h"

#define CONFIG_MAX_SIZE (1024 * 1024)
#define CONFIG_MAX_PREFIXES 1024

/* One key.  'section' is the mapping that holds it in the file ("ipam"), or NULL; as an option it is SECTION-NAME. */
struct key {
    const char *section, *name, *metavar, *help;
    bool list;
    int (*set)(struct config *, const char *value, struct error *);     /* For lists: adds one element. */
    void (*clear)(struct config *);                                     /* For lists: back to empty. */
};

/* Values --------------------------------------------------------------------------------------------------------- */

static const char *const datapath_names[] = {
    [DATAPATH_AUTO] = "auto", [DATAPATH_KERNEL] = "kernel", [DATAPATH_AFXDP] = "afxdp", [DATAPATH_USERSPACE] = "userspace",
};
static const char *const encap_names[] = {
    [ENCAP_GENEVE] = "geneve", [ENCAP_VXLAN] = "vxlan", [ENCAP_NONE] = "none", [ENCAP_HYBRID] = "hybrid",
};

const char *
datapath_name(enum datapath datapath)
{
    return datapath_names[datapath];
}

const char *
encap_name(enum encap encap)
{
    return encap_names[encap];
}

static int
choose(const char *value, const char *const *names, size_t n, struct error *error)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(value, names[i])) {
            return i;
        }
    }
    error_set(error, EINVAL, "\"%.64s\" is none of %s, %s, %s, %s", value, names[0], names[1], names[2], names[3]);
    return -1;
}

static int
set_datapath(struct config *config, const char *value, struct error *error)
{
    int i = choose(value, datapath_names, ARRAY_SIZE(datapath_names), error);
    config->datapath = i < 0 ? config->datapath : i;
    return i < 0 ? EINVAL : 0;
}

static int
set_encapsulation(struct config *config, const char *value, struct error *error)
{
    int i = choose(value, encap_names, ARRAY_SIZE(encap_names), error);
    config->encapsulation = i < 0 ? config->encapsulation : i;
    return i < 0 ? EINVAL : 0;
}

static int
set_text(char **member, const char *value, struct error *error)
{
    if (!*value) {
        return error_set(error, EINVAL, "must not be empty");
    }
    free(*member);
    *member = xstrdup(value);
    return 0;
}

#define TEXT_SETTER(MEMBER)                                                             \
    static int                                                                          \
    set_##MEMBER(struct config *config, const char *value, struct error *error)         \
    {                                                                                   \
        return set_text(&config->MEMBER, value, error);                                 \
    }
TEXT_SETTER(node)
TEXT_SETTER(source)
TEXT_SETTER(kubeconfig)
TEXT_SETTER(run_dir)
TEXT_SETTER(state_dir)
TEXT_SETTER(ovsdb)
TEXT_SETTER(ovs_rundir)
TEXT_SETTER(log_file)
TEXT_SETTER(policy_log_file)

bool
policy_log_from_name(const char *name, enum flow_log *log)
{
    static const char *const names[] = { [FLOW_LOG_NONE] = "none", [FLOW_LOG_DROPS] = "drops", [FLOW_LOG_ALL] = "all" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(name, names[i])) {
            *log = i;
            return true;
        }
    }
    return false;
}

static int
set_policy_log(struct config *config, const char *value, struct error *error)
{
    return policy_log_from_name(value, &config->policy_log)
           ? 0 : error_set(error, EINVAL, "\"%.64s\" is none of none, drops, all", value);
}

static int
set_uplink(struct config *config, const char *value, struct error *error)
{
    if (strlen(value) >= IFNAMSIZ || strpbrk(value, "/ \t\n:")) {
        return error_set(error, EINVAL, "\"%.64s\" cannot be the name of an interface", value);
    }
    return set_text(&config->uplink, value, error);
}

static int
set_mtu(struct config *config, const char *value, struct error *error)
{
    char *end;
    long int mtu = strcmp(value, "auto") ? strtol(value, &end, 10) : 0;

    if (strcmp(value, "auto") && (end == value || *end || mtu < 576 || mtu > 65535)) {
        return error_set(error, EINVAL, "\"%.64s\" is neither auto nor a number of bytes from 576 to 65535", value);
    }
    config->mtu = mtu;
    return 0;
}

static int
set_masquerade(struct config *config, const char *value, struct error *error)
{
    bool yes = !strcmp(value, "auto") || !strcmp(value, "true");

    if (!yes && strcmp(value, "false")) {
        return error_set(error, EINVAL, "\"%.64s\" is none of auto, true, false", value);
    }
    config->masquerade = yes;
    return 0;
}

static int
set_ipam_mode(struct config *config, const char *value, struct error *error)
{
    if (strcmp(value, "host")) {
        return error_set(error, EINVAL, "\"%.64s\" is not a mode that this version has: use host", value);
    }
    return set_text(&config->ipam_mode, value, error);
}

/* "ADDRESS:PORT", "[ADDRESS]:PORT", or "none". */
static int
set_healthz(struct config *config, const char *value, struct error *error)
{
    const char *colon = strrchr(value, ':');
    char *host = colon ? xmemdup0(value, colon - value) : xstrdup("");
    size_t len = strlen(host);
    bool bracketed = len > 2 && host[0] == '[' && host[len - 1] == ']';
    struct in6_addr addr = in6addr_any;
    int port = 0;

    if (bracketed) {
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
    }
    bool ok = !strcmp(value, "none")
              || (colon && str_to_int(colon + 1, 10, &port) && port > 0 && port <= UINT16_MAX
                  && !inet_addr_parse(host, &addr, NULL) && bracketed == !inet_is_v4(&addr));
    free(host);
    if (!ok) {
        return error_set(error, EINVAL, "\"%.64s\" is neither none nor an address and a port, such as 0.0.0.0:10256 or "
                         "[::]:10256", value);
    }
    config->healthz_addr = addr;
    config->healthz_port = port;
    return 0;
}

/* A time from 0 to 1h. */
static int
parse_time(const char *value, long long int *ms, struct error *error)
{
    static const struct { const char *unit; long long int ms; } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
    };
    char *end;
    errno = 0;
    long long int number = strtoll(value, &end, 10);

    if (end != value && number >= 0 && number <= 3600000 && !errno) {
        if (!number && !*end) {
            *ms = 0;
            return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
            if (!strcmp(end, units[i].unit) && number * units[i].ms <= 3600000) {
                *ms = number * units[i].ms;
                return 0;
            }
        }
    }
    return error_set(error, EINVAL, "\"%.64s\" is not a time from 0 to 1h with a unit (ms, s, m, h), such as 60s", value);
}

static int
set_quarantine(struct config *config, const char *value, struct error *error)
{
    return parse_time(value, &config->quarantine_ms, error);
}

static int
set_domain_idle(struct config *config, const char *value, struct error *error)
{
    return parse_time(value, &config->domain_idle_ms, error);
}

static int
add_prefix(struct inet_prefix **prefixes, size_t *n, const char *value, struct error *error)
{
    struct inet_prefix prefix;
    int retval = *n >= CONFIG_MAX_PREFIXES ? error_set(error, E2BIG, "more than %d", CONFIG_MAX_PREFIXES)
                 : inet_cidr_parse(value, &prefix, error);

    if (!retval) {
        *prefixes = xrealloc(*prefixes, (*n + 1) * sizeof **prefixes);
        (*prefixes)[(*n)++] = prefix;
    }
    return retval;
}

#define PREFIXES_SETTER(MEMBER)                                                         \
    static int                                                                          \
    add_##MEMBER(struct config *config, const char *value, struct error *error)         \
    {                                                                                   \
        return add_prefix(&config->MEMBER, &config->n_##MEMBER, value, error);          \
    }                                                                                   \
    static void                                                                         \
    clear_##MEMBER(struct config *config)                                               \
    {                                                                                   \
        free(config->MEMBER);                                                           \
        config->MEMBER = NULL;                                                          \
        config->n_##MEMBER = 0;                                                         \
    }
PREFIXES_SETTER(pod_cidrs)
PREFIXES_SETTER(service_cidrs)
PREFIXES_SETTER(reserve)

/* The table ------------------------------------------------------------------------------------------------------ */

#define VALUE(SECTION, NAME, METAVAR, SET, HELP) { SECTION, NAME, METAVAR, HELP, false, SET, NULL }
#define LIST(SECTION, NAME, MEMBER, HELP) { SECTION, NAME, "CIDR,...", HELP, true, add_##MEMBER, clear_##MEMBER }

static const struct key keys[] = {
    VALUE(NULL, "node", "NAME", set_node, "this node's name (default: the host's)"),
    VALUE(NULL, "source", "SOURCE", set_source, "\"kubernetes\", or a directory of manifests"),
    VALUE(NULL, "kubeconfig", "FILE", set_kubeconfig, "how to reach the API server (default: in-cluster)"),
    VALUE(NULL, "datapath", "NAME", set_datapath, "auto, kernel, afxdp or userspace"),
    VALUE(NULL, "encapsulation", "NAME", set_encapsulation, "geneve, vxlan, none or hybrid"),
    VALUE(NULL, "uplink", "DEVICE", set_uplink, "the interface to the other nodes, or auto"),
    VALUE(NULL, "mtu", "BYTES", set_mtu, "MTU of the pods, or auto"),
    LIST(NULL, "pod-cidrs", pod_cidrs, "this node's pods, for a source without its Node object"),
    LIST(NULL, "service-cidrs", service_cidrs, "the cluster's Service addresses"),
    VALUE(NULL, "masquerade", "YES", set_masquerade, "auto, true or false: what leaves the cluster gets the node's address"),
    VALUE(NULL, "healthz", "ADDR:PORT", set_healthz, "where /healthz answers load balancers, or none"),
    VALUE("ipam", "mode", "NAME", set_ipam_mode, "host: the node's own pod CIDRs"),
    VALUE("ipam", "quarantine", "TIME", set_quarantine, "how long a released address rests, 0 to 1h"),
    LIST("ipam", "reserve", reserve, "addresses that pods never get"),
    VALUE(NULL, "run-dir", "DIR", set_run_dir, "sockets and pid file"),
    VALUE(NULL, "state-dir", "DIR", set_state_dir, "what must survive a reboot"),
    VALUE(NULL, "ovsdb", "REMOTE", set_ovsdb, "the Open vSwitch database"),
    VALUE(NULL, "ovs-rundir", "DIR", set_ovs_rundir, "run directory of Open vSwitch"),
    VALUE(NULL, "log-file", "FILE", set_log_file, "where to log (default: standard error)"),
    VALUE(NULL, "domain-idle", "TIME", set_domain_idle, "how long an address of a domain name stays unused, 0 to 1h"),
    VALUE(NULL, "policy-log", "WHAT", set_policy_log, "verdicts of policies to log: none, drops or all"),
    VALUE(NULL, "policy-log-file", "FILE", set_policy_log_file, "where to log them"),
};

static char *
option_name(const struct key *key)
{
    return key->section ? xasprintf("%s-%s", key->section, key->name) : xstrdup(key->name);
}

void
config_for_each_key(void (*cb)(const char *key, const char *metavar, const char *help, void *aux), void *aux)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char *name = option_name(&keys[i]);
        cb(name, keys[i].metavar, keys[i].help, aux);
        free(name);
    }
}

/* Levenshtein distance, for "did you mean". */
static unsigned int
distance(const char *a, const char *b)
{
    size_t n = MIN(strlen(b), 63);
    unsigned int row[64];

    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] && i < 64; i++) {
        unsigned int diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            unsigned int above = row[j + 1];
            unsigned int change = diagonal + (a[i] != b[j]);
            row[j + 1] = MIN(MIN(above, row[j]) + 1, change);
            diagonal = above;
        }
    }
    return row[n];
}

static bool
same_section(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static const struct key *
find_key(const char *section, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (same_section(keys[i].section, section) && !strcmp(keys[i].name, name)) {
            return &keys[i];
        }
    }
    return NULL;
}

static const char *
nearest_key(const char *section, const char *name)
{
    const char *nearest = NULL;
    unsigned int least = UINT_MAX;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        /* A section is a key of the top level. */
        const char *candidate = same_section(keys[i].section, section) ? keys[i].name : section ? NULL : keys[i].section;

        if (candidate && distance(name, candidate) < least) {
            least = distance(name, candidate);
            nearest = candidate;
        }
    }
    return nearest;
}

/* The file ------------------------------------------------------------------------------------------------------- */

struct reader {
    const char *name;
    yaml_document_t document;
    struct config *config;
};

static int
fail_at(const struct reader *r, const yaml_node_t *node, struct error *error, const char *what)
{
    return error_set(error, EINVAL, "%s:%zu: %s", r->name, node->start_mark.line + 1, what);
}

static const char *
scalar(const yaml_node_t *node)
{
    const char *s = (const char *) node->data.scalar.value;
    return node->type == YAML_SCALAR_NODE && strlen(s) == node->data.scalar.length ? s : NULL;
}

static int
set_scalar(struct reader *r, const struct key *key, const yaml_node_t *node, struct error *error)
{
    const char *value = scalar(node);

    if (!value) {
        error_set(error, EINVAL, "must be %s", key->list ? "a list of texts" : "one value");
    }
    if (!value || key->set(r->config, value, error)) {
        return error_wrap(error, "%s:%zu: %s", r->name, node->start_mark.line + 1, key->name);
    }
    return 0;
}

static int
set_value(struct reader *r, const struct key *key, const yaml_node_t *node, struct error *error)
{
    if (!key->list) {
        return set_scalar(r, key, node, error);
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        error_set(error, EINVAL, "must be a list, such as [10.0.0.0/8]");
        return error_wrap(error, "%s:%zu: %s", r->name, node->start_mark.line + 1, key->name);
    }
    key->clear(r->config);
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        int retval = set_scalar(r, key, yaml_document_get_node(&r->document, *item), error);
        if (retval) {
            return retval;
        }
    }
    return 0;
}

static bool
is_section(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (keys[i].section && !strcmp(keys[i].section, name)) {
            return true;
        }
    }
    return false;
}

static int
read_mapping(struct reader *r, const char *section, const yaml_node_t *node, struct error *error)
{
    if (node->type != YAML_MAPPING_NODE) {
        return fail_at(r, node, error, section ? "this must be a mapping of keys" : "the file must be a mapping of keys");
    }
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&r->document, p->key);
        const yaml_node_t *value = yaml_document_get_node(&r->document, p->value);
        const char *name = scalar(key_node);
        const struct key *key = name ? find_key(section, name) : NULL;
        int retval;

        for (yaml_node_pair_t *q = node->data.mapping.pairs.start; name && q < p; q++) {
            const char *other = scalar(yaml_document_get_node(&r->document, q->key));
            if (other && !strcmp(name, other)) {
                return fail_at(r, key_node, error, "this key stands here twice");
            }
        }
        if (key) {
            retval = set_value(r, key, value, error);
        } else if (name && !section && is_section(name)) {
            retval = read_mapping(r, name, value, error);
        } else {
            retval = error_set(error, EINVAL, "%s:%zu: unknown key \"%.64s\": did you mean \"%s\"?", r->name,
                               key_node->start_mark.line + 1, name ? name : "?", nearest_key(section, name ? name : ""));
        }
        if (retval) {
            return retval;
        }
    }
    return 0;
}

/* Members that are owned are copied through the table's own setters. */
static void
config_clone(struct config *dst, const struct config *src)
{
    *dst = *src;
#define CLONE_TEXT(MEMBER) dst->MEMBER = nullable_xstrdup(src->MEMBER)
    CLONE_TEXT(node);
    CLONE_TEXT(source);
    CLONE_TEXT(kubeconfig);
    CLONE_TEXT(uplink);
    CLONE_TEXT(ipam_mode);
    CLONE_TEXT(run_dir);
    CLONE_TEXT(state_dir);
    CLONE_TEXT(ovsdb);
    CLONE_TEXT(ovs_rundir);
    CLONE_TEXT(log_file);
    CLONE_TEXT(policy_log_file);
#undef CLONE_TEXT
#define CLONE_LIST(MEMBER) dst->MEMBER = src->n_##MEMBER ? xmemdup(src->MEMBER, src->n_##MEMBER * sizeof *src->MEMBER) : NULL
    CLONE_LIST(pod_cidrs);
    CLONE_LIST(service_cidrs);
    CLONE_LIST(reserve);
#undef CLONE_LIST
}

int
config_parse(struct config *config, const char *name, const void *yaml, size_t size, struct error *error)
{
    struct config copy;
    struct reader r = { .name = name, .config = &copy };
    yaml_parser_t parser;
    int retval = 0;

    if (!yaml_parser_initialize(&parser)) {
        return error_set(error, ENOMEM, "%s: out of memory", name);
    }
    yaml_parser_set_input_string(&parser, yaml, size);
    if (!yaml_parser_load(&parser, &r.document)) {
        retval = error_set(error, EINVAL, "%s:%zu: %s", name, parser.problem_mark.line + 1,
                           parser.problem ? parser.problem : "not YAML");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&r.document);

        config_clone(&copy, config);
        retval = root ? read_mapping(&r, NULL, root, error) : 0;
        if (!retval) {
            struct config old = *config;
            *config = copy;
            copy = old;
        }
        config_destroy(&copy);
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    return retval;
}

int
config_load(struct config *config, const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat s;

    if (fd < 0 || fstat(fd, &s)) {
        int code = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error_set_errno(error, code, "%s: cannot read the configuration", path);
    }

    size_t limit = MIN(s.st_size, CONFIG_MAX_SIZE + 1);
    char *text = xmalloc(limit + 1);
    size_t size;
    int retval = read_fully(fd, text, limit, &size);

    close(fd);
    if (retval && retval != EOF) {
        retval = error_set_errno(error, retval, "%s: cannot read the configuration", path);
    } else if (size > CONFIG_MAX_SIZE) {
        retval = error_set(error, EFBIG, "%s: larger than %d bytes", path, CONFIG_MAX_SIZE);
    } else {
        retval = config_parse(config, path, text, size, error);
    }
    free(text);
    return retval;
}

/* Options and the whole ------------------------------------------------------------------------------------------ */

static int
set_list(struct config *config, const struct key *key, const char *value, struct error *error)
{
    char *copy = xstrdup(value), *save = NULL;
    int retval = 0;

    key->clear(config);
    for (char *element = strtok_r(copy, ", ", &save); element && !retval; element = strtok_r(NULL, ", ", &save)) {
        retval = key->set(config, element, error);
    }
    free(copy);
    return retval;
}

int
config_set(struct config *config, const char *name, const char *value, struct error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char *option = option_name(&keys[i]);
        bool found = !strcmp(option, name);

        free(option);
        if (found) {
            int retval = keys[i].list ? set_list(config, &keys[i], value, error) : keys[i].set(config, value, error);
            return retval ? error_wrap(error, "%s", name), retval : 0;
        }
    }
    return error_set(error, EINVAL, "unknown key \"%.64s\": did you mean \"%s\"?", name, nearest_key(NULL, name));
}

static void
set_default_node(struct config *config)
{
    char host[HOST_NAME_MAX + 1] = "";

    gethostname(host, sizeof host - 1);
    for (char *p = host; *p; p++) {     /* As kubelet does. */
        *p = *p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p;
    }
    config->node = xstrdup(*host ? host : "localhost");
}

void
config_init(struct config *config)
{
    *config = (struct config) {
        .source = xstrdup("kubernetes"),
        .uplink = xstrdup("auto"),
        .datapath = DATAPATH_AUTO,
        .encapsulation = ENCAP_GENEVE,
        .masquerade = true,
        .ipam_mode = xstrdup("host"),
        .quarantine_ms = 60000,
        .domain_idle_ms = 600000,
        .healthz_addr = in6addr_any,
        .healthz_port = 10256,
        .run_dir = xstrdup(SLUICE_RUNDIR),
        .state_dir = xstrdup(SLUICE_STATEDIR),
        .ovsdb = xstrdup("unix:" SLUICE_OVS_RUNDIR "/db.sock"),
        .ovs_rundir = xstrdup(SLUICE_OVS_RUNDIR),
        .policy_log = FLOW_LOG_NONE,
        .policy_log_file = xstrdup(SLUICE_LOGDIR "/policy.log"),
    };
    set_default_node(config);
    add_service_cidrs(config, "10.96.0.0/16", NULL);
    add_service_cidrs(config, "fd00:96::/112", NULL);
}

void
config_destroy(struct config *config)
{
    free(config->node);
    free(config->source);
    free(config->kubeconfig);
    free(config->uplink);
    free(config->ipam_mode);
    free(config->run_dir);
    free(config->state_dir);
    free(config->ovsdb);
    free(config->ovs_rundir);
    free(config->log_file);
    free(config->policy_log_file);
    clear_pod_cidrs(config);
    clear_service_cidrs(config);
    clear_reserve(config);
    memset(config, 0, sizeof *config);
}

int
config_validate(const struct config *config, struct error *error)
{
    for (size_t i = 0; i < config->n_pod_cidrs; i++) {
        const struct inet_prefix *other = inet_prefixes_overlap(config->service_cidrs, config->n_service_cidrs,
                                                                &config->pod_cidrs[i]);
        if (other) {
            char a[INET_PREFIX_STRLEN], b[INET_PREFIX_STRLEN];
            return error_set(error, EINVAL, "pod-cidrs %s and service-cidrs %s overlap",
                             inet_prefix_format(&config->pod_cidrs[i], a), inet_prefix_format(other, b));
        }
        if (i && (config->n_pod_cidrs > 2
                  || inet_is_v4(&config->pod_cidrs[0].addr) == inet_is_v4(&config->pod_cidrs[1].addr))) {
            return error_set(error, EINVAL, "pod-cidrs has more than one prefix of a family");
        }
    }
    return 0;
}
