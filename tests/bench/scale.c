/* scale.c: a big catalog, and how long it takes to be asked.
 *
 *   scale fill DSN STUDIES INSTANCES    writes rows straight into a new catalog (SQLite file or PostgreSQL): names, dates, accession numbers
 *                                       and modalities as a hospital has them, the same ones each time; then lists them for searches as the
 *                                       engine does; prints how long each took
 *   scale ask DSN ROUNDS                one client: study search and C-FIND's keys, ROUNDS questions a kind about what is there;
 *                                       prints p50, p99 and the worst; exit 1 when a p99 is over 50 ms
 *
 * A load makes the indices of the big tables last, so that it takes minutes; the finished catalog is what the engine would have made. */
#include "base/buffer.h"
#include "base/clock.h"
#include "catalog/fold.h"
#include "catalog/lists.h"
#include "catalog/query.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GOAL_MS 50.0

static const char *const surnames[] = {
    "Smith",        "Müller",   "García",   "Nguyen", "Kowalski", "Johnson",   "Rossi",        "Dubois",   "Jensen",
    "Papadopoulos", "Yamada",   "Öztürk",   "Silva",  "Novák",    "O'Brien",   "van der Berg", "Schmidt",  "Schneider",
    "Fischer",      "Weber",    "Martínez", "López",  "Williams", "Brown",     "Jones",        "Miller",   "Davis",
    "Wilson",       "Anderson", "Thomas",   "Moore",  "Martin",   "Jackson",   "Thompson",     "White",    "Lee",
    "Harris",       "Clark",    "Lewis",    "Walker", "Hall",     "Young",     "King",         "Wright",   "Hill",
    "Scott",        "Green",    "Adams",    "Baker",  "Nelson",   "Carter",    "Mitchell",     "Roberts",  "Turner",
    "Phillips",     "Campbell", "Parker",   "Evans",  "Edwards",  "Collins",   "Иванов",       "Петров",   "Tanaka",
    "Suzuki",       "Kim",      "Park",     "Chen",   "Wang",     "Zhang",     "Singh",        "Kumar",    "Patel",
    "Khan",         "Ali",      "Hassan",   "Cohen",  "Levy",     "Andersson", "Johansson",    "Virtanen", "Hansen",
    "Olsen"};
static const char *const given[] = {
    "John",      "Mary",    "Hans Peter", "José",     "Anna",    "Thi Hoa", "Jan",     "Emma",     "Luca",
    "Sophie",    "Lars",    "Eleni",      "Taro",     "Ayşe",    "João",    "Eva",     "Siobhán",  "Pieter",
    "Wolfgang",  "Ursula",  "Michael",    "Jennifer", "David",   "Linda",   "James",   "Patricia", "Robert",
    "Elizabeth", "William", "Barbara",    "Richard",  "Susan",   "Joseph",  "Jessica", "Charles",  "Karen",
    "Пётр",      "Ольга",   "Haruto",     "Yui",      "Min-jun", "Wei",     "Priya",   "Omar",     "Fatima",
    "Moshe",     "Erik",    "Ingrid",     "Aino",     "Bjørn"};
static const char *const modalities[] = {"CT", "CR", "DX", "MR", "US", "MG", "XA", "NM", "PT", "RF"};
/* of a hundred studies; PT is rare */
static const int shares[] = {22, 25, 20, 12, 12, 4, 2, 1, 1, 1};
static const char *const sources[] = {"main-pacs", "cardio", "mammo", "old-archive"};
static const char *const descriptions[] = {"CT THORAX/ABDOMEN", "CHEST PA",           "KNEE LEFT 2V",   "MR BRAIN W/WO",
                                           "US ABDOMEN",        "MAMMO SCREEN BILAT", "CORONARY ANGIO", "BONE SCAN",
                                           "PET WHOLE BODY",    "BARIUM SWALLOW"};

enum { SPELL = 192, MANY = 10, ALONE = 777 };

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* One of N, the same for the same seed and K. */
static uint64_t mix(uint64_t k)
{
    k = (k ^ (k >> 30)) * 0xBF58476D1CE4E5B9u;
    k = (k ^ (k >> 27)) * 0x94D049BB133111EBu;
    return k ^ (k >> 31);
}

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

/* ---- what a hospital has: everything follows from the study's number ---- */

typedef struct person {
    char id[32], key[96], received[32], received_key[96], name[96], name_key[DV_FOLD_GROWTH * 96], birth[16], sex[2];
} person;

static void fold(const char *text, char *out)
{
    out[dv_fold_into(dv_text_of(text), out)] = '\0';
}

/* Some names are common: one in sixteen is Smith; one patient has a name that nobody else has. A third came under another number. */
static void person_of(int64_t number, person *p)
{
    uint64_t r = mix((uint64_t)number * 2 + 1);
    size_t family = sizeof surnames / sizeof *surnames, first = sizeof given / sizeof *given;
    snprintf(p->id, sizeof p->id, "P%08lld", (long long)(mix((uint64_t)number) % 90000000));
    snprintf(p->received, sizeof p->received, number % 3 ? "%s" : "MRN%.5s", number % 3 ? p->id : p->id + 4);
    snprintf(p->name, sizeof p->name, "%s^%s^%c",
             surnames[(r & 0xffff) % family * ((r >> 16 & 0xffff) % family) / family],
             given[(r >> 8 & 0xffff) % first * ((r >> 24 & 0xffff) % first) / first], (int)('A' + (r >> 32) % 26));
    if (number == ALONE)
        snprintf(p->name, sizeof p->name, "Quxleyan^Zyta");
    fold(p->id, p->key);
    fold(p->received, p->received_key);
    fold(p->name, p->name_key);
    snprintf(p->birth, sizeof p->birth, "%04d%02d%02d", (int)(1925 + (r >> 40) % 95), (int)(1 + (r >> 48) % 12),
             (int)(1 + (r >> 52) % 28));
    p->sex[0] = "MFO"[(r >> 56) % 100 == 0 ? 2 : (r >> 57) % 2];
    p->sex[1] = '\0';
}

static int64_t patients_of(int64_t studies)
{
    return studies / 2 + 1;
}

static int modality_of(int64_t study)
{
    int n = (int)(mix((uint64_t)study + 77) % 100), k = 0;
    while (k < MANY - 1 && n >= shares[k])
        n -= shares[k++];
    return k;
}

/* Migrated newest first, with scatter of a quarter: so do batches come. */
static void date_of(int64_t study, int64_t studies, char out[16])
{
    int64_t days = 20 * 360,
            day = days - study * days / (studies + 1) - (int64_t)(mix((uint64_t)study + 5) % (uint64_t)(days / 4));
    day = (day % days + days) % days;
    snprintf(out, 16, "%04d%02d%02d", (int)(2006 + day / 360), (int)(1 + day / 30 % 12), (int)(1 + day % 30 % 28));
}

static void accession_of(int64_t study, char out[32])
{
    snprintf(out, 32, "A%02d%07lld", (int)(6 + study % 20), (long long)(mix((uint64_t)study + 9) % 10000000));
}

static void study_uid_of(int64_t study, char out[SPELL])
{
    uint64_t r = mix((uint64_t)study + 31);
    snprintf(out, SPELL, "1.2.840.113619.2.%d.%llu.%llu", (int)(r % 400), (unsigned long long)(r >> 20) % 1000000000u,
             (unsigned long long)study);
}

/* ---- fill ---- */

static int64_t between(int64_t n, int64_t all, int64_t parts)
{
    return all * n / parts - all * (n - 1) / parts;
}

static int64_t patient_of(int64_t study, int64_t studies)
{
    if (study == studies / 3)
        return ALONE;
    int64_t who = 1 + (int64_t)(mix((uint64_t)study + 3) % (uint64_t)patients_of(studies));
    return who == ALONE ? 1 : who;
}

static const char *source_of(int64_t study)
{
    return sources[mix((uint64_t)study + 13) % 100 < 70 ? 0 : 1 + (int)(mix((uint64_t)study) % 3)];
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

static int fill(const char *dsn, int64_t studies, int64_t instances)
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

/* ---- ask ---- */

static bool count_study(void *user, const dv_study_row *row)
{
    (void)row;
    ++*(int64_t *)user;
    return true;
}

static bool count_instance(void *user, const dv_instance_row *row)
{
    (void)row;
    return ++*(int64_t *)user < 256;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A random study that is there, and its words. */
typedef struct sample {
    int64_t number;
    person who;
    char uid[SPELL], date[16], accession[32], text[400];
    const char *family;
    int year;
} sample;

static void take(sample *s, int64_t studies)
{
    s->number = 1 + (int64_t)(next_random() % (uint64_t)studies);
    person_of(patient_of(s->number, studies), &s->who);
    study_uid_of(s->number, s->uid);
    date_of(s->number, studies, s->date);
    accession_of(s->number, s->accession);
    s->family = surnames[next_random() % (sizeof surnames / sizeof *surnames)];
    s->year = (s->date[0] - '0') * 1000 + (s->date[1] - '0') * 100 + (s->date[2] - '0') * 10 + s->date[3] - '0';
}

static dv_text write_text(sample *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static dv_text write_text(sample *s, const char *format, ...)
{
    va_list a;
    va_start(a, format);
    vsnprintf(s->text, sizeof s->text, format, a);
    va_end(a);
    return dv_text_of(s->text);
}

static dv_text week(sample *s)
{
    return write_text(s, "%.6s01-%.6s07", s->date, s->date);
}

static dv_text years(sample *s, int count)
{
    return write_text(s, "%04d0101-%04d1231", s->year, s->year + count - 1);
}

static dv_text one_of(const sample *s, const char *const *texts, int count)
{
    return dv_text_of(texts[s->number % count]);
}

typedef enum kind_of {
    K_RECENT,
    K_UID,
    K_PID,
    K_RECEIVED_PID,
    K_PID_PREFIX,
    K_PID_BROAD,
    K_PID_INSIDE,
    K_ACC,
    K_ACC_PREFIX,
    K_ACC_INSIDE,
    K_NAME,
    K_FAMILY,
    K_SMITH,
    K_PREFIX2,
    K_LETTER,
    K_INSIDE,
    K_COMMON,
    K_LONE,
    K_END,
    K_NONE,
    K_TWO,
    K_ONE,
    K_HOLES,
    K_DATE,
    K_WEEK,
    K_YEAR,
    K_YEARS,
    K_OPEN,
    K_CT,
    K_PT,
    K_SOURCE,
    K_FLAGGED,
    K_CT_WEEK,
    K_PT_YEAR,
    K_FAMILY_DAY,
    K_FAMILY_MG,
    K_FOUR,
    K_FLAGGED_SMITH,
    K_DEEP_CT,
    K_DEEP_SMITH,
    K_DEEP_COMMON,
    K_DEEP_YEAR,
    K_TOTALS,
    K_INSTANCES,
    K_COUNT
} kind_of;

static const char *const kinds[K_COUNT] = {"the newest 100",
                                           "Study Instance UID",
                                           "Patient ID",
                                           "Patient ID as received",
                                           "Patient ID P12345*",
                                           "Patient ID P1*",
                                           "Patient ID *2345*",
                                           "Accession",
                                           "Accession A0612*",
                                           "Accession *45678*",
                                           "name, whole",
                                           "name of 85 + *",
                                           "name Smith*, common",
                                           "name sm*",
                                           "name s*",
                                           "name *ohn* and such",
                                           "name *ohn*, common",
                                           "name *xleya*, one",
                                           "name *son",
                                           "name *qzq*, none",
                                           "name *oh*",
                                           "name *x*",
                                           "name s?i?h*a*",
                                           "date, one day",
                                           "date, a week",
                                           "date, a year",
                                           "date, five years",
                                           "date, from a day on",
                                           "modality CT",
                                           "modality PT, 1 %",
                                           "source",
                                           "with findings",
                                           "CT of a week",
                                           "PT of a year",
                                           "name* of a day",
                                           "name*, MG",
                                           "*ohn*, MG, year, source",
                                           "Smith* with findings",
                                           "a page deep in CT",
                                           "a page deep in Smith*",
                                           "a page deep in *ohn*",
                                           "a page deep in 5 years",
                                           "totals",
                                           "instances of a study"};

/* The study query of KIND about S. */
static dv_study_query question(kind_of what, sample *s)
{
    static const char *const inside[] = {"*ohn*", "*ette*", "*ria*", "*ylva*", "*wolf*", "*ter*"},
                             *const ends[] = {"*hoa q", "*priya x", "*son", "*erik b"},
                             *const two[] = {"*oh*", "*zq*", "*ha*", "*xy*"}, *const one[] = {"*x*", "*a*", "*q*"},
                             *const starts[] = {"sm*", "ce*", "ga*", "ji*"};
    const int letters[] = {'*', 'a' + (int)(s->number % 26), 'a' + (int)(s->number / 26 % 26)};
    switch (what) {
    case K_UID:
        return (dv_study_query){.study_uid = dv_text_of(s->uid)};
    case K_PID:
        return (dv_study_query){.patient_id = dv_text_of(s->who.id)};
    case K_RECEIVED_PID:
        return (dv_study_query){.patient_id = dv_text_of(s->who.received)};
    case K_PID_PREFIX:
        return (dv_study_query){.patient_id = write_text(s, "%.6s*", s->who.id)};
    case K_PID_BROAD:
        return (dv_study_query){.patient_id = write_text(s, "%.2s*", s->who.id)};
    case K_PID_INSIDE:
        return (dv_study_query){.patient_id = write_text(s, "*%.4s*", s->who.id + 3)};
    case K_ACC:
        return (dv_study_query){.accession = dv_text_of(s->accession)};
    case K_ACC_PREFIX:
        return (dv_study_query){.accession = write_text(s, "%.5s*", s->accession)};
    case K_ACC_INSIDE:
        return (dv_study_query){.accession = write_text(s, "*%.5s*", s->accession + 4)};
    case K_NAME:
        return (dv_study_query){.patient_name = dv_text_of(s->who.name)};
    case K_FAMILY:
        return (dv_study_query){.patient_name = write_text(s, "%s*", s->family)};
    case K_SMITH:
        return (dv_study_query){.patient_name = DV_TEXT("Smith*")};
    case K_PREFIX2:
        return (dv_study_query){.patient_name = one_of(s, starts, 4)};
    case K_LETTER:
        return (dv_study_query){.patient_name = write_text(s, "%c*", letters[1])};
    case K_INSIDE:
        return (dv_study_query){.patient_name = one_of(s, inside, 6)};
    case K_COMMON:
        return (dv_study_query){.patient_name = DV_TEXT("*ohn*")};
    case K_LONE:
        return (dv_study_query){.patient_name = DV_TEXT("*xleya*")};
    case K_END:
        return (dv_study_query){.patient_name = one_of(s, ends, 4)};
    case K_NONE:
        return (dv_study_query){.patient_name = write_text(s, "*%c%czq*", letters[1], letters[2])};
    case K_TWO:
        return (dv_study_query){.patient_name = one_of(s, two, 4)};
    case K_ONE:
        return (dv_study_query){.patient_name = one_of(s, one, 3)};
    case K_HOLES:
        return (dv_study_query){.patient_name = DV_TEXT("s?i?h*a*")};
    case K_DATE:
        return (dv_study_query){.study_date = dv_text_of(s->date)};
    case K_WEEK:
        return (dv_study_query){.study_date = week(s)};
    case K_YEAR:
        return (dv_study_query){.study_date = years(s, 1)};
    case K_YEARS:
        return (dv_study_query){.study_date = years(s, 5)};
    case K_OPEN:
        return (dv_study_query){.study_date = write_text(s, "%s-", s->date)};
    case K_CT:
        return (dv_study_query){.modality = DV_TEXT("CT")};
    case K_PT:
        return (dv_study_query){.modality = DV_TEXT("PT")};
    case K_SOURCE:
        return (dv_study_query){.source = one_of(s, sources, 4)};
    case K_FLAGGED:
        return (dv_study_query){.flagged = true};
    case K_CT_WEEK:
        return (dv_study_query){.study_date = week(s), .modality = DV_TEXT("CT")};
    case K_PT_YEAR:
        return (dv_study_query){.study_date = years(s, 1), .modality = DV_TEXT("PT")};
    case K_FAMILY_DAY:
        return (dv_study_query){.patient_name = write_text(s, "%s*", s->family), .study_date = dv_text_of(s->date)};
    case K_FAMILY_MG:
        return (dv_study_query){.patient_name = write_text(s, "%s*", s->family), .modality = DV_TEXT("MG")};
    case K_FOUR:
        return (dv_study_query){.patient_name = DV_TEXT("*ohn*"),
                                .study_date = years(s, 1),
                                .modality = DV_TEXT("MG"),
                                .source = DV_TEXT("cardio")};
    case K_FLAGGED_SMITH:
        return (dv_study_query){.patient_name = DV_TEXT("Smith*"), .flagged = true};
    case K_DEEP_CT:
        return (dv_study_query){.modality = DV_TEXT("CT"), .after = s->number};
    case K_DEEP_SMITH:
        return (dv_study_query){.patient_name = DV_TEXT("Smith*"), .after = s->number};
    case K_DEEP_COMMON:
        return (dv_study_query){.patient_name = DV_TEXT("*ohn*"), .after = s->number};
    case K_DEEP_YEAR:
        return (dv_study_query){.study_date = years(s, 5), .after = s->number};
    default:
        return (dv_study_query){0};
    }
}

/* Asks one question of KIND; false on failure. */
static bool ask(dv_db *db, kind_of what, int64_t studies, int64_t *rows, dv_error *err)
{
    sample s;
    dv_totals totals;
    take(&s, studies);
    if (what == K_INSTANCES)
        return dv_query_instances(db, dv_text_of(s.uid), 0, count_instance, rows, err);
    if (what == K_TOTALS) {
        *rows = 1;
        return dv_query_totals(db, &totals, err);
    }
    dv_study_query q = question(what, &s);
    return dv_query_studies(db, &q, count_study, rows, err);
}

static int ask_all(const char *path, int rounds)
{
    dv_error err = {0};
    dv_db *db = dv_db_open(path, DV_DB_READ, &err);
    int64_t studies = 0;
    double *ms = calloc((size_t)rounds, sizeof *ms), worst = 0;
    if (!ms || !db || !dv_db_int(db, 0, &studies, &err, "SELECT MAX(id) FROM studies", "")) {
        fprintf(stderr, "scale: %s\n", err.message);
        return 1;
    }
    printf("%-24s %9s %9s %9s %7s   %lld studies, %d questions each, one client\n", "asked for", "p50 ms", "p99 ms",
           "worst", "rows", (long long)studies, rounds);
    for (int k = 0; k < K_COUNT; k++) {
        int64_t rows = 0;
        for (int i = 0; i < rounds; i++) {
            struct timespec a, b;
            int64_t found = 0;
            clock_gettime(CLOCK_MONOTONIC, &a);
            if (!ask(db, (kind_of)k, studies, &found, &err)) {
                fprintf(stderr, "scale: %s: %s\n", kinds[k], err.message);
                return 1;
            }
            clock_gettime(CLOCK_MONOTONIC, &b);
            rows += found;
            ms[i] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        }
        qsort(ms, (size_t)rounds, sizeof *ms, by_value);
        double p99 = ms[(rounds * 99 - 1) / 100];
        worst = p99 > worst ? p99 : worst;
        printf("%-24s %9.2f %9.2f %9.2f %7.1f%s\n", kinds[k], ms[rounds / 2], p99, ms[rounds - 1],
               (double)rows / rounds, p99 > GOAL_MS ? "   over the goal" : "");
        fflush(stdout);
    }
    printf("worst p99: %.2f ms, the goal is %.0f\n", worst, GOAL_MS);
    dv_db_close(db);
    free(ms);
    return worst > GOAL_MS;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2], strtoll(argv[3], NULL, 10), strtoll(argv[4], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "ask") == 0)
        return ask_all(argv[2], (int)strtol(argv[3], NULL, 10));
    fprintf(stderr, "scale fill DSN STUDIES INSTANCES | ask DSN ROUNDS\n");
    return 2;
}
