#include <config.h>

#include "pipeline.h"

#include <string.h>

#include "fields.h"
#include "openvswitch/util.h"

/* Numbers and names of tables: a number used twice does not compile. */

const char *
pipeline_table_name(uint8_t table_id)
{
    switch (table_id) {
#define TABLE(NUMBER, NAME, DECIDES) case NUMBER: return #NAME;
    PIPELINE
#undef TABLE
    default: return NULL;
    }
}

const char *
pipeline_table_decides(uint8_t table_id)
{
    switch (table_id) {
#define TABLE(NUMBER, NAME, DECIDES) case NUMBER: return DECIDES;
    PIPELINE
#undef TABLE
    default: return NULL;
    }
}

bool
pipeline_table_from_name(const char *name, uint8_t *table_id)
{
    for (int t = pipeline_next_table(0); t >= 0; t = pipeline_next_table(t + 1)) {
        if (!strcmp(name, pipeline_table_name(t))) {
            *table_id = t;
            return true;
        }
    }
    return false;
}

int
pipeline_next_table(int from)
{
    for (int t = from; t < 255; t++) {
        if (pipeline_table_name(t)) {
            return t;
        }
    }
    return -1;
}

/* Priorities: a value used twice in a table does not compile. */

static const char *
priority_lookup(uint32_t key)
{
    switch (key) {
#define PRIORITY(TABLE, NAME, VALUE, TEXT) case TABLE_##TABLE << 16 | VALUE: return TEXT;
    PRIORITIES
#undef PRIORITY
    default: return NULL;
    }
}

static uint32_t
priority_key(uint8_t table_id, uint16_t priority)
{
#define RANGE(TABLE, NAME, LAST)                                                                                       \
    if (table_id == TABLE_##TABLE && priority >= PRIORITY_##TABLE##_##NAME && priority <= LAST) {                      \
        priority = PRIORITY_##TABLE##_##NAME;                                                                          \
    }
    PRIORITY_RANGES
#undef RANGE
    return table_id << 16 | priority;
}

/* Nothing lies within a range but its first value. */
#define RANGE(TABLE, NAME, LAST)                                                                                       \
    + (table == (int) TABLE_##TABLE && value > (int) PRIORITY_##TABLE##_##NAME && value <= LAST)
#define PRIORITY(TABLE, NAME, VALUE, TEXT)                                                                             \
    {                                                                                                                  \
        enum { table = TABLE_##TABLE, value = VALUE };                                                                 \
        BUILD_ASSERT(!(0 PRIORITY_RANGES));                                                                            \
    }
static void OVS_UNUSED
check_ranges(void)
{
    PRIORITIES
}
#undef PRIORITY
#undef RANGE

const char *
pipeline_priority_text(uint8_t table_id, uint16_t priority)
{
    return priority_lookup(priority_key(table_id, priority));
}

/* Fields: each fits into its store, is written before it is read, and shares no bit with another.  The sum of masks
 * equals their union exactly when no bit is in two of them. */

#define FIELD(NAME, STORE, OFS, N, WRITER, READER, MEANING)                                                            \
    BUILD_ASSERT_DECL((N) >= 1 && (OFS) + (N) <= 32);                                                                  \
    BUILD_ASSERT_DECL((int) TABLE_##WRITER <= (int) TABLE_##READER);                                                   \
    BUILD_ASSERT_DECL(MFF_##STORE == MFF_METADATA || (MFF_##STORE >= MFF_REG0 && MFF_##STORE <= MFF_REG15));
FIELDS(FIELD)
#undef FIELD

#define MASK(OFS, N) (((UINT64_C(1) << (N)) - 1) << (OFS))
#define SUM(NAME, STORE, OFS, N, WRITER, READER, MEANING) + (MFF_##STORE == (int) under_test ? MASK(OFS, N) : 0)
#define UNION(NAME, STORE, OFS, N, WRITER, READER, MEANING) | (MFF_##STORE == (int) under_test ? MASK(OFS, N) : 0)
#define NO_OVERLAP_IN(STORE)                                                                                           \
    {                                                                                                                  \
        enum { under_test = MFF_##STORE };                                                                             \
        BUILD_ASSERT((0 FIELDS(SUM)) == (0 FIELDS(UNION)));                                                            \
    }

static const struct flow_field_info infos[N_FLOW_FIELDS] = {
#define FIELD(NAME, STORE, OFS, N, WRITER, READER, MEANING)                                                            \
    [FIELD_##NAME] = { #NAME, MFF_##STORE, OFS, N, TABLE_##WRITER, TABLE_##READER, MEANING },
    FIELDS(FIELD)
#undef FIELD
};

const struct flow_field_info *
flow_field_info(enum flow_field field)
{
    NO_OVERLAP_IN(METADATA)
    NO_OVERLAP_IN(REG0) NO_OVERLAP_IN(REG1) NO_OVERLAP_IN(REG2) NO_OVERLAP_IN(REG3)
    NO_OVERLAP_IN(REG4) NO_OVERLAP_IN(REG5) NO_OVERLAP_IN(REG6) NO_OVERLAP_IN(REG7)
    NO_OVERLAP_IN(REG8) NO_OVERLAP_IN(REG9) NO_OVERLAP_IN(REG10) NO_OVERLAP_IN(REG11)
    NO_OVERLAP_IN(REG12) NO_OVERLAP_IN(REG13) NO_OVERLAP_IN(REG14) NO_OVERLAP_IN(REG15)
    return &infos[field];
}
