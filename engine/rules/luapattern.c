/* Lua patterns without recursion. A pattern becomes a list of items; no item repeats a group, so a path through the
 * list meets each item once, and a stack of one frame an item is enough to come back to every choice. Steps are
 * counted: what takes too many is refused, on every machine alike. Letters are ASCII whatever the locale. */
#include "rules/sandbox_internal.h"

#include <lauxlib.h>
#include <stdint.h>

enum { MAX_CAPTURES = 32, MAX_PATTERN = 4096, FEW = 32, BASE_STEPS = 5000000, POLL = 4096 };
enum { UNCLOSED = -1, POSITION = -2 };

typedef struct item {
    enum { SINGLE, OPEN, HERE, CLOSE, BACK, BALANCE, FRONTIER, END, ACCEPT } kind;
    char repeat;        /* of SINGLE: 0 * + - ? */
    unsigned char a, b; /* capture, or %b's pair */
    uint32_t set[8];
} item;

typedef struct frame {
    int at; /* item to take up again */
    enum { GREEDY, LAZY, SKIP, UNDO } kind;
    size_t s, least; /* position; GREEDY: not before least */
    ptrdiff_t len;   /* UNDO */
} frame;

typedef struct matcher {
    lua_State *L;
    const char *subject;
    size_t len;
    item *items;
    frame *frames;
    int captures;
    bool anchored;
    int64_t steps, most;
    struct {
        size_t start;
        ptrdiff_t len;
    } found[MAX_CAPTURES];
    item few_items[FEW];
    frame few_frames[FEW];
} matcher;

static void include(uint32_t set[8], unsigned c)
{
    set[c / 32] |= 1u << (c % 32);
}

static bool in_set(const uint32_t set[8], char c)
{
    unsigned u = (unsigned char)c;
    return set[u / 32] >> (u % 32) & 1;
}

static bool in_class(char letter, unsigned c)
{
    bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
    bool graphic = c > 32 && c < 127;
    switch (letter) {
    case 'a':
        return lower || upper;
    case 'c':
        return c < 32 || c == 127;
    case 'd':
        return digit;
    case 'g':
        return graphic;
    case 'l':
        return lower;
    case 'p':
        return graphic && !lower && !upper && !digit;
    case 's':
        return c == ' ' || (c >= 9 && c <= 13);
    case 'u':
        return upper;
    case 'w':
        return lower || upper || digit;
    default:
        return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); /* x */
    }
}

/* What %LETTER stands for. */
static void include_escape(uint32_t set[8], char letter)
{
    char low = letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
    if (!low || !strchr("acdglpsuwx", low)) {
        include(set, (unsigned char)letter);
        return;
    }
    for (unsigned c = 0; c < 256; c++)
        if (in_class(low, c) == (low == letter))
            include(set, c);
}

/* [set] behind its bracket; returns what follows it. */
static const char *read_set(lua_State *L, const char *p, const char *end, uint32_t set[8])
{
    bool negated = p < end && *p == '^';
    p += negated;
    for (bool first = true;; first = false) {
        if (p >= end)
            luaL_error(L, "malformed pattern (missing ']')");
        if (*p == ']' && !first)
            break;
        if (*p == '%') {
            if (p + 1 >= end)
                luaL_error(L, "malformed pattern (ends with '%%')");
            include_escape(set, p[1]);
            p += 2;
        } else if (end - p > 2 && p[1] == '-' && p[2] != ']') {
            for (unsigned c = (unsigned char)p[0]; c <= (unsigned char)p[2]; c++)
                include(set, c);
            p += 3;
        } else {
            include(set, (unsigned char)*p++);
        }
    }
    if (negated)
        for (int i = 0; i < 8; i++)
            set[i] = ~set[i];
    return p + 1;
}

static void compile(matcher *m, const char *p, size_t len, bool may_anchor)
{
    lua_State *L = m->L;
    const char *end = p + len;
    bool closed[MAX_CAPTURES] = {false};
    if (len > MAX_PATTERN)
        luaL_error(L, "pattern too long (%I bytes, at most %d)", (lua_Integer)len, MAX_PATTERN);
    m->items = m->few_items;
    m->frames = m->few_frames;
    if (len + 1 > FEW) {
        luaL_checkstack(L, 2, NULL);
        m->items = lua_newuserdatauv(L, (len + 1) * sizeof *m->items, 0);
        m->frames = lua_newuserdatauv(L, (len + 1) * sizeof *m->frames, 0);
    }
    m->captures = 0;
    m->anchored = may_anchor && p < end && *p == '^';
    p += m->anchored;
    item *it = m->items;
    for (; p < end; it++) {
        *it = (item){.kind = SINGLE};
        if (*p == '(') {
            if (m->captures >= MAX_CAPTURES)
                luaL_error(L, "too many captures");
            bool here = end - p > 1 && p[1] == ')';
            it->kind = here ? HERE : OPEN;
            closed[m->captures] = here;
            it->a = (unsigned char)m->captures++;
            p += here ? 2 : 1;
            continue;
        }
        if (*p == ')') {
            int open = m->captures;
            while (open > 0 && closed[open - 1])
                open--;
            if (open == 0)
                luaL_error(L, "invalid pattern capture");
            it->kind = CLOSE;
            it->a = (unsigned char)(open - 1);
            closed[open - 1] = true;
            p++;
            continue;
        }
        if (*p == '$' && p + 1 == end) {
            it->kind = END;
            p++;
            continue;
        }
        if (*p == '%' && end - p > 1 && p[1] == 'b') {
            if (end - p < 4)
                luaL_error(L, "malformed pattern (missing arguments to '%%b')");
            it->kind = BALANCE;
            it->a = (unsigned char)p[2];
            it->b = (unsigned char)p[3];
            p += 4;
            continue;
        }
        if (*p == '%' && end - p > 1 && p[1] == 'f') {
            if (end - p < 3 || p[2] != '[')
                luaL_error(L, "missing '[' after '%%f' in pattern");
            it->kind = FRONTIER;
            p = read_set(L, p + 3, end, it->set);
            continue;
        }
        if (*p == '%' && end - p > 1 && p[1] >= '0' && p[1] <= '9') {
            int back = p[1] - '1';
            if (back < 0 || back >= m->captures || !closed[back])
                luaL_error(L, "invalid capture index %%%d in pattern", back + 1);
            it->kind = BACK;
            it->a = (unsigned char)back;
            p += 2;
            continue;
        }
        if (*p == '[') {
            p = read_set(L, p + 1, end, it->set);
        } else if (*p == '%') {
            if (p + 1 >= end)
                luaL_error(L, "malformed pattern (ends with '%%')");
            include_escape(it->set, p[1]);
            p += 2;
        } else if (*p == '.') {
            memset(it->set, 0xFF, sizeof it->set);
            p++;
        } else {
            include(it->set, (unsigned char)*p++);
        }
        if (p < end && (*p == '*' || *p == '+' || *p == '-' || *p == '?'))
            it->repeat = *p++;
    }
    for (int i = 0; i < m->captures; i++)
        if (!closed[i])
            luaL_error(L, "unfinished capture");
    it->kind = ACCEPT;
}

static void begin(matcher *m, lua_State *L, int subject, int pattern, bool may_anchor)
{
    size_t len;
    m->L = L;
    const char *p = luaL_checklstring(L, pattern, &len);
    m->subject = luaL_checklstring(L, subject, &m->len);
    m->steps = 0;
    m->most = BASE_STEPS + 8 * (int64_t)m->len;
    compile(m, p, len, may_anchor);
}

static void count(matcher *m, size_t n)
{
    int64_t before = m->steps;
    m->steps += (int64_t)n;
    if (m->steps / POLL != before / POLL)
        dv_sandbox_step(m->L, m->steps - before > POLL ? m->steps - before : POLL);
    if (m->steps > m->most)
        luaL_error(m->L, "the pattern takes too many steps on a text of %I bytes", (lua_Integer)m->len);
}

/* How many bytes from S on are in SET. */
static size_t span(const matcher *m, const uint32_t set[8], size_t s)
{
    size_t n = 0;
    while (s + n < m->len && in_set(set, m->subject[s + n]))
        n++;
    return n;
}

/* The end of a balanced part that begins at S, or SIZE_MAX. */
static size_t balanced(matcher *m, const item *it, size_t s)
{
    if (s >= m->len || (unsigned char)m->subject[s] != it->a)
        return SIZE_MAX;
    size_t depth = 1;
    for (size_t e = s + 1; e < m->len; e++) {
        unsigned char c = (unsigned char)m->subject[e];
        if (c == it->b) {
            if (--depth == 0) {
                count(m, e - s);
                return e + 1;
            }
        } else if (c == it->a) {
            depth++;
        }
    }
    count(m, m->len - s);
    return SIZE_MAX;
}

/* Matches at S; *END is where it ended. */
static bool match_at(matcher *m, size_t s, size_t *end)
{
    const item *items = m->items;
    frame *stack = m->frames;
    int depth = 0, at = 0;
    for (;;) {
        const item *it = &items[at];
        bool ok = true;
        size_t n;
        count(m, 1);
        switch (it->kind) {
        case SINGLE:
            switch (it->repeat) {
            case '*':
            case '+':
                n = span(m, it->set, s);
                count(m, n);
                if (it->repeat == '+' && n == 0) {
                    ok = false;
                    break;
                }
                if (n > (it->repeat == '+'))
                    stack[depth++] = (frame){.at = at, .kind = GREEDY, .s = s + n, .least = s + (it->repeat == '+')};
                s += n;
                break;
            case '-':
                stack[depth++] = (frame){.at = at, .kind = LAZY, .s = s};
                break;
            case '?':
                if (s < m->len && in_set(it->set, m->subject[s])) {
                    stack[depth++] = (frame){.at = at, .kind = SKIP, .s = s};
                    s++;
                }
                break;
            default:
                ok = s < m->len && in_set(it->set, m->subject[s]);
                s += ok;
            }
            break;
        case OPEN:
        case HERE:
        case CLOSE:
            stack[depth++] = (frame){.at = it->a, .kind = UNDO, .s = m->found[it->a].start, .len = m->found[it->a].len};
            if (it->kind == CLOSE) {
                m->found[it->a].len = (ptrdiff_t)(s - m->found[it->a].start);
            } else {
                m->found[it->a].start = s;
                m->found[it->a].len = it->kind == HERE ? POSITION : UNCLOSED;
            }
            break;
        case BACK:
            n = (size_t)m->found[it->a].len; /* of a position: larger than any rest, no match */
            ok = m->len - s >= n && memcmp(m->subject + m->found[it->a].start, m->subject + s, n) == 0;
            s += ok ? n : 0;
            count(m, ok ? n / 16 : 0);
            break;
        case BALANCE:
            n = balanced(m, it, s);
            ok = n != SIZE_MAX;
            s = ok ? n : s;
            break;
        case FRONTIER:
            ok = !in_set(it->set, s == 0 ? '\0' : m->subject[s - 1]) &&
                 in_set(it->set, s < m->len ? m->subject[s] : '\0');
            break;
        case END:
            ok = s == m->len;
            break;
        case ACCEPT:
            *end = s;
            return true;
        }
        if (ok) {
            at++;
            continue;
        }
        /* back to the last choice */
        for (bool resumed = false; !resumed;) {
            if (depth == 0)
                return false;
            count(m, 1);
            frame *f = &stack[depth - 1];
            switch (f->kind) {
            case UNDO:
                m->found[f->at].start = f->s;
                m->found[f->at].len = f->len;
                depth--;
                break;
            case GREEDY:
                s = --f->s;
                at = f->at + 1;
                if (f->s == f->least)
                    depth--;
                resumed = true;
                break;
            case LAZY:
                if (f->s < m->len && in_set(items[f->at].set, m->subject[f->s])) {
                    s = ++f->s;
                    at = f->at + 1;
                    resumed = true;
                } else {
                    depth--;
                }
                break;
            case SKIP:
                s = f->s;
                at = f->at + 1;
                depth--;
                resumed = true;
                break;
            }
        }
    }
}

/* Finds the first match from S on. */
static bool search(matcher *m, size_t s, size_t *start, size_t *end)
{
    for (;; s++) {
        if (match_at(m, s, end)) {
            *start = s;
            return true;
        }
        if (m->anchored || s >= m->len)
            return false;
    }
}

static void push_capture(matcher *m, int i, size_t start, size_t end)
{
    if (i >= m->captures) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, m->subject + start, end - start);
    } else if (m->found[i].len == POSITION) {
        lua_pushinteger(m->L, (lua_Integer)m->found[i].start + 1);
    } else {
        lua_pushlstring(m->L, m->subject + m->found[i].start, (size_t)m->found[i].len);
    }
}

static int push_captures(matcher *m, size_t start, size_t end, bool whole)
{
    int n = m->captures == 0 && whole ? 1 : m->captures;
    luaL_checkstack(m->L, n + 1, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, start, end);
    return n;
}

/* Offset of the argument INIT at INDEX; past len + 1: SIZE_MAX. */
static size_t start_of(lua_State *L, int index, size_t len)
{
    lua_Integer init = luaL_optinteger(L, index, 1);
    if (init > 0)
        return (lua_Unsigned)init - 1 > len ? SIZE_MAX : (size_t)init - 1;
    if (init == 0 || init < -(lua_Integer)len)
        return 0;
    return len - (size_t)-init;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t len, n, start, end;
    const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &n);
    size_t from = start_of(L, 3, len);
    if (from == SIZE_MAX) {
        lua_pushnil(L);
        return 1;
    }
    bool plain = find && lua_toboolean(L, 4);
    if (find && !plain) {
        plain = true;
        for (size_t i = 0; plain && i < n; i++)
            plain = !p[i] || !strchr("^$*+?.([%-", p[i]);
    }
    if (plain) {
        dv_sandbox_step(L, (int64_t)(len - from) / 64);
        const char *at = memmem(s + from, len - from, p, n);
        if (!at) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, at - s + 1);
        lua_pushinteger(L, at - s + (lua_Integer)n);
        return 2;
    }
    matcher m;
    begin(&m, L, 1, 2, true);
    if (!search(&m, from, &start, &end)) {
        lua_pushnil(L);
        return 1;
    }
    if (!find)
        return push_captures(&m, start, end, true);
    lua_pushinteger(L, (lua_Integer)start + 1);
    lua_pushinteger(L, (lua_Integer)end);
    return 2 + push_captures(&m, start, end, false);
}

static int string_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, where to go on, end of the last match or -1. */
static int next_match(lua_State *L)
{
    matcher m;
    size_t start, end;
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    begin(&m, L, 1, 2, false);
    size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    while (from <= m.len && search(&m, from, &start, &end)) {
        if ((lua_Integer)end == last) { /* an empty match just behind the last one */
            from = start + 1;
            continue;
        }
        lua_pushinteger(L, (lua_Integer)end);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_copy(L, -1, lua_upvalueindex(4));
        return push_captures(&m, start, end, true);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    size_t len;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t from = start_of(L, 3, len);
    lua_settop(L, 2);
    lua_pushinteger(L, from == SIZE_MAX ? (lua_Integer)len + 1 : (lua_Integer)from);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, next_match, 4);
    return 1;
}

static void add_replacement(matcher *m, dv_luabuf *b, int type, size_t start, size_t end)
{
    lua_State *L = m->L;
    size_t len;
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        const char *r = lua_tolstring(L, 3, &len), *stop = r + len;
        while (r < stop) {
            const char *percent = memchr(r, '%', (size_t)(stop - r));
            dv_luabuf_add(b, r, (size_t)((percent ? percent : stop) - r));
            if (!percent)
                break;
            r = percent + 1;
            if (r < stop && *r == '%') {
                dv_luabuf_add(b, "%", 1);
            } else if (r < stop && *r == '0') {
                dv_luabuf_add(b, m->subject + start, end - start);
            } else if (r < stop && *r >= '1' && *r <= '9') {
                push_capture(m, *r - '1', start, end);
                const char *s = lua_tolstring(L, -1, &len);
                dv_luabuf_add(b, s, len);
                lua_pop(L, 1);
            } else {
                luaL_error(L, "invalid use of '%%' in replacement string");
            }
            r++;
        }
        return;
    }
    if (type == LUA_TTABLE) {
        push_capture(m, 0, start, end);
        lua_gettable(L, 3);
    } else {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, start, end, true), 1);
    }
    if (!lua_toboolean(L, -1)) {
        dv_luabuf_add(b, m->subject + start, end - start);
    } else if (lua_isstring(L, -1)) {
        const char *s = lua_tolstring(L, -1, &len);
        dv_luabuf_add(b, s, len);
    } else {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    lua_pop(L, 1);
}

static int string_gsub(lua_State *L)
{
    matcher m;
    size_t len, from = 0, start, end, last = SIZE_MAX;
    luaL_checklstring(L, 1, &len);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
                     "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)len + 1), n = 0;
    lua_settop(L, 4);
    begin(&m, L, 1, 2, true);
    dv_luabuf b;
    dv_luabuf_init(&b, L);
    while (n < most && from <= m.len && search(&m, from, &start, &end)) {
        if (end == last) { /* an empty match just behind the last one */
            if (start >= m.len)
                break;
            dv_luabuf_add(&b, m.subject + from, start + 1 - from);
            from = start + 1;
            last = SIZE_MAX;
            if (m.anchored)
                break;
            continue;
        }
        dv_luabuf_add(&b, m.subject + from, start - from);
        add_replacement(&m, &b, type, start, end);
        from = last = end;
        n++;
        if (m.anchored)
            break;
    }
    if (from < m.len)
        dv_luabuf_add(&b, m.subject + from, m.len - from);
    dv_luabuf_push(&b);
    lua_pushinteger(L, n);
    return 2;
}

void dv_pattern_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch}, {"gsub", string_gsub}, {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
