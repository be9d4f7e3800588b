/* Rows written straight into a catalog: SQLite statements, or a COPY and a connection a table. A load makes the indices of the big tables
 * last, so that it takes minutes; the finished catalog is what the engine would have made. */
#include "base/buffer.h"
#include "base/clock.h"
#include "catalog/lists.h"
#include "scale.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "scale: %s: %s\n", what, why);
    exit(1);
}

/* ---- where rows go: SQLite statements, or a COPY and a connection a table ---- */

enum { PATIENTS, STUDIES, MODALITIES, SERIES, ORIGINS, INSTANCES, EDITS, TABLES };

static struct table {
    const char *name, *columns, *types; /* i int64_t, s text, b 32 bytes */
    sqlite3_stmt *insert;
    PGconn *copy;
    dv_buffer lines;
} tables[TABLES] = {
    [PATIENTS] = {"patients", "id, patient_id, issuer, name, name_key, birth_date, sex", "issssss"},
    [STUDIES] =
        {"studies",
         "id, patient, study_uid, received_study_uid, patient_id, patient_key, received_patient_id, "
         "received_patient_key, "
         "received_issuer, patient_name, name_key, birth_date, sex, accession, accession_key, received_accession, "
         "received_accession_key, study_id, study_date, study_time, description, referring_physician, modalities, "
         "source, "
         "series_count, instance_count, bytes, first_received, last_received, generation_first, generation_last, "
         "finding_count",
         "iissssssssssssssssssssssiiiiiiii"},
    [MODALITIES] = {"study_modalities", "modality, study", "si"},
    [SERIES] = {"series",
                "id, study, series_uid, received_series_uid, modality, number, description, body_part, instance_count",
                "iissssssi"},
    [ORIGINS] =
        {"origins",
         "id, received_study_uid, received_series_uid, received_patient_id, received_issuer, received_accession",
         "isssss"},
    [INSTANCES] =
        {"instances",
         "id, series, origin, sop_uid, received_sop_uid, sop_class, transfer_syntax, instance_number, path, bytes, "
         "received_hash, header_hash, body_hash, generation, source, job, received_at, repeats, verified_at",
         "iiissssssibbbisiiii"},
    [EDITS] = {"edits", "instance, position, kind, path, before, after, stage, rule", "iissssss"}};

static sqlite3 *lite;
static PGconn *pg;

static void run(const char *sql)
{
    if (lite && sqlite3_exec(lite, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sql, sqlite3_errmsg(lite));
    if (!pg)
        return;
    PGresult *r = PQexec(pg, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        die(sql, PQerrorMessage(pg));
    PQclear(r);
}

static void open_sinks(const char *dsn)
{
    if (dv_db_is_postgres(dsn))
        pg = PQconnectdb(dsn);
    else if (sqlite3_open(dsn, &lite) != SQLITE_OK)
        die(dsn, sqlite3_errmsg(lite));
    if (pg && PQstatus(pg) != CONNECTION_OK)
        die(dsn, PQerrorMessage(pg));
    if (lite)
        run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA locking_mode = "
            "EXCLUSIVE;"
            "PRAGMA temp_store = FILE; BEGIN");
    if (pg)
        run("SET synchronous_commit TO off; SET maintenance_work_mem TO '1GB'; SET max_parallel_maintenance_workers TO "
            "0");
}

static void open_tables(const char *dsn)
{
    for (struct table *t = tables; t < tables + TABLES; t++) {
        dv_buffer sql = {0};
        if (lite) {
            dv_buffer_printf(&sql, "INSERT INTO %s (%s) VALUES (?", t->name, t->columns);
            for (size_t i = 1; i < strlen(t->types); i++)
                dv_buffer_string(&sql, ", ?");
            dv_buffer_string(&sql, ")");
            if (sqlite3_prepare_v2(lite, sql.at, -1, &t->insert, NULL) != SQLITE_OK)
                die(sql.at, sqlite3_errmsg(lite));
        } else {
            dv_buffer_printf(&sql, "COPY %s (%s) FROM STDIN", t->name, t->columns);
            t->copy = PQconnectdb(dsn);
            PQclear(PQexec(t->copy, "SET synchronous_commit TO off"));
            PGresult *r = PQexec(t->copy, sql.at);
            if (PQresultStatus(r) != PGRES_COPY_IN)
                die(sql.at, PQerrorMessage(t->copy));
            PQclear(r);
        }
        dv_buffer_free(&sql);
    }
}

static void send_lines(struct table *t)
{
    if (t->lines.len && PQputCopyData(t->copy, t->lines.at, (int)t->lines.len) != 1)
        die(t->name, PQerrorMessage(t->copy));
    dv_buffer_clear(&t->lines);
}

static void close_tables(void)
{
    for (struct table *t = tables; t < tables + TABLES; t++) {
        sqlite3_finalize(t->insert);
        if (!t->copy)
            continue;
        send_lines(t);
        PQputCopyEnd(t->copy, NULL);
        PGresult *r = PQgetResult(t->copy);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            die(t->name, PQerrorMessage(t->copy));
        PQclear(r);
        PQfinish(t->copy);
        dv_buffer_free(&t->lines);
    }
    if (lite)
        run("COMMIT");
}

static void copy_bytes(dv_buffer *to, const uint8_t *bytes)
{
    static const char digits[] = "0123456789abcdef";
    char text[3 + 64];
    memcpy(text, "\\\\x", 3);
    for (int i = 0; i < 32; i++) {
        text[3 + 2 * i] = digits[bytes[i] >> 4];
        text[4 + 2 * i] = digits[bytes[i] & 15];
    }
    dv_buffer_add(to, text, sizeof text);
}

/* A row of TABLE. Texts outlive the call, and have nothing that COPY escapes. */
static void put(int table, ...)
{
    struct table *t = &tables[table];
    va_list a;
    va_start(a, table);
    for (int i = 0; t->types[i]; i++) {
        if (t->copy && i)
            dv_buffer_add(&t->lines, "\t", 1);
        if (t->types[i] == 'i') {
            int64_t n = va_arg(a, int64_t);
            if (t->copy)
                dv_buffer_printf(&t->lines, "%lld", (long long)n);
            else
                sqlite3_bind_int64(t->insert, i + 1, n);
        } else if (t->types[i] == 's') {
            const char *s = va_arg(a, const char *);
            if (t->copy)
                dv_buffer_string(&t->lines, s);
            else
                sqlite3_bind_text(t->insert, i + 1, s, -1, SQLITE_STATIC);
        } else {
            const void *b = va_arg(a, const void *);
            if (t->copy)
                copy_bytes(&t->lines, b);
            else
                sqlite3_bind_blob(t->insert, i + 1, b, 32, SQLITE_STATIC);
        }
    }
    va_end(a);
    if (t->copy) {
        dv_buffer_add(&t->lines, "\n", 1);
        if (t->lines.len > 256 * 1024)
            send_lines(t);
        return;
    }
    if (sqlite3_step(t->insert) != SQLITE_DONE)
        die(t->name, sqlite3_errmsg(lite));
    sqlite3_reset(t->insert);
}

/* ---- indices: those that CREATE INDEX made go before the rows come; those of UNIQUE and PRIMARY KEY stay ---- */

static char *later[64];
static int later_count;

static void drop_index(const char *name, const char *made_by)
{
    char sql[200];
    if (later_count == 64)
        die(name, "too many indices");
    later[later_count++] = strdup(made_by);
    snprintf(sql, sizeof sql, "DROP INDEX %.100s", name);
    run(sql);
}

static void drop_indices(void)
{
    char names[64][80], *made_by[64];
    int count = 0;
    for (struct table *t = tables; t < tables + TABLES; t++) {
        char sql[300];
        snprintf(
            sql, sizeof sql,
            lite ? "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = '%s'"
                 : "SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = current_schema() AND "
                   "i.tablename = '%s'"
                   " AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)",
            t->name);
        if (lite) {
            sqlite3_stmt *s;
            if (sqlite3_prepare_v2(lite, sql, -1, &s, NULL) != SQLITE_OK)
                die(sql, sqlite3_errmsg(lite));
            for (; count < 64 && sqlite3_step(s) == SQLITE_ROW; count++) {
                snprintf(names[count], sizeof names[count], "%s", sqlite3_column_text(s, 0));
                made_by[count] = strdup((const char *)sqlite3_column_text(s, 1));
            }
            sqlite3_finalize(s);
        } else {
            PGresult *r = PQexec(pg, sql);
            for (int i = 0; count < 64 && i < PQntuples(r); i++, count++) {
                snprintf(names[count], sizeof names[count], "%s", PQgetvalue(r, i, 0));
                made_by[count] = strdup(PQgetvalue(r, i, 1));
            }
            PQclear(r);
        }
    }
    for (int i = 0; i < count; i++) {
        drop_index(names[i], made_by[i]);
        free(made_by[i]);
    }
}

static int64_t between(int64_t n, int64_t all, int64_t parts)
{
    return all * n / parts - all * (n - 1) / parts;
}

/* PART instances of the series GROUP. *ID counts on. */
static void put_instances(int64_t study, int64_t group, int64_t part, int64_t *id, const char *uid, const char *source,
                          int64_t at, const person *p)
{
    char sop[SPELL], path[800], number[16];
    for (int64_t i = 0; i < part; i++) {
        uint64_t hash[12];
        for (int h = 0; h < 12; h++)
            hash[h] = next_random();
        ++*id;
        snprintf(sop, sizeof sop, "1.2.840.113619.2.%d.%llu.%lld.%d", (int)(hash[0] % 400),
                 (unsigned long long)hash[1] % 10000000000u, (long long)*id, (int)i + 1);
        snprintf(number, sizeof number, "%d", (int)i + 1);
        snprintf(path, sizeof path, "objects/2026/11/%02d/215/%s/%s.%016llx.dcm", (int)(study % 28 + 1), uid, sop,
                 (unsigned long long)hash[2]);
        put(INSTANCES, *id, group, group, sop, sop, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", number, path,
            (int64_t)526000, hash, hash + 4, hash + 8, (int64_t)1, source, (int64_t)0, at, (int64_t)0, at);
        if (*id % 8 == 0)
            put(EDITS, *id, (int64_t)1, "changed", "PatientName", p->name, p->name_key, "normalization",
                "normalization/person-names");
    }
}

static void put_study(int64_t n, int64_t studies, int64_t here, int64_t *group, int64_t *id)
{
    char uid[SPELL], date[16], time[16], accession[32], key[96], spelled[SPELL + 16], number[16];
    int m = modality_of(n);
    int64_t parts = here < 3 ? 1 : 3, at = INT64_C(1700000000000000) + n * 1000000, one = 1, none = 0;
    const char *source = source_of(n);
    person p;
    person_of(patient_of(n, studies), &p);
    study_uid_of(n, uid);
    date_of(n, studies, date);
    accession_of(n, accession);
    fold(accession, key);
    snprintf(time, sizeof time, "%02d%02d00", (int)(7 + n % 12), (int)(n % 60));
    put(STUDIES, n, patient_of(n, studies), uid, uid, p.id, p.key, p.received, p.received_key, "", p.name, p.name_key,
        p.birth, p.sex, accession, key, accession, key, accession, date, time, descriptions[m], "Who^Refers",
        modalities[m], source, parts, here, here * 526000, at, at, one, one, n % 200 ? none : one);
    put(MODALITIES, modalities[m], n);
    for (int64_t k = 0, left = here; k < parts; k++) {
        int64_t part = k == parts - 1 ? left : here / parts;
        left -= part;
        ++*group;
        snprintf(spelled, sizeof spelled, "%s.%d", uid, (int)k + 1);
        snprintf(number, sizeof number, "%d", (int)k + 1);
        put(SERIES, *group, n, spelled, spelled, modalities[m], number, descriptions[m], "CHEST", part);
        put(ORIGINS, *group, uid, spelled, p.received, "", accession);
        put_instances(n, *group, part, id, uid, source, at, &p);
    }
}

/* What the tables' own numbering does not know yet, and counters. */
static void finish(int64_t studies, int64_t series, int64_t instances)
{
    char sql[600];
    snprintf(sql, sizeof sql,
             "INSERT INTO counters (name, host, value) VALUES ('patients', '', %lld), ('studies', '', %lld), "
             "('series', '', %lld),"
             " ('instances', '', %lld), ('bytes', '', %lld)",
             (long long)patients_of(studies), (long long)studies, (long long)series, (long long)instances,
             (long long)instances * 526000);
    run(sql);
    for (int i = 0; pg && i < TABLES; i++)
        if (i != MODALITIES && i != EDITS) {
            snprintf(sql, sizeof sql, "SELECT setval(pg_get_serial_sequence('%s', 'id'), (SELECT max(id) FROM %s))",
                     tables[i].name, tables[i].name);
            run(sql);
        }
}

static void list_studies(const char *dsn)
{
    dv_error err = {0};
    dv_catalog *cat = dv_catalog_open(dsn, &err);
    bool done = false;
    while (cat && !done && dv_lists_work(cat, &done, &err))
        ;
    if (!done)
        die("the lists", err.message);
    dv_catalog_close(cat);
}

int fill(const char *dsn, int64_t studies, int64_t instances)
{
    dv_error err = {0};
    if (!dv_db_is_postgres(dsn))
        remove(dsn);
    dv_catalog *cat = dv_catalog_open(dsn, &err);
    if (!cat)
        die(dsn, err.message);
    dv_catalog_close(cat);
    int64_t begun = dv_mono_ms(), id = 0, group = 0;
    open_sinks(dsn);
    drop_indices();
    open_tables(dsn);
    for (int64_t n = 1; n <= patients_of(studies); n++) {
        person p;
        char issuer[32];
        person_of(n, &p);
        snprintf(issuer, sizeof issuer, "S%lld", (long long)n); /* identifiers may repeat: another issuer then */
        put(PATIENTS, n, p.id, issuer, p.name, p.name_key, p.birth, p.sex);
    }
    for (int64_t n = 1; n <= studies; n++) {
        put_study(n, studies, between(n, instances, studies), &group, &id);
        if (n % 100000 == 0)
            fprintf(stderr, "\r%lld studies, %lld instances, %lld s ", (long long)n, (long long)id,
                    (long long)(dv_mono_ms() - begun) / 1000);
    }
    close_tables();
    finish(studies, group, id);
    int64_t rows = dv_mono_ms();
    for (int i = 0; i < later_count; i++) {
        run(later[i]);
        free(later[i]);
    }
    if (lite)
        run("PRAGMA journal_mode = WAL");
    if (pg)
        run("VACUUM ANALYZE"); /* as its autovacuum would have */
    sqlite3_close(lite);
    PQfinish(pg);
    int64_t indices = dv_mono_ms();
    list_studies(dsn);
    fprintf(stderr, "\r");
    printf("filled: %lld studies, %lld instances; rows %.1f s, indices %.1f s, lists for searches %.1f s\n",
           (long long)studies, (long long)id, (double)(rows - begun) / 1e3, (double)(indices - rows) / 1e3,
           (double)(dv_mono_ms() - indices) / 1e3);
    return 0;
}
