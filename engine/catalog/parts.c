/* Where studies that match a query may lie, newest first.
 *
 *   few candidates by an index   the first key of which an index holds less than FEW: all its ids
 *   else by the lists            bitmaps of some chunks at a time: OR of a key's terms (days, months, years), AND of the keys
 *   and walked                   what is not listed: the newest chunk; everything, for a query without a key
 *
 * So no page sorts all that match, however many, and the newest come first whatever is asked. What the lists cannot say (the order of two
 * pieces of a pattern, single letters between "?") is left to the rows: patterns of few letters with many "?" read more of them. */
#include "catalog/fold.h"
#include "catalog/lists.h"
#include "catalog/query_internal.h"

#include <stdlib.h>

enum {
    FEW = 500,
    MOST_TERMS = 24, /* of a query; more only narrow what is narrow */
    MOST_RANGES = 6,
    AT_ONCE = 64, /* chunks */
    WORDS = DV_CHUNK / 64,
};

/* Studies that have any of these terms; or, when LIVE, those with findings, whose number changes too often to be listed. */
typedef struct key {
    struct {
        uint64_t low, high;
    } any[MOST_RANGES];
    size_t count;
    bool live;
} key;

struct dv_parts {
    dv_db *db;
    int64_t before; /* what comes next lies below */
    bool end;
    /* candidates by an index: all of them are the one part */
    bool few;
    int64_t *ids;
    size_t count, room;
    /* by the lists */
    key keys[MOST_TERMS];
    size_t key_count;
    int64_t *chunks; /* listed, rising; those from COUNT on are done */
    size_t chunk_count;
    size_t at_once;
    uint64_t (*found)[WORDS], (*one)[WORDS]; /* AT_ONCE each */
    dv_arena *arena;
};

static bool out_of_memory(dv_error *err)
{
    return dv_fail(err, DV_ERR_MEMORY, "no memory to search");
}

static bool add_id(dv_parts *p, int64_t id, dv_error *err)
{
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 1024;
        int64_t *more = dv_arena_grow(p->arena, p->ids, p->room * sizeof *more, room * sizeof *more);
        if (!more)
            return out_of_memory(err);
        p->ids = more;
        p->room = room;
    }
    p->ids[p->count++] = id;
    return true;
}

/* ---- few candidates ---- */

/* "column = / begins with" for the part of PATTERN before its first wildcard, in the column's order: the index gives it. */
static void probe_column(dv_sql *sql, const char *column, dv_text pattern)
{
    size_t literal = dv_sql_literal(pattern);
    dv_buffer_printf(&sql->text, "SELECT id FROM studies WHERE %s ", column);
    if (literal == pattern.len) {
        dv_buffer_string(&sql->text, "= ");
        dv_sql_text(sql, pattern);
    } else {
        dv_text end = dv_sql_behind(sql->arena, (dv_text){pattern.at, literal});
        sql->text.failed = sql->text.failed || !end.at;
        dv_buffer_string(&sql->text, ">= ");
        dv_sql_text(sql, (dv_text){pattern.at, literal});
        dv_buffer_printf(&sql->text, " AND %s < ", column);
        dv_sql_text(sql, end);
    }
    dv_buffer_printf(&sql->text, " ORDER BY %s LIMIT %d", column, FEW);
}

static bool probe_date(dv_sql *sql, dv_text date, dv_error *err)
{
    dv_text from, to;
    if (!dv_sql_dates(date, &from, &to, err))
        return false;
    dv_buffer_printf(&sql->text, "SELECT id FROM studies WHERE study_date %s ", from.len ? ">=" : ">");
    dv_sql_text(sql, from.len ? from : DV_TEXT(""));
    if (to.len) {
        dv_buffer_string(&sql->text, " AND study_date <= ");
        dv_sql_text(sql, to);
    }
    dv_buffer_printf(&sql->text, " ORDER BY study_date LIMIT %d", FEW);
    return true;
}

/* Probe NUMBER of Q; an empty text when Q has no such key. Probes 0 and 1, 2 and 3, 4 and 5 belong together: stored and received. */
bool dv_probe_sql(const dv_study_query *q, int number, dv_sql *sql, dv_error *err)
{
    static const char *const columns[] = {
        "study_uid",   "received_study_uid",   "accession_key", "received_accession_key",
        "patient_key", "received_patient_key", "name_key"};
    const dv_text values[] = {q->study_uid,  q->study_uid,  q->accession,   q->accession,
                              q->patient_id, q->patient_id, q->patient_name};
    if (number <= 6 && values[number].len) {
        dv_text pattern = number < 2 ? values[number] : dv_fold(sql->arena, values[number]);
        if (!pattern.at)
            return out_of_memory(err);
        if (number < 2 || (pattern.len && dv_sql_literal(pattern)))
            probe_column(sql, columns[number], pattern);
    } else if (number == 7 && q->study_date.len) {
        return probe_date(sql, q->study_date, err);
    } else if (number == 8 && q->flagged) {
        dv_buffer_printf(&sql->text, "SELECT id FROM studies WHERE finding_count > 0 ORDER BY id LIMIT %d", FEW);
    } else if (number == 9 && q->modality.len) {
        dv_buffer_string(&sql->text, "SELECT study FROM study_modalities WHERE modality = ");
        dv_sql_text(sql, q->modality);
        dv_buffer_printf(&sql->text, " ORDER BY study LIMIT %d", FEW);
    }
    return !sql->text.failed || out_of_memory(err);
}

/* *ALL: what was added to the ids is all that the probe has; without such a probe false. */
static bool probe(dv_parts *p, const dv_study_query *q, int number, bool *all, dv_error *err)
{
    dv_sql sql = {.arena = p->arena};
    *all = false;
    bool ok = dv_probe_sql(q, number, &sql, err);
    if (ok && sql.text.len) {
        int n = 0;
        dv_rows *r = dv_db_query_values(p->db, err, sql.text.at, sql.values, sql.count);
        for (; ok && dv_rows_next(r); n++)
            ok = add_id(p, dv_rows_int(r, 0), err);
        ok = dv_rows_close(r, ok ? err : NULL) && ok;
        *all = ok && n < FEW;
    }
    dv_buffer_free(&sql.text);
    return ok;
}

static int falling(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Sorted, each once, below BEFORE. */
static void tidy(dv_parts *p)
{
    size_t kept = 0;
    if (p->count)
        qsort(p->ids, p->count, sizeof *p->ids, falling);
    for (size_t i = 0; i < p->count; i++)
        if ((!kept || p->ids[kept - 1] != p->ids[i]) && p->ids[i] < p->before)
            p->ids[kept++] = p->ids[i];
    p->count = kept;
}

static bool look_for_few(dv_parts *p, const dv_study_query *q, dv_error *err)
{
    static const int pairs[] = {0, 2, 4, 6, 7, 8, 9};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs && !p->few; i++) {
        bool all;
        p->count = 0;
        if (!probe(p, q, pairs[i], &all, err))
            return false;
        if (all && pairs[i] < 6 && !probe(p, q, pairs[i] + 1, &all, err))
            return false;
        p->few = all;
    }
    if (p->few)
        tidy(p);
    else
        p->count = 0;
    return true;
}

/* ---- the keys as terms ---- */

static key *new_key(dv_parts *p)
{
    if (p->key_count == MOST_TERMS)
        return NULL;
    p->keys[p->key_count] = (key){.count = 0};
    return &p->keys[p->key_count++];
}

static void add_range(key *k, dv_list_field field, uint64_t low, uint64_t high)
{
    if (!k || low > high)
        return;
    k->any[k->count].low = dv_term(field, low);
    k->any[k->count++].high = dv_term(field, high);
}

static void add_one(dv_parts *p, uint64_t term)
{
    key *k = new_key(p);
    if (!k)
        return;
    k->any[0].low = k->any[0].high = term;
    k->count = 1;
}

/* A piece of a pattern without wildcards, its marks included. */
static void add_piece(dv_parts *p, dv_list_field field, dv_text piece)
{
    if (piece.len == 1 && (piece.at[0] == DV_MARK_BEGIN || piece.at[0] == DV_MARK_END))
        return;
    if (piece.len && piece.len < 3)
        add_one(p, dv_term_gram(field, piece.at, piece.len));
    /* side by side, the last one overlapping: what lies between two says little that they do not */
    for (size_t i = 0; piece.len >= 3 && i < piece.len; i += 3) {
        size_t at = i + 3 <= piece.len ? i : piece.len - 3;
        add_one(p, dv_term_gram(field, piece.at + at, 3));
    }
}

static bool add_pattern(dv_parts *p, dv_list_field field, dv_text value, dv_error *err)
{
    dv_text pattern = dv_fold(p->arena, value);
    char *marked = dv_arena_alloc(p->arena, pattern.len + 2);
    if (!pattern.at || !marked)
        return out_of_memory(err);
    size_t n = 0, begin = 0;
    if (pattern.len == 0)
        return true;
    marked[n++] = DV_MARK_BEGIN;
    memcpy(marked + n, pattern.at, pattern.len);
    n += pattern.len;
    marked[n++] = DV_MARK_END;
    for (size_t i = 0; i <= n; i++)
        if (i == n || marked[i] == '*' || marked[i] == '?') {
            add_piece(p, field, (dv_text){marked + begin, i - begin});
            begin = i + 1;
        }
    return true;
}

static uint64_t days_of(uint64_t year, uint64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month < 1 || month > 12 ? 99 : month == 2 && leap ? 29 : days[month - 1];
}

/* Whole years, whole months beside them, days beside those. Months are counted from year 0 here. */
static bool add_dates(dv_parts *p, dv_text date, dv_error *err)
{
    dv_text from, to;
    uint64_t a = 101, b = 99991231;
    if (!dv_sql_dates(date, &from, &to, err))
        return false;
    dv_text_uint(from, &a);
    dv_text_uint(to, &b);
    a = a < 101 ? 101 : a;
    b = b > 99991231 ? 99991231 : b;
    bool odd = a / 100 % 100 - 1 > 11 || b / 100 % 100 - 1 > 11; /* there is no such month */
    key *k = new_key(p);
    add_range(k, DV_LIST_DAY, 0, 0);
    uint64_t begin = a / 10000 * 12 + a / 100 % 100 + (a % 100 > 1); /* of whole months, from 1 */
    uint64_t end = b / 10000 * 12 + b / 100 % 100 + (b % 100 >= days_of(b / 10000, b / 100 % 100)); /* behind them */
    if (odd || begin >= end) {
        add_range(k, DV_LIST_DAY, a, b);
        return true;
    }
    uint64_t first = (begin - 1) / 12 * 100 + (begin - 1) % 12 + 1, last = (end - 2) / 12 * 100 + (end - 2) % 12 + 1;
    if (a % 100 > 1)
        add_range(k, DV_LIST_DAY, a, first * 100);
    if (b / 100 != last)
        add_range(k, DV_LIST_DAY, last * 100 + 99, b);
    uint64_t year = first / 100 + (first % 100 > 1), behind = last / 100 + (last % 100 == 12);
    if (year >= behind) {
        add_range(k, DV_LIST_MONTH, first, last);
        return true;
    }
    if (first % 100 > 1)
        add_range(k, DV_LIST_MONTH, first, first / 100 * 100 + 99); /* months that are none, too */
    if (last % 100 < 12)
        add_range(k, DV_LIST_MONTH, last / 100 * 100, last);
    add_range(k, DV_LIST_YEAR, year, behind - 1);
    return true;
}

/* The rarest first, as far as one can tell. */
static bool make_keys(dv_parts *p, const dv_study_query *q, dv_error *err)
{
    if (!add_pattern(p, DV_LIST_ACCESSION, q->accession, err) || !add_pattern(p, DV_LIST_PATIENT, q->patient_id, err) ||
        !add_pattern(p, DV_LIST_NAME, q->patient_name, err))
        return false;
    if (q->flagged) {
        key *k = new_key(p);
        if (k)
            k->live = true;
    }
    if (q->modality.len)
        add_one(p, dv_term_word(DV_LIST_MODALITY, q->modality));
    if (q->source.len)
        add_one(p, dv_term_word(DV_LIST_SOURCE, q->source));
    return q->study_date.len == 0 || add_dates(p, q->study_date, err);
}

/* ---- lists ---- */

static void put_list(uint64_t to[WORDS], dv_text list)
{
    const uint8_t *at = (const uint8_t *)list.at;
    if (list.len != DV_BITMAP) {
        for (size_t i = 0; i + 1 < list.len; i += 2) {
            unsigned place = ((unsigned)at[i] | (unsigned)at[i + 1] << 8) & (DV_CHUNK - 1);
            to[place >> 6] |= UINT64_C(1) << (place & 63);
        }
        return;
    }
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = 0;
        for (size_t b = 8; b-- > 0;)
            word = word << 8 | at[i * 8 + b];
        to[i] |= word;
    }
}

static void put_study(uint64_t (*to)[WORDS], int64_t low, int64_t study)
{
    uint64_t place = (uint64_t)(study - (low << DV_CHUNK_BITS));
    to[place >> DV_CHUNK_BITS][(place & (DV_CHUNK - 1)) >> 6] |= UINT64_C(1) << (place & 63);
}

/* Studies of chunks LOW to HIGH that K names, added to TO. */
static bool read_key(dv_db *db, const key *k, int64_t low, int64_t high, uint64_t (*to)[WORDS], dv_error *err)
{
    const int64_t mask = (INT64_C(1) << DV_LIST_CHUNK_BITS) - 1;
    for (size_t i = 0; i < k->count; i++) {
        int64_t first = (int64_t)(k->any[i].low << DV_LIST_CHUNK_BITS),
                last = (int64_t)(k->any[i].high << DV_LIST_CHUNK_BITS);
        dv_rows *r = dv_db_query(
            db, err,
            "SELECT id, list FROM search_lists WHERE id >= $1 AND id <= $2 AND (id & 1048575) BETWEEN $3 AND $4",
            "iiii", first | low, last | high, low, high);
        while (dv_rows_next(r))
            put_list(to[(dv_rows_int(r, 0) & mask) - low], dv_rows_text(r, 1));
        if (!dv_rows_close(r, err))
            return false;
    }
    if (!k->live)
        return true;
    dv_rows *r = dv_db_query(db, err, "SELECT id FROM studies WHERE finding_count > 0 AND id >= $1 AND id < $2", "ii",
                             low << DV_CHUNK_BITS, (high + 1) << DV_CHUNK_BITS);
    while (dv_rows_next(r))
        put_study(to, low, dv_rows_int(r, 0));
    return dv_rows_close(r, err);
}

/* Those that changed since they were listed. */
static bool read_changed(dv_parts *p, int64_t low, int64_t high, dv_error *err)
{
    dv_rows *r = dv_db_query(p->db, err, "SELECT study FROM search_changed WHERE study >= $1 AND study < $2", "ii",
                             low << DV_CHUNK_BITS, (high + 1) << DV_CHUNK_BITS);
    bool ok = true;
    while (ok && dv_rows_next(r))
        ok = add_id(p, dv_rows_int(r, 0), err);
    return dv_rows_close(r, ok ? err : NULL) && ok;
}

/* The candidates of chunks LOW to HIGH into the ids. */
static bool intersect(dv_parts *p, int64_t low, int64_t high, dv_error *err)
{
    size_t n = (size_t)(high - low + 1);
    p->count = 0;
    if (!read_changed(p, low, high, err)) /* before the lists: the keeper takes them from here to there */
        return false;
    memset(p->found, 0xff, n * sizeof *p->found);
    /* what one statement can look at needs no further list */
    int left = INT32_MAX;
    for (size_t k = 0; k < p->key_count && left > DV_PART_IDS; k++) {
        memset(p->one, 0, n * sizeof *p->one);
        if (!read_key(p->db, &p->keys[k], low, high, p->one, err))
            return false;
        left = 0;
        for (size_t c = 0; c < n; c++)
            for (size_t w = 0; w < WORDS; w++)
                left += __builtin_popcountll(p->found[c][w] &= p->one[c][w]);
    }
    for (size_t c = 0; c < n && left; c++)
        for (size_t w = 0; w < WORDS; w++)
            for (uint64_t bits = p->found[c][w]; bits; bits &= bits - 1)
                if (!add_id(p, (low + (int64_t)c) << DV_CHUNK_BITS | (int64_t)(w * 64 + (size_t)__builtin_ctzll(bits)),
                            err))
                    return false;
    tidy(p);
    return true;
}

static bool read_chunks(dv_parts *p, dv_error *err)
{
    int64_t most;
    if (!dv_db_int(p->db, 0, &most, err, "SELECT count(*) FROM search_chunks WHERE state = 2", ""))
        return false;
    p->chunks = dv_arena_alloc(p->arena, ((size_t)most + 1) * sizeof *p->chunks);
    p->found = dv_arena_alloc(p->arena, AT_ONCE * sizeof *p->found);
    p->one = dv_arena_alloc(p->arena, AT_ONCE * sizeof *p->one);
    if (!p->chunks || !p->found || !p->one)
        return out_of_memory(err);
    dv_rows *r =
        dv_db_query(p->db, err, "SELECT chunk FROM search_chunks WHERE state = 2 AND chunk <= $1 ORDER BY chunk", "i",
                    (p->before - 1) >> DV_CHUNK_BITS);
    while (dv_rows_next(r) && p->chunk_count < (size_t)most)
        p->chunks[p->chunk_count++] = dv_rows_int(r, 0);
    return dv_rows_close(r, err);
}

/* ---- parts ---- */

dv_parts *dv_parts_open(dv_db *db, const dv_study_query *q, int64_t before, dv_arena *a, dv_error *err)
{
    dv_parts *p = dv_arena_zalloc(a, 1, sizeof *p);
    if (!p) {
        out_of_memory(err);
        return NULL;
    }
    *p = (dv_parts){.db = db, .before = before > 0 ? before : INT64_MAX, .arena = a, .at_once = 1};
    bool ok = look_for_few(p, q, err);
    if (ok && !p->few)
        ok = make_keys(p, q, err) && (p->key_count == 0 || read_chunks(p, err));
    return ok ? p : NULL;
}

/* What is not listed above the last listed chunk; the rest when none is left. */
static void walk(dv_parts *p, dv_study_part *part)
{
    int64_t low = p->chunk_count ? (p->chunks[p->chunk_count - 1] + 1) << DV_CHUNK_BITS : 0;
    *part = (dv_study_part){.low = low, .high = p->before};
    p->before = low;
    p->end = low == 0;
}

bool dv_parts_next(dv_parts *p, dv_study_part *part, bool *end, dv_error *err)
{
    *end = p->end;
    if (p->end)
        return true;
    if (p->few) {
        p->end = true;
        *part = (dv_study_part){.ids = p->ids, .count = p->count};
        *end = p->count == 0;
        return true;
    }
    if (!p->chunk_count || p->before > (p->chunks[p->chunk_count - 1] + 1) << DV_CHUNK_BITS) {
        walk(p, part);
        return true;
    }
    /* neighbours, more at a time the longer nothing is found */
    size_t first = p->chunk_count - 1;
    int64_t high = p->chunks[first];
    while (first && p->chunk_count - first < p->at_once && p->chunks[first - 1] == p->chunks[first] - 1)
        first--;
    int64_t low = p->chunks[first];
    if (!intersect(p, low, high, err))
        return false;
    p->chunk_count = first;
    p->before = low << DV_CHUNK_BITS;
    p->end = p->before <= 1;
    p->at_once = p->at_once * 4 < AT_ONCE ? p->at_once * 4 : AT_ONCE;
    *part = (dv_study_part){.ids = p->ids ? p->ids : p->chunks, .count = p->count}; /* ids are never NULL, if none */
    return true;
}
