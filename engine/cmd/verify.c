#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <unistd.h>

static const dv_option options[] = {DV_ASK_OPTIONS};

typedef struct seen {
    cJSON *damaged, *sum; /* sum: the last progress, which is the total at the end */
} seen;

static bool on_line(void *user, const char *kind, const cJSON *body)
{
    seen *s = user;
    char a[64], b[64];
    if (strcmp(kind, "row") == 0) {
        const char *path = dv_show(body, "path", a, sizeof a), *error = dv_show(body, "error", b, sizeof b);
        bool named = strstr(error, path) != NULL; /* most messages name the file themselves */
        fprintf(stderr, "%s%s%s\n", named ? "" : path, named ? "" : ": ", error);
        return cJSON_AddItemToArray(s->damaged, cJSON_Duplicate(body, true));
    }
    cJSON_Delete(s->sum);
    s->sum = cJSON_Duplicate(body, true);
    if (isatty(2))
        fprintf(stderr, "\r%s objects ", dv_show(body, "objects", a, sizeof a));
    return true;
}

static int run(const dv_args *args)
{
    seen s = {cJSON_CreateArray(), NULL};
    char a[64], b[64], c[64];
    dv_error err = {0};
    if (args->count > 1)
        return dv_usage(args, "give at most one UID");
    cJSON *arguments = cJSON_CreateObject();
    if (args->count)
        cJSON_AddStringToObject(arguments, "uid", args->value[0]);
    bool ok = dv_ask_quietly(args, "verify", arguments, true, on_line, &s, &err);
    if (isatty(2))
        fprintf(stderr, "\r");
    if (s.sum && dv_flag(args, "json")) {
        cJSON_AddItemToObject(s.sum, "rows", s.damaged);
        s.damaged = NULL;
        dv_print_json(s.sum);
    } else if (s.sum && cJSON_HasObjectItem(s.sum, "seconds")) {
        printf("%s objects read again, %s, %s damaged\n", dv_show(s.sum, "objects", a, sizeof a),
               dv_show(s.sum, "bytes", b, sizeof b), dv_show(s.sum, "damaged", c, sizeof c));
    }
    cJSON_Delete(s.damaged);
    cJSON_Delete(s.sum);
    return ok ? 0 : dv_complain(args, &err);
}

const dv_verb dv_verb_verify = {
    "verify",
    "[UID]",
    "read stored objects again and check their hashes",
    "All of them, or those of an instance, series or study. Exit code 17 when one is damaged.",
    options,
    "drover verify",
    run};
