/* Reports of tests: for people, JSON, JUnit, TAP; and Lua values as JSON. */
#include "rules/harness_internal.h"

#include <stdlib.h>
#include <string.h>

static void print_text(const dv_harness_report *r, dv_buffer *out)
{
    for (size_t i = 0; i < r->count; i++) {
        const dv_harness_case *c = &r->cases[i];
        if (!c->why && !c->log)
            continue;
        dv_buffer_printf(out, "%s  %s: %s  (%s:%lld)\n", c->why ? "FAIL" : "ok  ", c->rule, c->name, c->file,
                         (long long)c->line);
        for (const char *line = c->why; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
            dv_buffer_printf(out, "        %.*s\n", (int)strcspn(line, "\n"), line);
        for (const char *line = c->log; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
            if (*line)
                dv_buffer_printf(out, "        log: %.*s\n", (int)strcspn(line, "\n"), line);
    }
    if (r->untested)
        dv_buffer_printf(out, "%d of %d rules have no test\n", r->untested, r->rules);
    dv_buffer_printf(out, "%d passed, %d failed\n", r->passed, r->failed);
}

static void print_json(const dv_harness_report *r, dv_buffer *out)
{
    dv_buffer_printf(out, "{\"passed\":%d,\"failed\":%d,\"rules\":%d,\"untested\":%d,\"tests\":[", r->passed, r->failed,
                     r->rules, r->untested);
    for (size_t i = 0; i < r->count; i++) {
        const dv_harness_case *c = &r->cases[i];
        dv_buffer_string(out, i ? ",\n{\"rule\":" : "\n{\"rule\":");
        dv_buffer_json(out, dv_text_of(c->rule));
        dv_buffer_string(out, ",\"name\":");
        dv_buffer_json(out, dv_text_of(c->name));
        dv_buffer_string(out, ",\"file\":");
        dv_buffer_json(out, dv_text_of(c->file));
        dv_buffer_printf(out, ",\"line\":%lld,\"passed\":%s", (long long)c->line, c->why ? "false" : "true");
        if (c->why) {
            dv_buffer_string(out, ",\"why\":");
            dv_buffer_json(out, dv_text_of(c->why));
        }
        if (c->log) {
            dv_buffer_string(out, ",\"log\":");
            dv_buffer_json(out, dv_text_of(c->log));
        }
        dv_buffer_string(out, "}");
    }
    dv_buffer_string(out, "\n]}\n");
}

static void xml(dv_buffer *out, const char *s)
{
    for (; s && *s; s++) {
        switch (*s) {
        case '&':
            dv_buffer_string(out, "&amp;");
            break;
        case '<':
            dv_buffer_string(out, "&lt;");
            break;
        case '>':
            dv_buffer_string(out, "&gt;");
            break;
        case '"':
            dv_buffer_string(out, "&quot;");
            break;
        case '\n':
            dv_buffer_string(out, "&#10;");
            break;
        default:
            if ((unsigned char)*s >= 0x20 || *s == '\t')
                dv_buffer_add(out, s, 1);
        }
    }
}

static void print_junit(const dv_harness_report *r, dv_buffer *out)
{
    dv_buffer_printf(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"rules\" tests=\"%zu\" failures=\"%d\">\n",
        r->count, r->failed);
    for (size_t i = 0; i < r->count; i++) {
        const dv_harness_case *c = &r->cases[i];
        dv_buffer_string(out, "  <testcase classname=\"");
        xml(out, c->rule);
        dv_buffer_string(out, "\" name=\"");
        xml(out, c->name);
        dv_buffer_string(out, "\" file=\"");
        xml(out, c->file);
        dv_buffer_printf(out, "\" line=\"%lld\" time=\"%.6f\"", (long long)c->line, (double)c->ns / 1e9);
        if (!c->why) {
            dv_buffer_string(out, "/>\n");
            continue;
        }
        dv_buffer_string(out, ">\n    <failure message=\"");
        xml(out, c->why);
        dv_buffer_string(out, "\"/>\n  </testcase>\n");
    }
    dv_buffer_string(out, "</testsuite>\n");
}

static void print_tap(const dv_harness_report *r, dv_buffer *out)
{
    dv_buffer_printf(out, "TAP version 13\n1..%zu\n", r->count);
    for (size_t i = 0; i < r->count; i++) {
        const dv_harness_case *c = &r->cases[i];
        dv_buffer_printf(out, "%sok %zu - %s: ", c->why ? "not " : "", i + 1, c->rule);
        for (const char *s = c->name; *s; s++)
            dv_buffer_add(out, *s == '#' || *s == '\n' ? " " : s, 1); /* '#' begins a directive */
        dv_buffer_string(out, "\n");
        for (const char *line = c->why; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
            dv_buffer_printf(out, "# %.*s\n", (int)strcspn(line, "\n"), line);
    }
}

bool dv_harness_print(const dv_harness_report *report, dv_harness_format format, dv_buffer *out, dv_error *err)
{
    switch (format) {
    case DV_HARNESS_TEXT:
        print_text(report, out);
        break;
    case DV_HARNESS_JSON:
        print_json(report, out);
        break;
    case DV_HARNESS_JUNIT:
        print_junit(report, out);
        break;
    case DV_HARNESS_TAP:
        print_tap(report, out);
        break;
    }
    return !out->failed || dv_fail(err, DV_ERR_MEMORY, "no memory for the report");
}

/* ---- Lua values as JSON ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void json_value(lua_State *L, int index, dv_buffer *out, int depth);

static void json_object(lua_State *L, int index, dv_buffer *out, int depth)
{
    /* keys are held in a userdata, so that an error frees them */
    size_t n = 0, k = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        n++;
    const char **keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING)
            keys[k++] = lua_tostring(L, -2);
    qsort(keys, k, sizeof *keys, compare_keys);
    dv_buffer_string(out, "{");
    for (size_t i = 0; i < k; i++) {
        if (i)
            dv_buffer_string(out, ",");
        dv_buffer_json(out, dv_text_of(keys[i]));
        dv_buffer_string(out, ":");
        lua_getfield(L, index, keys[i]);
        json_value(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    dv_buffer_string(out, "}");
    lua_pop(L, 1);
}

static void json_value(lua_State *L, int index, dv_buffer *out, int depth)
{
    dv_text t;
    luaL_checkstack(L, 6, NULL);
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        t.at = lua_tolstring(L, index, &t.len);
        dv_buffer_json(out, t);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            dv_buffer_printf(out, "%lld", (long long)lua_tointeger(L, index));
        else
            dv_buffer_printf(out, "%.17g", lua_tonumber(L, index));
        break;
    case LUA_TBOOLEAN:
        dv_buffer_string(out, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TTABLE:
        if (depth > 16)
            luaL_error(L, "the value nests too deep for JSON");
        if (lua_rawlen(L, index) == 0) {
            bool empty = (lua_pushnil(L), lua_next(L, index) == 0);
            if (!empty)
                lua_pop(L, 2);
            if (empty)
                dv_buffer_string(out, "[]");
            else
                json_object(L, index, out, depth);
            break;
        }
        dv_buffer_string(out, "[");
        for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, index); i <= n; i++) {
            if (i > 1)
                dv_buffer_string(out, ",");
            lua_rawgeti(L, index, i);
            json_value(L, lua_gettop(L), out, depth + 1);
            lua_pop(L, 1);
        }
        dv_buffer_string(out, "]");
        break;
    default:
        dv_buffer_string(out, "null");
    }
}

void dv_harness_json(lua_State *L, int index, dv_buffer *out)
{
    json_value(L, lua_absindex(L, index), out, 0);
}
