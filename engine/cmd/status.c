#include "cmd/ask.h"
#include "cmd/verbs.h"

static const dv_option options[] = {DV_ASK_OPTIONS};

static int run(const dv_args *args)
{
    static const dv_column columns[] = {{"version", "version", 0},
                                        {"serving", "serving", 0},
                                        {"pid", "process", 0},
                                        {"data", "data directory", 0},
                                        {"database", "database", 0},
                                        {"aet", "AE title", 0},
                                        {"dicom_port", "DICOM port", 0},
                                        {"associations", "associations", 0},
                                        {"outbound_open", "outbound open", 0},
                                        {"outbound_idle", "outbound idle", 0},
                                        {"outbound_waiting", "outbound waiting", 0},
                                        {"outbound_limit", "outbound limit", 0},
                                        {"started_at", "started", 0},
                                        {"generation", "rules generation", 0},
                                        {"rules_refused", "rules refused", 0},
                                        {"disk_low", "disk low", 0},
                                        {"store_failed", "store failed", 0},
                                        {"patients", "patients", 0},
                                        {"studies", "studies", 0},
                                        {"series", "series", 0},
                                        {"instances", "instances", 0},
                                        {"bytes", "stored", 0},
                                        {"rejected", "rejected", 0},
                                        {"held", "held", 0},
                                        {"excluded", "excluded", 0},
                                        {"unreadable", "unreadable", 0},
                                        {"duplicates", "came again", 0},
                                        {"versions", "versions not in force", 0},
                                        {"verification", "verification", 0},
                                        {"damaged", "damaged objects", 0},
                                        {0}};
    return args->count ? dv_usage(args, "'%s' is too much", args->value[0])
                       : dv_ask_one(args, "status", cJSON_CreateObject(), columns);
}

const dv_verb dv_verb_status = {
    "status", "", "what the engine is and holds", NULL, options, "drover status --data /srv/drover", run};
