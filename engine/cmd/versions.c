#include "cmd/ask.h"
#include "cmd/verbs.h"

static const dv_option options[] = {{"limit", "N", "without a UID: at most so many (default 100)"}, DV_ASK_OPTIONS};

static int restore(const dv_args *args)
{
    static const dv_column columns[] = {{"id", "ID", 0},
                                        {"kept", "NOW", 0},
                                        {"reason", "REASON", 80},
                                        {"received_sop_uid", "SOP INSTANCE UID", 0},
                                        {0}};
    uint64_t id;
    if (args->count != 2 || !dv_text_uint(dv_text_of(args->value[1]), &id) || id == 0)
        return dv_usage(args, "give the ID that 'drover versions UID' shows");
    cJSON *a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "id", (double)id);
    return dv_ask_list(args, "versions.restore", a, columns, NULL);
}

static int run(const dv_args *args)
{
    static const dv_column columns[] = {{"id", "ID", 0},
                                        {"received_sop_uid", "SOP INSTANCE UID", 0},
                                        {"number", "VERSION", 0},
                                        {"state", "STATE", 0},
                                        {"replaced_by", "BY", 0},
                                        {"class", "BECAUSE", 0},
                                        {"replaced_at", "SINCE", 19},
                                        {"removed_at", "KEPT UNTIL", 10},
                                        {"source", "SOURCE", 16},
                                        {"received_at", "RECEIVED", 19},
                                        {"generation", "RULES", 0},
                                        {"bytes", "BYTES", 0},
                                        {0}};
    dv_error err = {0};
    int64_t limit = 100;
    if (args->count && strcmp(args->value[0], "restore") == 0)
        return restore(args);
    if (args->count > 1)
        return dv_usage(args, "give one UID of an instance, series or study");
    if (!dv_arg_int(args, "limit", 1, 100000, &limit, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject();
    if (args->count)
        cJSON_AddStringToObject(a, "uid", args->value[0]);
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    return dv_ask_list(args, "versions", a, columns,
                       args->count ? "nothing of it came again with other content" : "nothing was replaced yet");
}

const dv_verb dv_verb_versions = {
    "versions",
    "[UID] | restore ID",
    "instances that came again with another header or encoding: what was replaced by what",
    "Of an instance, series or study, by its stored or received UID; without one, the latest of the archive. What is "
    "not in\n"
    "force is kept for store.keep_versions_days. Restore feeds the bytes as received of such a version through the "
    "rules\n"
    "in force, and it takes the place of what stands; that one becomes a version in its turn, so a restore can be "
    "undone.",
    options,
    "drover versions 1.2.840.113619.2.55.3\n  drover versions restore 17",
    run};
