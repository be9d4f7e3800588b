#include "base/clock.h"
#include "base/hash.h"
#include "web/api.h"

#include <stdio.h>
#include <stdlib.h>

#define QUARANTINE                                                                                                     \
    "SELECT q.id, q.state, q.reason, q.stage, q.rule, q.file, q.line, q.received_sop_uid, q.received_study_uid, "      \
    "q.received_patient_id, q.received_accession, q.sop_class, q.transfer_syntax, q.path, q.bytes, q.generation, "     \
    "q.job, q.source, q.first_at, q.last_at, q.repeats, q.findings, q.received_hash, q.body_hash, i.received_hash, "   \
    "i.body_hash, o.received_study_uid, o.received_patient_id, i.transfer_syntax, i.path, i.version FROM quarantine q" \
    " LEFT JOIN instances i ON i.received_sop_uid = q.received_sop_uid AND q.rule LIKE 'intake/%'"                     \
    " LEFT JOIN origins o ON o.id = i.origin "

static void add_hash(cJSON *row, const char *name, dv_text hash)
{
    char hex[DV_SHA256_HEX];
    if (hash.len == DV_SHA256_BYTES)
        cJSON_AddStringToObject(row, name, dv_hex((const uint8_t *)hash.at, hash.len, hex));
}

/* What came before it and stands, beside it. */
static void add_standing(cJSON *row, const dv_rows *r)
{
    dv_text rule = dv_rows_text(r, 4);
    add_hash(row, "received_hash", dv_rows_text(r, 22));
    add_hash(row, "body_hash", dv_rows_text(r, 23));
    if (!dv_text_starts(rule, DV_TEXT("intake/")))
        return;
    dv_json_text(row, "class", (dv_text){rule.at + 7, rule.len - 7});
    if (dv_rows_is_null(r, 29))
        return;
    add_hash(row, "standing_received_hash", dv_rows_text(r, 24));
    add_hash(row, "standing_body_hash", dv_rows_text(r, 25));
    dv_json_text(row, "standing_study_uid", dv_rows_text(r, 26));
    dv_json_text(row, "standing_patient_id", dv_rows_text(r, 27));
    dv_json_text(row, "standing_transfer_syntax", dv_rows_text(r, 28));
    dv_json_text(row, "standing_path", dv_rows_text(r, 29));
    cJSON_AddNumberToObject(row, "standing_version", (double)dv_rows_int(r, 30));
}

static cJSON *row_json(const dv_rows *r)
{
    static const char *const texts[] = {"state",
                                        "reason",
                                        "stage",
                                        "rule",
                                        "file",
                                        NULL,
                                        "received_sop_uid",
                                        "received_study_uid",
                                        "received_patient_id",
                                        "received_accession",
                                        "sop_class",
                                        "transfer_syntax",
                                        "path"};
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)dv_rows_int(r, 0));
    for (int i = 0; i < (int)(sizeof texts / sizeof *texts); i++)
        if (texts[i])
            dv_json_text(row, texts[i], dv_rows_text(r, i + 1));
    cJSON_AddNumberToObject(row, "line", (double)dv_rows_int(r, 6));
    cJSON_AddNumberToObject(row, "bytes", (double)dv_rows_int(r, 14));
    cJSON_AddNumberToObject(row, "generation", (double)dv_rows_int(r, 15));
    cJSON_AddNumberToObject(row, "job", (double)dv_rows_int(r, 16));
    dv_json_text(row, "source", dv_rows_text(r, 17));
    dv_json_stamp(row, "first_at", dv_rows_int(r, 18));
    dv_json_stamp(row, "last_at", dv_rows_int(r, 19));
    cJSON_AddNumberToObject(row, "repeats", (double)dv_rows_int(r, 20));
    dv_text findings = dv_rows_text(r, 21);
    cJSON *list = cJSON_ParseWithLength(findings.at, findings.len);
    dv_json_put(row, "findings", list ? list : cJSON_CreateArray());
    add_standing(row, r);
    return row;
}

/* An absent filter is NULL and matches everything. */
bool dv_api_quarantine_list(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r =
        !db ? NULL
            : dv_db_query(db, err,
                          QUARANTINE "WHERE q.id > $1 AND ($2 IS NULL OR q.state = $2) AND ($3 IS NULL OR q.rule = $3)"
                                     " AND ($4 IS NULL OR q.received_study_uid = $4) AND ($5 IS NULL OR q.source = $5) "
                                     "ORDER BY q.id LIMIT $6",
                          "issssi", dv_args_int(args, "after", 0), dv_args_text(args, "state"),
                          dv_args_text(args, "rule"), dv_args_text(args, "study"), dv_args_text(args, "source"),
                          dv_args_int(args, "limit", 100));
    bool ok = true;
    while (ok && dv_rows_next(r))
        ok = dv_reply_row(reply, row_json(r), err);
    return dv_rows_close(r, ok ? err : NULL) && ok;
}

static bool not_there(int64_t id, dv_error *err)
{
    return dv_fail(err, DV_ERR_NOT_FOUND,
                   "there is nothing with the number %lld in quarantine; 'drover quarantine list' shows what is",
                   (long long)id);
}

bool dv_api_quarantine_show(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    int64_t id = dv_args_int(args, "id", 0);
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r = db ? dv_db_query(db, err, QUARANTINE "WHERE q.id = $1", "i", id) : NULL;
    bool found = dv_rows_next(r), ok = !found || dv_reply_row(reply, row_json(r), err);
    return dv_rows_close(r, ok ? err : NULL) && ok && (found || not_there(id, err));
}

/* The numbers that ARGS name, up to MOST of them behind AFTER. */
static bool chosen(dv_site *site, const cJSON *args, int64_t after, int64_t *ids, int most, int *count, dv_error *err)
{
    *count = 0;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r =
        !db ? NULL
            : dv_db_query(
                  db, err,
                  "SELECT id FROM quarantine WHERE id > $1 AND ($2 IS NULL OR rule = $2) AND ($3 IS NULL OR state = $3)"
                  " ORDER BY id LIMIT $4",
                  "issi", after, dv_args_text(args, "rule"), dv_args_text(args, "state"), (int64_t)most);
    while (dv_rows_next(r))
        ids[(*count)++] = dv_rows_int(r, 0);
    return dv_rows_close(r, err);
}

static bool retry_one(dv_site *site, int64_t id, bool accept, dv_reply *reply, dv_error *err)
{
    dv_receipt receipt;
    dv_error why = {0};
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "id", (double)id);
    if (dv_ingest_retry(site->ingest, id, accept, &receipt, &why)) {
        cJSON_AddStringToObject(row, "kept", dv_kept_name(receipt.kept));
        dv_json_text(row, "received_sop_uid", dv_text_of(receipt.sop_uid));
        dv_json_text(row, "reason", dv_text_of(receipt.reason));
    } else if (why.code == DV_ERR_NOT_FOUND) {
        cJSON_Delete(row);
        return not_there(id, err);
    } else {
        cJSON_AddStringToObject(row, "kept", "failed");
        dv_json_text(row, "reason", dv_text_of(why.message));
    }
    return dv_reply_row(reply, row, err);
}

bool dv_api_quarantine_retry(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    int64_t id = dv_args_int(args, "id", 0), ids[256];
    if (id)
        return retry_one(site, id, false, reply, err);
    if (!dv_args_text(args, "rule") && !dv_args_text(args, "state") && !dv_args_bool(args, "all"))
        return dv_fail(err, DV_ERR_USAGE, "what is to be retried? give a number, --rule, --state or --all");
    /* What fails again may get a number above: go to the highest that is there now. */
    int64_t after = 0, last = 0;
    dv_db *db = dv_catalog_reader(site->catalog, err);
    if (!db || !dv_db_int(db, 0, &last, err, "SELECT max(id) FROM quarantine", ""))
        return false;
    for (int count = 256; count == 256 && after < last;) {
        if (!chosen(site, args, after, ids, 256, &count, err))
            return false;
        for (int i = 0; i < count && ids[i] <= last; i++) {
            if (dv_reply_cancelled(reply))
                return dv_fail(err, DV_ERR_CANCELLED, "stopped");
            if (!retry_one(site, ids[i], false, reply, err))
                return false;
            after = ids[i];
        }
    }
    return true;
}

/* Only what was held for what came before it: a rule's own hold is no matter of taste. */
static bool may_accept(dv_site *site, int64_t id, dv_error *err)
{
    dv_db *db = dv_catalog_reader(site->catalog, err);
    dv_rows *r = db ? dv_db_query(db, err, "SELECT state, rule FROM quarantine WHERE id = $1", "i", id) : NULL;
    bool found = dv_rows_next(r), ok = found;
    if (!found)
        not_there(id, err);
    else if (!dv_text_starts(dv_rows_text(r, 1), DV_TEXT("intake/")))
        ok = dv_fail(err, DV_ERR_USAGE,
                     "number %lld was %.*s by %.*s and not for what came before it; mend the rule, then retry it",
                     (long long)id, DV_ARG(dv_rows_text(r, 0)),
                     DV_ARG(dv_rows_text(r, 1).len ? dv_rows_text(r, 1) : DV_TEXT("the intake")));
    return dv_rows_close(r, found && ok ? err : NULL) && ok;
}

bool dv_api_quarantine_accept(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    int64_t id = dv_args_int(args, "id", 0), after = 0;
    const char *study = dv_args_text(args, "study"), *rule = dv_args_text(args, "rule");
    if (id)
        return may_accept(site, id, err) && retry_one(site, id, true, reply, err);
    if (!study && !rule)
        return dv_fail(err, DV_ERR_USAGE, "what is to be accepted? give a number, --study or --rule intake/...");
    for (;;) {
        if (dv_reply_cancelled(reply))
            return dv_fail(err, DV_ERR_CANCELLED, "stopped");
        dv_db *db = dv_catalog_reader(site->catalog, err);
        id = 0;
        if (!db ||
            !dv_db_int(db, 0, &id, err,
                       "SELECT min(id) FROM quarantine WHERE id > $1 AND rule LIKE 'intake/%' AND ($2 IS NULL OR "
                       "received_study_uid = $2) AND ($3 IS NULL OR rule = $3)",
                       "iss", after, study, rule))
            return false;
        if (!id)
            return true;
        if (!retry_one(site, id, true, reply, err))
            return false;
        after = id;
    }
}

bool dv_api_quarantine_delete(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    (void)reply;
    int64_t id = dv_args_int(args, "id", 0);
    return id ? dv_ingest_discard(site->ingest, id, err)
              : dv_fail(err, DV_ERR_USAGE, "which number? 'drover quarantine list' shows them");
}
