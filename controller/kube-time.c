#include <config.h>

#include "controller/kube-decode.h"

#include <errno.h>
#include <string.h>

/* 'n' digits at 's'; -1 if they are none. */
static int
digits(const char *s, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return -1;
        }
        value = value * 10 + s[i] - '0';
    }
    return value;
}

/* Days since 1970-01-01 of a Gregorian date; the year begins in March, so that a leap day is its last. */
static int64_t
days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = (month + 9) % 12;

    return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* "Z", or the difference to UTC, "+01:30", in seconds.  False if it is neither. */
static bool
parse_zone(const char *s, int *seconds)
{
    if (!strcmp(s, "Z") || !strcmp(s, "z")) {
        *seconds = 0;
        return true;
    }

    int hours = -1, minutes = -1;
    if ((*s == '+' || *s == '-') && strlen(s) == 6 && s[3] == ':') {
        hours = digits(s + 1, 2);
        minutes = digits(s + 4, 2);
    }
    *seconds = (*s == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

/* "2026-11-23T08:22:29Z", with fractions of a second or another zone too. */
static bool
parse_time(const char *s, int64_t *out)
{
    if (strlen(s) < 20 || strlen(s) > 40 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != 't') || s[13] != ':'
        || s[16] != ':') {
        return false;
    }

    int year = digits(s, 4), month = digits(s + 5, 2), day = digits(s + 8, 2);
    int hour = digits(s + 11, 2), minute = digits(s + 14, 2), second = digits(s + 17, 2), zone;
    const char *p = s + 19;

    if (*p == '.') {
        size_t n = strspn(p + 1, "0123456789");
        p += n ? n + 1 : 0;
    }
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59
        || second < 0 || second > 60 || !parse_zone(p, &zone)) {
        return false;
    }
    *out = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
    return true;
}

int
kube_get_time(const json_t *json, const char *key, int64_t *out, bool *present, struct error *error)
{
    const char *text;

    if (kube_get_string(json, key, &text, error)) {
        return EINVAL;
    }
    if (*text && !parse_time(text, out)) {
        return error_set(error, EINVAL, "%s: \"%.40s\" is not a time of RFC 3339", key, text);
    }
    if (present) {
        *present = *text != '\0';
    }
    return 0;
}
