#include "cmd/cmd.h"

#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int find(const dv_verb *verb, const char *option)
{
    for (int i = 0; verb->options && verb->options[i].name; i++)
        if (strcmp(verb->options[i].name, option) == 0)
            return i;
    return -1;
}

const char *dv_arg(const dv_args *args, const char *option)
{
    int i = find(args->verb, option);
    return i < 0 ? NULL : args->given[i];
}

const char *dv_arg_or(const dv_args *args, const char *option, const char *otherwise)
{
    const char *given = dv_arg(args, option);
    return given ? given : otherwise;
}

bool dv_flag(const dv_args *args, const char *option)
{
    return dv_arg(args, option) != NULL;
}

bool dv_arg_int(const dv_args *args, const char *option, int64_t min, int64_t max, int64_t *out, dv_error *err)
{
    const char *given = dv_arg(args, option);
    if (!given)
        return true;
    char *end;
    long long n = strtoll(given, &end, 10);
    if (end == given || *end || n < min || n > max)
        return dv_fail(err, DV_ERR_USAGE, "--%s is '%s'; it must be a number from %lld to %lld", option, given,
                       (long long)min, (long long)max);
    *out = n;
    return true;
}

static bool json_printed; /* by this process: results in JSON stand on stdout already */

void dv_json_printed(void)
{
    json_printed = true;
}

/* With --json whoever reads stdout finds the error there too, unless results are there. */
static void complain_in_json(const dv_args *args, const dv_error *err)
{
    dv_buffer b = {0};
    if (dv_flag(args, "json") && !json_printed) {
        const dv_error_info *info = dv_error_lookup(err->code);
        dv_buffer_printf(&b, "{\"error\":{\"code\":\"%s\",\"exit\":%d,\"message\":", info->name, info->exit_code);
        dv_buffer_json(&b, dv_text_of(err->message));
        dv_buffer_string(&b, "}}\n");
        fwrite(b.at, 1, b.len, stdout);
    }
    dv_buffer_free(&b);
    fflush(stdout);
}

int dv_complain(const dv_args *args, const dv_error *err)
{
    complain_in_json(args, err);
    fprintf(stderr, "drover %s: %s\n", args->verb->name, err->message);
    return dv_error_lookup(err->code)->exit_code;
}

int dv_usage(const dv_args *args, const char *format, ...)
{
    va_list list;
    dv_error err = {.code = DV_ERR_USAGE};
    va_start(list, format);
    vsnprintf(err.message, sizeof err.message, format, list);
    va_end(list);
    complain_in_json(args, &err);
    fprintf(stderr, "drover %s: %s", args->verb->name, err.message);
    fprintf(stderr, "\nusage: drover %s %s; see 'drover %s --help'\n", args->verb->name, args->verb->arguments,
            args->verb->name);
    return dv_error_lookup(DV_ERR_USAGE)->exit_code;
}
