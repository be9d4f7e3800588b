#include "base/file.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const dv_option options[] = {{"rules", "none|current", "none: store as it is (default current)"},
                                    {"source", "PEER", "what rules and the catalog call the source (default files)"},
                                    DV_ASK_OPTIONS};

typedef struct seen {
    cJSON *rows, *sum;
    bool json;
} seen;

static bool on_line(void *user, const char *kind, const cJSON *body)
{
    seen *s = user;
    char a[64], b[64], c[64];
    if (strcmp(kind, "row") == 0) {
        if (!s->json)
            printf("%s: %s: %s\n", dv_show(body, "file", a, sizeof a), dv_show(body, "kept", b, sizeof b),
                   dv_show(body, "reason", c, sizeof c));
        return !s->json || cJSON_AddItemToArray(s->rows, cJSON_Duplicate(body, true));
    }
    cJSON_Delete(s->sum);
    s->sum = cJSON_Duplicate(body, true);
    if (isatty(2))
        fprintf(stderr, "\r%s files, %s stored ", dv_show(body, "files", a, sizeof a),
                dv_show(body, "stored", b, sizeof b));
    return true;
}

static int run(const dv_args *args)
{
    static const char *const members[] = {"stored",     "known",     "rejected", "held",  "excluded",
                                          "unreadable", "not_dicom", "dicomdir", "failed"};
    seen s = {cJSON_CreateArray(), NULL, dv_flag(args, "json")};
    char path[PATH_MAX], a[64];
    dv_error err = {0};
    if (args->count != 1)
        return dv_usage(args, "give one file or folder");
    /* The engine runs elsewhere: it needs the whole path. */
    if (!realpath(args->value[0], path)) {
        dv_fail_errno(&err, "cannot read %s", args->value[0]);
        return dv_complain(args, &err);
    }
    if (access(dv_data_dir(args), F_OK) != 0) {
        if (!dv_mkdirs(dv_data_dir(args), 0750, &err))
            return dv_complain(args, &err);
        fprintf(stderr, "a new data directory: %s\n", dv_data_dir(args));
    }
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, "path", path);
    dv_ask_text(arguments, "rules", args, "rules");
    dv_ask_text(arguments, "source", args, "source");
    bool ok = dv_ask_quietly(args, "ingest", arguments, true, on_line, &s, &err);
    if (isatty(2))
        fprintf(stderr, "\r");
    if (s.json && s.sum) {
        cJSON_AddItemToObject(s.sum, "rows", s.rows);
        s.rows = NULL;
        dv_print_json(s.sum);
    } else if (s.sum) {
        printf("%s files:", dv_show(s.sum, "files", a, sizeof a));
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            printf("%s %s %s", i ? "," : "", dv_show(s.sum, members[i], a, sizeof a), members[i]);
        printf("\n");
    }
    cJSON_Delete(s.rows);
    cJSON_Delete(s.sum);
    return ok ? 0 : dv_complain(args, &err);
}

const dv_verb dv_verb_ingest = {"ingest",
                                "PATH",
                                "take a file or a folder tree through the rules into the archive",
                                "Files that are not DICOM are named and counted, never fatal. Run again, it takes what "
                                "is new: what is stored already is known.",
                                options,
                                "drover ingest /mnt/old-cds --source cds",
                                run};
