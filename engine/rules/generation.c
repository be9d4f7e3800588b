#include "rules/generation.h"
#include "rules/bind.h"
#include "rules/pattern.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1024 * 1024, MAX_FILES = 10000, TRIES = 5 };

/* ---- texts ---- */

dv_rule_set *dv_rule_set_new(void)
{
    dv_rule_set *set = calloc(1, sizeof *set);
    if (set) {
        dv_arena_init(&set->arena, 64 * 1024);
        set->refs = 1;
    }
    return set;
}

dv_rule_set *dv_rule_set_ref(dv_rule_set *set)
{
    __atomic_add_fetch(&set->refs, 1, __ATOMIC_RELAXED);
    return set;
}

void dv_rule_set_free(dv_rule_set *set)
{
    if (!set || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    dv_arena_free(&set->arena);
    free(set->files);
    free(set);
}

/* The line of the first byte that is no UTF-8 text, 0 when there is none. */
static int bad_line(dv_text t)
{
    int line = 1;
    for (size_t i = 0; i < t.len;) {
        unsigned char c = (unsigned char)t.at[i];
        size_t more = c < 0x80                ? 0
                      : c >= 0xC2 && c < 0xE0 ? 1
                      : c >= 0xE0 && c < 0xF0 ? 2
                      : c >= 0xF0 && c < 0xF5 ? 3
                                              : SIZE_MAX;
        if (c == 0 || more >= t.len - i)
            return line;
        for (size_t k = 1; k <= more; k++)
            if (((unsigned char)t.at[i + k] & 0xC0) != 0x80)
                return line;
        line += c == '\n';
        i += more + 1;
    }
    return 0;
}

bool dv_rule_set_add(dv_rule_set *set, const char *path, dv_text text, dv_error *err)
{
    int line = bad_line(text);
    if (line)
        return dv_fail(err, DV_ERR_RULE_LOAD, "%s:%d: the file is no UTF-8 text; save it as UTF-8", path, line);
    if (set->count >= MAX_FILES)
        return dv_fail(err, DV_ERR_RULE_LOAD, "%s: a rule set has at most %d files", path, MAX_FILES);
    if ((set->count & (set->count - 1)) == 0) { /* at 0 and each power of two */
        dv_rule_file *grown = realloc(set->files, sizeof *grown * (set->count ? set->count * 2 : 1));
        if (!grown)
            return dv_fail(err, DV_ERR_MEMORY, "no memory for the rule files");
        set->files = grown;
    }
    uint8_t hash[DV_SHA256_BYTES];
    dv_rule_file *f = &set->files[set->count];
    *f = (dv_rule_file){.path = dv_arena_string(&set->arena, dv_text_of(path)),
                        .text = dv_arena_text(&set->arena, text.at ? text : DV_TEXT("")),
                        .origin = strncmp(path, "scripts/", 8) == 0 ? DV_RULE_SCRIPT
                                  : strncmp(path, "share/", 6) == 0 ? DV_RULE_SHIPPED
                                                                    : DV_RULE_SITE};
    if (!f->path || !f->text.at)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the rule file %s", path);
    if (!dv_sha256_of(text.at, text.len, hash, err))
        return false;
    dv_hex(hash, sizeof hash, f->hash);
    set->count++;
    return true;
}

static int by_origin_and_name(const void *a, const void *b)
{
    const dv_rule_file *x = a, *y = b;
    return x->origin != y->origin ? (x->origin < y->origin ? -1 : 1) : strcmp(x->path, y->path);
}

bool dv_rule_set_seal(dv_rule_set *set, dv_error *err)
{
    if (set->count)
        qsort(set->files, set->count, sizeof *set->files, by_origin_and_name);
    dv_buffer all = {0};
    for (size_t i = 0; i < set->count; i++)
        dv_buffer_printf(&all, "%s %s\n", set->files[i].hash, set->files[i].path);
    uint8_t hash[DV_SHA256_BYTES];
    bool ok = (!all.failed || dv_fail(err, DV_ERR_MEMORY, "no memory for the rule files")) &&
              dv_sha256_of(all.at, all.len, hash, err);
    if (ok)
        dv_hex(hash, sizeof hash, set->hash);
    dv_buffer_free(&all);
    return ok;
}

/* One reading of FD into OUT; false with errno 0 when the file changed meanwhile. */
static bool read_once(int fd, dv_buffer *out)
{
    struct stat before, after;
    dv_buffer_clear(out);
    if (fstat(fd, &before) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return false;
    for (;;) {
        char part[16 * 1024];
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        if (out->len + (size_t)n > MAX_FILE) {
            errno = EFBIG;
            return false;
        }
        if (!dv_buffer_add(out, part, (size_t)n)) {
            errno = ENOMEM;
            return false;
        }
    }
    if (fstat(fd, &after) != 0)
        return false;
    errno = 0;
    return before.st_size == after.st_size && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
           before.st_mtim.tv_nsec == after.st_mtim.tv_nsec && (off_t)out->len == after.st_size;
}

/* A whole file, never half of one: a read lease is granted only while nobody has it open for writing, and holds writers
 * off until we close. Where leases are not to be had (file of another user, network) size and time tell. */
static bool read_whole(const char *name, const char *path, dv_buffer *out, dv_error *err)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dv_fail_errno(err, "cannot open %s", name);
    struct stat st;
    bool ok = fstat(fd, &st) == 0 || dv_fail_errno(err, "cannot look at %s", name);
    if (ok && !S_ISREG(st.st_mode))
        ok = dv_fail(err, DV_ERR_RULE_LOAD, "%s: it is not a regular file", path);
    fcntl(fd, F_SETSIG, SIGURG); /* ignored by default; SIGIO would end the process */
    if (ok && fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN)
        ok = dv_fail(err, DV_ERR_LOCKED,
                     "%s: another program has it open for writing; it is read when it has been saved", path);
    bool whole = false;
    for (int i = 0; ok && !whole && i < TRIES; i++) {
        whole = read_once(fd, out);
        if (!whole && errno == EFBIG)
            ok = dv_fail(err, DV_ERR_RULE_LOAD, "%s: the file is larger than %d KB", path, MAX_FILE / 1024);
        else if (!whole && errno != 0)
            ok = dv_fail_errno(err, "cannot read %s", name);
    }
    close(fd);
    if (ok && !whole)
        ok = dv_fail(err, DV_ERR_LOCKED, "%s: the file changes while it is read; it is read when it has been saved",
                     path);
    return ok;
}

static int is_lua(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n > 4 && strcmp(e->d_name + n - 4, ".lua") == 0;
}

/* FOLDER's *.lua as PREFIX/NAME. */
static bool read_folder(dv_rule_set *set, const char *folder, const char *prefix, bool may_be_absent, dv_error *err)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, is_lua, alphasort);
    if (n < 0)
        return (may_be_absent && errno == ENOENT) || dv_fail_errno(err, "cannot list %s", folder);
    bool ok = true;
    dv_buffer text = {0};
    for (int i = 0; i < n; i++) {
        char name[PATH_MAX], path[PATH_MAX];
        if (ok && (snprintf(name, sizeof name, "%s/%s", folder, names[i]->d_name) >= (int)sizeof name ||
                   snprintf(path, sizeof path, "%s/%s", prefix, names[i]->d_name) >= 120))
            ok = dv_fail(err, DV_ERR_RULE_LOAD, "the file name %s is too long", names[i]->d_name);
        ok = ok && read_whole(name, path, &text, err) && dv_rule_set_add(set, path, dv_buffer_as_text(&text), err);
        free(names[i]);
    }
    free(names);
    dv_buffer_free(&text);
    return ok;
}

dv_rule_set *dv_rule_set_read(const char *share, const char *site, dv_error *err)
{
    char folder[PATH_MAX];
    dv_rule_set *set = dv_rule_set_new();
    bool ok = set || dv_fail(err, DV_ERR_MEMORY, "no memory for the rule files");
    static const struct {
        const char *folder, *prefix;
    } shipped[] = {{"scripts", "scripts"}, {"rules", "share/rules"}};
    for (size_t i = 0; ok && i < 2; i++) {
        if (snprintf(folder, sizeof folder, "%s/%s", share, shipped[i].folder) >= (int)sizeof folder)
            ok = dv_fail(err, DV_ERR_CONFIG, "the path %s is too long", share);
        ok = ok && read_folder(set, folder, shipped[i].prefix, i > 0, err);
    }
    ok = ok && (!site || read_folder(set, site, "rules", true, err)) && dv_rule_set_seal(set, err);
    if (ok)
        return set;
    dv_rule_set_free(set);
    return NULL;
}

/* ---- states ---- */

typedef struct loader {
    const dv_rule_set *set;
    dv_buffer *report;
    dv_error *err;
    int problems;
    int m, run;
} loader;

static void problem(loader *l, const char *file, int line, const char *message)
{
    char place[200] = "";
    if (*file && line > 0)
        snprintf(place, sizeof place, "%s:%d: ", file, line);
    else if (*file)
        snprintf(place, sizeof place, "%s: ", file);
    if (l->problems++ == 0)
        dv_fail(l->err, DV_ERR_RULE_LOAD, "%s%s", place, message);
    if (l->report)
        dv_buffer_printf(l->report, "%s%s\n", place, message);
}

static const dv_rule_file *find_file(const dv_rule_set *set, const char *path)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->files[i].path, path) == 0)
            return &set->files[i];
    return NULL;
}

static void run_script(lua_State *L, const dv_rule_file *f);

/* Upvalues: native, table of results, box of the loader (NULL when loading is over). */
static int script(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    loader **box = lua_touserdata(L, lua_upvalueindex(3));
    lua_settop(L, 1);
    int seen = lua_getfield(L, lua_upvalueindex(2), name);
    if (seen == LUA_TBOOLEAN)
        return luaL_error(L, "the script '%s' needs itself", name);
    if (seen != LUA_TNIL)
        return 1;
    char path[120];
    size_t n = strlen(name);
    snprintf(path, sizeof path, "scripts/%s%s", name, n > 4 && strcmp(name + n - 4, ".lua") == 0 ? "" : ".lua");
    const dv_rule_file *f = *box ? find_file((*box)->set, path) : NULL;
    if (!f)
        return luaL_error(L, "there is no script '%s'", path);
    lua_pushboolean(L, true);
    lua_setfield(L, lua_upvalueindex(2), name);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, lua_upvalueindex(3));
    run_script(L, f);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L); /* that it ran is to be remembered */
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(2), name);
    return 1;
}

/* native, results, box on top become what the script returned. */
static void run_script(lua_State *L, const dv_rule_file *f)
{
    char chunk[130];
    dv_error err;
    luaL_checkstack(L, 8, NULL);
    int native = lua_gettop(L) - 2;
    dv_sandbox_push_trusted(L);
    lua_pushvalue(L, native);
    lua_setfield(L, -2, "native");
    lua_pushvalue(L, native);
    lua_pushvalue(L, native + 1);
    lua_pushvalue(L, native + 2);
    lua_pushcclosure(L, script, 3);
    lua_setfield(L, -2, "script");
    snprintf(chunk, sizeof chunk, "@%s", f->path);
    if (!dv_sandbox_load(L, f->text, chunk, &err))
        luaL_error(L, "%s", err.message);
    lua_call(L, 0, 1);
    lua_replace(L, native);
    lua_settop(L, native);
}

/* A rule file: M on top of the stack stays. */
static int run_rule_file(lua_State *L)
{
    const dv_rule_file *f = lua_touserdata(L, 2);
    char chunk[130];
    dv_error err;
    lua_getfield(L, 1, "environment");
    lua_pushstring(L, f->path);
    lua_pushstring(L, f->origin == DV_RULE_SITE ? "site" : "shipped");
    lua_pushlstring(L, f->text.at, f->text.len); /* for the line of a wrong field */
    lua_call(L, 3, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    snprintf(chunk, sizeof chunk, "@%s", f->path);
    if (!dv_sandbox_load(L, f->text, chunk, &err))
        return luaL_error(L, "%s", err.message);
    lua_call(L, 0, 0);
    return 0;
}

static void check_finish(lua_State *L, loader *l, int m)
{
    lua_getfield(L, m, "finish");
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        lua_getfield(L, -1, "file");
        lua_getfield(L, -2, "line");
        lua_getfield(L, -3, "message");
        const char *file = lua_tostring(L, -3), *message = lua_tostring(L, -1);
        problem(l, file ? file : "", (int)lua_tointeger(L, -2), message ? message : "it does not fit");
        lua_pop(L, 4);
    }
    lua_pop(L, 1);
}

static int load_all(lua_State *L)
{
    loader *l = lua_touserdata(L, 1);
    lua_settop(L, 0);
    const dv_rule_file *main = find_file(l->set, "scripts/main.lua");
    if (!main)
        return luaL_error(L, "scripts/main.lua is missing");
    if (dv_bind_open(L) != 1)
        return luaL_error(L, "the binding is not complete");
    dv_regex_open(L);
    lua_newtable(L);
    loader **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = l;
    lua_pushvalue(L, -1);
    luaL_ref(L, LUA_REGISTRYINDEX); /* lives as long as the state: closures look into it */
    run_script(L, main);
    if (!lua_istable(L, 1))
        return luaL_error(L, "scripts/main.lua gives a %s, no table", luaL_typename(L, 1));
    for (size_t i = 0; i < l->set->count; i++) {
        const dv_rule_file *f = &l->set->files[i];
        if (f->origin == DV_RULE_SCRIPT)
            continue;
        dv_sandbox_fault fault;
        lua_pushcfunction(L, run_rule_file);
        lua_pushvalue(L, 1);
        lua_pushlightuserdata(L, (void *)(uintptr_t)f);
        if (!dv_sandbox_call(L, 2, 0, &fault))
            problem(l, *fault.file ? fault.file : f->path, *fault.file ? fault.line : 0, fault.message);
        dv_sandbox_step(L, 1);
    }
    check_finish(L, l, 1);
    if (lua_getfield(L, 1, "run") != LUA_TFUNCTION)
        return luaL_error(L, "scripts/main.lua has no function run");
    l->run = luaL_ref(L, LUA_REGISTRYINDEX);
    l->m = luaL_ref(L, LUA_REGISTRYINDEX);
    *box = NULL;
    return 0;
}

dv_state *dv_state_new(const dv_rule_set *set, const dv_sandbox_limits *limits, dv_buffer *report, dv_error *err)
{
    dv_error own;
    loader l = {.set = set, .report = report, .err = err ? err : &own};
    dv_sandbox_fault fault;
    dv_state *state = calloc(1, sizeof *state);
    if (!state || !(state->L = dv_sandbox_new(limits, l.err))) {
        free(state);
        dv_fail(err, DV_ERR_MEMORY, "no memory for a state of the rules");
        return NULL;
    }
    lua_pushcfunction(state->L, load_all);
    lua_pushlightuserdata(state->L, &l);
    if (!dv_sandbox_call_loading(state->L, 1, 0, &fault) && l.problems == 0)
        problem(&l, fault.file, fault.line, fault.message);
    if (l.problems > 1) {
        char first[400];
        dv_text_copy(dv_text_of(l.err->message), first, sizeof first);
        dv_fail(l.err, DV_ERR_RULE_LOAD, "%s (and %d more)", first, l.problems - 1);
    }
    if (l.problems) {
        dv_state_free(state);
        return NULL;
    }
    state->m = l.m;
    state->run = l.run;
    dv_sandbox_seal(state->L);
    return state;
}

void dv_state_free(dv_state *state)
{
    if (!state)
        return;
    dv_sandbox_free(state->L);
    free(state);
}
