#include "web/rebuild.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "catalog/query.h"
#include "web/site.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What objects do not say. A letter a column, as dv_db_exec's TYPES. */
static const struct carried {
    const char *table, *columns, *types, *where;
    bool numbered; /* by the database: the next number must be behind these */
} carried[] = {
    {"settings", "name, value", "tt", "", false},
    {"site", "name, value", "tt", " WHERE name NOT IN ('schema', 'clean_stop', 'recovered_through')", false},
    {"peers",
     "id, slug, label, aet, host, port, direction, enabled, sop_classes, transfer_syntaxes, max_associations, "
     "settings, created_at",
     "itttt"
     "itittiti",
     "", true},
    {"texts", "hash, text", "tt", "", false},
    {"generations", "number, hash, who, note, created_at", "ittti", "", false},
    {"generation_files", "generation, path, text", "itt", "", false},
    {"batches",
     "id, name, source, priority, full_repull, paused, cancelled, external_id, channel, options, created_at, ended_at, "
     "report",
     "ittiiiitttiit", "", true},
    {"entries", "id, batch, kind, value, patient, state, error, next_at, tries, peer_tries, lease_until, lease_owner",
     "iitttttiiiit", "", true},
    {"jobs",
     "id, batch, entry, source, study_uid, seed, state, priority, study_date, tries, peer_tries, next_at, lease_until, "
     "lease_owner, error, found,"
     " found_syntax, source_series, source_instances, here_series, here_instances, explained, evidence, bytes, "
     "created_at, started_at, ended_at",
     "iiittttitiiiittbtiiiiitiiii", "", true},
    {"job_answers", "job, position, found, found_syntax", "iibt", "", false},
    {"attempts",
     "id, job, number, source, started_at, ended_at, status, asked, completed, failed, warned, arrived, error",
     "iiitiitiiiiit", "", true},
    {"commitments",
     "id, role, transaction_uid, peer, aet, called, address, state, asked_at, decided_at, ended_at, next_at, tries, "
     "error, instances, failed",
     "itttttttiiiiitii", "", true},
    {"commitment_instances", "commitment, position, sop_class, sop_uid, reason", "iitti", "", false},
    {"probes", "peer, probed_at, result", "tit", "", false},
};

enum { CHUNK = 500, MOST_COLUMNS = 32 };

typedef struct carrying {
    const struct carried *what;
    dv_rows *from;
    char insert[1600];
    int64_t rows;
    bool end;
} carrying;

static bool insert_chunk(dv_db *db, void *user, dv_error *err)
{
    carrying *c = user;
    int columns = (int)strlen(c->what->types);
    for (int n = 0; n < CHUNK; n++) {
        dv_value v[MOST_COLUMNS];
        if (!dv_rows_next(c->from)) {
            c->end = true;
            return true;
        }
        for (int i = 0; i < columns; i++) {
            v[i] = (dv_value){.type = c->what->types[i]};
            if (v[i].type == 'i')
                v[i].i = dv_rows_int(c->from, i);
            else
                v[i].t = dv_rows_text(c->from, i);
        }
        if (!dv_db_exec_values(db, err, c->insert, v, (size_t)columns))
            return false;
        c->rows++;
    }
    return true;
}

static bool next_number(dv_db *db, void *user, dv_error *err)
{
    const struct carried *w = user;
    char sql[200];
    int64_t n;
    snprintf(sql, sizeof sql,
             "SELECT setval(pg_get_serial_sequence('%s', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM %s), false)",
             w->table, w->table);
    return dv_db_int(db, 0, &n, err, sql, "");
}

static bool carry_table(dv_catalog *to, dv_db *old, const struct carried *w, bool postgres, int64_t *rows,
                        dv_error *err)
{
    char select[800];
    carrying c = {.what = w};
    int n = snprintf(c.insert, sizeof c.insert, "INSERT INTO %s (%s) VALUES (", w->table, w->columns);
    for (int i = 1; w->types[i - 1]; i++)
        n += snprintf(c.insert + n, sizeof c.insert - (size_t)n, i == 1 ? "$%d" : ", $%d", i);
    snprintf(c.insert + n, sizeof c.insert - (size_t)n, ") ON CONFLICT DO NOTHING");
    snprintf(select, sizeof select, "SELECT %s FROM %s%s", w->columns, w->table, w->where);
    c.from = dv_db_query(old, err, select, "");
    bool ok = c.from != NULL;
    while (ok && !c.end)
        ok = dv_catalog_write(to, false, insert_chunk, &c, err);
    ok = dv_rows_close(c.from, ok ? err : NULL) && ok;
    *rows += c.rows;
    return ok && (!postgres || !w->numbered || dv_catalog_write(to, false, next_number, (void *)w, err));
}

/* Numbers of generations go on behind those that objects name, though their texts are gone. */
static bool mark_generations(dv_db *db, void *user, dv_error *err)
{
    (void)user;
    int64_t used = 0, known = 0;
    return dv_db_int(db, 0, &used, err, "SELECT max(generation) FROM instances", "") &&
           dv_db_int(db, 0, &known, err, "SELECT max(number) FROM generations", "") &&
           (used <= known ||
            dv_db_exec(db, err,
                       "INSERT INTO generations (number, hash, who, note, created_at) VALUES ($1, '', 'rebuild',"
                       " 'made by a catalog that is lost; its text is not known', $2)",
                       "ii", used, dv_wall_us()));
}

/* An old catalog that does not open, or breaks on the way, does not stop the rest: OUT says so. */
static bool carry(dv_catalog *to, const char *old_dsn, bool postgres, dv_rebuilt *out, dv_error *err)
{
    dv_error why = {0};
    bool has = false;
    struct stat st;
    if (!dv_db_is_postgres(old_dsn) && stat(old_dsn, &st) != 0) {
        snprintf(out->not_carried, sizeof out->not_carried, "there was no catalog %.400s", old_dsn);
        return true;
    }
    dv_db *old = dv_db_open(old_dsn, DV_DB_READ, &why);
    bool ok = old && dv_db_has_table(old, "site", &has, &why);
    for (size_t i = 0; ok && has && i < sizeof carried / sizeof *carried; i++)
        ok = carry_table(to, old, &carried[i], postgres, &out->carried, &why);
    dv_db_close(old);
    if (!ok || !has)
        snprintf(out->not_carried, sizeof out->not_carried, "%.511s", ok ? "the old catalog is empty" : why.message);
    return dv_catalog_write(to, true, mark_generations, NULL, err);
}

static bool is_empty(const char *dsn, dv_error *err)
{
    bool has = true;
    char shown[4200];
    dv_db_show_dsn(dsn, shown, sizeof shown);
    dv_db *db = dv_db_open(dsn, DV_DB_CREATE, err);
    bool ok = db && dv_db_has_table(db, "site", &has, err);
    dv_db_close(db);
    return ok &&
           (!has || dv_fail(err, DV_ERR_EXISTS, "there is a catalog in %s already; give an empty database", shown));
}

/* Removes PATH and what SQLite lays beside it. */
static void remove_database(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[4300];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

/* FRESH takes OLD's name; OLD and its log go to BEFORE. A kill on the way leaves OLD as it was, or FRESH alone: dv_rebuild_finish goes on. */
static bool exchange(const char *fresh, const char *old, const char *before, dv_error *err)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char from[4300], to[4300];
    struct stat st;
    snprintf(from, sizeof from, "%s-wal", fresh);
    if (stat(from, &st) == 0 && st.st_size > 0)
        return dv_fail(err, DV_ERR_LOCKED, "%s is not closed, something reads it; the old catalog stays in its place",
                       fresh);
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s%s", old, ends[i]);
        snprintf(to, sizeof to, "%s%s", before, ends[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return dv_fail_errno(err, "cannot rename %s to %s", from, to);
        DV_FAIL_POINT("rebuild.renaming");
    }
    return rename(fresh, old) == 0 || dv_fail_errno(err, "cannot rename %s to %s; do it by hand", fresh, old);
}

/* The last NAME.before-TIME that an exchange made; false without one. */
static bool last_before(const char *name, char *out, size_t size)
{
    char pattern[4300];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s.before-*[0-9]", name);
    bool ok = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0 &&
              dv_text_copy(dv_text_of(found.gl_pathv[found.gl_pathc - 1]), out, size);
    globfree(&found);
    return ok;
}

bool dv_rebuild_finish(const char *dsn, dv_error *err)
{
    char fresh[4250], before[4300], from[4310], to[4310];
    struct stat st;
    snprintf(fresh, sizeof fresh, "%s.new", dsn);
    if (dv_db_is_postgres(dsn) || stat(dsn, &st) == 0 || stat(fresh, &st) != 0)
        return true;
    snprintf(from, sizeof from, "%s-wal", fresh);
    if (stat(from, &st) == 0 && st.st_size > 0) { /* not filled to its end, and there was none before it */
        remove_database(fresh);
        return true;
    }
    for (int i = 0; i < 2 && last_before(dsn, before, sizeof before); i++) {
        snprintf(from, sizeof from, "%s%s", dsn, i ? "-shm" : "-wal");
        snprintf(to, sizeof to, "%s%s", before, i ? "-shm" : "-wal");
        if (rename(from, to) != 0 && errno != ENOENT)
            return dv_fail_errno(err, "cannot rename %s to %s", from, to);
    }
    dv_warn("catalog", "a rebuild was broken off when it was done; %s takes its place", fresh);
    return rename(fresh, dsn) == 0 || dv_fail_errno(err, "cannot rename %s to %s", fresh, dsn);
}

static bool fill(dv_site *site, const char *dsn, const char *old_dsn, dv_rebuilt *out, dv_error *err)
{
    int64_t rows = 0;
    dv_totals t = {0};
    site->catalog = dv_catalog_open(dsn, err);
    site->ingest = site->catalog ? dv_ingest_new(site->store, site->catalog, NULL, err) : NULL;
    bool ok = site->ingest && dv_ingest_rebuild(site->ingest, &rows, err) &&
              carry(site->catalog, old_dsn, dv_db_is_postgres(dsn), out, err);
    dv_db *db = ok ? dv_catalog_reader(site->catalog, err) : NULL;
    ok = db && dv_query_totals(db, &t, err);
    out->instances = t.instances;
    out->quarantined = t.rejected + t.held + t.excluded + t.unreadable;
    dv_ingest_free(site->ingest);
    dv_catalog_close(site->catalog);
    site->ingest = NULL;
    site->catalog = NULL;
    return ok;
}

bool dv_rebuild(const char *folder, const char *into, dv_rebuilt *out, dv_error *err)
{
    dv_site site;
    char old[4200], fresh[4250];
    int64_t began = dv_mono_ms();
    *out = (dv_rebuilt){0};
    struct stat st;
    if (stat(folder, &st) != 0)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no data directory %s", folder);
    bool ok = dv_site_open_folder(&site, folder, NULL, err);
    if (ok) {
        dv_site_dsn(&site, old, sizeof old);
        ok = dv_rebuild_finish(old, err);
        if (ok && !into && dv_db_is_postgres(old))
            ok = dv_fail(err, DV_ERR_USAGE,
                         "the catalog is PostgreSQL: give an empty database with --into, then name it as `database` in "
                         "drover.lua");
    }
    if (ok) {
        snprintf(fresh, sizeof fresh, "%s%s", into ? into : old, into ? "" : ".new");
        if (!into)
            remove_database(fresh); /* of an attempt that was broken off */
        dv_db_show_dsn(into ? into : old, out->into, sizeof out->into);
        ok = is_empty(fresh, err) && fill(&site, fresh, old, out, err);
        DV_FAIL_POINT("rebuild.filled");
    }
    if (ok && !into) {
        char stamp[DV_STAMP_SIZE];
        snprintf(out->before, sizeof out->before, "%.4100s.before-%.19s", old, dv_stamp(dv_wall_us(), stamp));
        ok = exchange(fresh, old, out->before, err);
    }
    dv_site_close(&site);
    out->ms = dv_mono_ms() - began;
    return ok;
}
