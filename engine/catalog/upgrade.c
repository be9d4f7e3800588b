/* From the schema that a database has to the one this program knows: all steps in one transaction, so that a kill leaves the old one.
 *
 *   version?   newer: refused     the same: nothing to do
 *   SQLite     the old database is copied to FILE.vN first: an older program goes on with that one
 *   BEGIN, lock; step N, step N + 1, ...; COMMIT */
#include "base/fault.h"
#include "base/log.h"
#include "catalog/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* 0: there is none yet. */
static bool version_of(dv_db *db, int64_t *version, dv_error *err)
{
    bool has = false;
    *version = 0;
    if (!dv_db_has_table(db, "site", &has, err) ||
        (has && !dv_db_int(db, 0, version, err, "SELECT CAST(value AS BIGINT) FROM site WHERE name = 'schema'", "")))
        return false;
    if (*version > dv_schema_version)
        return dv_fail(err, DV_ERR_CONFIG,
                       "the catalog has schema version %lld, this program knows up to %d; use the newer program",
                       (long long)*version, dv_schema_version);
    return true;
}

static bool script(dv_db *db, const char *sql, dv_error *err)
{
    return !sql || !*sql || dv_db_script(db, sql, err);
}

static bool run_step(dv_db *db, const dv_schema_step *step, dv_error *err)
{
    bool sqlite = strncmp(dv_db_engine(db), "sqlite", 6) == 0;
    return script(db, step->sql, err) && script(db, sqlite ? step->sqlite : step->postgres, err) &&
           (!step->fill || step->fill(db, err));
}

static bool put_version(dv_db *db, int64_t version, dv_error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)version);
    return dv_db_exec(db, err,
                      "INSERT INTO site (name, value) VALUES ('schema', $1) ON CONFLICT (name) DO UPDATE SET value = "
                      "excluded.value",
                      "s", text);
}

/* The lock: two programs that start at once on one server do not both upgrade. */
static bool steps(dv_db *db, dv_error *err)
{
    int64_t from, version;
    if (!dv_db_lock(db, err) || !version_of(db, &from, err))
        return false;
    for (version = from; version < dv_schema_version; version++) {
        if (!run_step(db, &dv_schema_steps[version], err) || !put_version(db, version + 1, err))
            return dv_error_context(err, "schema version %lld to %lld", (long long)version, (long long)version + 1);
        if (from > 0)
            DV_FAIL_POINT("upgrade.step");
    }
    return true;
}

static bool sync_path(const char *path, int flags, dv_error *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    bool ok = fd >= 0 && !DV_FAULT(DV_FAULT_FSYNC) && fsync(fd) == 0;
    if (!ok)
        dv_fail_errno(err, "cannot sync %s", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* FILE.vN, whole or not at all. One that is there already is of an upgrade that was killed after it: the same again. */
static bool keep_old(dv_db *db, const char *file, int64_t version, dv_error *err)
{
    char kept[PATH_MAX], part[PATH_MAX + 8], folder[PATH_MAX];
    if (snprintf(kept, sizeof kept, "%s.v%lld", file, (long long)version) >= (int)sizeof kept)
        return dv_fail(err, DV_ERR_CONFIG, "the path %s is too long", file);
    snprintf(part, sizeof part, "%s.part", kept);
    const char *slash = strrchr(file, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
    if (unlink(part) != 0 && errno != ENOENT)
        return dv_fail_errno(err, "cannot remove %s", part);
    dv_info("catalog", "the catalog is copied to %s before it is upgraded", kept);
    if (!dv_db_exec(db, err, "VACUUM INTO $1", "s", part) || !sync_path(part, O_RDONLY, err))
        return dv_error_context(err, "the catalog cannot be copied to %s, and is not upgraded without that", kept);
    if (rename(part, kept) != 0)
        return dv_fail_errno(err, "cannot rename %s", part);
    DV_FAIL_POINT("upgrade.kept");
    return sync_path(*folder ? folder : "/", O_RDONLY | O_DIRECTORY, err);
}

bool dv_schema_upgrade(dv_db *db, const char *dsn, dv_error *err)
{
    int64_t from;
    if (!version_of(db, &from, err))
        return false;
    bool old = from > 0 && from < dv_schema_version, server = dv_db_is_postgres(dsn);
    if (old && !server && !keep_old(db, dsn, from, err))
        return false;
    if (old)
        dv_info("catalog", "the catalog is upgraded from schema version %lld to %d%s", (long long)from,
                dv_schema_version, server ? "; an older program cannot use it afterwards" : "");
    if (!dv_db_begin(db, true, err) || !steps(db, err) || !dv_db_commit(db, err)) {
        dv_db_rollback(db);
        return false;
    }
    if (old)
        dv_info("catalog", "the catalog is upgraded%s",
                server ? "" : "; when all is well, remove the copy of the old one");
    return true;
}
