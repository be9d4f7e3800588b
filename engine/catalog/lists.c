/* Chunks of studies are listed, and changed studies added to their lists.
 *
 *   register   search_chunks (chunk, 1); on PostgreSQL behind every transaction that writes studies now (invariant 1)
 *   read       8192 rows over the read connection; (term, study) pairs in one array, sorted: no lock, nobody waits
 *   write      some hundred lists a turn of the write connection, so that an instance waits milliseconds at most
 *   finish     search_chunks (chunk, 2)
 *
 * A kill leaves state 1: the chunk is begun again, lists are overwritten. Two hosts that list the same chunk write the same lists; the one
 * that finds it finished stops. */
#include "catalog/lists.h"
#include "base/buffer.h"

#include <stdlib.h>

enum {
    LISTS_A_TURN = 400,
    CHANGED_A_TURN = 16,
};

/* ---- terms ---- */

uint64_t dv_term_gram(dv_list_field field, const char *at, size_t count)
{
    uint64_t value = count;
    for (size_t i = 0; i < 3; i++)
        value = value << 8 | (i < count ? (unsigned char)at[i] : 0);
    return dv_term(field, value);
}

uint64_t dv_term_word(dv_list_field field, dv_text word)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < word.len; i++)
        h = (h ^ (unsigned char)word.at[i]) * 16777619u;
    return dv_term(field, h);
}

/* Pairs of term and study: term << DV_CHUNK_BITS | place in the chunk. */
typedef struct pairs {
    dv_buffer bytes;
    uint64_t place;
} pairs;

static void add_term(pairs *p, uint64_t term)
{
    uint64_t pair = term << DV_CHUNK_BITS | p->place;
    dv_buffer_add(&p->bytes, &pair, sizeof pair);
}

static void add_text(pairs *p, dv_list_field field, dv_text t)
{
    char piece[3] = {0, 0, DV_MARK_BEGIN}; /* the last three bytes */
    size_t have = 1;
    for (size_t i = 0; t.len && i <= t.len; i++) {
        piece[0] = piece[1];
        piece[1] = piece[2];
        piece[2] = i < t.len ? t.at[i] : DV_MARK_END;
        have += have < 3;
        if (i < t.len)
            add_term(p, dv_term_gram(field, piece + 2, 1));
        add_term(p, dv_term_gram(field, piece + 1, 2));
        if (have == 3)
            add_term(p, dv_term_gram(field, piece, 3));
    }
}

static void add_date(pairs *p, dv_text t)
{
    uint64_t day;
    if (t.len == 0)
        return;
    if (t.len != 8 || !dv_text_uint(t, &day))
        day = 0;
    add_term(p, dv_term(DV_LIST_DAY, day));
    if (day) {
        add_term(p, dv_term(DV_LIST_MONTH, day / 100));
        add_term(p, dv_term(DV_LIST_YEAR, day / 10000));
    }
}

#define STUDY_COLUMNS                                                                                                  \
    "SELECT id, patient_key, received_patient_key, accession_key, received_accession_key, name_key, study_date, "      \
    "source, modalities FROM studies"

static void add_study(pairs *p, const dv_rows *r)
{
    p->place = (uint64_t)dv_rows_int(r, 0) & (DV_CHUNK - 1);
    add_text(p, DV_LIST_PATIENT, dv_rows_text(r, 1));
    if (!dv_text_equal(dv_rows_text(r, 1), dv_rows_text(r, 2)))
        add_text(p, DV_LIST_PATIENT, dv_rows_text(r, 2));
    add_text(p, DV_LIST_ACCESSION, dv_rows_text(r, 3));
    if (!dv_text_equal(dv_rows_text(r, 3), dv_rows_text(r, 4)))
        add_text(p, DV_LIST_ACCESSION, dv_rows_text(r, 4));
    add_text(p, DV_LIST_NAME, dv_rows_text(r, 5));
    add_date(p, dv_rows_text(r, 6));
    add_term(p, dv_term_word(DV_LIST_SOURCE, dv_rows_text(r, 7)));
    for (dv_text rest = dv_rows_text(r, 8), one; rest.at;) {
        one = dv_text_split(rest, '\\', &rest);
        if (one.len)
            add_term(p, dv_term_word(DV_LIST_MODALITY, one));
    }
}

static int by_pair(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* ---- a list ---- */

typedef struct list {
    uint8_t bytes[DV_BITMAP];
    size_t len; /* DV_BITMAP: a bitmap */
} list;

static void put_bit(uint8_t *map, uint64_t place)
{
    map[place >> 3] = (uint8_t)(map[place >> 3] | 1u << (place & 7));
}

static void to_bitmap(list *l)
{
    uint8_t map[DV_BITMAP] = {0};
    for (size_t i = 0; i < l->len; i += 2)
        put_bit(map, (uint64_t)l->bytes[i] | (uint64_t)l->bytes[i + 1] << 8);
    memcpy(l->bytes, map, sizeof map);
    l->len = DV_BITMAP;
}

/* PLACE is none that is there, and above all that are when L is no bitmap. */
static void put_place(list *l, uint64_t place)
{
    if (l->len + 2 >= DV_BITMAP && l->len != DV_BITMAP)
        to_bitmap(l);
    if (l->len == DV_BITMAP) {
        put_bit(l->bytes, place);
        return;
    }
    l->bytes[l->len++] = (uint8_t)place;
    l->bytes[l->len++] = (uint8_t)(place >> 8);
}

/* The list of the pairs from *AT on that have the same term; *AT goes behind them. */
static void next_list(list *l, const uint64_t *pair, size_t count, size_t *at)
{
    uint64_t term = pair[*at] >> DV_CHUNK_BITS;
    l->len = 0;
    for (uint64_t last = UINT64_MAX; *at < count && pair[*at] >> DV_CHUNK_BITS == term; ++*at) {
        if (pair[*at] != last)
            put_place(l, pair[*at] & (DV_CHUNK - 1));
        last = pair[*at];
    }
}

static bool write_list(dv_db *db, int64_t id, const list *l, dv_error *err)
{
    return dv_db_post(
        db, err,
        "INSERT INTO search_lists (id, list) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET list = excluded.list", "ib",
        id, (dv_text){(const char *)l->bytes, l->len});
}

static int64_t list_id(uint64_t pair, int64_t chunk)
{
    return (int64_t)((pair >> DV_CHUNK_BITS) << DV_LIST_CHUNK_BITS | (uint64_t)chunk);
}

/* ---- a chunk ---- */

typedef struct chunk_work {
    int64_t chunk;
    const uint64_t *pair;
    size_t count, at;
    bool finished; /* by us or by another host */
} chunk_work;

static bool is_listed(dv_db *db, int64_t chunk, bool *listed, dv_error *err)
{
    int64_t state;
    if (!dv_db_lock(db, err) ||
        !dv_db_int(db, 0, &state, err, "SELECT state FROM search_chunks WHERE chunk = $1", "i", chunk))
        return false;
    *listed = state == 2;
    return true;
}

static bool register_chunk(dv_db *db, void *user, dv_error *err)
{
    const int64_t *chunk = user;
    bool postgres = strncmp(dv_db_engine(db), "sqlite", 6) != 0;
    /* who writes a study now commits first, who comes later sees the chunk's row */
    return (!postgres || dv_db_script(db, "LOCK TABLE studies IN SHARE MODE;", err)) &&
           dv_db_exec(db, err, "INSERT INTO search_chunks (chunk, state) VALUES ($1, 1) ON CONFLICT (chunk) DO NOTHING",
                      "i", *chunk);
}

static bool write_lists(dv_db *db, void *user, dv_error *err)
{
    chunk_work *w = user;
    list l;
    if (!is_listed(db, w->chunk, &w->finished, err) || w->finished)
        return w->finished;
    size_t at = w->at;
    for (int n = 0; n < LISTS_A_TURN && at < w->count; n++) {
        int64_t id = list_id(w->pair[at], w->chunk);
        next_list(&l, w->pair, w->count, &at);
        if (!write_list(db, id, &l, err))
            return false;
    }
    w->at = at;
    w->finished = at == w->count;
    return !w->finished || dv_db_exec(db, err, "UPDATE search_chunks SET state = 2 WHERE chunk = $1", "i", w->chunk);
}

static bool read_chunk(dv_db *db, int64_t chunk, pairs *p, dv_error *err)
{
    dv_rows *r = dv_db_query(db, err, STUDY_COLUMNS " WHERE id >= $1 AND id < $2 ORDER BY id", "ii",
                             chunk << DV_CHUNK_BITS, (chunk + 1) << DV_CHUNK_BITS);
    while (dv_rows_next(r))
        add_study(p, r);
    return dv_rows_close(r, err) && (!p->bytes.failed || dv_fail(err, DV_ERR_MEMORY, "no memory to list studies"));
}

static bool list_chunk(dv_catalog *cat, dv_db *reader, int64_t chunk, dv_error *err)
{
    pairs p = {0};
    bool ok = dv_catalog_write(cat, false, register_chunk, &chunk, err) && read_chunk(reader, chunk, &p, err);
    chunk_work w = {
        .chunk = chunk, .pair = (const uint64_t *)(const void *)p.bytes.at, .count = p.bytes.len / sizeof(uint64_t)};
    if (ok && w.count)
        qsort(p.bytes.at, w.count, sizeof(uint64_t), by_pair);
    while (ok && !w.finished)
        ok = dv_catalog_write(cat, false, write_lists, &w, err);
    dv_buffer_free(&p.bytes);
    return ok;
}

/* The next full chunk that is not listed; -1: none. */
static bool next_chunk(dv_db *db, int64_t *chunk, dv_error *err)
{
    int64_t begun, next, newest;
    if (!dv_db_int(db, -1, &begun, err, "SELECT min(chunk) FROM search_chunks WHERE state = 1", "") ||
        !dv_db_int(db, -1, &next, err, "SELECT max(chunk) FROM search_chunks", "") ||
        !dv_db_int(db, -1, &newest, err, "SELECT max(id) FROM studies", ""))
        return false;
    *chunk = begun >= 0 ? begun : newest + 1 >= (next + 2) << DV_CHUNK_BITS ? next + 1 : -1;
    return true;
}

/* ---- changed studies ---- */

bool dv_lists_touch(dv_db *db, int64_t study, dv_error *err)
{
    return dv_db_post(db, err,
                      "INSERT INTO search_changed (study) SELECT CAST($1 AS BIGINT) WHERE EXISTS (SELECT 1 FROM "
                      "search_chunks WHERE chunk = $2) ON CONFLICT (study) DO NOTHING",
                      "ii", study, study >> DV_CHUNK_BITS);
}

/* PAIR's study put into its list, as it is at the database. */
static bool add_to_list(dv_db *db, uint64_t pair, int64_t chunk, dv_error *err)
{
    list l = {.len = 0};
    int64_t id = list_id(pair, chunk);
    dv_rows *r = dv_db_query(db, err, "SELECT list FROM search_lists WHERE id = $1", "i", id);
    if (dv_rows_next(r)) {
        dv_text t = dv_rows_text(r, 0);
        l.len = t.len < DV_BITMAP ? t.len & ~(size_t)1 : DV_BITMAP;
        memcpy(l.bytes, t.at, l.len);
    }
    if (!dv_rows_close(r, err))
        return false;
    uint64_t place = pair & (DV_CHUNK - 1);
    list merged = {.len = 0};
    bool put = false;
    if (l.len == DV_BITMAP) {
        merged = l;
        put_place(&merged, place);
        return write_list(db, id, &merged, err);
    }
    for (size_t i = 0; i < l.len; i += 2) {
        uint64_t there = (uint64_t)l.bytes[i] | (uint64_t)l.bytes[i + 1] << 8;
        if (there >= place && !put) {
            put_place(&merged, place);
            put = true;
        }
        if (there != place)
            put_place(&merged, there);
    }
    if (!put)
        put_place(&merged, place);
    return write_list(db, id, &merged, err);
}

static bool list_changed_study(dv_db *db, int64_t study, dv_error *err)
{
    pairs p = {0};
    dv_rows *r = dv_db_query(db, err, STUDY_COLUMNS " WHERE id = $1", "i", study);
    while (dv_rows_next(r))
        add_study(&p, r);
    bool ok = dv_rows_close(r, err) && (!p.bytes.failed || dv_fail(err, DV_ERR_MEMORY, "no memory to list a study"));
    uint64_t *pair = (uint64_t *)(void *)p.bytes.at;
    size_t count = p.bytes.len / sizeof *pair;
    if (count)
        qsort(pair, count, sizeof *pair, by_pair);
    for (size_t i = 0; ok && i < count; i++)
        ok = (i && pair[i] == pair[i - 1]) || add_to_list(db, pair[i], study >> DV_CHUNK_BITS, err);
    dv_buffer_free(&p.bytes);
    return ok && dv_db_post(db, err, "DELETE FROM search_changed WHERE study = $1", "i", study);
}

/* Those of chunks that are being listed wait until that is finished, lest its writer overwrites what is added. */
static bool list_changed(dv_db *db, void *user, dv_error *err)
{
    bool *done = user;
    int64_t study[CHANGED_A_TURN];
    int count = 0;
    if (!dv_db_lock(db, err))
        return false;
    dv_rows *r = dv_db_query(db, err,
                             "SELECT study FROM search_changed WHERE EXISTS (SELECT 1 FROM search_chunks WHERE chunk = "
                             "study / 8192 AND state = 2) ORDER BY study LIMIT 16",
                             "");
    while (count < CHANGED_A_TURN && dv_rows_next(r))
        study[count++] = dv_rows_int(r, 0);
    bool ok = dv_rows_close(r, err);
    for (int i = 0; ok && i < count; i++)
        ok = list_changed_study(db, study[i], err);
    *done = count < CHANGED_A_TURN;
    return ok;
}

bool dv_lists_work(dv_catalog *cat, bool *done, dv_error *err)
{
    dv_db *reader = dv_catalog_reader(cat, err);
    int64_t chunk, changed = 0;
    *done = false;
    if (!reader || !next_chunk(reader, &chunk, err))
        return false;
    if (chunk >= 0)
        return list_chunk(cat, reader, chunk, err);
    if (!dv_db_int(reader, 0, &changed, err, "SELECT study FROM search_changed LIMIT 1", ""))
        return false;
    *done = !changed;
    return !changed || dv_catalog_write(cat, false, list_changed, done, err);
}
