#include "web/api.h"

bool dv_api_rules_publish(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *who = dv_args_text(args, "who");
    int64_t before = dv_rules_current(site->rules), number = 0;
    if (!dv_rules_publish(site->rules, who ? who : "command line", &number, err))
        return false;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "generation", (double)number);
    cJSON_AddNumberToObject(row, "before", (double)before);
    cJSON_AddBoolToObject(row, "changed", number != before);
    return dv_reply_row(reply, row, err);
}

bool dv_api_rules_history(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r = !db ? NULL
                     : dv_db_query(db, err,
                                   "SELECT number, hash, who, note, created_at, (SELECT count(*) FROM generation_files "
                                   "WHERE generation = number)"
                                   " FROM generations ORDER BY number DESC LIMIT $1",
                                   "i", dv_args_int(args, "limit", 50));
    bool ok = true;
    while (ok && dv_rows_next(r)) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "generation", (double)dv_rows_int(r, 0));
        dv_json_text(row, "hash", dv_rows_text(r, 1));
        dv_json_text(row, "who", dv_rows_text(r, 2));
        dv_json_text(row, "note", dv_rows_text(r, 3));
        dv_json_stamp(row, "created_at", dv_rows_int(r, 4));
        cJSON_AddNumberToObject(row, "files", (double)dv_rows_int(r, 5));
        ok = dv_reply_row(reply, row, err);
    }
    return dv_rows_close(r, ok ? err : NULL) && ok;
}
