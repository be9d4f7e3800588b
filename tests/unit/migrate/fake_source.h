/* fake_source.h: a legacy PACS that can be told to behave badly (DEFECTS, second table), in place of dimse/scu.c, and a catalog with one peer.
 * A real one is used in tests/integration; real ones do not misbehave on request. What the fake "sends" goes straight into the catalog and
 * through dv_migrate_identify and dv_migrate_notify, as the intake does.
 * Functions of scu.h are defined here, so the linker does not take the real ones. */
#ifndef FAKE_SOURCE_H
#define FAKE_SOURCE_H

#include "base/file.h"
#include "catalog/query.h"
#include "dicom/write.h"
#include "engine.h"
#include "migrate/migrate_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST_STUDIES = 64 };

typedef struct fake_study {
    const char *uid, *accession, *patient, *date;
    int series, images;     /* images a series */
    int counted;            /* NumberOfStudyRelatedInstances; -1: series x images, -2: not said */
    bool excluded, rejected; /* what our "rules" do with its first instance of each series */
    int lost;               /* so many instances a C-MOVE do not come, while it says success */
    int unsendable;         /* its n-th instance (from 1) cannot be sent: a C-MOVE that meets it ends there with C000 */
    int moves;              /* how often it was asked for */
    int sent;
} fake_study;

static struct {
    fake_study studies[MOST_STUDIES];
    size_t count;
    int down;               /* so many associations do not come to be; -1: all */
    dv_code down_code;
    bool ignores_keys;      /* answers with everything */
    bool no_series_level, no_image_level, no_fine_moves;
    bool answers_twice;     /* each study in two records, the second with another description */
    bool no_instances;      /* C-MOVE says success and sends nothing, ever */
    bool latin;             /* "AX" is sent as A and the byte C4, and no character set is declared */
    int cap;                /* at most so many answers to a C-FIND */
    uint16_t move_status;
    bool die_in_move;       /* the association breaks when half is sent */
    int associations, finds, moves, fine_moves;
    dv_migrate *m;
    dv_catalog *catalog;
    int hang_up_on;         /* the association breaks at the n-th C-FIND */
    void (*in_move)(void);  /* called when a C-MOVE begins */
} fake;

/* One question at a time: workers meet at the catalog and the engine's own locks, not in the fake. */
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static dv_pool *pool;
static char folder[64], path[DSN_SIZE];
static dv_error err;

/* ---- the network ---- */

struct dv_association {
    int unused;
};

dv_association *dv_associate(const dv_target *to, const dv_context_offer *offers, size_t count, dv_error *e)
{
    (void)offers;
    (void)count;
    pthread_mutex_lock(&fake_lock);
    fake.associations++;
    bool down = fake.down != 0;
    fake.down -= fake.down > 0;
    pthread_mutex_unlock(&fake_lock);
    if (down) {
        dv_fail(e, fake.down_code ? fake.down_code : DV_ERR_NETWORK, "cannot connect to %s:%u", to->host, to->port);
        return NULL;
    }
    return calloc(1, sizeof(dv_association));
}

dv_text dv_accepted_syntax(const dv_association *a, const char *sop_class)
{
    (void)sop_class;
    return a ? DV_TEXT(DV_UID_IMPLICIT_LE) : (dv_text){0};
}

bool dv_association_is_alive(dv_association *a)
{
    return a != NULL;
}

void dv_release(dv_association *a)
{
    free(a);
}

void dv_abort(dv_association *a)
{
    free(a);
}

static dv_text key(dv_dataset *q, dv_tag tag)
{
    return dv_text_trim(dv_dataset_raw(q, tag));
}

static bool matches(const fake_study *s, dv_dataset *q)
{
    dv_text uid = key(q, DV_StudyInstanceUID), accession = key(q, DV_AccessionNumber), patient = key(q, DV_PatientID),
            date = key(q, DV_StudyDate);
    if (fake.ignores_keys)
        return true;
    if (date.len == 17 && (strncmp(s->date, date.at, 8) < 0 || strncmp(s->date, date.at + 9, 8) > 0))
        return false;
    return (!uid.len || dv_text_is(uid, s->uid)) && (!accession.len || dv_text_is(accession, s->accession)) &&
           (!patient.len || dv_text_is(patient, s->patient));
}

static int instances_of(const fake_study *s)
{
    return s->series * s->images;
}

static void put_int(dv_dataset *ds, dv_tag tag, int n)
{
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    assert_true(dv_dataset_put(ds, tag, dv_text_of(text), &err));
}

typedef bool fake_each(void *user, dv_text identifier);

static bool give(const dv_dataset *ds, fake_each *each, void *user)
{
    dv_text bytes;
    assert_true(dv_write_bytes((dv_dataset *)(uintptr_t)ds, &bytes, &err));
    char *umlaut = fake.latin ? memmem(bytes.at, bytes.len, "AX", 2) : NULL;
    if (umlaut)
        umlaut[1] = (char)0xC4;
    return each(user, bytes);
}

static bool give_study(const fake_study *s, int record, fake_each *each, void *user)
{
    dv_arena a;
    dv_arena_init(&a, 0);
    dv_dataset *ds = dv_dataset_new(&a, dv_syntax_encoding(DV_TEXT(DV_UID_IMPLICIT_LE)), &err);
    assert_non_null(ds);
    assert_true(dv_dataset_put(ds, DV_StudyInstanceUID, dv_text_of(s->uid), &err));
    assert_true(dv_dataset_put(ds, DV_AccessionNumber, dv_text_of(s->accession), &err));
    assert_true(dv_dataset_put(ds, DV_PatientID, dv_text_of(s->patient), &err));
    assert_true(dv_dataset_put(ds, DV_StudyDate, dv_text_of(s->date), &err));
    assert_true(dv_dataset_put(ds, DV_StudyDescription, record ? DV_TEXT("again") : DV_TEXT("once"), &err));
    if (s->counted != -2)
        put_int(ds, DV_NumberOfStudyRelatedInstances, s->counted == -1 ? instances_of(s) : s->counted);
    bool more = give(ds, each, user);
    dv_arena_free(&a);
    return more;
}

static char *series_uid(const fake_study *s, int i, char buf[80])
{
    snprintf(buf, 80, "%s.%d", s->uid, i + 1);
    return buf;
}

static char *sop_uid(const fake_study *s, int i, int k, char buf[80])
{
    snprintf(buf, 80, "%s.%d.%d", s->uid, i + 1, k + 1);
    return buf;
}

static bool give_below(const fake_study *s, dv_dataset *q, bool image, fake_each *each, void *user)
{
    char series[80], sop[80];
    dv_text wanted = key(q, DV_SeriesInstanceUID);
    for (int i = 0; i < s->series; i++) {
        series_uid(s, i, series);
        if (image && wanted.len && !dv_text_is(wanted, series))
            continue;
        for (int k = 0; k < (image ? s->images : 1); k++) {
            dv_arena a;
            dv_arena_init(&a, 0);
            dv_dataset *ds = dv_dataset_new(&a, dv_syntax_encoding(DV_TEXT(DV_UID_IMPLICIT_LE)), &err);
            assert_true(dv_dataset_put(ds, DV_SeriesInstanceUID, dv_text_of(series), &err));
            if (image)
                assert_true(dv_dataset_put(ds, DV_SOPInstanceUID, dv_text_of(sop_uid(s, i, k, sop)), &err));
            else
                put_int(ds, DV_NumberOfSeriesRelatedInstances, s->images);
            bool more = give(ds, each, user);
            dv_arena_free(&a);
            if (!more)
                return false;
        }
    }
    return true;
}

static dv_dataset *open_query(dv_text query, dv_arena *a)
{
    dv_dataset *q = dv_answer_open(query, DV_TEXT(DV_UID_IMPLICIT_LE), NULL, a, &err);
    assert_non_null(q);
    return q;
}

static bool find(dv_text query, fake_each *each, void *user, dv_error *e)
{
    dv_arena a;
    dv_arena_init(&a, 0);
    dv_dataset *q = open_query(query, &a);
    dv_text level = key(q, DV_QueryRetrieveLevel);
    bool ok = true, more = true;
    int given = 0;
    fake.finds++;
    if (fake.hang_up_on == fake.finds)
        ok = dv_fail(e, DV_ERR_ABORTED, "aborted");
    if ((dv_text_is(level, "SERIES") && fake.no_series_level) || (dv_text_is(level, "IMAGE") && fake.no_image_level))
        ok = dv_fail(e, DV_ERR_PEER, "A900: not at this level");
    for (size_t i = 0; ok && more && i < fake.count; i++) {
        const fake_study *s = &fake.studies[i];
        if (!matches(s, q))
            continue;
        if (!dv_text_is(level, "STUDY"))
            more = give_below(s, q, dv_text_is(level, "IMAGE"), each, user);
        else
            for (int r = 0; more && r < (fake.answers_twice ? 2 : 1) && (!fake.cap || given < fake.cap); r++, given++)
                more = give_study(s, r, each, user);
    }
    dv_arena_free(&a);
    return ok;
}

bool dv_find(dv_association *as, const char *sop_class, dv_text query, bool (*each)(void *user, dv_text identifier), void *user, dv_error *e)
{
    (void)as;
    (void)sop_class;
    pthread_mutex_lock(&fake_lock);
    bool ok = find(query, each, user, e);
    pthread_mutex_unlock(&fake_lock);
    return ok;
}

/* ---- what a C-MOVE brings ---- */

typedef struct incoming {
    const char *study, *series, *sop, *state;
    int64_t job;
} incoming;

static bool write_incoming(dv_db *db, void *user, dv_error *e)
{
    static const uint8_t hash[32] = {1};
    const incoming *in = user;
    if (in->state) {
        const dv_quarantined row = {
            .state = dv_text_of(in->state), .reason = DV_TEXT("not wanted"), .stage = DV_TEXT("gate"), .rule = DV_TEXT("gate/test"),
            .file = DV_TEXT(""), .received_sop_uid = dv_text_of(in->sop), .received_study_uid = dv_text_of(in->study),
            .received_series_uid = dv_text_of(in->series), .received_patient_id = DV_TEXT("P"), .received_accession = DV_TEXT(""),
            .sop_class = DV_TEXT("1"), .transfer_syntax = DV_TEXT("1"), .path = dv_text_of(in->sop), .bytes = 10, .body_hash = hash,
            .received_hash = hash, .source = DV_TEXT("old"), .job = in->job, .received_at = 1};
        int64_t id;
        bool duplicate;
        return dv_catalog_add_quarantined(db, &row, &id, &duplicate, e);
    }
    const dv_text study = dv_text_of(in->study), series = dv_text_of(in->series), sop = dv_text_of(in->sop), none = DV_TEXT("");
    const dv_instance row = {
        .received_sop_uid = sop, .received_study_uid = study, .received_series_uid = series, .received_patient_id = DV_TEXT("P"),
        .received_issuer = none, .received_accession = none, .sop_uid = sop, .sop_class = DV_TEXT("1"), .transfer_syntax = DV_TEXT("1"),
        .instance_number = none, .rows_columns = none, .study_uid = study, .study_date = none, .study_time = none, .study_description = none,
        .study_id = none, .accession = none, .referring_physician = none, .series_uid = series, .modality = DV_TEXT("CT"),
        .series_number = none, .series_description = none, .body_part = none, .patient_id = DV_TEXT("P"), .issuer = none,
        .patient_name = none, .birth_date = none, .sex = none, .path = sop, .bytes = 10, .received_hash = hash, .header_hash = hash,
        .body_hash = hash, .source = DV_TEXT("old"), .job = in->job, .received_at = 1};
    dv_seen seen;
    int64_t id;
    return dv_catalog_add_instance(db, &row, &seen, &id, e);
}

static int64_t last_job, last_attempt;
static char last_seed[64], last_batch[64], last_found[64];

static void arrive(const fake_study *s, int i, int k)
{
    char series[80], sop[80];
    dv_arena a;
    dv_arena_init(&a, 0);
    struct dv_arrival arrival = {.source = "old"};
    struct dv_receipt receipt = {0};
    if (fake.m)
        dv_migrate_identify(fake.m, dv_text_of(s->uid), &arrival, &a);
    last_job = arrival.job;
    last_attempt = arrival.attempt;
    snprintf(last_seed, sizeof last_seed, "%s", arrival.seed ? arrival.seed : "");
    snprintf(last_batch, sizeof last_batch, "%s", arrival.batch ? arrival.batch : "");
    dv_text_copy(arrival.found ? dv_dataset_text(arrival.found, DV_AccessionNumber) : DV_TEXT(""), last_found, sizeof last_found);
    incoming in = {s->uid, series_uid(s, i, series), sop_uid(s, i, k, sop),
                   k == 0 && s->excluded ? "excluded" : k == 0 && s->rejected ? "rejected" : NULL, arrival.job};
    assert_true(dv_catalog_write(fake.catalog, false, write_incoming, &in, &err));
    if (fake.m)
        dv_migrate_notify(fake.m, &arrival, &receipt);
    dv_arena_free(&a);
}

static bool lists(dv_text list, const char *uid)
{
    while (list.at) {
        dv_text rest;
        if (dv_text_is(dv_text_trim(dv_text_split(list, '\\', &rest)), uid))
            return true;
        list = rest;
    }
    return false;
}

static void move_one(fake_study *s, dv_dataset *q, dv_move_result *out)
{
    char series[80], sop[80];
    dv_text by_series = key(q, DV_SeriesInstanceUID), by_sop = key(q, DV_SOPInstanceUID);
    int lost = s->lost, limit = fake.die_in_move ? instances_of(s) / 2 : instances_of(s);
    s->moves++;
    for (int i = 0; i < s->series; i++)
        for (int k = 0; k < s->images; k++) {
            if ((by_series.len && !dv_text_is(by_series, series_uid(s, i, series))) || (by_sop.len && !lists(by_sop, sop_uid(s, i, k, sop))))
                continue;
            if (s->unsendable == i * s->images + k + 1) {
                out->status = 0xC000;
                return;
            }
            out->completed++;
            if (fake.no_instances || lost-- > 0 || limit-- <= 0)
                continue;
            s->sent++;
            arrive(s, i, k);
        }
}

static bool move(const char *destination, dv_text query, void (*progress)(void *user, const dv_move_result *so_far), void *user,
                 dv_move_result *out, dv_error *e)
{
    assert_string_equal(destination, "DROVER");
    dv_arena a;
    dv_arena_init(&a, 0);
    dv_dataset *q = open_query(query, &a);
    bool fine = !dv_text_is(key(q, DV_QueryRetrieveLevel), "STUDY");
    fake.moves++;
    fake.fine_moves += fine;
    *out = (dv_move_result){.remaining = 0, .completed = 0, .failed = 0, .warning = 0};
    if (fake.in_move)
        fake.in_move();
    if (fake.move_status || (fine && fake.no_fine_moves)) {
        out->status = fake.move_status ? fake.move_status : 0xA900;
    } else {
        for (size_t i = 0; i < fake.count; i++)
            if (dv_text_is(key(q, DV_StudyInstanceUID), fake.studies[i].uid))
                move_one(&fake.studies[i], q, out);
        if (progress)
            progress(user, out);
    }
    dv_arena_free(&a);
    if (fake.die_in_move) {
        fake.die_in_move = false;
        return dv_fail(e, DV_ERR_NETWORK, "connection lost");
    }
    return true;
}

bool dv_move(dv_association *as, const char *sop_class, const char *destination, dv_text query, dv_arena *arena,
             void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out, dv_error *e)
{
    (void)as;
    (void)sop_class;
    (void)arena;
    pthread_mutex_lock(&fake_lock);
    bool ok = move(destination, query, progress, user, out, e);
    pthread_mutex_unlock(&fake_lock);
    return ok;
}

void dv_association_lend(dv_association *a, int answer_ms, const atomic_bool *cancel)
{
    (void)a, (void)answer_ms, (void)cancel;
}

uint8_t dv_offer_result(const dv_association *a, size_t index)
{
    (void)a, (void)index;
    return 0;
}

size_t dv_may_receive(const dv_association *a)
{
    (void)a;
    return 0;
}

bool dv_get(dv_association *a, const char *sop_class, dv_text query, const dv_get_sink *sink, dv_arena *arena,
            void (*progress)(void *user, const dv_move_result *so_far), void *user, dv_move_result *out, dv_error *e)
{
    (void)a, (void)sop_class, (void)query, (void)sink, (void)arena, (void)progress, (void)user, (void)out;
    return dv_fail(e, DV_ERR_UNSUPPORTED, "the fake source is moved from");
}

uint16_t dv_next_message_id(const dv_association *a)
{
    (void)a;
    return 1;
}

bool dv_echo(dv_association *a, dv_error *e)
{
    (void)a;
    (void)e;
    return true;
}

bool dv_store_send(dv_association *a, dv_text sop_class, dv_text sop_instance, dv_text transfer_syntax,
                   ptrdiff_t (*next)(void *user, void *buf, size_t size, dv_error *e), void *user, uint16_t *status, dv_error *e)
{
    (void)a, (void)sop_class, (void)sop_instance, (void)transfer_syntax, (void)next, (void)user, (void)status;
    return dv_fail(e, DV_ERR_UNSUPPORTED, "the fake source stores nothing");
}

/* ---- catalog and engine ---- */

static const char *peer_settings = "{\"quiet_ms\": 20}";

static bool write_peer(dv_db *db, void *user, dv_error *e)
{
    int64_t id = 0;
    (void)user;
    const dv_peer old = {.slug = DV_TEXT("old"), .label = DV_TEXT("The old one"), .aet = DV_TEXT("OLD"), .host = DV_TEXT("127.0.0.1"),
                         .port = 104, .direction = DV_TEXT("SourceOnly"), .enabled = true, .sop_classes = DV_TEXT(""),
                         .transfer_syntaxes = DV_TEXT(""), .settings = dv_text_of(peer_settings)};
    dv_peer other = old, gone = old, sink = old;
    other.slug = DV_TEXT("other");
    gone.slug = DV_TEXT("gone");
    gone.enabled = false;
    sink.slug = DV_TEXT("sink");
    sink.direction = DV_TEXT("DestinationOnly");
    return dv_peer_save(db, &old, &id, e) && dv_peer_save(db, &other, &(int64_t){0}, e) && dv_peer_save(db, &gone, &(int64_t){0}, e) &&
           dv_peer_save(db, &sink, &(int64_t){0}, e);
}

/* Starts the engine without threads (0) or with them. */
static inline void start_engine(int workers)
{
    const dv_migrate_options o = {.catalog = fake.catalog, .pool = pool, .aet = "DROVER", .host = "archive.example", .port = 11112, .workers = workers ? workers : -1,
                                  .quiet_ms = 20, .max_tries = 3, .max_peer_tries = 3, .backoff_ms = 1};
    fake.m = dv_migrate_start(&o, &err);
    if (!fake.m)
        print_error("%s\n", err.message);
    assert_non_null(fake.m);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    dv_log_setup(-1, false, DV_LOG_ERROR);
    snprintf(folder, sizeof folder, "/tmp/dv-migrate-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    char file[96];
    snprintf(file, sizeof file, "%s/catalog.db", folder);
    if (!new_database(file, path))
        return -1;
    pool = dv_pool_new(10, 10000, &err);
    fake.catalog = dv_catalog_open(path, &err);
    if (!fake.catalog || !dv_catalog_write(fake.catalog, true, write_peer, NULL, &err)) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dv_migrate_stop(fake.m);
    dv_pool_free(pool);
    dv_catalog_close(fake.catalog);
    peer_settings = "{\"quiet_ms\": 20}";
    return drop_database(path) && dv_remove_tree(folder, NULL) ? 0 : -1;
}

static inline fake_study *add_study(const char *uid, const char *accession, int series, int images)
{
    fake.studies[fake.count] =
        (fake_study){.uid = uid, .accession = accession, .patient = "P", .date = "20240131", .series = series, .images = images, .counted = -1};
    return &fake.studies[fake.count++];
}

static dv_db *db(void)
{
    dv_db *d = dv_catalog_reader(fake.catalog, &err);
    assert_non_null(d);
    return d;
}

static inline int64_t submit(const char *accession)
{
    dv_batch_request q = {.source = "old", .accessions = {&accession, 1}};
    dv_batch_made made;
    if (!dv_batch_submit(fake.m, &q, &made, &err))
        print_error("%s\n", err.message);
    assert_int_not_equal(made.id, 0);
    return made.id;
}

/* Waits out short backoffs, at most 20 s. */
static inline void run_all(void)
{
    dv_worker *w = &fake.m->workers[0];
    for (int64_t end = dv_mono_ms() + 20000;;) {
        bool entry = false, job = false;
        assert_true(dv_worker_entry(w, &entry));
        assert_true(dv_worker_job(w, &job));
        int64_t open = 0;
        assert_true(dv_db_int(db(), 0, &open, &err, "SELECT count(*) FROM batches WHERE ended_at = 0", ""));
        if (!open)
            return;
        if (dv_mono_ms() > end)
            fail_msg("a batch does not end");
        if (!entry && !job) {
            uint64_t version = fake.m->version;
            dv_migrate_wait_change(fake.m, &version, 1);
        }
    }
}

static char text_buf[4][1024];
static inline const char *one_text(int slot, const char *sql)
{
    dv_rows *r = dv_db_query(db(), &err, sql, "");
    text_buf[slot][0] = '\0';
    if (dv_rows_next(r))
        dv_text_copy(dv_rows_text(r, 0), text_buf[slot], sizeof text_buf[slot]);
    assert_true(dv_rows_close(r, &err));
    return text_buf[slot];
}

/* The first column of all rows, joined by commas. */
static inline const char *all_text(int slot, const char *sql)
{
    dv_rows *r = dv_db_query(db(), &err, sql, "");
    size_t n = 0;
    text_buf[slot][0] = '\0';
    for (; dv_rows_next(r); n = strlen(text_buf[slot]))
        snprintf(text_buf[slot] + n, sizeof text_buf[slot] - n, "%s%.*s", n ? "," : "", DV_ARG(dv_rows_text(r, 0)));
    assert_true(dv_rows_close(r, &err));
    return text_buf[slot];
}

static inline int64_t one_int(const char *sql)
{
    int64_t n = -1;
    assert_true(dv_db_int(db(), -1, &n, &err, sql, ""));
    return n;
}

static inline const char *job_state(void)
{
    return one_text(0, "SELECT state FROM jobs ORDER BY id LIMIT 1");
}

static inline const char *job_error(void)
{
    return one_text(1, "SELECT error FROM jobs ORDER BY id LIMIT 1");
}

#endif
