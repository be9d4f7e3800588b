#include "base/error.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const dv_error_info table[] = {
#define DV_ERROR(name, exit, http, dimse, text) {#name, exit, http, dimse, text},
#include "base/errors.def"
#undef DV_ERROR
};

/* What came from outside may hold escape sequences; a terminal or a log must not obey them. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F)
            *s = '?';
}

bool dv_error_set(dv_error *err, dv_code code, const char *format, ...)
{
    if (!err)
        return false;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    make_printable(err->message);
    return false;
}

bool dv_error_set_errno(dv_error *err, const char *format, ...)
{
    int number = errno;
    if (!err)
        return false;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->code = number == ENOSPC || number == EDQUOT ? DV_ERR_DISK_FULL : number == ENOMEM ? DV_ERR_MEMORY : DV_ERR_IO;
    if (n >= 0 && (size_t)n < sizeof err->message) {
        char text[128];
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", strerror_r(number, text, sizeof text));
    }
    make_printable(err->message);
    return false;
}

bool dv_error_add_context(dv_error *err, const char *format, ...)
{
    if (!err)
        return false;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 3 < sizeof err->message) {
        memcpy(err->message + n, ": ", 2);
        dv_text_copy(dv_text_of(old), err->message + n + 2, sizeof err->message - (size_t)n - 2);
    }
    make_printable(err->message);
    return false;
}

const dv_error_info *dv_error_lookup(dv_code code)
{
    return &table[(unsigned)code < DV_ERR_COUNT ? code : DV_ERR_INTERNAL];
}

dv_code dv_error_code(const char *name)
{
    for (int i = 0; i < DV_ERR_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return (dv_code)i;
    return DV_ERR_INTERNAL;
}
