#include "web/api.h"

bool dv_api_migrate_submit(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    cJSON *made = dv_batch_submit_json(atomic_load(&site->migrate), args, err);
    return made && dv_reply_row(reply, made, err);
}

/* Progress until the batch has ended; its last state is the row. */
bool dv_api_migrate_wait(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_migrate *m = atomic_load(&site->migrate);
    uint64_t version = 0;
    for (;;) {
        dv_migrate_wait_change(m, &version, 250);
        if (dv_reply_cancelled(reply))
            return dv_fail(err, DV_ERR_CANCELLED, "the engine stops; the batch goes on when it starts again");
        cJSON *now = dv_migrate_progress_json(m, dv_args_int(args, "batch", 0), err);
        if (!now)
            return false;
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(now, "ended")))
            return dv_reply_row(reply, now, err);
        if (!dv_reply_progress(reply, now, err))
            return false;
    }
}

/* An array's members become rows. LIST is taken; NULL is its maker's failure. */
static bool reply_list(dv_reply *reply, cJSON *list, dv_error *err)
{
    cJSON *row;
    bool ok = list != NULL;
    while (ok && (row = cJSON_DetachItemFromArray(list, 0)))
        ok = dv_reply_row(reply, row, err);
    cJSON_Delete(list);
    return ok;
}

bool dv_api_migrate_list(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    return db &&
           reply_list(reply,
                      dv_batch_list_json(db, dv_args_int(args, "after", 0), (int)dv_args_int(args, "limit", 0), err),
                      err);
}

bool dv_api_migrate_show(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    cJSON *batch = db ? dv_batch_json(db, dv_args_int(args, "batch", 0), err) : NULL;
    return batch && dv_reply_row(reply, batch, err);
}

bool dv_api_migrate_jobs(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    return db && reply_list(reply,
                            dv_batch_jobs_json(db, dv_args_int(args, "batch", 0), dv_args_text(args, "state"),
                                               dv_args_int(args, "after", 0), (int)dv_args_int(args, "limit", 0), err),
                            err);
}

bool dv_api_migrate_job(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    cJSON *job = db ? dv_job_json(db, dv_args_int(args, "job", 0), err) : NULL;
    return job && dv_reply_row(reply, job, err);
}

bool dv_api_migrate_control(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *action = dv_args_text(args, "action");
    dv_control what;
    int64_t count = 0;
    if (!action || !dv_control_of(action, &what))
        return dv_fail(err, DV_ERR_USAGE, "'%s' is no action; pause, resume, cancel and retry are",
                       action ? action : "");
    if (!dv_migrate_control(atomic_load(&site->migrate), what, dv_args_int(args, "batch", 0),
                            dv_args_text(args, "source"), &count, err))
        return false;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "count", (double)count);
    return dv_reply_row(reply, row, err);
}
