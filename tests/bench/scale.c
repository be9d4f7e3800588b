/* scale.c: a big catalog, and how long it takes to be asked.
 *
 *   scale fill DB STUDIES INSTANCES     writes rows straight into a new SQLite catalog: names, dates, accession numbers and modalities as
 *                                       a hospital has them, the same ones each time; prints how long it took
 *   scale ask DB ROUNDS                 one client: study search and C-FIND's keys, ROUNDS questions a kind about what is there;
 *                                       prints p50, p99 and the worst; exit 1 when a p99 is over 50 ms
 *   scale forget DB INSTANCES           takes away what came after the INSTANCES that fill wrote
 *
 * A load writes without a journal and makes the indices of the big tables last, so that it takes minutes; the finished file is what the
 * engine would have made. */
#include "base/clock.h"
#include "catalog/fold.h"
#include "catalog/query.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GOAL_MS 50.0

static const char *const surnames[] = {
    "Smith", "Müller", "García", "Nguyen", "Kowalski", "Johnson", "Rossi", "Dubois", "Jensen", "Papadopoulos", "Yamada", "Öztürk", "Silva",
    "Novák", "O'Brien", "van der Berg", "Schmidt", "Schneider", "Fischer", "Weber", "Martínez", "López", "Williams", "Brown", "Jones", "Miller",
    "Davis", "Wilson", "Anderson", "Thomas", "Moore", "Martin", "Jackson", "Thompson", "White", "Lee", "Harris", "Clark", "Lewis", "Walker",
    "Hall", "Young", "King", "Wright", "Hill", "Scott", "Green", "Adams", "Baker", "Nelson", "Carter", "Mitchell", "Roberts", "Turner",
    "Phillips", "Campbell", "Parker", "Evans", "Edwards", "Collins", "Иванов", "Петров", "Tanaka", "Suzuki", "Kim", "Park", "Chen", "Wang",
    "Zhang", "Singh", "Kumar", "Patel", "Khan", "Ali", "Hassan", "Cohen", "Levy", "Andersson", "Johansson", "Virtanen", "Hansen", "Olsen"};
static const char *const given[] = {
    "John", "Mary", "Hans Peter", "José", "Anna", "Thi Hoa", "Jan", "Emma", "Luca", "Sophie", "Lars", "Eleni", "Taro", "Ayşe", "João", "Eva",
    "Siobhán", "Pieter", "Wolfgang", "Ursula", "Michael", "Jennifer", "David", "Linda", "James", "Patricia", "Robert", "Elizabeth", "William",
    "Barbara", "Richard", "Susan", "Joseph", "Jessica", "Charles", "Karen", "Пётр", "Ольга", "Haruto", "Yui", "Min-jun", "Wei", "Priya", "Omar",
    "Fatima", "Moshe", "Erik", "Ingrid", "Aino", "Bjørn"};
static const char *const modalities[] = {"CT", "CR", "DX", "MR", "US", "MG", "XA", "NM", "PT", "RF"};
/* of a hundred studies; PT is rare */
static const int shares[] = {22, 25, 20, 12, 12, 4, 2, 1, 1, 1};
static const char *const sources[] = {"main-pacs", "cardio", "mammo", "old-archive"};
static const char *const descriptions[] = {"CT THORAX/ABDOMEN", "CHEST PA", "KNEE LEFT 2V", "MR BRAIN W/WO", "US ABDOMEN", "MAMMO SCREEN BILAT",
                                           "CORONARY ANGIO", "BONE SCAN", "PET WHOLE BODY", "BARIUM SWALLOW"};

enum { SPELL = 192, MANY = 10 };

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

static void die(sqlite3 *db, const char *what)
{
    fprintf(stderr, "scale: %s: %s\n", what, db ? sqlite3_errmsg(db) : "");
    exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(db, sql);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        die(db, sql);
    return s;
}

/* TYPES: i int64_t, s text, b 32 bytes. Texts outlive the call. */
static void put(sqlite3 *db, sqlite3_stmt *s, const char *types, ...)
{
    va_list a;
    va_start(a, types);
    for (int i = 0; types[i]; i++)
        if (types[i] == 'i')
            sqlite3_bind_int64(s, i + 1, va_arg(a, int64_t));
        else if (types[i] == 's')
            sqlite3_bind_text(s, i + 1, va_arg(a, const char *), -1, SQLITE_STATIC);
        else
            sqlite3_bind_blob(s, i + 1, va_arg(a, const void *), 32, SQLITE_STATIC);
    va_end(a);
    if (sqlite3_step(s) != SQLITE_DONE)
        die(db, "a row");
    sqlite3_reset(s);
}

/* ---- what a hospital has: everything follows from the study's number ---- */

typedef struct person {
    char id[32], key[32], name[96], name_key[DV_FOLD_GROWTH * 96], birth[16], sex[2];
} person;

static void fold(const char *text, char *out)
{
    out[dv_fold_into(dv_text_of(text), out)] = '\0';
}

static void person_of(int64_t number, person *p)
{
    uint64_t r = mix((uint64_t)number * 2 + 1);
    snprintf(p->id, sizeof p->id, "P%08lld", (long long)(mix((uint64_t)number) % 90000000));
    fold(p->id, p->key);
    snprintf(p->name, sizeof p->name, "%s^%s^%c", surnames[r % (sizeof surnames / sizeof *surnames)],
             given[(r >> 16) % (sizeof given / sizeof *given)], (int)('A' + (r >> 32) % 26));
    fold(p->name, p->name_key);
    snprintf(p->birth, sizeof p->birth, "%04d%02d%02d", (int)(1925 + (r >> 40) % 95), (int)(1 + (r >> 48) % 12), (int)(1 + (r >> 52) % 28));
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
    int64_t days = 20 * 360, day = days - study * days / (studies + 1) - (int64_t)(mix((uint64_t)study + 5) % (uint64_t)(days / 4));
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
    snprintf(out, SPELL, "1.2.840.113619.2.%d.%llu.%llu", (int)(r % 400), (unsigned long long)(r >> 20) % 1000000000u, (unsigned long long)study);
}

/* ---- fill ---- */

static const char *const big[] = {"instances", "edits", "series", "origins", "studies", "patients", "study_modalities"};

static int fill(const char *path, int64_t studies, int64_t instances)
{
    dv_error err = {0};
    remove(path);
    dv_catalog *cat = dv_catalog_open(path, &err);
    if (!cat) {
        fprintf(stderr, "scale: %s\n", err.message);
        return 1;
    }
    dv_catalog_close(cat);
    int64_t begun = dv_mono_ms();
    sqlite3 *db;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die(db, path);
    run(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000; PRAGMA locking_mode = EXCLUSIVE;"
            "PRAGMA temp_store = FILE");
    /* The indices that CREATE INDEX made; those of UNIQUE and PRIMARY KEY stay. */
    char *later[64];
    int count = 0;
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        sqlite3_stmt *s = prepare(db, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?");
        char *drop[64];
        int drops = 0;
        sqlite3_bind_text(s, 1, big[i], -1, SQLITE_STATIC);
        while (sqlite3_step(s) == SQLITE_ROW && count < 64) {
            drop[drops++] = sqlite3_mprintf("DROP INDEX %s", sqlite3_column_text(s, 0));
            later[count++] = sqlite3_mprintf("%s", sqlite3_column_text(s, 1));
        }
        sqlite3_finalize(s);
        for (int k = 0; k < drops; k++) {
            run(db, drop[k]);
            sqlite3_free(drop[k]);
        }
    }
    run(db, "BEGIN");
    sqlite3_stmt *patient = prepare(db, "INSERT INTO patients (id, patient_id, issuer, name, name_key, birth_date, sex) VALUES (?,?,?,?,?,?,?)");
    sqlite3_stmt *study = prepare(
        db, "INSERT INTO studies (id, patient, study_uid, received_study_uid, patient_id, patient_key, received_patient_id, received_patient_key,"
            " received_issuer, patient_name, name_key, birth_date, sex, accession, accession_key, received_accession, received_accession_key,"
            " study_id, study_date, study_time, description, referring_physician, modalities, source, series_count, instance_count, bytes,"
            " first_received, last_received, generation_first, generation_last, finding_count)"
            " VALUES (?,?,?,?,?,?,?,?,'',?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,1,1,?)");
    sqlite3_stmt *kind = prepare(db, "INSERT INTO study_modalities (modality, study) VALUES (?,?)");
    sqlite3_stmt *series = prepare(db, "INSERT INTO series (id, study, series_uid, received_series_uid, modality, number, description, body_part,"
                                       " instance_count) VALUES (?,?,?,?,?,?,?,'CHEST',?)");
    sqlite3_stmt *origin = prepare(db, "INSERT INTO origins (id, received_study_uid, received_series_uid, received_patient_id, received_issuer,"
                                       " received_accession) VALUES (?,?,?,?,'',?)");
    sqlite3_stmt *instance = prepare(
        db, "INSERT INTO instances (id, series, origin, sop_uid, received_sop_uid, sop_class, transfer_syntax, instance_number, path, bytes,"
            " received_hash, header_hash, body_hash, generation, source, job, received_at, repeats, verified_at)"
            " VALUES (?,?,?,?,?,'1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1',?,?,?,?,?,?,1,?,0,?,0,?)");
    sqlite3_stmt *edit = prepare(db, "INSERT INTO edits (instance, position, kind, path, before, after, stage, rule) VALUES (?,0,'changed',"
                                     "'PatientName',?,?,'normalization','normalization/person-names')");
    person p;
    for (int64_t n = 1; n <= patients_of(studies); n++) {
        person_of(n, &p);
        char issued[32];
        snprintf(issued, sizeof issued, "S%lld", (long long)n); /* identifiers may repeat: another issuer then */
        put(db, patient, "issssss", n, p.id, issued, p.name, p.name_key, p.birth, p.sex);
    }
    int64_t id = 0, group = 0;
    for (int64_t n = 1; n <= studies; n++) {
        char uid[SPELL], date[16], time[16], accession[32], key[32], spelled[SPELL + 16], sop[SPELL], path_of[800], number[16];
        int m = modality_of(n);
        int64_t who = 1 + (int64_t)(mix((uint64_t)n + 3) % (uint64_t)patients_of(studies)), here = instances * n / studies - instances * (n - 1) / studies;
        int64_t parts = here < 3 ? 1 : 3, at = INT64_C(1700000000000000) + n * 1000000;
        const char *source = sources[mix((uint64_t)n + 13) % 100 < 70 ? 0 : 1 + (int)(mix((uint64_t)n) % 3)];
        person_of(who, &p);
        study_uid_of(n, uid);
        date_of(n, studies, date);
        accession_of(n, accession);
        fold(accession, key);
        snprintf(time, sizeof time, "%02d%02d00", (int)(7 + n % 12), (int)(n % 60));
        put(db, study, "iisssssssssssssssssssssiiiiii", n, who, uid, uid, p.id, p.key, p.id, p.key, p.name, p.name_key, p.birth, p.sex, accession,
            key, accession, key, accession, date, time, descriptions[m], "Who^Refers", modalities[m], source, parts, here, here * 526000, at, at,
            (int64_t)(n % 200 == 0));
        put(db, kind, "si", modalities[m], n);
        for (int64_t k = 0, left = here; k < parts; k++) {
            int64_t part = k == parts - 1 ? left : here / parts;
            left -= part;
            group++;
            snprintf(spelled, sizeof spelled, "%s.%d", uid, (int)k + 1);
            snprintf(number, sizeof number, "%d", (int)k + 1);
            put(db, series, "iisssssi", group, n, spelled, spelled, modalities[m], number, descriptions[m], part);
            put(db, origin, "issss", group, uid, spelled, p.id, accession);
            for (int64_t i = 0; i < part; i++) {
                uint64_t hash[12];
                for (int h = 0; h < 12; h++)
                    hash[h] = next_random();
                id++;
                snprintf(sop, sizeof sop, "1.2.840.113619.2.%d.%llu.%lld.%d", (int)(hash[0] % 400), (unsigned long long)hash[1] % 10000000000u,
                         (long long)id, (int)i + 1);
                snprintf(number, sizeof number, "%d", (int)i + 1);
                snprintf(path_of, sizeof path_of, "objects/2026/11/%02d/215/%s/%s.%016llx.dcm", (int)(n % 28 + 1), uid, sop, (unsigned long long)hash[2]);
                put(db, instance, "iiissssibbbsii", id, group, group, sop, sop, number, path_of, (int64_t)526000, hash, hash + 4, hash + 8, source, at, at);
                if (id % 8 == 0)
                    put(db, edit, "iss", id, p.name, p.name_key);
            }
        }
        if (n % 100000 == 0)
            fprintf(stderr, "\r%lld studies, %lld instances, %lld s ", (long long)n, (long long)id, (long long)(dv_mono_ms() - begun) / 1000);
    }
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO counters (name, host, value) VALUES ('patients', '', %lld), ('studies', '', %lld), ('series', '', %lld),"
             " ('instances', '', %lld), ('bytes', '', %lld)",
             (long long)patients_of(studies), (long long)studies, (long long)group, (long long)id, (long long)id * 526000);
    run(db, sql);
    run(db, "COMMIT");
    int64_t rows = dv_mono_ms();
    for (int i = 0; i < count; i++) {
        run(db, later[i]);
        sqlite3_free(later[i]);
    }
    sqlite3_stmt *all[] = {patient, study, kind, series, origin, instance, edit};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sqlite3_finalize(all[i]);
    run(db, "PRAGMA journal_mode = WAL");
    sqlite3_close(db);
    fprintf(stderr, "\r");
    printf("filled: %lld studies, %lld instances; rows %.1f s, indices %.1f s\n", (long long)studies, (long long)id, (double)(rows - begun) / 1e3,
           (double)(dv_mono_ms() - rows) / 1e3);
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

typedef enum kind_of {
    K_RECENT, K_UID, K_PID, K_PID_PREFIX, K_PID_BROAD, K_PID_INSIDE, K_ACC, K_ACC_PREFIX, K_ACC_INSIDE, K_NAME, K_FAMILY, K_NAME_PREFIX2, K_NAME_LETTER,
    K_NAME_INSIDE, K_NAME_END, K_NAME_NONE, K_DATE, K_WEEK, K_YEAR, K_OPEN, K_CT, K_PT, K_SOURCE, K_FLAGGED, K_CT_WEEK, K_PT_YEAR, K_FAMILY_DAY,
    K_FAMILY_MG, K_PAGE_DEEP, K_INSTANCES, K_COUNT
} kind_of;

static const char *const kinds[K_COUNT] = {
    "the newest 100", "Study Instance UID", "Patient ID", "Patient ID P12345*", "Patient ID P1*", "Patient ID *2345*", "Accession", "Accession A0612*",
    "Accession *45678*", "name, whole", "name Smith*", "name sm*", "name s*", "name *ohn*", "name *son", "name *zzq* (none)", "date, one day",
    "date, a week", "date, a year", "date, from a day on", "modality CT", "modality PT (1 %)", "source", "with findings", "CT of a week",
    "PT of a year", "Smith* of a day", "Smith*, MG", "page 1000 of CT", "instances of a study"};

/* Asks one question of KIND; false on failure. */
static bool ask(dv_db *db, kind_of what, int64_t studies, int64_t *rows, dv_error *err)
{
    int64_t n = 1 + (int64_t)(next_random() % (uint64_t)studies), who = 1 + (int64_t)(mix((uint64_t)n + 3) % (uint64_t)patients_of(studies));
    person p;
    char uid[SPELL], date[16], accession[32], text[400] = "";
    person_of(who, &p);
    study_uid_of(n, uid);
    date_of(n, studies, date);
    accession_of(n, accession);
    const char *family = surnames[next_random() % (sizeof surnames / sizeof *surnames)];
    dv_study_query q = {0};
    int year = (date[0] - '0') * 1000 + (date[1] - '0') * 100 + (date[2] - '0') * 10 + date[3] - '0';
    dv_text *to = NULL;
    if (what == K_INSTANCES)
        return dv_query_instances(db, dv_text_of(uid), 0, count_instance, rows, err);
    switch (what) {
    case K_UID: snprintf(text, sizeof text, "%s", uid), to = &q.study_uid; break;
    case K_PID: snprintf(text, sizeof text, "%s", p.id), to = &q.patient_id; break;
    case K_PID_PREFIX: snprintf(text, sizeof text, "%.6s*", p.id), to = &q.patient_id; break;
    case K_PID_BROAD: snprintf(text, sizeof text, "%.2s*", p.id), to = &q.patient_id; break;
    case K_PID_INSIDE: snprintf(text, sizeof text, "*%.4s*", p.id + 3), to = &q.patient_id; break;
    case K_ACC: snprintf(text, sizeof text, "%s", accession), to = &q.accession; break;
    case K_ACC_PREFIX: snprintf(text, sizeof text, "%.5s*", accession), to = &q.accession; break;
    case K_ACC_INSIDE: snprintf(text, sizeof text, "*%.5s*", accession + 4), to = &q.accession; break;
    case K_NAME: snprintf(text, sizeof text, "%s", p.name), to = &q.patient_name; break;
    case K_FAMILY: case K_FAMILY_DAY: case K_FAMILY_MG: snprintf(text, sizeof text, "%s*", family), to = &q.patient_name; break;
    case K_NAME_PREFIX2: snprintf(text, sizeof text, "%c%c*", "smgj"[n % 4], "ceai"[n % 4]), to = &q.patient_name; break;
    case K_NAME_LETTER: snprintf(text, sizeof text, "%c*", "abcdefghjklmnoprstvwyz"[n % 22]), to = &q.patient_name; break;
    case K_NAME_INSIDE: snprintf(text, sizeof text, "*%s*", (const char *const[]){"ohn", "ette", "ria", "ylva", "wolf", "ter"}[n % 6]), to = &q.patient_name; break;
    case K_NAME_END: snprintf(text, sizeof text, "*%s", (const char *const[]){"hoa q", "priya x", "son", "erik b"}[n % 4]), to = &q.patient_name; break;
    case K_NAME_NONE: snprintf(text, sizeof text, "*%c%czq*", (int)('a' + n % 26), (int)('a' + n / 26 % 26)), to = &q.patient_name; break;
    case K_DATE: snprintf(text, sizeof text, "%s", date), to = &q.study_date; break;
    case K_WEEK: case K_CT_WEEK: snprintf(text, sizeof text, "%.6s01-%.6s07", date, date), to = &q.study_date; break;
    case K_YEAR: case K_PT_YEAR: snprintf(text, sizeof text, "%04d0101-%04d1231", year, year), to = &q.study_date; break;
    case K_OPEN: snprintf(text, sizeof text, "%s-", date), to = &q.study_date; break;
    case K_CT: case K_PAGE_DEEP: q.modality = dv_text_of("CT"); break;
    case K_PT: q.modality = dv_text_of("PT"); break;
    case K_SOURCE: q.source = dv_text_of(sources[n % 4]); break;
    case K_FLAGGED: q.flagged = true; break;
    default: break;
    }
    if (to)
        *to = dv_text_of(text);
    if (what == K_CT_WEEK)
        q.modality = dv_text_of("CT");
    if (what == K_PT_YEAR)
        q.modality = dv_text_of("PT");
    if (what == K_FAMILY_MG)
        q.modality = dv_text_of("MG");
    if (what == K_FAMILY_DAY)
        q.study_date = dv_text_of(date);
    if (what == K_PAGE_DEEP)
        q.after = n;
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
    printf("%-24s %9s %9s %9s %7s   %lld studies, %d questions each, one client\n", "asked for", "p50 ms", "p99 ms", "worst", "rows", (long long)studies, rounds);
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
        printf("%-24s %9.2f %9.2f %9.2f %7.1f%s\n", kinds[k], ms[rounds / 2], p99, ms[rounds - 1], (double)rows / rounds, p99 > GOAL_MS ? "   over the goal" : "");
        fflush(stdout);
    }
    printf("worst p99: %.2f ms, the goal is %.0f\n", worst, GOAL_MS);
    dv_db_close(db);
    free(ms);
    return worst > GOAL_MS;
}

static int forget(const char *path, int64_t instances)
{
    sqlite3 *db;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die(db, path);
    static const char *const what[] = {
        "DELETE FROM studies WHERE id IN (SELECT DISTINCT s.study FROM instances i JOIN series s ON s.id = i.series WHERE i.id > %lld)",
        "DELETE FROM study_modalities WHERE study NOT IN (SELECT id FROM studies) AND study IN (SELECT s.study FROM instances i JOIN series s ON"
        " s.id = i.series WHERE i.id > %lld)",
        "DELETE FROM origins WHERE id IN (SELECT origin FROM instances WHERE id > %lld)",
        "DELETE FROM series WHERE id IN (SELECT series FROM instances WHERE id > %lld)",
        "DELETE FROM edits WHERE instance > %lld", "DELETE FROM findings WHERE instance > %lld", "DELETE FROM instances WHERE id > %lld"};
    char sql[400];
    run(db, "BEGIN");
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        snprintf(sql, sizeof sql, what[i], (long long)instances);
        run(db, sql);
    }
    run(db, "COMMIT");
    run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    sqlite3_close(db);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2], strtoll(argv[3], NULL, 10), strtoll(argv[4], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "ask") == 0)
        return ask_all(argv[2], (int)strtol(argv[3], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "forget") == 0)
        return forget(argv[2], strtoll(argv[3], NULL, 10));
    fprintf(stderr, "scale fill DB STUDIES INSTANCES | ask DB ROUNDS | forget DB INSTANCES\n");
    return 2;
}
