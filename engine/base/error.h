/* error.h: how a function says that it failed.
 *
 * A function that can fail returns bool and takes `dv_error *err` last. On false ERR holds a code (a row of errors.def)
 * and one sentence in plain words that has the value that was wrong and what helps. Absence is not a failure.
 * Callers add context with dv_error_context; the last one logs or prints it, once. ERR may be NULL: nobody cares.
 *
 *   return dv_fail(err, DV_ERR_IO, "cannot write %s: %s; free some space", path, strerror(errno));
 * Threads   a dv_error belongs to its caller. */
#ifndef DV_BASE_ERROR_H
#define DV_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum dv_code {
#define DV_ERROR(name, exit, http, dimse, text) DV_ERR_##name,
#include "base/errors.def"
#undef DV_ERROR
    DV_ERR_COUNT
} dv_code;

typedef struct dv_error {
    dv_code code;
    char message[512];
} dv_error;

typedef struct dv_error_info {
    const char *name; /* "NOT_FOUND" */
    int exit_code;
    int http_status;
    uint16_t dimse_status;
    const char *text;
} dv_error_info;

/* What fails returns false: the compiler must see it too, to know which out-values are set. */
static inline bool dv_false(bool set)
{
    (void)set;
    return false;
}

/* Fills ERR and returns false: dv_fail(err, code, format, ...). The message is cut, never overrun; bytes below 0x20 are shown as '?'. */
#define dv_fail(...) dv_false(dv_error_set(__VA_ARGS__))
/* dv_fail with errno's text appended, ": No space left on device"; ENOSPC, EDQUOT and ENOMEM choose their own code: dv_fail_errno(err, format, ...). */
#define dv_fail_errno(...) dv_false(dv_error_set_errno(__VA_ARGS__))
/* Puts "context: " before the message, returns false: dv_error_context(err, format, ...). */
#define dv_error_context(...) dv_false(dv_error_add_context(__VA_ARGS__))

bool dv_error_set(dv_error *err, dv_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool dv_error_set_errno(dv_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool dv_error_add_context(dv_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
const dv_error_info *dv_error_lookup(dv_code code);
/* The code called NAME ("LIMIT"), DV_ERR_INTERNAL when there is none. */
dv_code dv_error_code(const char *name);

#endif
