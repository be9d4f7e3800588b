#include "catalog/peers.h"
#include "base/clock.h"
#include "catalog/peer_settings.h"

#include <cjson/cJSON.h>

#define COLUMNS                                                                                                        \
    "id, slug, label, aet, host, port, direction, enabled, sop_classes, transfer_syntaxes, max_associations, settings"

/* ---- reading ---- */

/* The row's fields copied to ARENA; false when memory is out. */
static bool read_peer(const dv_rows *r, dv_arena *arena, dv_peer *out)
{
    dv_peer p = {.id = dv_rows_int(r, 0),
                 .port = (int)dv_rows_int(r, 5),
                 .enabled = dv_rows_int(r, 7) != 0,
                 .max_associations = (int)dv_rows_int(r, 10)};
    struct {
        dv_text *to;
        int column;
    } texts[] = {{&p.slug, 1},
                 {&p.label, 2},
                 {&p.aet, 3},
                 {&p.host, 4},
                 {&p.direction, 6},
                 {&p.sop_classes, 8},
                 {&p.transfer_syntaxes, 9},
                 {&p.settings, 11}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *texts[i].to = dv_arena_text(arena, dv_rows_text(r, texts[i].column));
        if (!texts[i].to->at)
            return false;
    }
    *out = p;
    return true;
}

static bool one_peer(dv_rows *r, dv_arena *arena, dv_peer *out, bool *found, dv_error *err)
{
    *found = false;
    bool memory = true;
    if (dv_rows_next(r)) {
        memory = read_peer(r, arena, out);
        *found = memory;
    }
    if (!dv_rows_close(r, err))
        return false;
    return memory || dv_fail(err, DV_ERR_MEMORY, "no memory for a peer");
}

bool dv_peer_get(dv_db *db, dv_text slug, dv_arena *arena, dv_peer *out, bool *found, dv_error *err)
{
    return one_peer(
        dv_db_query(db, err, "SELECT " COLUMNS " FROM peers WHERE slug = $1", "t", slug.at ? slug : DV_TEXT("")), arena,
        out, found, err);
}

bool dv_peer_by_aet(dv_db *db, dv_text aet, dv_arena *arena, dv_peer *out, bool *found, dv_error *err)
{
    return one_peer(dv_db_query(db, err,
                                "SELECT " COLUMNS
                                " FROM peers WHERE aet = $1 AND enabled <> 0 AND direction <> 'DestinationOnly'"
                                " ORDER BY id LIMIT 1",
                                "t", dv_text_trim(aet)),
                    arena, out, found, err);
}

bool dv_peer_list(dv_db *db, dv_arena *arena, dv_peer **out, size_t *count, dv_error *err)
{
    dv_peer *list = NULL;
    size_t n = 0, room = 0;
    bool memory = true;
    dv_rows *r = dv_db_query(db, err, "SELECT " COLUMNS " FROM peers ORDER BY slug", "");
    while (memory && dv_rows_next(r)) {
        if (n == room) {
            room = room ? room * 2 : 16;
            dv_peer *more = dv_arena_grow(arena, list, n * sizeof *list, room * sizeof *list);
            memory = more != NULL;
            list = more ? more : list;
        }
        memory = memory && read_peer(r, arena, &list[n]);
        n += memory;
    }
    if (!dv_rows_close(r, err))
        return false;
    *out = list;
    *count = n;
    return memory || dv_fail(err, DV_ERR_MEMORY, "no memory for the list of peers");
}

bool dv_peer_calling(dv_db *db, dv_text aet, bool (*host_is)(void *user, const char *host), void *user, dv_arena *arena,
                     dv_peer *out, bool *found, dv_error *err)
{
    enum { MOST = 64 }; /* peers of one AE title: every second modality is called STORESCU */
    dv_peer list[MOST];
    size_t n = 0;
    bool memory = true;
    dv_rows *r = dv_db_query(db, err,
                             "SELECT " COLUMNS " FROM peers WHERE aet = $1 AND enabled <> 0"
                             " ORDER BY CASE direction WHEN 'DestinationOnly' THEN 1 ELSE 0 END, id",
                             "t", dv_text_trim(aet));
    *found = false;
    while (memory && n < MOST && dv_rows_next(r)) {
        memory = read_peer(r, arena, &list[n]);
        n += memory;
    }
    if (!dv_rows_close(r, err))
        return false;
    for (size_t i = 0; memory && i < n && !*found; i++)
        if (host_is(user, list[i].host.at)) {
            *out = list[i];
            *found = true;
        }
    return memory || dv_fail(err, DV_ERR_MEMORY, "no memory for a peer");
}

/* ---- probes ---- */

bool dv_probe_save(dv_db *db, dv_text slug, dv_text result, dv_error *err)
{
    return dv_db_exec(db, err, "DELETE FROM probes WHERE peer = $1", "t", slug) &&
           dv_db_exec(db, err, "INSERT INTO probes (peer, probed_at, result) VALUES ($1, $2, $3)", "tit", slug,
                      dv_wall_us(), result);
}

bool dv_probe_get(dv_db *db, dv_text slug, dv_arena *arena, dv_text *result, int64_t *at, dv_error *err)
{
    dv_rows *r = dv_db_query(db, err, "SELECT probed_at, result FROM probes WHERE peer = $1", "t", slug);
    *at = 0;
    *result = (dv_text){0};
    if (dv_rows_next(r)) {
        *at = dv_rows_int(r, 0);
        *result = dv_arena_text(arena, dv_rows_text(r, 1));
    }
    return dv_rows_close(r, err) &&
           (!*at || result->at || dv_fail(err, DV_ERR_MEMORY, "no memory for a probe's result"));
}

/* ---- TLS ---- */

static bool flag_of(const cJSON *settings, const char *name, bool *out, dv_error *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(settings, name);
    *out = cJSON_IsTrue(v);
    return !v || cJSON_IsBool(v) || dv_fail(err, DV_ERR_VALUE, "the peer setting %s is true or false", name);
}

static bool file_of(const cJSON *settings, const char *name, dv_arena *arena, const char **out, dv_error *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(settings, name);
    *out = NULL;
    if (!v)
        return true;
    if (!cJSON_IsString(v) || !v->valuestring[0])
        return dv_fail(err, DV_ERR_VALUE, "the peer setting %s is the path of a PEM file", name);
    *out = dv_arena_string(arena, dv_text_of(v->valuestring));
    return *out || dv_fail(err, DV_ERR_MEMORY, "no memory for a peer's settings");
}

bool dv_peer_tls_of(dv_text settings, dv_arena *arena, dv_peer_tls *out, dv_error *err)
{
    cJSON *s = settings.len ? cJSON_ParseWithLength(settings.at, settings.len) : NULL;
    memset(out, 0, sizeof *out);
    bool ok = !s || (flag_of(s, "tls", &out->on, err) && flag_of(s, "tls_insecure", &out->insecure, err) &&
                     file_of(s, "tls_cert", arena, &out->certificate, err) &&
                     file_of(s, "tls_key", arena, &out->key, err) && file_of(s, "tls_ca", arena, &out->ca, err));
    cJSON_Delete(s);
    return ok;
}

/* ---- checks ---- */

static bool check_slug(dv_text t, dv_error *err)
{
    bool ok = t.len >= 1 && t.len <= 32;
    for (size_t i = 0; ok && i < t.len; i++) {
        char c = t.at[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    return ok || dv_fail(err, DV_ERR_VALUE,
                         "the peer's name '%.*s' does not do; use 1 to 32 of a-z, A-Z, 0-9, '_' and '-', as in GE_MAIN",
                         DV_ARG(t));
}

/* PS3.5 6.2, VR AE: 16 characters of the default repertoire, no backslash, no control character, not only blanks. */
static bool check_aet(dv_text t, dv_error *err)
{
    bool ok = t.len >= 1 && t.len <= 16 && dv_text_trim(t).len == t.len;
    for (size_t i = 0; ok && i < t.len; i++)
        ok = t.at[i] >= ' ' && t.at[i] < 0x7f && t.at[i] != '\\';
    return ok ||
           dv_fail(
               err, DV_ERR_VALUE,
               "the AE title '%.*s' does not do; it has 1 to 16 ASCII characters, no backslash, no blank at the ends",
               DV_ARG(t));
}

static bool check_host(dv_text t, dv_error *err)
{
    bool ok = t.len >= 1 && t.len <= 253;
    for (size_t i = 0; ok && i < t.len; i++)
        ok = t.at[i] > ' ' && t.at[i] < 0x7f && t.at[i] != '/';
    return ok || dv_fail(err, DV_ERR_VALUE,
                         "the host '%.*s' does not do; give a name or an address, as in pacs.example.org or 10.1.2.3",
                         DV_ARG(t));
}

static bool check_direction(dv_text t, dv_error *err)
{
    return dv_text_is(t, "SourceOnly") || dv_text_is(t, "DestinationOnly") || dv_text_is(t, "Both") ||
           dv_fail(err, DV_ERR_VALUE, "the direction '%.*s' does not do; use SourceOnly, DestinationOnly or Both",
                   DV_ARG(t));
}

static bool is_uid(dv_text t)
{
    bool ok = t.len >= 1 && t.len <= 64;
    for (size_t i = 0; ok && i < t.len; i++) {
        bool start = i == 0 || t.at[i - 1] == '.';
        bool end = i + 1 == t.len || t.at[i + 1] == '.';
        ok = (t.at[i] == '.' && !start) || (t.at[i] >= '0' && t.at[i] <= '9' && (t.at[i] != '0' || !start || end));
    }
    return ok && t.at[t.len - 1] != '.';
}

static bool check_uids(dv_text t, const char *what, dv_error *err)
{
    for (dv_text rest = t; rest.len;) {
        dv_text uid = dv_text_trim(dv_text_split(rest, '\\', &rest));
        if (!is_uid(uid))
            return dv_fail(err, DV_ERR_VALUE,
                           "'%.*s' in the %s is no UID; give UIDs separated by a backslash, or nothing to allow all",
                           DV_ARG(uid), what);
    }
    return true;
}

static bool check_settings(dv_text t, dv_error *err)
{
    if (t.len == 0)
        return true;
    cJSON *json = cJSON_ParseWithLength(t.at, t.len);
    bool ok = cJSON_IsObject(json)
                  ? dv_peer_settings_check(json, err)
                  : dv_fail(err, DV_ERR_VALUE,
                            "the settings '%.*s' are no JSON object; write them as {\"find_timeout_s\": 60}", DV_ARG(t));
    cJSON_Delete(json);
    return ok;
}

static bool check(const dv_peer *p, dv_error *err)
{
    if (!check_slug(p->slug, err) || !check_aet(p->aet, err) || !check_host(p->host, err) ||
        !check_direction(p->direction, err) || !check_uids(p->sop_classes, "list of SOP classes", err) ||
        !check_uids(p->transfer_syntaxes, "list of transfer syntaxes", err) || !check_settings(p->settings, err))
        return false;
    if (p->port < 1 || p->port > 65535)
        return dv_fail(err, DV_ERR_VALUE, "the port %d does not do; use 1 to 65535 (DICOM's own are 104 and 11112)",
                       p->port);
    if (p->max_associations < 0 || p->max_associations > 1000)
        return dv_fail(err, DV_ERR_VALUE,
                       "%d associations at a time do not do; use 1 to 1000, or 0 for the host's limit only",
                       p->max_associations);
    return true;
}

/* ---- writing ---- */

static dv_text or_else(dv_text t, dv_text other)
{
    return t.len ? t : other;
}

bool dv_peer_save(dv_db *db, const dv_peer *p, int64_t *id, dv_error *err)
{
    if (!check(p, err))
        return false;
    dv_text label = or_else(p->label, p->slug), settings = or_else(p->settings, DV_TEXT("{}"));
    dv_text classes = or_else(p->sop_classes, DV_TEXT("")), syntaxes = or_else(p->transfer_syntaxes, DV_TEXT(""));
    dv_rows *r;
    if (p->id == 0)
        r = dv_db_query(
            db, err,
            "INSERT INTO peers (slug, label, aet, host, port, direction, enabled, sop_classes, transfer_syntaxes,"
            " max_associations, settings, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
            " ON CONFLICT (slug) DO NOTHING RETURNING id",
            "ttttitittiti", p->slug, label, p->aet, p->host, (int64_t)p->port, p->direction, (int64_t)p->enabled,
            classes, syntaxes, (int64_t)p->max_associations, settings, dv_wall_us());
    else
        r = dv_db_query(
            db, err,
            "UPDATE peers SET label = $2, aet = $3, host = $4, port = $5, direction = $6, enabled = $7, sop_classes = "
            "$8,"
            " transfer_syntaxes = $9, max_associations = $10, settings = $11 WHERE id = $12 AND slug = $1 RETURNING id",
            "ttttitittiti", p->slug, label, p->aet, p->host, (int64_t)p->port, p->direction, (int64_t)p->enabled,
            classes, syntaxes, (int64_t)p->max_associations, settings, p->id);
    int64_t saved = 0;
    if (dv_rows_next(r))
        saved = dv_rows_int(r, 0);
    if (!dv_rows_close(r, err))
        return false;
    if (!saved && p->id == 0)
        return dv_fail(err, DV_ERR_EXISTS, "there is a peer '%.*s' already; change that one, or take another name",
                       DV_ARG(p->slug));
    if (!saved)
        return dv_fail(err, DV_ERR_NOT_FOUND, "there is no peer %lld named '%.*s'; a name never changes",
                       (long long)p->id, DV_ARG(p->slug));
    *id = saved;
    return true;
}

bool dv_peer_remove(dv_db *db, dv_text slug, dv_error *err)
{
    slug = slug.at ? slug : DV_TEXT("");
    if (!dv_db_exec(db, err, "DELETE FROM probes WHERE peer = $1", "t", slug) ||
        !dv_db_exec(db, err, "DELETE FROM peers WHERE slug = $1", "t", slug))
        return false;
    return dv_db_changes(db) > 0 || dv_fail(err, DV_ERR_NOT_FOUND, "there is no peer '%.*s'", DV_ARG(slug));
}
