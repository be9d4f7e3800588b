#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <unistd.h>

static const dv_option options[] = {
    {"damaged", NULL, "instead: what the scheduled verification found (setting verify.interval_days)"}, DV_ASK_OPTIONS};

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
    char a[64], b[64], c[64];
    dv_error err = {0};
    static const dv_column damaged[] = {{"first_at", "FIRST SEEN", 19},
                                        {"last_at", "LAST SEEN", 19},
                                        {"error", "ERROR", 120},
                                        {"sop_uid", "SOP INSTANCE UID", 0},
                                        {0}};
    if (args->count > 1 || (args->count && dv_flag(args, "damaged")))
        return dv_usage(args, "give at most one UID, or --damaged");
    if (dv_flag(args, "damaged"))
        return dv_ask_list(args, "damages", cJSON_CreateObject(), damaged, "nothing damaged is known");
    seen s = {cJSON_CreateArray(), NULL};
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
    "[UID] | --damaged",
    "read stored objects again and check their hashes",
    "All of them, or those of an instance, series or study. Exit code 17 when one is damaged.\n"
    "With the setting verify.interval_days a running engine does so by itself, at verify.rate_mb_s and behind "
    "receiving;\n"
    "what it finds is in --damaged, in drover status, and a finding of the study.",
    options,
    "drover verify",
    run};
