#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const dv_option options[] = {
    {"study", "UID", "what is stored under this UID, of a study, a series or an instance"}, DV_ASK_OPTIONS};

typedef struct seen {
    cJSON *rows, *sum;
    bool json;
} seen;

static bool on_line(void *user, const char *kind, const cJSON *body)
{
    seen *s = user;
    char a[64], b[64];
    if (strcmp(kind, "row") == 0) {
        const char *status = dv_show(body, "status", a, sizeof a);
        if (!s->json)
            printf("%s: %s%s%s: %s\n", dv_show(body, "file", b, sizeof b), dv_show(body, "result", b, sizeof b),
                   *status ? " " : "", status, dv_show(body, "reason", b, sizeof b));
        return !s->json || cJSON_AddItemToArray(s->rows, cJSON_Duplicate(body, true));
    }
    cJSON_Delete(s->sum);
    s->sum = cJSON_Duplicate(body, true);
    if (isatty(2))
        fprintf(stderr, "\r%s sent ", dv_show(body, "sent", a, sizeof a));
    return true;
}

static int run(const dv_args *args)
{
    static const char *const members[] = {"sent", "warning", "refused", "failed"};
    seen s = {cJSON_CreateArray(), NULL, dv_flag(args, "json")};
    dv_error err = {0};
    char a[64], b[64];
    if (args->count < 1 || (args->count == 1) == !dv_arg(args, "study")) {
        cJSON_Delete(s.rows);
        return dv_usage(args, "give a peer, and files or --study UID");
    }
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, "peer", args->value[0]);
    dv_ask_text(arguments, "study_uid", args, "study");
    cJSON *paths = cJSON_AddArrayToObject(arguments, "paths");
    for (int i = 1; i < args->count; i++) { /* the engine has another working directory */
        char path[PATH_MAX];
        cJSON_AddItemToArray(paths, cJSON_CreateString(realpath(args->value[i], path) ? path : args->value[i]));
    }
    bool ok = dv_ask_quietly(args, "send", arguments, true, on_line, &s, &err);
    if (isatty(2))
        fprintf(stderr, "\r");
    if (s.json && s.sum) {
        cJSON_AddItemToObject(s.sum, "rows", s.rows);
        s.rows = NULL;
        dv_print_json(s.sum);
    } else if (s.sum) {
        printf("%s instances:", dv_show(s.sum, "files", a, sizeof a));
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            printf("%s %s %s", i ? "," : "", dv_show(s.sum, members[i], a, sizeof a), members[i]);
        printf("; %s, %s associations\n", dv_show(s.sum, "bytes", a, sizeof a),
               dv_show(s.sum, "associations", b, sizeof b));
    }
    cJSON_Delete(s.rows);
    cJSON_Delete(s.sum);
    return ok ? 0 : dv_complain(args, &err);
}

const dv_verb dv_verb_send = {
    "send",
    "PEER (FILE... | --study UID)",
    "send files, or what is stored, to a peer by C-STORE",
    "Each instance goes as it is, in its own transfer syntax: nothing is converted. Those that the peer does not take\n"
    "are named with the reason, and the exit code is 20; the others are sent.",
    options,
    "drover send new-archive --study 1.2.840.113619.2.55.3\n"
    "drover send workstation /mnt/cd/*.dcm",
    run};
