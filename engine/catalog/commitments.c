#include "catalog/commitments.h"
#include "base/clock.h"

#define COLUMNS                                                                                                        \
    "id, role, transaction_uid, peer, aet, called, address, state, error, asked_at, decided_at, ended_at, next_at, "   \
    "tries, instances, failed"

/* ---- reading ---- */

static bool read_row(const dv_rows *r, dv_arena *arena, dv_commit_row *out)
{
    dv_text *texts[] = {&out->role,   &out->transaction, &out->peer,  &out->aet,
                        &out->called, &out->address,     &out->state, &out->error};
    int64_t *numbers[] = {&out->asked_at, &out->decided_at, &out->ended_at, &out->next_at,
                          &out->tries,    &out->instances,  &out->failed};
    int column = 0;
    out->id = dv_rows_int(r, column++);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *texts[i] = dv_arena_text(arena, dv_rows_text(r, column++));
        if (!texts[i]->at)
            return false;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = dv_rows_int(r, column++);
    return true;
}

static bool one_row(dv_rows *r, dv_arena *arena, dv_commit_row *out, bool *found, dv_error *err)
{
    bool memory = true;
    *found = false;
    if (dv_rows_next(r)) {
        memory = read_row(r, arena, out);
        *found = memory;
    }
    return dv_rows_close(r, err) && (memory || dv_fail(err, DV_ERR_MEMORY, "no memory for a storage commitment"));
}

bool dv_commit_get(dv_db *db, int64_t id, dv_arena *arena, dv_commit_row *out, bool *found, dv_error *err)
{
    return one_row(dv_db_query(db, err, "SELECT " COLUMNS " FROM commitments WHERE id = $1", "i", id), arena, out,
                   found, err);
}

bool dv_commit_find(dv_db *db, const char *role, dv_text aet, dv_text transaction, dv_arena *arena, dv_commit_row *out,
                    bool *found, dv_error *err)
{
    return one_row(dv_db_query(db, err,
                               "SELECT " COLUMNS " FROM commitments WHERE role = $1 AND aet = $2 AND transaction_uid = "
                               "$3",
                               "stt", role, aet, transaction),
                   arena, out, found, err);
}

bool dv_commit_next(dv_db *db, const char *role, const char *state, int64_t now, int64_t after, dv_arena *arena,
                    dv_commit_row *out, bool *found, dv_error *err)
{
    return one_row(dv_db_query(db, err,
                               "SELECT " COLUMNS " FROM commitments WHERE role = $1 AND state = $2 AND ended_at = 0"
                               " AND next_at <= $3 AND id > $4 ORDER BY id LIMIT 1",
                               "ssii", role, state, now, after),
                   arena, out, found, err);
}

bool dv_commit_open(dv_db *db, const char *role, int64_t *count, dv_error *err)
{
    return dv_db_int(db, 0, count, err, "SELECT count(*) FROM commitments WHERE ended_at = 0 AND role = $1", "s", role);
}

bool dv_commit_instances(dv_db *db, int64_t id, dv_arena *arena, dv_commit_instance **out, size_t *count, dv_error *err)
{
    dv_commit_instance *list = NULL;
    size_t n = 0, room = 0;
    bool memory = true;
    dv_rows *r = dv_db_query(
        db, err, "SELECT sop_class, sop_uid, reason FROM commitment_instances WHERE commitment = $1 ORDER BY position",
        "i", id);
    while (memory && dv_rows_next(r)) {
        if (n == room) {
            room = room ? room * 2 : 64;
            dv_commit_instance *more = dv_arena_grow(arena, list, n * sizeof *list, room * sizeof *list);
            memory = more != NULL;
            list = more ? more : list;
            if (!memory)
                break;
        }
        list[n] = (dv_commit_instance){dv_arena_text(arena, dv_rows_text(r, 0)),
                                       dv_arena_text(arena, dv_rows_text(r, 1)), dv_rows_int(r, 2)};
        memory = list[n].sop_class.at && list[n].sop_uid.at;
        n += memory;
    }
    *out = list;
    *count = n;
    return dv_rows_close(r, err) &&
           (memory || dv_fail(err, DV_ERR_MEMORY, "no memory for the instances of a storage commitment"));
}

bool dv_commit_list(dv_db *db, const char *state, int64_t before, int limit, dv_arena *arena, dv_commit_row **out,
                    size_t *count, dv_error *err)
{
    size_t n = 0;
    bool memory = true;
    dv_commit_row *list = dv_arena_zalloc(arena, (size_t)limit, sizeof *list);
    dv_rows *r = list ? dv_db_query(db, err,
                                    "SELECT " COLUMNS " FROM commitments WHERE (state = $1 OR $1 = '')"
                                    " AND (id < $2 OR $2 = 0) ORDER BY id DESC LIMIT $3",
                                    "sii", state ? state : "", before, (int64_t)limit)
                      : NULL;
    while (memory && n < (size_t)limit && dv_rows_next(r)) {
        memory = read_row(r, arena, &list[n]);
        n += memory;
    }
    *out = list;
    *count = n;
    if (!list)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for a list of storage commitments");
    return dv_rows_close(r, err) && (memory || dv_fail(err, DV_ERR_MEMORY, "no memory for a storage commitment"));
}

/* ---- writing ---- */

static bool drop(dv_db *db, int64_t id, dv_error *err)
{
    return dv_db_exec(db, err, "DELETE FROM commitment_instances WHERE commitment = $1", "i", id) &&
           dv_db_exec(db, err, "DELETE FROM commitments WHERE id = $1", "i", id);
}

bool dv_commit_add(dv_db *db, const dv_commit_row *row, int64_t *id, bool *open, dv_error *err)
{
    int64_t old = 0, ended = 0;
    dv_rows *r = dv_db_query(db, err,
                             "SELECT id, ended_at FROM commitments WHERE role = $1 AND aet = $2 AND transaction_uid = "
                             "$3",
                             "ttt", row->role, row->aet, row->transaction);
    if (dv_rows_next(r)) {
        old = dv_rows_int(r, 0);
        ended = dv_rows_int(r, 1);
    }
    if (!dv_rows_close(r, err))
        return false;
    *open = old && !ended;
    *id = old;
    if (*open || (old && !drop(db, old, err)))
        return *open;
    r = dv_db_query(db, err,
                    "INSERT INTO commitments (role, transaction_uid, peer, aet, called, address, state, asked_at, "
                    "decided_at, ended_at, next_at, tries, error, instances, failed)"
                    " VALUES ($1, $2, $3, $4, $5, $6, 'adding', $7, 0, 0, 0, 0, '', $8, 0) RETURNING id",
                    "ttttttii", row->role, row->transaction, row->peer, row->aet, row->called, row->address,
                    dv_wall_us(), row->instances);
    if (dv_rows_next(r))
        *id = dv_rows_int(r, 0);
    return dv_rows_close(r, err);
}

bool dv_commit_add_instances(dv_db *db, int64_t id, int64_t position, const dv_commit_instance *list, size_t count,
                             dv_error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = dv_db_exec(db, err,
                        "INSERT INTO commitment_instances (commitment, position, sop_class, sop_uid, reason)"
                        " VALUES ($1, $2, $3, $4, $5)",
                        "iitti", id, position + (int64_t)i, list[i].sop_class, list[i].sop_uid, list[i].reason);
    return ok;
}

bool dv_commit_asked(dv_db *db, int64_t id, dv_error *err)
{
    return dv_db_exec(db, err, "UPDATE commitments SET state = 'asked' WHERE id = $1 AND state = 'adding'", "i", id);
}

bool dv_commit_decide(dv_db *db, int64_t id, const char *state, bool ended, const dv_commit_instance *list,
                      size_t count, dv_error *err)
{
    int64_t failed = 0, now = dv_wall_us();
    bool ok = dv_db_exec(db, err, "UPDATE commitment_instances SET reason = 0 WHERE commitment = $1", "i", id);
    for (size_t i = 0; ok && i < count; i++)
        if (list[i].reason != 0) {
            failed++;
            ok = dv_db_exec(db, err,
                            "UPDATE commitment_instances SET reason = $3 WHERE commitment = $1 AND position = $2",
                            "iii", id, (int64_t)i, list[i].reason);
        }
    return ok && dv_db_exec(db, err,
                            "UPDATE commitments SET state = $2, decided_at = $3, ended_at = $4, next_at = 0, failed = "
                            "$5 WHERE id = $1 AND ended_at = 0",
                            "isiii", id, state, now, ended ? now : (int64_t)0, failed);
}

bool dv_commit_end(dv_db *db, int64_t id, const char *state, dv_text error, dv_error *err)
{
    return dv_db_exec(db, err,
                      "UPDATE commitments SET state = $2, ended_at = $3, error = $4, tries = tries + 1 WHERE id = $1"
                      " AND ended_at = 0",
                      "isit", id, state, dv_wall_us(), error);
}

bool dv_commit_again(dv_db *db, int64_t id, int64_t next_at, dv_text error, dv_error *err)
{
    return dv_db_exec(
        db, err, "UPDATE commitments SET next_at = $2, error = $3, tries = tries + 1 WHERE id = $1 AND ended_at = 0",
        "iit", id, next_at, error);
}

bool dv_commit_clean(dv_db *db, int64_t before, dv_error *err)
{
    return dv_db_exec(db, err,
                      "DELETE FROM commitment_instances WHERE commitment IN (SELECT id FROM commitments"
                      " WHERE (ended_at > 0 AND ended_at < $1) OR (state = 'adding' AND asked_at < $1))",
                      "i", before) &&
           dv_db_exec(
               db, err,
               "DELETE FROM commitments WHERE (ended_at > 0 AND ended_at < $1) OR (state = 'adding' AND asked_at "
               "< $1)",
               "i", before);
}
