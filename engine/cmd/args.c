#include "cmd/cmd.h"

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

int dv_complain(const dv_args *args, const dv_error *err)
{
    fflush(stdout);
    fprintf(stderr, "drover %s: %s\n", args->verb->name, err->message);
    return dv_error_lookup(err->code)->exit_code;
}

int dv_usage(const dv_args *args, const char *format, ...)
{
    va_list list;
    fflush(stdout);
    fprintf(stderr, "drover %s: ", args->verb->name);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\nusage: drover %s %s; see 'drover %s --help'\n", args->verb->name, args->verb->arguments,
            args->verb->name);
    return dv_error_lookup(DV_ERR_USAGE)->exit_code;
}
