/* commitments.h: storage commitment transactions (PS3.4 J), those that peers asked of us and those that we asked of peers.
 *
 *   role scp   adding -> asked -> decided -> reported | lost        lost: nobody could be told, for commitment.tries times
 *   role scu   adding -> asked -> complete | failed
 *
 * `adding`: not all of its instances are here yet; nobody has been promised anything. What is at an end stays for commitment.keep_days.
 * Threads   with the caller's connection; what writes is called inside a WORK. */
#ifndef DV_CATALOG_COMMITMENTS_H
#define DV_CATALOG_COMMITMENTS_H

#include "catalog/catalog.h"

typedef struct dv_commit_row {
    int64_t id;
    dv_text role, transaction, peer, aet, called, address, state, error; /* peer: its slug, or empty */
    int64_t asked_at, decided_at, ended_at, next_at, tries, instances, failed;
} dv_commit_row;

typedef struct dv_commit_instance {
    dv_text sop_class, sop_uid;
    int64_t reason; /* -1 not known, 0 committed, else (0008,1197) */
} dv_commit_instance;

/* A new one in state `adding`; *ID its number. *OPEN: one of this role, AE title and transaction is not at an end; nothing was added. One that is
 * at an end is replaced. */
bool dv_commit_add(dv_db *db, const dv_commit_row *row, int64_t *id, bool *open, dv_error *err);
/* COUNT instances behind those at POSITION. */
bool dv_commit_add_instances(dv_db *db, int64_t id, int64_t position, const dv_commit_instance *list, size_t count,
                             dv_error *err);
/* Takes state `adding` or `asked` to `asked`. */
bool dv_commit_asked(dv_db *db, int64_t id, dv_error *err);
/* The verdict on all instances is known (their reasons), in the order they have; to STATE. ENDED: nothing more will happen. */
bool dv_commit_decide(dv_db *db, int64_t id, const char *state, bool ended, const dv_commit_instance *list,
                      size_t count, dv_error *err);
/* At an end, as STATE. */
bool dv_commit_end(dv_db *db, int64_t id, const char *state, dv_text error, dv_error *err);
/* To be tried again at NEXT_AT. */
bool dv_commit_again(dv_db *db, int64_t id, int64_t next_at, dv_text error, dv_error *err);
/* Takes out what ended before BEFORE, and what was never asked (a kill on the way). */
bool dv_commit_clean(dv_db *db, int64_t before, dv_error *err);

bool dv_commit_get(dv_db *db, int64_t id, dv_arena *arena, dv_commit_row *out, bool *found, dv_error *err);
bool dv_commit_find(dv_db *db, const char *role, dv_text aet, dv_text transaction, dv_arena *arena, dv_commit_row *out,
                    bool *found, dv_error *err);
/* The first of ROLE in STATE after id AFTER whose next_at is not after NOW. */
bool dv_commit_next(dv_db *db, const char *role, const char *state, int64_t now, int64_t after, dv_arena *arena,
                    dv_commit_row *out, bool *found, dv_error *err);
/* How many of ROLE are not at an end. */
bool dv_commit_open(dv_db *db, const char *role, int64_t *count, dv_error *err);
bool dv_commit_instances(dv_db *db, int64_t id, dv_arena *arena, dv_commit_instance **out, size_t *count,
                         dv_error *err);
/* Newest first, below id BEFORE (0: from the newest), at most LIMIT. STATE NULL: any. */
bool dv_commit_list(dv_db *db, const char *state, int64_t before, int limit, dv_arena *arena, dv_commit_row **out,
                    size_t *count, dv_error *err);

#endif
