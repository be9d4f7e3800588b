/* Generations in the catalog: texts by their hash, a generation's files, one sequence of numbers a site given in the
 * transaction that publishes. The row "generation" of the table site says which is in force. */
#include "rules/rules_internal.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct entry {
    const dv_rule_set *set;
    const char *who;
    int64_t number;
} entry;

static bool add_generation(dv_db *db, entry *e, dv_error *err)
{
    if (!dv_db_int(db, 1, &e->number, err, "SELECT COALESCE(MAX(number), 0) + 1 FROM generations", ""))
        return false;
    if (!dv_db_exec(db, err,
                    "INSERT INTO generations (number, hash, who, note, created_at) VALUES ($1, $2, $3, '', $4)", "issi",
                    e->number, e->set->hash, e->who, dv_wall_us()))
        return false;
    for (size_t i = 0; i < e->set->count; i++) {
        const dv_rule_file *f = &e->set->files[i];
        if (!dv_db_exec(db, err, "INSERT INTO texts (hash, text) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING", "st",
                        f->hash, f->text) ||
            !dv_db_exec(db, err, "INSERT INTO generation_files (generation, path, text) VALUES ($1, $2, $3)", "iss",
                        e->number, f->path, f->hash))
            return false;
    }
    return true;
}

static bool record(dv_db *db, void *user, dv_error *err)
{
    entry *e = user;
    char number[24];
    if (!dv_db_int(db, 0, &e->number, err,
                   "SELECT number FROM generations WHERE hash = $1 ORDER BY number DESC LIMIT 1", "s", e->set->hash))
        return false;
    if (e->number == 0 && !add_generation(db, e, err))
        return false;
    snprintf(number, sizeof number, "%lld", (long long)e->number);
    return dv_db_exec(db, err,
                      "INSERT INTO site (name, value) VALUES ('generation', $1) ON CONFLICT (name) DO UPDATE SET value "
                      "= excluded.value",
                      "s", number);
}

bool dv_publish_record(dv_rules *rules, const dv_rule_set *set, const char *who, int64_t *number, dv_error *err)
{
    if (rules->catalog) {
        entry e = {set, who, 0};
        if (!dv_catalog_write(rules->catalog, true, record, &e, err))
            return dv_error_context(err, "the generation could not be recorded");
        *number = e.number;
        return true;
    }
    int64_t n = rules->last_number;
    for (struct dv_known *k = rules->known; k; k = k->next, n--) {
        if (strcmp(k->hash, set->hash) == 0) {
            *number = n;
            return true;
        }
    }
    struct dv_known *k = calloc(1, sizeof *k);
    if (!k)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the generation's number");
    memcpy(k->hash, set->hash, sizeof k->hash);
    k->next = rules->known;
    rules->known = k;
    *number = ++rules->last_number;
    return true;
}

bool dv_publish_number(dv_rules *rules, int64_t *number, dv_error *err)
{
    *number = 0;
    if (!rules->catalog)
        return true;
    dv_db *db = dv_catalog_reader(rules->catalog, err);
    return db && dv_db_int(db, 0, number, err, "SELECT CAST(value AS BIGINT) FROM site WHERE name = 'generation'", "");
}

dv_rule_set *dv_publish_recorded(dv_rules *rules, int64_t *number, dv_error *err)
{
    if (!dv_publish_number(rules, number, err) || *number == 0)
        return NULL;
    dv_db *db = dv_catalog_reader(rules->catalog, err);
    dv_rule_set *set = db ? dv_rule_set_new() : NULL;
    if (!set) {
        if (db)
            dv_fail(err, DV_ERR_MEMORY, "no memory for the rule files");
        return NULL;
    }
    dv_rows *r = dv_db_query(
        db, err,
        "SELECT f.path, t.text FROM generation_files f JOIN texts t ON t.hash = f.text WHERE f.generation = $1", "i",
        *number);
    bool ok = true;
    while (ok && dv_rows_next(r)) {
        char path[160];
        dv_text_copy(dv_rows_text(r, 0), path, sizeof path);
        ok = dv_rule_set_add(set, path, dv_rows_text(r, 1), err);
    }
    dv_error ignored;
    ok = dv_rows_close(r, ok ? err : &ignored) && ok && dv_rule_set_seal(set, err);
    if (ok)
        return set;
    dv_rule_set_free(set);
    return NULL;
}
