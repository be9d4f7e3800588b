#include "base/clock.h"
#include "catalog/query.h"
#include "catalog/schema.h"
#include "web/api.h"

#include <stdio.h>
#include <sys/stat.h>

/* What drover.lua says by now: a change of the database takes effect at the next start. */
static void add_configured(const dv_site *site, cJSON *row, const char *current)
{
    char path[4200], dsn[4200], shown[4200];
    snprintf(path, sizeof path, "%s/drover.lua", site->folder);
    dv_config *c = dv_config_new();
    if (c && dv_config_load(c, path, NULL)) {
        const char *given = dv_config_text(c, "database");
        snprintf(dsn, sizeof dsn, "%s%s", *given ? given : site->folder, *given ? "" : "/catalog.db");
        dv_db_show_dsn(dsn, shown, sizeof shown);
        cJSON_AddStringToObject(row, "configured", shown);
        cJSON_AddBoolToObject(row, "restart_needed", strcmp(shown, current) != 0);
    }
    dv_config_free(c);
}

static bool size_of(dv_db *db, const char *dsn, int64_t *bytes, dv_error *err)
{
    struct stat st;
    *bytes = 0;
    if (dv_db_is_postgres(dsn))
        return dv_db_int(db, 0, bytes, err, "SELECT pg_database_size(current_database())", "");
    if (stat(dsn, &st) == 0)
        *bytes = st.st_size;
    return true;
}

bool dv_api_catalog_info(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)args;
    char dsn[4200], shown[4200];
    int64_t version = 0, bytes = 0, groups, members;
    dv_totals t;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_site_dsn(site, dsn, sizeof dsn);
    dv_db_show_dsn(dsn, shown, sizeof shown);
    if (!db || !dv_db_int(db, 0, &version, err, "SELECT CAST(value AS BIGINT) FROM site WHERE name = 'schema'", "") ||
        !size_of(db, dsn, &bytes, err) || !dv_query_totals(db, &t, err))
        return false;
    dv_catalog_groups(site->catalog, &groups, &members);
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "engine", dv_db_engine(db));
    cJSON_AddStringToObject(row, "database", shown);
    add_configured(site, row, shown);
    cJSON_AddNumberToObject(row, "schema", (double)version);
    cJSON_AddNumberToObject(row, "bytes", (double)bytes);
    dv_json_stamp(row, "recovered_through", dv_catalog_recovered_through(site->catalog));
    cJSON_AddBoolToObject(row, "was_unclean", dv_catalog_was_unclean(site->catalog));
    cJSON_AddNumberToObject(row, "transactions", (double)groups);
    cJSON_AddNumberToObject(row, "writes", (double)members);
    cJSON_AddNumberToObject(row, "patients", (double)t.patients);
    cJSON_AddNumberToObject(row, "studies", (double)t.studies);
    cJSON_AddNumberToObject(row, "series", (double)t.series);
    cJSON_AddNumberToObject(row, "instances", (double)t.instances);
    return dv_reply_row(reply, row, err);
}
