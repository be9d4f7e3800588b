#include "base/clock.h"
#include "catalog/query.h"
#include "web/api.h"

#include <unistd.h>

bool dv_api_status(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)args;
    dv_totals t;
    char refusal[1024];
    dv_db *db = dv_catalog_reader(site->catalog, err);
    if (!db || !dv_query_totals(db, &t, err))
        return false;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "version", DROVER_VERSION);
    cJSON_AddBoolToObject(row, "serving", site->scp != NULL);
    cJSON_AddNumberToObject(row, "pid", getpid());
    cJSON_AddStringToObject(row, "data", site->folder);
    cJSON_AddStringToObject(row, "database", dv_db_engine(db));
    cJSON_AddStringToObject(row, "aet", dv_config_text(site->config, "dimse.aet"));
    cJSON_AddNumberToObject(row, "dicom_port", site->scp ? dv_scp_port(site->scp) : 0);
    cJSON_AddNumberToObject(row, "associations", site->scp ? dv_scp_associations(site->scp) : 0);
    dv_json_stamp(row, "started_at", site->started_at);
    cJSON_AddNumberToObject(row, "generation", (double)dv_rules_current(site->rules));
    if (dv_rules_last_refusal(site->rules, refusal, sizeof refusal))
        cJSON_AddStringToObject(row, "rules_refused", refusal);
    else
        cJSON_AddNullToObject(row, "rules_refused");
    cJSON_AddBoolToObject(row, "disk_low", site->receiver && dv_receiver_disk_low(site->receiver));
    dv_error why = {0};
    if (dv_store_ready(site->store, &why))
        cJSON_AddNullToObject(row, "store_failed");
    else
        cJSON_AddStringToObject(row, "store_failed", why.message);
    const struct {
        const char *name;
        int64_t n;
    } totals[] = {
        {"patients", t.patients},     {"studies", t.studies},      {"series", t.series}, {"instances", t.instances},
        {"bytes", t.bytes},           {"rejected", t.rejected},    {"held", t.held},     {"excluded", t.excluded},
        {"unreadable", t.unreadable}, {"duplicates", t.duplicates}};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
        cJSON_AddNumberToObject(row, totals[i].name, (double)totals[i].n);
    return dv_reply_row(reply, row, err);
}
