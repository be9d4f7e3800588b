#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <unistd.h>

static const dv_option options[] = {{"source", "PEER", "pull out of this peer"},
                                    {"all", NULL, "everything that it lists"},
                                    {"accession", "A,B,...", "studies with these accession numbers"},
                                    {"study", "UID,...", "these studies"},
                                    {"patient", "ID,...", "all studies of these patients"},
                                    {"name", "TEXT", "name of the batch (default: source and time)"},
                                    {"priority", "N", "higher is earlier (default 0)"},
                                    {"full-repull", NULL, "also what is here already"},
                                    {"detach", NULL, "print the batch and return; it goes on in the engine"},
                                    DV_ASK_OPTIONS};

static double number_in(const cJSON *object, const char *group, const char *member)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(object, group), member);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* One line a change on a pipe; one line over and over on a terminal. Why it waits stands above it, once. */
typedef struct watch {
    cJSON *last;
    bool terminal;
    char said[256], reason[256];
} watch;

static void say_why_it_waits(watch *w, const cJSON *p)
{
    const cJSON *waiting = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(p, "waiting_for"), 0);
    char a[64];
    const char *error = waiting ? dv_show(waiting, "error", a, sizeof a) : "";
    if (strncmp(w->reason, error, sizeof w->reason - 1) == 0)
        return;
    snprintf(w->reason, sizeof w->reason, "%s", error);
    if (*error)
        fprintf(stderr, "%s  waiting: %s\n", w->terminal ? "\r\033[K" : "", error);
}

static void draw(watch *w, const cJSON *p)
{
    double total = number_in(p, "studies", "total"), done = number_in(p, "studies", "done");
    double instances = number_in(p, "instances", "here") + number_in(p, "instances", "arriving"),
           all = number_in(p, "instances", "total");
    const cJSON *eta = cJSON_GetObjectItemCaseSensitive(p, "eta_s");
    char line[256], rest[64] = "", bar[32];
    if (cJSON_IsNumber(eta))
        snprintf(rest, sizeof rest, ", %d:%02d left", (int)eta->valuedouble / 60, (int)eta->valuedouble % 60);
    int filled = total > 0 ? (int)(20 * done / total) : 0;
    for (int i = 0; i < 20; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[20] = '\0';
    snprintf(line, sizeof line, "%.0f of %.0f studies, %.0f of %.0f instances, %.0f/s%s", done, total, instances, all,
             number_in(p, "rate", "instances_per_s"), rest);
    say_why_it_waits(w, p);
    if (w->terminal)
        fprintf(stderr, "\r\033[K[%s] %s", bar, line);
    else if (strcmp(w->said, line) != 0)
        fprintf(stderr, "%s\n", line);
    memcpy(w->said, line, sizeof line);
}

static bool on_progress(void *user, const char *kind, const cJSON *body)
{
    watch *w = user;
    if (strcmp(kind, "row") == 0) {
        cJSON_Delete(w->last);
        w->last = cJSON_Duplicate(body, true);
    }
    draw(w, body);
    return true;
}

static bool keep(void *user, const char *kind, const cJSON *body)
{
    if (strcmp(kind, "row") == 0)
        *(cJSON **)user = cJSON_Duplicate(body, true);
    return true;
}

/* What is not complete, with its reason, and how to look at it. */
static void print_open(const dv_args *args, int64_t batch, const cJSON *end)
{
    const cJSON *problem;
    char seed[64], state[64], uid[64], error[64];
    cJSON_ArrayForEach(problem, cJSON_GetObjectItemCaseSensitive(end, "problems"))
    {
        const char *study = dv_show(problem, "study_uid", uid, sizeof uid);
        printf("  %-10s %s  %s\n", dv_show(problem, "state", state, sizeof state),
               *study ? study : dv_show(problem, "seed", seed, sizeof seed),
               dv_show(problem, "error", error, sizeof error));
    }
    printf("all of it: drover batches show %lld --data %s; what rules kept out: drover quarantine list --data %s\n",
           (long long)batch, dv_data_dir(args), dv_data_dir(args));
}

static int print_end(const dv_args *args, int64_t batch, const cJSON *end)
{
    const cJSON *count;
    double complete = number_in(end, "jobs", "complete") + number_in(end, "jobs", "skipped"),
           total = number_in(end, "studies", "total");
    bool all = complete == total && number_in(end, "entries", "failed") == 0 && number_in(end, "entries", "empty") == 0;
    if (dv_flag(args, "json")) {
        dv_print_json(end);
    } else {
        printf("batch %lld:", (long long)batch);
        const char *comma = " ";
        cJSON_ArrayForEach(count, cJSON_GetObjectItemCaseSensitive(end, "jobs"))
        {
            if (count->valuedouble > 0) {
                printf("%s%.0f %s", comma, count->valuedouble, count->string);
                comma = ", ";
            }
        }
        printf("%s of %.0f studies; instances: %.0f at the source, %.0f here, %.0f explained\n",
               *comma == ' ' ? " 0" : "", total, number_in(end, "instances", "total"),
               number_in(end, "instances", "here"), number_in(end, "instances", "explained"));
        if (!all)
            print_open(args, batch, end);
    }
    return all ? 0 : dv_error_lookup(DV_ERR_INCOMPLETE)->exit_code;
}

static int run(const dv_args *args)
{
    dv_error err = {0};
    int64_t priority = 0;
    if (args->count)
        return dv_usage(args, "'%s' is too much; name studies with --study or --accession", args->value[0]);
    if (!dv_arg(args, "source"))
        return dv_usage(args, "--source is needed: the peer to pull out of");
    if (!dv_arg_int(args, "priority", -1000, 1000, &priority, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject(), *made = NULL;
    dv_ask_text(a, "source", args, "source");
    dv_ask_text(a, "batch_name", args, "name");
    dv_ask_texts(a, "accession_numbers", args, "accession");
    dv_ask_texts(a, "study_instance_uids", args, "study");
    dv_ask_texts(a, "patient_ids", args, "patient");
    cJSON_AddNumberToObject(a, "priority", (double)priority);
    cJSON_AddBoolToObject(a, "all", dv_flag(args, "all"));
    cJSON_AddBoolToObject(a, "force_full_repull", dv_flag(args, "full-repull"));
    if (!dv_ask_quietly(args, "migrate.submit", a, false, keep, &made, &err))
        return dv_complain(args, &err);
    int64_t batch = dv_args_int(made, "batch", 0);
    if (dv_flag(args, "detach")) {
        if (dv_flag(args, "json"))
            dv_print_json(made);
        else
            printf("batch %lld is queued; watch it: drover batches show %lld --data %s\n", (long long)batch,
                   (long long)batch, dv_data_dir(args));
        cJSON_Delete(made);
        return 0;
    }
    cJSON_Delete(made);
    watch w = {.terminal = isatty(2) == 1};
    a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "batch", (double)batch);
    bool ok = dv_ask_quietly(args, "migrate.wait", a, false, on_progress, &w, &err);
    if (w.terminal)
        fprintf(stderr, "\n");
    int code = ok && w.last ? print_end(args, batch, w.last) : dv_complain(args, &err);
    if (!ok)
        fprintf(stderr, "batch %lld goes on in the engine: drover batches show %lld --data %s\n", (long long)batch,
                (long long)batch, dv_data_dir(args));
    cJSON_Delete(w.last);
    return code;
}

const dv_verb dv_verb_migrate = {
    "migrate",
    "--source PEER (--all | --accession A,B | --study UID,... | --patient ID,...)",
    "pull studies out of a source and prove that they are here",
    "Makes a batch in the running engine and shows its progress: a bar on a terminal, plain lines otherwise.\n"
    "Ctrl-C leaves the batch running. Exit code 0 when every study is complete, 20 when one is not.",
    options,
    "drover migrate --source old-pacs --accession A100,A101",
    run};

/* ---- batches ---- */

static const dv_option batch_options[] = {
    {"state", "STATE", "show: only jobs in this state"},
    {"source", "PEER", "pause, resume, cancel, retry: all batches of this source"},
    {"all", NULL, "pause, resume, cancel, retry: all batches"},
    DV_ASK_OPTIONS};

static int show_batch(const dv_args *args, int64_t batch)
{
    static const dv_column head[] = {{"batch", "batch", 0},       {"name", "name", 0},
                                     {"source", "source", 0},     {"state", "state", 0},
                                     {"priority", "priority", 0}, {"created_at", "submitted", 0},
                                     {"ended_at", "ended", 0},    {0}};
    static const dv_column jobs[] = {{"job", "JOB", 0},
                                     {"state", "STATE", 0},
                                     {"study_date", "DATE", 0},
                                     {"seed", "SEED", 20},
                                     {"tries", "TRIES", 0},
                                     {"source_instances", "AT SOURCE", 0},
                                     {"here_instances", "HERE", 0},
                                     {"explained", "EXPLAINED", 0},
                                     {"study_uid", "STUDY UID", 0},
                                     {"error", "ERROR", 80},
                                     {0}};
    cJSON *a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "batch", (double)batch);
    int code = dv_ask_one(args, "migrate.show", a, head);
    if (code || dv_flag(args, "json"))
        return code;
    a = cJSON_CreateObject();
    cJSON_AddNumberToObject(a, "batch", (double)batch);
    cJSON_AddNumberToObject(a, "limit", 100000);
    dv_ask_text(a, "state", args, "state");
    printf("\n");
    return dv_ask_list(args, "migrate.jobs", a, jobs, "no jobs yet");
}

static int run_batches(const dv_args *args)
{
    static const dv_column list[] = {{"batch", "BATCH", 0},
                                     {"state", "STATE", 0},
                                     {"source", "SOURCE", 16},
                                     {"name", "NAME", 40},
                                     {"created_at", "SUBMITTED", 19},
                                     {"ended_at", "ENDED", 19},
                                     {0}};
    static const dv_column counted[] = {{"count", "CHANGED", 0}, {0}};
    const char *what = args->count ? args->value[0] : "list";
    uint64_t batch = 0;
    if (args->count > 2 || (args->count == 2 && (!dv_text_uint(dv_text_of(args->value[1]), &batch) || batch == 0)))
        return dv_usage(args, "give one batch's number");
    if (strcmp(what, "list") == 0)
        return dv_ask_list(args, "migrate.list", cJSON_CreateObject(), list,
                           "no batches yet; 'drover migrate' makes one");
    if (strcmp(what, "show") == 0)
        return batch ? show_batch(args, (int64_t)batch) : dv_usage(args, "which batch?");
    if (strcmp(what, "job") == 0) {
        static const dv_column job[] = {{"job", "job", 0},
                                        {"study_uid", "Study UID", 0},
                                        {"state", "state", 0},
                                        {"tries", "tries", 0},
                                        {"error", "error", 0},
                                        {"verdict_stands_on", "verdict stands on", 0},
                                        {"source_instances", "at the source", 0},
                                        {"here_instances", "here", 0},
                                        {"explained", "explained", 0},
                                        {0}};
        cJSON *a = cJSON_CreateObject();
        cJSON_AddNumberToObject(a, "job", (double)batch);
        return batch ? dv_ask_one(args, "migrate.job", a, job) : dv_usage(args, "which job?");
    }
    if (strcmp(what, "pause") != 0 && strcmp(what, "resume") != 0 && strcmp(what, "cancel") != 0 &&
        strcmp(what, "retry") != 0)
        return dv_usage(args, "'%s' is no action; list, show, job, pause, resume, cancel and retry are", what);
    if (!batch && !dv_arg(args, "source") && !dv_flag(args, "all"))
        return dv_usage(args, "%s what? give a batch's number, --source or --all", what);
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "action", what);
    if (batch)
        cJSON_AddNumberToObject(a, "batch", (double)batch);
    dv_ask_text(a, "source", args, "source");
    return dv_ask_list(args, "migrate.control", a, counted, NULL);
}

const dv_verb dv_verb_batches = {"batches",
                                 "list | show N | job N | pause|resume|cancel|retry (N | --source PEER | --all)",
                                 "batches of studies: look at them, hold them, go on",
                                 NULL,
                                 batch_options,
                                 "drover batches retry 3",
                                 run_batches};
