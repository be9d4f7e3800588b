#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

static const dv_option options[] = {
    {"state", "STATE", "list, retry: rejected, held, excluded or unreadable"},
    {"rule", "VERB/ID",
     "list, retry, accept: what this rule kept out; intake/conflict, intake/header-changed, intake/re-encoded"},
    {"study", "UID", "list, accept: of this study, as received"},
    {"source", "PEER", "list: from there"},
    {"all", NULL, "retry: everything"},
    {"limit", "N", "list: at most so many (default 100)"},
    {"after", "ID", "list: go on behind this number"},
    DV_ASK_OPTIONS};

static int with_id(const dv_args *args, const char *verb, const dv_column *columns)
{
    uint64_t id;
    if (args->count != 2 || !dv_text_uint(dv_text_of(args->value[1]), &id) || id == 0)
        return dv_usage(args, "give the number that 'drover quarantine list' shows");
    cJSON *a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "id", (double)id);
    return strcmp(verb, "quarantine.show") == 0 ? dv_ask_one(args, verb, a, columns)
                                                : dv_ask_list(args, verb, a, columns, NULL);
}

static int run(const dv_args *args)
{
    static const dv_column list[] = {{"id", "ID", 0},
                                     {"state", "STATE", 0},
                                     {"rule", "RULE", 32},
                                     {"reason", "REASON", 60},
                                     {"source", "SOURCE", 16},
                                     {"repeats", "REPEATS", 0},
                                     {"received_sop_uid", "SOP INSTANCE UID", 0},
                                     {0}};
    static const dv_column one[] = {{"id", "number", 0},
                                    {"state", "state", 0},
                                    {"reason", "reason", 0},
                                    {"stage", "stage", 0},
                                    {"rule", "rule", 0},
                                    {"file", "file", 0},
                                    {"line", "line", 0},
                                    {"received_sop_uid", "SOP Instance UID", 0},
                                    {"received_study_uid", "Study UID", 0},
                                    {"received_patient_id", "Patient ID", 0},
                                    {"received_hash", "SHA-256 of header", 0},
                                    {"body_hash", "SHA-256 of pixels", 0},
                                    {"class", "came again as", 0},
                                    {"standing_version", "in force: version", 0},
                                    {"standing_study_uid", "  Study UID", 0},
                                    {"standing_patient_id", "  Patient ID", 0},
                                    {"standing_transfer_syntax", "  transfer syntax", 0},
                                    {"standing_received_hash", "  SHA-256 of header", 0},
                                    {"standing_body_hash", "  SHA-256 of pixels", 0},
                                    {"standing_path", "  stored in", 0},
                                    {"received_accession", "accession", 0},
                                    {"sop_class", "SOP class", 0},
                                    {"transfer_syntax", "transfer syntax", 0},
                                    {"path", "kept in", 0},
                                    {"bytes", "size", 0},
                                    {"generation", "rules generation", 0},
                                    {"source", "source", 0},
                                    {"job", "job", 0},
                                    {"first_at", "first", 0},
                                    {"last_at", "last", 0},
                                    {"repeats", "times again", 0},
                                    {0}};
    static const dv_column retried[] = {{"id", "ID", 0},
                                        {"kept", "NOW", 0},
                                        {"reason", "REASON", 80},
                                        {"received_sop_uid", "SOP INSTANCE UID", 0},
                                        {0}};
    const char *what = args->count ? args->value[0] : "list";
    dv_error err = {0};
    int64_t limit = 100, after = 0;
    if (strcmp(what, "show") == 0)
        return with_id(args, "quarantine.show", one);
    if (strcmp(what, "delete") == 0)
        return with_id(args, "quarantine.delete", retried);
    if (strcmp(what, "retry") == 0 && args->count == 2)
        return with_id(args, "quarantine.retry", retried);
    if (strcmp(what, "accept") == 0 && args->count == 2)
        return with_id(args, "quarantine.accept", retried);
    if ((strcmp(what, "list") != 0 && strcmp(what, "retry") != 0 && strcmp(what, "accept") != 0) || args->count > 1)
        return dv_usage(args, "'%s' is no action; list, show, retry, accept and delete are", what);
    if (!dv_arg_int(args, "limit", 1, 1000000, &limit, &err) || !dv_arg_int(args, "after", 0, INT64_MAX, &after, &err))
        return dv_complain(args, &err);
    const char *state = dv_arg(args, "state");
    if (state && strcmp(state, "rejected") != 0 && strcmp(state, "held") != 0 && strcmp(state, "excluded") != 0 &&
        strcmp(state, "unreadable") != 0)
        return dv_usage(args, "--state is '%s'; it must be rejected, held, excluded or unreadable", state);
    cJSON *a = cJSON_CreateObject();
    dv_ask_text(a, "rule", args, "rule");
    if (strcmp(what, "accept") == 0) {
        dv_ask_text(a, "study", args, "study");
        return dv_ask_list(args, "quarantine.accept", a, retried, "nothing to accept");
    }
    dv_ask_text(a, "state", args, "state");
    if (strcmp(what, "retry") == 0) {
        if (dv_flag(args, "all"))
            cJSON_AddTrueToObject(a, "all");
        return dv_ask_list(args, "quarantine.retry", a, retried, "nothing to retry");
    }
    dv_ask_text(a, "study", args, "study");
    dv_ask_text(a, "source", args, "source");
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    cJSON_AddNumberToObject(a, "after", (double)after);
    return dv_ask_list(args, "quarantine.list", a, list, "the quarantine is empty");
}

const dv_verb dv_verb_quarantine = {
    "quarantine",
    "list | show ID | retry ID | retry --rule R | accept ID | accept --study UID | delete ID",
    "what was rejected, held, excluded or unreadable",
    "Bytes, reason and rule are kept. Retry feeds the bytes as received through the rules in force:\n"
    "after a rule was mended, what passes is stored and leaves the quarantine.\n"
    "Accept is for what was held because its SOP Instance UID, or its study for another patient, was here before:\n"
    "the newcomer takes the place of what is in force, which stays as a version (drover versions); its study goes to "
    "the\n"
    "newcomer's patient. Delete drops the newcomer.",
    options,
    "drover quarantine retry --rule validation/patient-id-present",
    run};
