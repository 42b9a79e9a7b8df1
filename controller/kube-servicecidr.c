#include <config.h>

#include "controller/kube-schema.h"
#include "controller/kube-service.h"
#include "util.h"

static const struct kube_field spec_fields[] = {
    { "cidrs", KUBE_F_PREFIX, .required = true, KUBE_LIST(struct kube_servicecidr, cidrs, KUBE_MAX_SERVICE_CIDRS) },
};
static const struct kube_schema spec_schema = KUBE_SCHEMA(struct kube_servicecidr, spec_fields, NULL);
static const struct kube_field fields[] = {
    { "spec", KUBE_F_INLINE, .required = true, .schema = &spec_schema },
};
const struct kube_schema kube_servicecidr_schema = KUBE_SCHEMA(struct kube_servicecidr, fields, NULL);
