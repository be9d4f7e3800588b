/* Storage commitment: what peers asked of us, what we asked of them. */
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

static const dv_column one[] = {{"id", "number", 0},
                                {"asked_by", "asked by", 0},
                                {"peer", "peer", 0},
                                {"aet", "its AE title", 0},
                                {"address", "its address", 0},
                                {"transaction", "transaction UID", 0},
                                {"state", "state", 0},
                                {"instances", "instances", 0},
                                {"committed", "committed", 0},
                                {"asked_at", "asked", 0},
                                {"decided_at", "checked", 0},
                                {"ended_at", "ended", 0},
                                {"tries", "tries to report", 0},
                                {"next_at", "next try", 0},
                                {"error", "error", 0},
                                {0}};

static const dv_column instances[] = {
    {"sop_uid", "SOP INSTANCE UID", 0}, {"sop_class", "SOP CLASS", 0}, {"result", "RESULT", 0}, {0}};

static const dv_option options[] = {{"state", "STATE", "list: asked, decided, reported, lost, complete or failed"},
                                    {"limit", "N", "list: at most so many (default 100)"},
                                    {"after", "ID", "list: go on behind this number"},
                                    DV_ASK_OPTIONS};

static cJSON *with_id(uint64_t id)
{
    cJSON *a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "id", (double)id);
    return a;
}

static bool collect(void *user, const char *kind, const cJSON *body)
{
    return strcmp(kind, "row") != 0 || cJSON_AddItemToArray(user, cJSON_Duplicate(body, true));
}

/* The transaction, and each of its instances; as JSON in one object. */
static int show(const dv_args *args, uint64_t id)
{
    if (!dv_flag(args, "json")) {
        int code = dv_ask_one(args, "commitments.list", with_id(id), one);
        return code ? code : dv_ask_list(args, "commitments.instances", with_id(id), instances, NULL);
    }
    dv_error err = {0};
    cJSON *rows = cJSON_CreateArray(), *list = cJSON_CreateArray();
    bool ok = dv_ask_quietly(args, "commitments.list", with_id(id), true, collect, rows, &err) &&
              dv_ask_quietly(args, "commitments.instances", with_id(id), true, collect, list, &err);
    cJSON *row = cJSON_DetachItemFromArray(rows, 0);
    if (ok && row) {
        cJSON_AddItemToObject(row, "list", list);
        dv_print_json(row);
    } else {
        cJSON_Delete(list);
    }
    cJSON_Delete(row);
    cJSON_Delete(rows);
    return ok ? 0 : dv_complain(args, &err);
}

static int run(const dv_args *args)
{
    static const dv_column list[] = {{"id", "ID", 0},
                                     {"asked_by", "ASKED BY", 0},
                                     {"peer", "PEER", 0},
                                     {"state", "STATE", 0},
                                     {"instances", "INSTANCES", 0},
                                     {"committed", "COMMITTED", 0},
                                     {"asked_at", "ASKED", 19},
                                     {"tries", "TRIES", 0},
                                     {"error", "ERROR", 60},
                                     {0}};
    const char *what = args->count ? args->value[0] : "list";
    dv_error err = {0};
    int64_t limit = 100, after = 0;
    uint64_t id;
    if (strcmp(what, "show") == 0)
        return args->count == 2 && dv_text_uint(dv_text_of(args->value[1]), &id) && id > 0
                   ? show(args, id)
                   : dv_usage(args, "give the number that 'drover commitments' shows");
    if (strcmp(what, "list") != 0 || args->count > 1)
        return dv_usage(args, "'%s' is no action; list and show are", what);
    if (!dv_arg_int(args, "limit", 1, 100000, &limit, &err) || !dv_arg_int(args, "after", 0, INT64_MAX, &after, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject();
    dv_ask_text(a, "state", args, "state");
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    cJSON_AddNumberToObject(a, "after", (double)after);
    return dv_ask_list(args, "commitments.list", a, list, "no storage commitments yet");
}

const dv_verb dv_verb_commitments = {
    "commitments",
    "list | show ID",
    "storage commitment: what peers asked of us, what we asked of them",
    "A peer that asks is told which instances are stored, catalogued and whole. States: asked, decided\n"
    "(checked, to be reported), reported, lost (it could not be told). What we asked by 'drover peers\n"
    "commit': asked, complete, failed (not all of it).",
    options,
    "drover commitments show 12",
    run};

/* ---- drover peers commit ---- */

int dv_peers_commit(const dv_args *args)
{
    dv_error err = {0};
    int64_t wait = 60;
    if (args->count != 2 || !dv_arg(args, "study"))
        return dv_usage(args, "give the peer and what it shall commit: drover peers commit PEER --study UID");
    if (!dv_arg_int(args, "wait", 0, 86400, &wait, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    cJSON_AddStringToObject(a, "peer", args->value[1]);
    dv_ask_text(a, "uid", args, "study");
    cJSON_AddNumberToObject(a, "wait_s", (double)wait);
    bool ok = dv_ask_quietly(args, "peers.commit", a, false, collect, rows, &err);
    const cJSON *row = cJSON_GetArrayItem(rows, 0);
    char buf[64];
    int code = ok && row ? 0 : dv_complain(args, &err);
    if (code == 0) {
        const char *state = dv_show(row, "state", buf, sizeof buf);
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(row, "id");
        bool complete = strcmp(state, "complete") == 0, failed = strcmp(state, "failed") == 0;
        code = dv_error_lookup(complete ? DV_ERR_NONE : failed ? DV_ERR_INCOMPLETE : DV_ERR_TIMEOUT)->exit_code;
        if (dv_flag(args, "json"))
            dv_print_json(row);
        else
            for (const dv_column *c = one; c->member; c++)
                if (*dv_show(row, c->member, buf, sizeof buf))
                    printf("%-20s %s\n", c->title, dv_show(row, c->member, buf, sizeof buf));
        if (failed)
            fprintf(stderr, "not all is committed: drover commitments show %.0f\n", id->valuedouble);
        else if (!complete)
            fprintf(stderr, "no report yet; when it comes, it stands in: drover commitments show %.0f\n",
                    id->valuedouble);
    }
    cJSON_Delete(rows);
    return code;
}
