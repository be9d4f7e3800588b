#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

static const dv_option study_options[] = {{"patient-id", "ID", "stored or received; * and ? are wildcards"},
                                          {"patient-name", "NAME", "case and accents do not matter; wildcards"},
                                          {"accession", "NUMBER", "stored or received; wildcards"},
                                          {"study-date", "DATE", "YYYYMMDD or a range 20200101-20201231"},
                                          {"modality", "M", "studies that have it"},
                                          {"study-uid", "UID", "stored or received"},
                                          {"source", "PEER", "where it came from"},
                                          {"flagged", NULL, "only studies with findings"},
                                          {"limit", "N", "at most so many (default 100)"},
                                          {"after", "ID", "go on behind this id of the page before"},
                                          DV_ASK_OPTIONS};

static int run_studies(const dv_args *args)
{
    static const dv_column columns[] = {{"id", "ID", 0},
                                        {"study_date", "DATE", 0},
                                        {"modalities", "MODALITIES", 12},
                                        {"patient_id", "PATIENT ID", 20},
                                        {"patient_name", "PATIENT NAME", 28},
                                        {"accession", "ACCESSION", 16},
                                        {"description", "DESCRIPTION", 24},
                                        {"series", "SERIES", 0},
                                        {"instances", "INSTANCES", 0},
                                        {"bytes", "BYTES", 0},
                                        {"study_uid", "STUDY UID", 0},
                                        {0}};
    static const char *const texts[][2] = {{"patient_id", "patient-id"}, {"patient_name", "patient-name"},
                                           {"accession", "accession"},   {"study_date", "study-date"},
                                           {"modality", "modality"},     {"study_uid", "study-uid"},
                                           {"source", "source"}};
    dv_error err = {0};
    int64_t limit = 100, after = 0;
    if (args->count)
        return dv_usage(args, "'%s' is too much; search with an option such as --patient-id", args->value[0]);
    if (!dv_arg_int(args, "limit", 1, 100000, &limit, &err) || !dv_arg_int(args, "after", 0, INT64_MAX, &after, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        dv_ask_text(a, texts[i][0], args, texts[i][1]);
    if (dv_flag(args, "flagged"))
        cJSON_AddTrueToObject(a, "flagged");
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    cJSON_AddNumberToObject(a, "after", (double)after);
    return dv_ask_list(args, "studies", a, columns, "no study matches");
}

const dv_verb dv_verb_studies = {"studies",
                                 "",
                                 "search the archive",
                                 "Newest first.",
                                 study_options,
                                 "drover studies --patient-name 'müll*' --study-date 20200101-",
                                 run_studies};

typedef struct audit_print {
    int64_t instances, edits, findings;
} audit_print;

static const char *quoted(const cJSON *row, const char *member, char *buf, size_t size)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, member);
    if (!cJSON_IsString(v))
        return "(absent)";
    snprintf(buf, size, "\"%s\"", v->valuestring);
    for (char *c = buf; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = '?';
    return buf;
}

static bool print_audit(void *user, const char *kind, const cJSON *row)
{
    audit_print *sum = user;
    char a[600], b[600], number[64];
    const cJSON *item;
    if (strcmp(kind, "row") != 0)
        return true;
    sum->instances++;
    printf("%s  generation %s, from %s, %s\n  %s\n", dv_show(row, "sop_uid", a, sizeof a),
           dv_show(row, "generation", number, sizeof number), dv_show(row, "source", a, sizeof a),
           dv_show(row, "received_at", a, sizeof a), dv_show(row, "path", a, sizeof a));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "versions")) printf(
        "    version  %s %s %s: %s, %s\n", dv_show(item, "number", number, sizeof number),
        dv_show(item, "replaced_by", a, sizeof a)[0] ? "was replaced by version" : "stands beside it, not in force",
        dv_show(item, "replaced_by", a, sizeof a), dv_show(item, "class", b, sizeof b),
        dv_show(item, "path", b, sizeof b));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "edits"))
    {
        sum->edits++;
        printf("    %-8s %s: %s -> %s  by %s\n", dv_show(item, "kind", a, sizeof a), dv_show(item, "path", a, sizeof a),
               quoted(item, "before", a, sizeof a), quoted(item, "after", b, sizeof b),
               dv_show(item, "rule", number, sizeof number));
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "findings"))
    {
        sum->findings++;
        printf("    %-8s %s: %s  by %s\n", dv_show(item, "kind", a, sizeof a), dv_show(item, "path", a, sizeof a),
               dv_show(item, "message", a, sizeof a), dv_show(item, "rule", b, sizeof b));
    }
    return true;
}

static const dv_option audit_options[] = {
    {"by-rule", NULL, "instead: what each rule did in the whole archive, with an example"}, DV_ASK_OPTIONS};

static int run_audit(const dv_args *args)
{
    static const dv_column by_rule[] = {{"instances", "INSTANCES", 0},
                                        {"rule", "RULE", 40},
                                        {"attribute", "ATTRIBUTE", 40},
                                        {"example", "FOR EXAMPLE", 100},
                                        {0}};
    audit_print sum = {0};
    if (dv_flag(args, "by-rule") && !args->count)
        return dv_ask_list(args, "audit.by_rule", cJSON_CreateObject(), by_rule, "no rule changed or flagged anything");
    if (args->count != 1 || dv_flag(args, "by-rule"))
        return dv_usage(args, "give one UID of an instance, series or study, or --by-rule");
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "uid", args->value[0]);
    if (dv_flag(args, "json"))
        return dv_ask_list(args, "audit", a, NULL, NULL);
    int code = dv_ask(args, "audit", a, true, print_audit, &sum);
    if (code == 0)
        fprintf(stderr, "%lld instances, %lld changes, %lld findings\n", (long long)sum.instances, (long long)sum.edits,
                (long long)sum.findings);
    return code;
}

const dv_verb dv_verb_audit = {
    "audit",
    "UID | --by-rule",
    "what was changed, and by which rule",
    "Of an instance, series or study, by its stored or received UID; or summed over the archive.",
    audit_options,
    "drover audit 1.2.840.113619.2.55.3",
    run_audit};
