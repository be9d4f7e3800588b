#include "base/clock.h"
#include "catalog/query.h"
#include "web/api.h"

#include <stdio.h>
#include <unistd.h>

/* What the scheduled verification is at, for people in a line, and in numbers. */
static bool add_verification(dv_site *site, dv_db *db, cJSON *row, dv_error *err)
{
    dv_custody_state s;
    int64_t damaged = 0, versions = 0, highest = 0, days = dv_config_int(site->config, "verify.interval_days");
    if (!dv_custody_read(db, &s, err) || !dv_db_int(db, 0, &damaged, err, "SELECT count(*) FROM damages", "") ||
        !dv_db_int(db, 0, &versions, err, "SELECT SUM(value) FROM counters WHERE name = 'versions'", "") ||
        !dv_db_int(db, 0, &highest, err, "SELECT max(id) FROM instances", ""))
        return false;
    char text[300], a[DV_STAMP_SIZE], last[160] = "";
    const char *state = s.began ? (days && site->scp ? "running" : "waiting") : days ? "waiting" : "off";
    if (s.last_ended)
        snprintf(last, sizeof last, "; last round ended %.19s: %lld objects, %lld damaged", dv_stamp(s.last_ended, a),
                 (long long)s.last_checked, (long long)s.last_damaged);
    if (s.began)
        snprintf(text, sizeof text, "%s: %lld objects read again since %.19s, %lld damaged, %lld %% of the way%s",
                 state, (long long)s.checked, dv_stamp(s.began, a), (long long)s.damaged,
                 (long long)(highest ? s.cursor * 100 / highest : 100), last);
    else
        snprintf(text, sizeof text, "%s%s", state, last);
    cJSON *v = cJSON_AddObjectToObject(row, "verify");
    cJSON_AddStringToObject(v, "state", state);
    cJSON_AddNumberToObject(v, "checked", (double)s.checked);
    cJSON_AddNumberToObject(v, "damaged", (double)s.damaged);
    cJSON_AddNumberToObject(v, "bytes", (double)s.bytes);
    dv_json_stamp(v, "began_at", s.began);
    dv_json_stamp(v, "last_began_at", s.last_began);
    dv_json_stamp(v, "last_ended_at", s.last_ended);
    cJSON_AddNumberToObject(v, "last_checked", (double)s.last_checked);
    cJSON_AddNumberToObject(v, "last_damaged", (double)s.last_damaged);
    cJSON_AddStringToObject(row, "verification", text);
    cJSON_AddNumberToObject(row, "damaged", (double)damaged);
    cJSON_AddNumberToObject(row, "versions", (double)versions);
    return true;
}

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
    dv_pool_counts outbound = dv_pool_count(site->pool, NULL);
    cJSON_AddNumberToObject(row, "outbound_open", outbound.open);
    cJSON_AddNumberToObject(row, "outbound_idle", outbound.idle);
    cJSON_AddNumberToObject(row, "outbound_waiting", outbound.waiting);
    cJSON_AddNumberToObject(row, "outbound_limit", (double)dv_config_int(site->config, "dimse.max_outbound"));
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
    if (!add_verification(site, db, row, err)) {
        cJSON_Delete(row);
        return false;
    }
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
