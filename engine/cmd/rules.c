/* drover rules: check, test, explain, bench rule files without an engine; publish them and list what was published. */
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include "base/clock.h"
#include "base/file.h"
#include "dicom/part10.h"
#include "rules/generation.h"
#include "rules/harness.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static const dv_option options[] = {
    {"site", "DIR", "the site's rule files (default: rules/ in the data directory)"},
    {"peer", "NAME", "explain, bench: as if this peer had sent the file (ctx.origin.peer)"},
    {"rounds", "N", "bench: how many times (default 2000)"},
    {"junit", NULL, "test: print JUnit XML"},
    {"tap", NULL, "test: print TAP"},
    {"limit", "N", "history: at most so many (default 50)"},
    DV_ASK_OPTIONS};

/* The rules as they lie in the folders, loaded. */
typedef struct loaded {
    dv_rule_set *set;
    dv_state *state;
    dv_buffer out;
    dv_arena arena;
} loaded;

static bool folders(const dv_args *args, char *share, char *site, size_t size, dv_error *err)
{
    const char *given = dv_arg(args, "site");
    struct stat st;
    if (given && (stat(given, &st) != 0 || !S_ISDIR(st.st_mode)))
        return dv_fail(err, DV_ERR_NOT_FOUND, "--site: there is no folder %s", given);
    int n = given ? snprintf(site, size, "%s", given) : snprintf(site, size, "%s/rules", dv_data_dir(args));
    if (n < 0 || (size_t)n >= size)
        return dv_fail(err, DV_ERR_USAGE, "the name of the rules folder is too long");
    return dv_share_dir(share, size, err);
}

/* False: every problem is in L->out, a line each; ERR has the first. */
static bool load(const dv_args *args, loaded *l, dv_error *err)
{
    char share[PATH_MAX], site[PATH_MAX];
    dv_buffer report = {0};
    *l = (loaded){0};
    dv_arena_init(&l->arena, 0);
    bool ok = folders(args, share, site, sizeof share, err) && (l->set = dv_rule_set_read(share, site, err)) &&
              (l->state = dv_state_new(l->set, NULL, &report, err));
    if (!ok && report.len)
        dv_buffer_text(&l->out, dv_buffer_as_text(&report));
    dv_buffer_free(&report);
    return ok;
}

static void unload(loaded *l)
{
    if (l->state)
        dv_state_free(l->state);
    dv_rule_set_free(l->set);
    dv_buffer_free(&l->out);
    dv_arena_free(&l->arena);
}

static bool print_out(const dv_buffer *out, dv_error *err)
{
    if (out->failed)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the output");
    return (fwrite(out->at, 1, out->len, stdout) == out->len && fflush(stdout) == 0) ||
           dv_fail_errno(err, "cannot write the output");
}

static void print_refusal(const dv_args *args, const loaded *l)
{
    if (!dv_flag(args, "json")) {
        fwrite(l->out.at, 1, l->out.len, stderr);
        return;
    }
    dv_buffer json = {0};
    dv_buffer_string(&json, "{\"problems\":[");
    int n = 0;
    for (dv_text rest = dv_buffer_as_text(&l->out); rest.len;) {
        dv_buffer_string(&json, n++ ? "," : "");
        dv_buffer_json(&json, dv_text_split(rest, '\n', &rest));
    }
    dv_buffer_string(&json, "]}\n");
    fwrite(json.at, 1, json.len, stdout);
    dv_buffer_free(&json);
}

static bool check(const dv_args *args, loaded *l, dv_error *err)
{
    return dv_harness_list(l->state->L, dv_flag(args, "json"), &l->out, err) && print_out(&l->out, err);
}

static bool test(const dv_args *args, loaded *l, dv_error *err)
{
    dv_harness_report report;
    dv_harness_format format = dv_flag(args, "json")    ? DV_HARNESS_JSON
                               : dv_flag(args, "junit") ? DV_HARNESS_JUNIT
                               : dv_flag(args, "tap")   ? DV_HARNESS_TAP
                                                        : DV_HARNESS_TEXT;
    return dv_harness_run(l->state->L, args->count > 1 ? args->value[1] : NULL, &l->arena, &report, err) &&
           dv_harness_print(&report, format, &l->out, err) && print_out(&l->out, err) &&
           (report.failed == 0 || dv_fail(err, DV_ERR_RULE, "%d of %zu tests failed", report.failed, report.count));
}

static void context_of(const dv_args *args, const dv_file_meta *meta, const dv_dataset *ds, dv_arena *arena,
                       dv_context *out)
{
    *out = (dv_context){0};
    out->origin.peer = dv_arg_or(args, "peer", "");
    out->origin.channel = "file";
    out->info.transfer_syntax = dv_arena_string(arena, meta->transfer_syntax);
    out->info.sop_class = dv_arena_string(arena, meta->sop_class);
    out->info.header_bytes = dv_dataset_index(ds)->at;
    out->index_findings = dv_dataset_index(ds)->findings;
    out->now = dv_wall_us();
}

static bool explain(const dv_args *args, loaded *l, dv_error *err)
{
    dv_map map;
    dv_file_meta meta;
    dv_context ctx;
    if (!dv_map_open(&map, args->value[1], err))
        return false;
    dv_dataset *ds = dv_part10_open(map.bytes, map.len, &l->arena, &meta, err);
    if (ds)
        context_of(args, &meta, ds, &l->arena, &ctx);
    bool ok = ds && dv_harness_explain(l->state->L, ds, &ctx, &l->arena, dv_flag(args, "json"), &l->out, err) &&
              print_out(&l->out, err);
    dv_map_close(&map);
    return ok || dv_error_context(err, "%s", args->value[1]);
}

static bool bench(const dv_args *args, loaded *l, dv_error *err)
{
    int64_t rounds = 2000;
    dv_map map;
    dv_file_meta meta;
    dv_context ctx;
    if (!dv_arg_int(args, "rounds", 10, 1000000, &rounds, err) || !dv_map_open(&map, args->value[1], err))
        return false;
    dv_dataset *ds = dv_part10_open(map.bytes, map.len, &l->arena, &meta, err);
    bool ok = ds != NULL;
    if (ok) {
        const dv_index *ix = dv_dataset_index(ds);
        dv_encoding plain =
            ix->encoding; /* of the bytes that the index stands on: inflated ones when they were deflated */
        context_of(args, &meta, ds, &l->arena, &ctx);
        plain.deflated = false;
        size_t header = ix->body == DV_NO_NODE ? ix->len : ix->nodes[ix->body].offset;
        ok = dv_harness_bench(l->state->L, (dv_text){(const char *)ix->bytes, header}, plain, &ctx, (int)rounds,
                              dv_flag(args, "json"), &l->out, err) &&
             print_out(&l->out, err);
    }
    dv_map_close(&map);
    return ok || dv_error_context(err, "%s", args->value[1]);
}

static bool reference(const dv_args *args, loaded *l, dv_error *err)
{
    return dv_harness_text(l->state->L, dv_flag(args, "json") ? "describe" : "reference", &l->out, err) &&
           print_out(&l->out, err);
}

static int publish(const dv_args *args)
{
    static const dv_column columns[] = {
        {"generation", "generation in force", 0}, {"before", "before", 0}, {"changed", "changed", 0}, {0}};
    return dv_ask_one(args, "rules.publish", cJSON_CreateObject(), columns);
}

static int history(const dv_args *args)
{
    static const dv_column columns[] = {
        {"generation", "GENERATION", 0}, {"created_at", "PUBLISHED", 0}, {"who", "BY", 24},
        {"files", "FILES", 0},           {"hash", "HASH", 16},           {0}};
    dv_error err = {0};
    int64_t limit = 50;
    if (!dv_arg_int(args, "limit", 1, 1000000, &limit, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    return dv_ask_list(args, "rules.history", a, columns, "nothing was published yet");
}

static const struct action {
    const char *name;
    int least, most; /* arguments behind the name */
    const char *usage;
    bool (*run)(const dv_args *, loaded *, dv_error *);
    int (*ask)(const dv_args *);
} actions[] = {
    {"check", 0, 0, "check takes no argument", check, NULL},
    {"test", 0, 1, "test takes one rule at most, as mapping/site-prefix", test, NULL},
    {"explain", 1, 1, "explain takes one DICOM file", explain, NULL},
    {"bench", 1, 1, "bench takes one DICOM file", bench, NULL},
    {"publish", 0, 0, "publish takes no argument", NULL, publish},
    {"history", 0, 0, "history takes no argument", NULL, history},
    {"reference", 0, 0, "reference takes no argument", reference, NULL},
};

static int run_loaded(const dv_args *args, const struct action *action)
{
    loaded l;
    dv_error err = {0};
    int code = 0;
    if (!load(args, &l, &err)) {
        print_refusal(args, &l);
        code = l.out.len ? dv_error_lookup(err.code)->exit_code : dv_complain(args, &err);
    } else if (!action->run(args, &l, &err)) {
        code = dv_complain(args, &err);
    }
    unload(&l);
    return code;
}

static int run(const dv_args *args)
{
    if (args->count == 0)
        return dv_usage(args, "say what to do: check, test, explain, bench, publish, history, reference");
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        const struct action *a = &actions[i];
        if (strcmp(args->value[0], a->name) != 0)
            continue;
        if (args->count - 1 < a->least || args->count - 1 > a->most)
            return dv_usage(args, "%s", a->usage);
        return a->run ? run_loaded(args, a) : a->ask(args);
    }
    return dv_usage(args, "'%s' is no action; check, test, explain, bench, publish, history, reference are",
                    args->value[0]);
}

const dv_verb dv_verb_rules = {
    .name = "rules",
    .arguments = "check | test [RULE] | explain FILE | bench FILE | publish | history | reference",
    .summary = "check, test, explain, time and publish rules",
    .text = "check     loads the shipped and the site's rules, says what is wrong with file and line,\n"
            "          and lists them in the order in which they run\n"
            "test      runs the tests that stand in the rule files; exit code 16 when one fails\n"
            "explain   runs every rule over a file and says which matched, what it changed, which\n"
            "          condition another failed at, and the verdict; nothing is stored\n"
            "bench     what each rule costs on a file, hottest first\n"
            "publish   makes the rule files of the data directory the generation in force\n"
            "history   generations that were published, newest first\n"
            "reference  prints the rule reference (docs/rules.md); with --json the fields as data",
    .options = options,
    .example = "drover rules check --site my-rules\n  drover rules test mapping/site-prefix\n  drover rules explain "
               "--peer GE_MAIN a.dcm",
    .run = run,
};
