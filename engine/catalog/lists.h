/* lists.h: which studies hold a piece of text, a date, a modality: the lists that a search intersects.
 *
 *   studies by id   [ chunk 0: 0..8191 ] [ chunk 1: 8192..16383 ] ... [ the newest: not listed yet ]
 *   a list          of one term in one chunk: 2 bytes a study, ascending; 1024 bytes are a bitmap
 *   a term          field and 1 to 3 bytes of folded text, its ends marked: "Smith" has ^s ^sm s sm smi ... th$ h$;
 *                   a day, a month, a year; a word (modality, source) by its hash
 *
 * The same tables and the same bytes on SQLite and PostgreSQL. An instance that is added pays nothing: full chunks are listed behind it, by
 * the catalog's keeper; what is not listed is walked. A list may name studies that do not match, never leave one out that does, so whoever
 * reads it looks at the rows too. A study that changes after its chunk was listed stands in `search_changed` and is a candidate of each
 * search until the keeper has added its terms.
 *
 * Invariants
 *   1 a chunk has a row in search_chunks before its studies are read, and whoever changes a study looks for that row afterwards
 *   2 state 2: each term of each study of the chunk, as it was then, is in its lists; what changed since stands in search_changed
 *   3 terms are only added
 * Threads   pure functions, but for dv_lists_work: the keeper's. */
#ifndef DV_CATALOG_LISTS_H
#define DV_CATALOG_LISTS_H

#include "catalog/catalog.h"

enum {
    DV_CHUNK_BITS = 13,
    DV_CHUNK = 1 << DV_CHUNK_BITS, /* studies */
    DV_BITMAP = DV_CHUNK / 8,      /* bytes */
    DV_LIST_CHUNK_BITS = 20,       /* of search_lists.id, below the term */
};

typedef enum dv_list_field {
    DV_LIST_PATIENT = 1,
    DV_LIST_ACCESSION,
    DV_LIST_NAME,
    DV_LIST_DAY, /* 20240131; 0: no date of eight digits, but not empty */
    DV_LIST_MONTH,
    DV_LIST_YEAR,
    DV_LIST_MODALITY,
    DV_LIST_SOURCE,
} dv_list_field;

enum { DV_MARK_BEGIN = 2, DV_MARK_END = 3 }; /* stand for ^ and $ */

/* Terms order as their values do, so that days from A to B are one range. */
static inline uint64_t dv_term(dv_list_field field, uint64_t value)
{
    return (uint64_t)field << 32 | value;
}
/* Of 1 to 3 bytes. */
uint64_t dv_term_gram(dv_list_field field, const char *at, size_t count);
uint64_t dv_term_word(dv_list_field field, dv_text word);

/* To be called after the searched columns of a study were changed or added, in the same transaction. Once a change, not once an instance. */
bool dv_lists_touch(dv_db *db, int64_t study, dv_error *err);
/* One piece of what is to be listed: a chunk, or some changed studies. *DONE: nothing is left. In no transaction. */
bool dv_lists_work(dv_catalog *cat, bool *done, dv_error *err);

#endif
