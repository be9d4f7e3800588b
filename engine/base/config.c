#include "base/config.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum kind { kind_text, kind_int, kind_bool } kind;

typedef struct setting {
    const char *key;
    kind kind;
    const char *otherwise;
    int64_t min, max;
    const char *help;
} setting;

static const setting settings[] = {
#define DV_SETTING(key, type, otherwise, min, max, help) {key, kind_##type, otherwise, min, max, help},
#include "base/settings.def"
#undef DV_SETTING
};
enum { COUNT = sizeof settings / sizeof *settings };

struct dv_config {
    char *value[COUNT]; /* as text; owned */
    const char *from[COUNT];
};

dv_config *dv_config_new(void)
{
    dv_config *c = calloc(1, sizeof *c);
    for (int i = 0; c && i < COUNT; i++) {
        c->value[i] = strdup(settings[i].otherwise);
        c->from[i] = "default";
        if (!c->value[i]) {
            dv_config_free(c);
            c = NULL;
        }
    }
    return c;
}

void dv_config_free(dv_config *c)
{
    for (int i = 0; c && i < COUNT; i++)
        free(c->value[i]);
    free(c);
}

static int find(const char *key)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(settings[i].key, key) == 0)
            return i;
    return -1;
}

static bool unknown(const char *key, dv_error *err)
{
    const char *nearest = NULL;
    unsigned best = 6;
    for (int i = 0; i < COUNT; i++) {
        unsigned d = dv_text_distance(dv_text_of(key), dv_text_of(settings[i].key), 5);
        if (d < best) {
            best = d;
            nearest = settings[i].key;
        }
    }
    return nearest ? dv_fail(err, DV_ERR_CONFIG, "there is no setting '%s'; did you mean '%s'?", key, nearest)
                   : dv_fail(err, DV_ERR_CONFIG, "there is no setting '%s'; docs/configuration.md lists them", key);
}

bool dv_config_set(dv_config *c, const char *key, const char *value, const char *from, dv_error *err)
{
    int i = find(key);
    if (i < 0)
        return unknown(key, err);
    const setting *s = &settings[i];
    size_t len = strlen(value);
    if (s->kind == kind_int) {
        char *end;
        long long n = strtoll(value, &end, 10);
        if (len == 0 || *end || n < s->min || n > s->max)
            return dv_fail(err, DV_ERR_CONFIG, "%s is '%s'; it must be a number from %lld to %lld", key, value,
                           (long long)s->min, (long long)s->max);
    } else if (s->kind == kind_bool && strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
        return dv_fail(err, DV_ERR_CONFIG, "%s is '%s'; it must be true or false", key, value);
    } else if (s->kind == kind_text && s->max && (len < (size_t)s->min || len > (size_t)s->max)) {
        return dv_fail(err, DV_ERR_CONFIG, "%s is '%s'; it must have %lld to %lld characters", key, value,
                       (long long)s->min, (long long)s->max);
    }
    char *copy = strdup(value);
    if (!copy)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the setting %s", key);
    free(c->value[i]);
    c->value[i] = copy;
    c->from[i] = from;
    return true;
}

/* Takes the table at the top of L under PREFIX; nested tables give dotted keys. Depth is two: `dimse.port`. */
static bool take_table(dv_config *c, lua_State *L, const char *prefix, int depth, dv_error *err)
{
    bool ok = true;
    lua_pushnil(L);
    while (ok && lua_next(L, -2)) {
        char key[128], value[512];
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", name);
        int type = lua_type(L, -1);
        if (type == LUA_TTABLE && depth < 2) {
            ok = take_table(c, L, key, depth + 1, err);
        } else if (type == LUA_TSTRING || type == LUA_TNUMBER) {
            lua_pushvalue(L, -1);
            if (dv_text_copy(dv_text_of(lua_tostring(L, -1)), value, sizeof value))
                ok = dv_config_set(c, key, value, "drover.lua", err);
            else
                ok = dv_fail(err, DV_ERR_CONFIG, "%s is longer than %zu characters", key, sizeof value - 1);
            lua_pop(L, 1);
        } else if (type == LUA_TBOOLEAN) {
            ok = dv_config_set(c, key, lua_toboolean(L, -1) ? "true" : "false", "drover.lua", err);
        } else {
            ok = find(key) < 0 ? unknown(key, err)
                               : dv_fail(err, DV_ERR_CONFIG, "%s is a %s; it must be a text, number or true/false", key,
                                         lua_typename(L, type));
        }
        lua_pop(L, 1);
    }
    return ok; /* on failure the stack is left as it is: the caller closes the state */
}

static void too_long(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "the file runs for too long; it should only assign values");
}

bool dv_config_load(dv_config *c, const char *path, dv_error *err)
{
    dv_buffer text = {0};
    dv_error local = {0};
    if (!dv_file_read(path, &text, &local)) {
        dv_buffer_free(&text);
        FILE *probe = fopen(path, "r");
        if (!probe && errno == ENOENT)
            return true;
        if (probe)
            fclose(probe);
        if (err)
            *err = local;
        return false;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        dv_buffer_free(&text);
        return dv_fail(err, DV_ERR_MEMORY, "no memory to read %s", path);
    }
    char chunk[512];
    snprintf(chunk, sizeof chunk, "@%s", path);
    lua_sethook(L, too_long, LUA_MASKCOUNT, 1000000);
    bool ok = luaL_loadbufferx(L, text.at, text.len, chunk, "t") == LUA_OK;
    if (ok) {
        lua_newtable(L); /* the file's globals: nothing of Lua is in it */
        lua_pushvalue(L, -1);
        lua_insert(L, 1);
        lua_setupvalue(L, -2, 1);
        ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
    }
    const char *said = ok ? NULL : lua_tostring(L, -1);
    if (!ok)
        dv_fail(err, DV_ERR_CONFIG, "%s%s", said ? said : "unknown error",
                said && strstr(said, "index a nil value") ? "; a section is a table: dimse = { port = 11112 }" : "");
    else if (!(ok = take_table(c, L, "", 1, err)))
        dv_error_context(err, "%s", path);
    lua_close(L);
    dv_buffer_free(&text);
    return ok;
}

bool dv_config_overlay(dv_config *c, const dv_config *over, dv_error *err)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(over->from[i], "default") != 0 &&
            !dv_config_set(c, settings[i].key, over->value[i], over->from[i], err))
            return false;
    return true;
}

dv_config *dv_config_again(const dv_config *was, const char *path, dv_error *err)
{
    dv_config *c = dv_config_new();
    bool ok = c ? dv_config_load(c, path, err) : dv_fail(err, DV_ERR_MEMORY, "no memory for the configuration");
    for (int i = 0; ok && i < COUNT; i++)
        if (strcmp(was->from[i], "command line") == 0)
            ok = dv_config_set(c, settings[i].key, was->value[i], was->from[i], err);
    if (!ok) {
        dv_config_free(c);
        c = NULL;
    }
    return c;
}

const char *dv_config_key(int i)
{
    return i >= 0 && i < COUNT ? settings[i].key : NULL;
}

static int must_find(const char *key)
{
    int i = find(key);
    assert(i >= 0);
    return i;
}

const char *dv_config_text(const dv_config *c, const char *key)
{
    return c->value[must_find(key)];
}

int64_t dv_config_int(const dv_config *c, const char *key)
{
    return strtoll(c->value[must_find(key)], NULL, 10);
}

bool dv_config_bool(const dv_config *c, const char *key)
{
    return strcmp(c->value[must_find(key)], "true") == 0;
}

const char *dv_config_from(const dv_config *c, const char *key)
{
    return c->from[must_find(key)];
}

bool dv_config_template(dv_buffer *out)
{
    dv_buffer_string(
        out, "-- Drover's configuration: what must be known before the catalog opens.\n"
             "-- Lua data. Each line below shows the default; remove the dashes to change it. Read at start and at SIGHUP.\n");
    char section[32] = "";
    for (int i = 0; i < COUNT; i++) {
        const setting *s = &settings[i];
        dv_text rest, first = dv_text_split(dv_text_of(s->key), '.', &rest);
        bool nested = rest.at != NULL;
        char now[32] = "";
        if (nested)
            dv_text_copy(first, now, sizeof now);
        if (strcmp(now, section) != 0) {
            dv_buffer_printf(out, "%s%s%s%s", *section ? "}\n" : "", *now ? "\n" : "", now, *now ? " = {\n" : "");
            memcpy(section, now, sizeof section);
        }
        const char *quote = s->kind == kind_text ? "\"" : "";
        dv_buffer_printf(out, "%s-- %s\n%s--%s%s = %s%s%s%s\n", nested ? "  " : "\n", s->help, nested ? "  " : "",
                         nested ? "" : " ", nested ? rest.at : s->key, quote, s->otherwise, quote, nested ? "," : "");
    }
    return dv_buffer_string(out, *section ? "}\n" : "");
}

/* VALUE without the password of a database's address, in both of its spellings: ://USER:PASSWORD@ and password=... */
static void show_value(const char *value, char *out, size_t size)
{
    const char *user = strstr(value, "://"), *end = user ? strrchr(user, '@') : NULL;
    const char *word = strstr(value, "password");
    const char *from = end ? memchr(user + 3, ':', (size_t)(end - user - 3)) : NULL;
    if (from)
        snprintf(out, size, "%.*s:***%s", (int)(from - value), value, end);
    else
        dv_text_copy(dv_text_of(*value ? value : "\"\""), out, size);
    if (word) /* quotes, escapes and blanks are libpq's business: what follows is left out */
        snprintf(out, size, "%.*s...", (int)(word - value), value);
}

bool dv_config_show(const dv_config *c, dv_buffer *out)
{
    for (int i = 0; i < COUNT; i++) {
        char value[1024];
        show_value(c->value[i], value, sizeof value);
        dv_buffer_printf(out, "%-24s %-12s %s\n", settings[i].key, value, c->from[i]);
    }
    return !out->failed;
}

bool dv_config_reference(dv_buffer *out)
{
    static const char *const names[] = {"text", "number", "true/false"};
    dv_buffer_string(out, "| key | type | default | what it does |\n|---|---|---|---|\n");
    for (int i = 0; i < COUNT; i++) {
        const setting *s = &settings[i];
        dv_buffer_printf(out, "| `%s` | %s", s->key, names[s->kind]);
        if (s->kind == kind_int)
            dv_buffer_printf(out, " %lld to %lld", (long long)s->min, (long long)s->max);
        dv_buffer_printf(out, " | `%s` | %s |\n", *s->otherwise ? s->otherwise : "\"\"", s->help);
    }
    return !out->failed;
}
