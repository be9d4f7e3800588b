#include "base/log.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"
#include "web/rebuild.h"

#include <stdio.h>

static const dv_option options[] = {
    {"into", "DSN",
     "rebuild: fill this empty database (a file, or postgresql://...) and leave the old catalog as it is"},
    DV_ASK_OPTIONS};

static int info(const dv_args *args)
{
    static const dv_column columns[] = {{"engine", "engine", 0},
                                        {"database", "database", 0},
                                        {"configured", "in drover.lua", 0},
                                        {"restart_needed", "restart needed", 0},
                                        {"schema", "schema", 0},
                                        {"bytes", "size", 0},
                                        {"recovered_through", "recovered through", 0},
                                        {"was_unclean", "unclean stop", 0},
                                        {"transactions", "transactions", 0},
                                        {"writes", "writes in them", 0},
                                        {"patients", "patients", 0},
                                        {"studies", "studies", 0},
                                        {"series", "series", 0},
                                        {"instances", "instances", 0},
                                        {0}};
    return dv_ask_one(args, "catalog.info", cJSON_CreateObject(), columns);
}

static int rebuild(const dv_args *args)
{
    dv_rebuilt r;
    dv_error err = {0};
    dv_log_setup(2, false, DV_LOG_WARN);
    if (!dv_rebuild(dv_data_dir(args), dv_arg(args, "into"), &r, &err))
        return dv_complain(args, &err);
    if (dv_flag(args, "json")) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "database", r.into);
        cJSON_AddNumberToObject(o, "instances", (double)r.instances);
        cJSON_AddNumberToObject(o, "quarantined", (double)r.quarantined);
        cJSON_AddNumberToObject(o, "carried", (double)r.carried);
        cJSON_AddStringToObject(o, "not_carried", r.not_carried);
        cJSON_AddStringToObject(o, "before", r.before);
        cJSON_AddNumberToObject(o, "seconds", (double)r.ms / 1000);
        dv_print_json(o);
        cJSON_Delete(o);
        return 0;
    }
    printf("%lld instances and %lld in quarantine made again from their objects, %lld rows of peers, rules and batches "
           "carried over, %.1f s\n",
           (long long)r.instances, (long long)r.quarantined, (long long)r.carried, (double)r.ms / 1000);
    if (r.not_carried[0])
        printf("peers, settings, rule generations and batches were not all carried over: %s\n", r.not_carried);
    if (r.before[0])
        printf("the catalog before is %s\n", r.before);
    else
        printf("now write into drover.lua: database = the address of %s\n", r.into);
    return 0;
}

static int run(const dv_args *args)
{
    const char *what = args->count ? args->value[0] : "info";
    if (args->count > 1)
        return dv_usage(args, "'%s' is too much", args->value[1]);
    if (strcmp(what, "rebuild") == 0)
        return rebuild(args);
    if (strcmp(what, "info") == 0)
        return dv_arg(args, "into") ? dv_usage(args, "--into belongs to rebuild") : info(args);
    return dv_usage(args, "'%s' is no action; info and rebuild are", what);
}

const dv_verb dv_verb_catalog = {
    "catalog",
    "info | rebuild",
    "the catalog database: what it is, make it again from the objects",
    "rebuild needs the engine stopped. It reads and checks every stored object, so it takes as long as\n"
    "'drover verify'. Instances, studies, patients, counts and the audit come from the objects; peers,\n"
    "settings, rule generations, batches and jobs from the old catalog as far as it can be read.\n"
    "With --into the old catalog stays: so a site moves from SQLite to PostgreSQL, or back.",
    options,
    "drover catalog rebuild --data /srv/drover --into postgresql://drover:PASSWORD@dbhost/drover",
    run};
