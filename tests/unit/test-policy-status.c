/* controller/policy-status.h: issue 5, "status: per policy realised or not and since when". */
#include <config.h>

#include "controller/policy-status.h"
#include "controller/kube-types.h"
#include "unit.h"

static void
check(const struct policy_status *ps, const struct kube_object *object, uint64_t acked, bool realized, long long int since)
{
    long long int is;

    ck_assert_int_eq(policy_status_get(ps, object, acked, &is), realized);
    ck_assert_int_eq(is, since);
}

START_TEST(test_life)
{
    struct policy_status *ps = policy_status_create();
    struct kube_object a, b, c;

    policy_status_changed(ps, NULL, &a);
    policy_status_acked(ps, 100, 5);            /* Not declared yet. */
    check(ps, &a, 100, false, 0);
    policy_status_declared(ps, 7);
    policy_status_changed(ps, NULL, &b);
    policy_status_declared(ps, 8);
    policy_status_declared(ps, 9);
    ck_assert_uint_eq(policy_status_n_pending(ps), 2);

    policy_status_acked(ps, 6, 10);
    check(ps, &a, 6, false, 0);
    policy_status_acked(ps, 7, 11);
    check(ps, &a, 7, true, 11);
    check(ps, &b, 7, false, 0);
    policy_status_acked(ps, 8, 12);
    check(ps, &a, 8, true, 11);
    check(ps, &b, 8, true, 12);
    ck_assert_uint_eq(policy_status_n_pending(ps), 0);

    /* The switch connects anew: not in place until it has everything, but since the same moment. */
    policy_status_acked(ps, 0, 13);
    check(ps, &a, 0, false, 11);
    policy_status_acked(ps, 9, 14);
    check(ps, &a, 9, true, 11);

    /* An update is in place from its own moment on. */
    policy_status_changed(ps, &a, &c);
    check(ps, &a, 9, false, 0);
    check(ps, &c, 9, false, 0);
    ck_assert_uint_eq(policy_status_n_pending(ps), 1);
    policy_status_declared(ps, 10);
    policy_status_acked(ps, 10, 15);
    check(ps, &c, 10, true, 15);

    /* One that goes before it is in place, or before it was declared. */
    policy_status_changed(ps, &c, &a);
    policy_status_changed(ps, &a, NULL);
    policy_status_changed(ps, &b, &c);
    policy_status_declared(ps, 11);
    policy_status_changed(ps, &c, NULL);
    policy_status_changed(ps, &c, NULL);
    ck_assert_uint_eq(policy_status_n_pending(ps), 0);
    policy_status_acked(ps, 11, 16);
    policy_status_destroy(ps);
}
END_TEST

UNIT_MAIN("policy-status", {
    tcase_add_test(tc, test_life);
})
