/* The sandbox holds: nothing but the allow-list is reachable, and whatever runs away ends within twice its limit. */
#include "rules/sandbox.h"
#include "rules/watchdog.h"
#include "base/limits.h"

#include <lauxlib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1 /* it delivers signals only at its own calls: a loop that calls nothing would never end */
#else
#define UNDER_TSAN 0
#endif

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

typedef struct result {
    bool loaded, ok;
    dv_sandbox_fault fault;
    dv_error err;
    double ms;      /* of this thread */
    char text[256]; /* what it returned, as text */
} result;

static int make(lua_State *L)
{
    dv_sandbox_push_safe(L);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 1);) { /* the environment of a rule file: a copy */
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, 2);
    }
    return 1;
}

static result run_in(lua_State *L, const char *text)
{
    result r = {0};
    lua_settop(L, 0);
    lua_pushcfunction(L, make);
    assert_int_equal(lua_pcall(L, 0, 1, 0), LUA_OK);
    r.loaded = dv_sandbox_load(L, dv_text_of(text), "@rules/test.lua", &r.err);
    if (!r.loaded)
        return r;
    dv_sandbox_seal(L);
    double start = cpu_ms();
    r.ok = dv_sandbox_call(L, 0, 1, &r.fault);
    r.ms = cpu_ms() - start;
    if (r.ok) {
        const char *s = dv_sandbox_tolstring(L, -1, NULL);
        snprintf(r.text, sizeof r.text, "%s", s);
    }
    assert_true(lua_gettop(L) == (r.ok ? 2 : 0));
    lua_settop(L, 0);
    return r;
}

static result run_limited(const char *text, const dv_sandbox_limits *limits)
{
    dv_error err;
    lua_State *L = dv_sandbox_new(limits, &err);
    assert_non_null(L);
    result r = run_in(L, text);
    dv_sandbox_free(L);
    return r;
}

static result run(const char *text)
{
    return run_limited(text, NULL);
}

static void expect(const char *text, const char *wanted)
{
    result r = run(text);
    if (!r.loaded || !r.ok || strcmp(r.text, wanted) != 0)
        fail_msg("%s\n  gives '%s' %s%s, wanted '%s'", text, r.text, r.err.message, r.fault.message, wanted);
}

static void expect_error(const char *text, const char *part)
{
    result r = run(text);
    if (r.ok || r.fault.kind != DV_RUN_ERROR || !strstr(r.fault.message, part))
        fail_msg("%s\n  gives ok=%d kind=%d '%s', wanted an error with '%s'", text, r.ok, r.fault.kind, r.fault.message,
                 part);
    assert_string_equal(r.fault.file, "rules/test.lua");
    assert_true(r.fault.line > 0);
}

/* ---- what is there ---- */

static void nothing_but_the_allow_list_is_reachable(void **state)
{
    (void)state;
    static const char *const absent[] = {
        "os",
        "io",
        "debug",
        "package",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "require",
        "print",
        "rawget",
        "rawset",
        "rawequal",
        "rawlen",
        "next",
        "_G",
        "collectgarbage",
        "setmetatable",
        "getmetatable",
        "coroutine",
        "warn",
        "xpcall",
        "_VERSION",
        "string.dump",
        "string.pack",
        "string.unpack",
        "string.packsize",
        "table.move",
        "table.pack",
        "math.random",
        "math.randomseed",
    };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        char text[80];
        snprintf(text, sizeof text, "return %s", absent[i]);
        expect(text, "nil");
    }
    static const char *const present[] = {
        "string.byte",  "string.char",  "string.find",  "string.format",  "string.gmatch",  "string.gsub",
        "string.len",   "string.lower", "string.match", "string.rep",     "string.reverse", "string.sub",
        "string.upper", "table.concat", "table.insert", "table.remove",   "table.sort",     "table.unpack",
        "utf8.char",    "utf8.len",     "utf8.codes",   "utf8.codepoint", "utf8.offset",    "math.floor",
        "ipairs",       "pairs",        "type",         "tostring",       "tonumber",       "select",
        "error",        "assert",       "pcall",
    };
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) {
        char text[80];
        snprintf(text, sizeof text, "return type(%s)", present[i]);
        expect(text, "function");
    }
}

static void calls_of_what_is_absent_name_file_and_line(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "os.execute('true')",
        "io.open('/etc/passwd')",
        "debug.getregistry()",
        "load('return 1')()",
        "require 'os'",
        "string.dump(pcall)",
        "getmetatable('')",
        "rawset(string, 'x', 1)",
        "collectgarbage 'stop'",
        "_G.x = 1",
        "dofile 'x'",
        "package.loadlib()",
        "coroutine.wrap(pcall)()",
        "setmetatable({}, {__gc = 1})",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char text[120];
        snprintf(text, sizeof text, "\n\n%s", calls[i]);
        result r = run(text);
        assert_true(r.loaded && !r.ok);
        assert_int_equal(r.fault.kind, DV_RUN_ERROR);
        assert_string_equal(r.fault.file, "rules/test.lua");
        assert_int_equal(r.fault.line, 3);
        assert_non_null(strstr(r.fault.message, "nil value"));
    }
}

static void binary_chunks_are_refused(void **state)
{
    (void)state;
    result r = run("\x1bLua");
    assert_false(r.loaded);
    assert_int_equal(r.err.code, DV_ERR_RULE_LOAD);
}

static void a_syntax_error_names_file_and_line(void **state)
{
    (void)state;
    result r = run("local a = 1\nlocal = 2");
    assert_false(r.loaded);
    assert_non_null(strstr(r.err.message, "rules/test.lua:2:"));
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    expect("\xEF\xBB\xBFreturn 1", "1");
}

static void libraries_and_the_string_metatable_are_read_only(void **state)
{
    (void)state;
    expect_error("string.format = 1", "read-only");
    expect_error("string.evil = 1", "read-only");
    expect_error("table.insert(string, 1)", "read-only");
    expect_error("table.sort(math)", "read-only");
    expect_error("(''):x()", "nil value");
    expect_error("local s = 'x' s.rep = 1",
                 "attempt to index a string value"); /* no __newindex: a string takes nothing */
}

static void error_objects_that_are_tables_run_no_code(void **state)
{
    (void)state;
    expect_error("error({})", "raised a table");
    expect_error("error()", "raised a nil");
    expect_error("error(function() end)", "raised a function");
    expect("local ok, e = pcall(error, {code = 7}) return e.code", "7");
}

static void nothing_shows_an_address(void **state)
{
    (void)state;
    expect("return tostring({})", "table");
    expect("return tostring(pcall)", "function");
    expect("return tostring(string)", "table");
    expect("return ('%s'):format(string.find)", "function");
    expect_error("return ('%p'):format({})", "invalid conversion");
}

static void pairs_goes_by_sorted_keys(void **state)
{
    (void)state;
    expect("local o = {} for k, v in pairs{b = 1, a = 2, [10] = 3, [-1] = 4, 'x', [2.5] = 5, [true] = 6} do o[#o + 1] "
           "= tostring(k) end "
           "return table.concat(o, ' ')",
           "-1 1 2.5 10 a b true");
    expect("local t, o = {a = 1, b = 2, c = 3}, {} for k in pairs(t) do o[#o + 1] = k t.b = nil end return "
           "table.concat(o)",
           "ac");
    expect("for k in pairs{} do return k end", "nil");
    expect_error("for k in pairs{[{}] = 1} do end", "has no order");
}

static void the_library_does_what_the_manual_says(void **state)
{
    (void)state;
    expect("return ('ab'):rep(3, '-')", "ab-ab-ab");
    expect("return ('ab'):rep(0) .. ('x'):rep(-1) .. (''):rep(1000000000)", "");
    expect("return ('aBc'):upper() .. ('aBc'):lower() .. ('abc'):reverse()", "ABCabccba");
    expect("return ('%d|%5.2f|%-4s|%04x|%c|%s|%%|%g|%i'):format(7, 1.234, 'ab', 255, 65, nil, 0.5, 3)",
           "7| 1.23|ab  |00ff|A|nil|%|0.5|3");
    expect("return ('%.3s|%5s'):format('abcdef', 'x')", "abc|    x");
    expect("return #('%s'):format(('x'):rep(1000))", "1000");
    expect("return table.concat({1, 2, 'c'}, ',') .. table.concat({}, 'x') .. table.concat({'a', 'b', 'c'}, '', 2, 3)",
           "1,2,cbc");
    expect("local t = {1, 3} table.insert(t, 2, 2) table.insert(t, 4) return table.concat(t) .. table.remove(t) .. "
           "table.remove(t, 1) .. #t",
           "1234412");
    expect("return table.remove({})", "nil");
    expect("return select('#', table.unpack({1, nil, 3}, 1, 3))", "3");
    expect("local t = {5, 3, 9, 1} table.sort(t) return table.concat(t)", "1359");
    expect("local t = {'b1', 'a1', 'b2', 'a2'} table.sort(t, function(a, b) return a:sub(1, 1) < b:sub(1, 1) end) "
           "return table.concat(t)",
           "a1a2b1b2"); /* stable */
    expect("local n = 0 for i, v in ipairs{4, 5, nil, 6} do n = n + v end return n", "9");
    expect("return tostring(pcall(error, 'x'))", "false");
    expect("return select(2, pcall(function() return 1, 2 end))", "1");
    expect("return math.type(1) .. math.floor(2.5) .. utf8.len('äö') .. utf8.char(228)", "integer22ä");
    expect_error("table.concat({{}})", "invalid value (a table) at index 1");
    expect_error("table.insert({}, 5, 1)", "position out of bounds");
    expect_error("table.insert({}, 1, 2, 3)", "wrong number of arguments");
    expect_error("table.sort({1, 'x'})", "attempt to compare");
    expect_error("return ('%d'):format('x')", "number expected");
    expect_error("return ('%'):format()", "invalid conversion");
    expect_error("return ('%d'):format()", "no value");
}

/* ---- what runs away ---- */

typedef struct bomb {
    const char *text;
    unsigned may; /* kinds that end it, a bit each; bit 0: it just ends */
} bomb;

#define ENDS   (1u << DV_RUN_OK)
#define ERRS   (1u << DV_RUN_ERROR)
#define TIME   (1u << DV_RUN_TIME)
#define MEMORY (1u << DV_RUN_MEMORY)

static const bomb bombs[] = {
    {"while true do end", TIME},
    {"local function f() return f() end f()", TIME},
    {"while true do pcall(function() while true do end end) end", TIME},
    {"local function loop() while true do end end while true do pcall(pcall, loop) end", TIME},
    {"while true do pcall(error) end", TIME},
    {"for i = 1, math.huge do local x = i * 2 end", TIME},
    {"goto a ::a:: goto a", TIME},
    {"repeat local x <close> = nil until false", TIME},
    {"local a, b = ('x'):rep(8e6), ('x'):rep(8e6 - 1) .. 'y' while true do local c = a < b end", TIME | MEMORY},
    {"local s = ('x'):rep(4e6) while true do s:reverse() end", TIME},
    {"local s = ('x'):rep(4e6) while true do s:find('y', 1, true) end", TIME},
    {"local s = ('\\xff'):rep(4e6) while true do utf8.len(s, 1, -1, true) utf8.codepoint('x') end", TIME | ERRS},
    {"local t = {} for i = 1, 3e5 do t[i] = 3e5 - i end while true do table.sort(t) end", TIME},
    {"local t = {} for i = 1, 3e5 do t['k' .. i] = i end while true do for k in pairs(t) do end end", TIME | MEMORY},
    {"local t = {1} while true do table.insert(t, 1, 1) end", TIME},
    {"local t = {} for i = 1, 1e5 do t[i] = i end while true do table.unpack(t, 1, 9e4) end", TIME},
    {"string.rep('', 1 << 62)", ERRS},
    {"string.rep('x', 1 << 62)", ERRS},
    {"string.rep('x', 1 << 29)", MEMORY},
    {"string.rep('x', 1 << 20, ('y'):rep(1 << 20))", MEMORY},
    {"pcall(string.rep, 'x', 1 << 40) while true do end", MEMORY},
    {"('a'):rep(300):find(('.-'):rep(8) .. 'b')", ERRS},
    {"('a'):rep(1e6):find('.-b')", ERRS | TIME},
    {"('a'):rep(300):match(('a*'):rep(20) .. 'b')", ERRS},
    {"('('):rep(1e6):gsub('%b()', '')", ERRS | TIME},
    {"('a'):rep(1e5):gsub(('a?'):rep(100) .. ('a'):rep(100), '%0%0')", ENDS | ERRS | TIME | MEMORY},
    {"for w in ('a'):rep(1e6):gmatch('') do end while true do end", TIME},
    {"('x'):rep(1e6):gsub('.', ('y'):rep(1e4))", MEMORY | TIME},
    {"('x'):rep(1e6):gsub('', function() while true do end end)", TIME},
    {"table.concat({}, '', 1, 1 << 62)", ERRS},
    {"local t = {} for i = 1, 1e5 do t[i] = ('x'):rep(1000) end table.concat(t)", MEMORY | TIME},
    {"local s, t = ('x'):rep(1e6), {} for i = 1, 100 do t[i] = s end table.concat(t)", MEMORY | TIME},
    {"table.unpack({}, 1, 1e8)", ERRS},
    {"table.unpack({}, math.mininteger, math.maxinteger)", ERRS},
    {"string.byte(('x'):rep(1e7), 1, -1)", ERRS},
    {"select(-1, table.unpack({}, 1, 9e4))", ENDS},
    {"string.format('%99999999d', 1)", ERRS},
    {"string.format('%.99999f', 1)", ERRS},
    {"string.format('%99.99f', 1e308)", ENDS},
    {"string.format(('%s'):rep(100), table.unpack({}, 1, 99))", ERRS},
    {"local t = {3, 1, 2, 5, 4, 9, 8} table.sort(t, function() return true end)", ENDS},
    {"local t, n = {}, 0 for i = 1, 1000 do t[i] = i end table.sort(t, function() n = n + 1 return n % 3 == 0 end)",
     ENDS},
    {"local t = {3, 1, 2} table.sort(t, function(a, b) t[1] = nil t[3] = nil return a < b end)", ENDS | ERRS},
    {"table.sort({1, 2}, function() while true do end end)", TIME},
    {"table.sort({1, 2}, function() error 'x' end)", ERRS},
    {"utf8.codepoint('\\xff\\xff\\xff', 1, -1)", ERRS},
    {"for _, c in utf8.codes('a\\xff') do end", ERRS},
    {"utf8.offset('\\x80\\x80', 1)", ERRS},
    {"utf8.char(1 << 40)", ERRS},
    {"local function f() return 1 + f() end f()", ERRS | MEMORY},
    {"local function f() pcall(f) return f() end f()", TIME | ERRS | MEMORY},
    {"local function f(x) return pcall(f, x) end f()", ENDS | ERRS},
    {"local function f(...) return f(1, ...) end f()", ERRS | MEMORY | TIME},
    {"local function f() return ('x'):gsub('x', f) end f()", ERRS},
    {"local t = {} while true do t[#t + 1] = {} end", MEMORY | TIME},
    {"local s = 'x' while true do s = s .. s end", MEMORY | TIME},
    {"local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(1000) end end) end",
     MEMORY | TIME},
    {"local t = {} for i = 1, 1e9 do t[i] = function() return t end end", MEMORY | TIME},
    {"local s = ('x'):rep(1e7) while true do pcall(function() local t = {} for i = 1, 100 do t[i] = s .. i end end) "
     "end",
     MEMORY | TIME},
};

static bool is_infinite(const bomb *b)
{
    return b->may & TIME;
}

static void every_bomb_ends_within_twice_the_limit_and_names_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        if (UNDER_TSAN && is_infinite(&bombs[i]))
            continue;
        result r = run(bombs[i].text);
        if (!r.loaded || !((bombs[i].may | TIME) >> r.fault.kind & 1)) /* on a busy machine all may run into the time */
            fail_msg("%s\n  ends with kind %d '%s' %s", bombs[i].text, r.fault.kind, r.fault.message, r.err.message);
        if (r.ms > 2 * DV_RULE_MS)
            fail_msg("%s\n  took %.0f ms", bombs[i].text, r.ms);
        if (!r.ok && (strcmp(r.fault.file, "rules/test.lua") != 0 || r.fault.line != 1))
            fail_msg("%s\n  is placed at '%s':%d", bombs[i].text, r.fault.file, r.fault.line);
    }
}

static void a_state_works_again_after_each_bomb(void **state)
{
    (void)state;
    dv_error err;
    lua_State *L = dv_sandbox_new(&(dv_sandbox_limits){.time_ms = 10, .memory = 4 << 20}, &err);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        if (UNDER_TSAN && is_infinite(&bombs[i]))
            continue;
        run_in(L, bombs[i].text);
        dv_sandbox_limit(L, NULL); /* the sanitizers are slow */
        result r = run_in(L, "local n = 0 for i = 1, 100 do n = n + #('x'):rep(i) end return n");
        assert_true(r.ok);
        assert_string_equal(r.text, "5050");
        dv_sandbox_limit(L, &(dv_sandbox_limits){.time_ms = 10, .memory = 4 << 20});
    }
    dv_sandbox_free(L);
}

/* Lua halves its string table once a collection. */
static size_t settled(lua_State *L)
{
    for (int i = 0; i < 20; i++)
        dv_sandbox_collect(L);
    return dv_sandbox_used(L);
}

static void a_thousand_bombs_leave_memory_flat(void **state)
{
    (void)state;
    dv_error err;
    lua_State *L = dv_sandbox_new(&(dv_sandbox_limits){.time_ms = 2, .memory = 1 << 20}, &err);
    size_t count = sizeof bombs / sizeof *bombs, early = 0;
    for (size_t i = 0; i < 1000; i++) {
        const bomb *b = &bombs[i % count];
        if (!(UNDER_TSAN && is_infinite(b)))
            run_in(L, b->text);
        if (i == 2 * count)
            early = settled(L);
    }
    settled(L);
    if (dv_sandbox_used(L) > early + 4096)
        fail_msg("%zu bytes after 100 bombs, %zu after 1000", early, dv_sandbox_used(L));
    dv_sandbox_free(L);
}

static void a_run_within_its_limits_is_not_disturbed(void **state)
{
    (void)state;
    /* garbage far beyond the limit, little of it alive: collected in between */
    result r = run_limited("local n = 0 for i = 1, 2e4 do n = n + #(('x'):rep(500) .. i) end return n",
                           &(dv_sandbox_limits){.time_ms = 5000, .memory = 1 << 20});
    assert_true(r.ok);
    assert_string_equal(r.text, "10088894");
}

static void instructions_are_counted_exactly(void **state)
{
    (void)state;
    static const char text[] = "local n = 0 for i = 1, 1000 do n = n + i end return n";
    int64_t low = 1, high = 100000;
    while (low < high) { /* the least limit with which it passes */
        int64_t middle = (low + high) / 2;
        if (run_limited(text, &(dv_sandbox_limits){.instructions = middle}).ok)
            high = middle;
        else
            low = middle + 1;
    }
    for (int i = 0; i < 3; i++) {
        result r = run_limited(text, &(dv_sandbox_limits){.instructions = low - 1});
        assert_false(r.ok);
        assert_int_equal(r.fault.kind, DV_RUN_INSTRUCTIONS);
        assert_true(run_limited(text, &(dv_sandbox_limits){.instructions = low}).ok);
    }
    assert_in_range(low, 1000, 10000);
}

static void too_many_instructions_stick_and_count_the_steps_of_c(void **state)
{
    (void)state;
    dv_sandbox_limits limits = {.instructions = 100000};
    result r = run_limited("while true do pcall(function() while true do end end) end", &limits);
    assert_int_equal(r.fault.kind, DV_RUN_INSTRUCTIONS);
    r = run_limited("('a'):rep(300):find(('.-'):rep(8) .. 'b')", &limits);
    assert_int_equal(r.fault.kind, DV_RUN_INSTRUCTIONS);
    r = run_limited("pcall(string.find, ('a'):rep(300), ('.-'):rep(8) .. 'b') return 1", &limits);
    assert_int_equal(r.fault.kind, DV_RUN_INSTRUCTIONS);
}

static void the_innermost_rule_frame_is_named_not_a_script(void **state)
{
    (void)state;
    dv_error err;
    dv_sandbox_fault fault;
    lua_State *L = dv_sandbox_new(NULL, &err);
    lua_newtable(L);
    assert_true(dv_sandbox_load(L, DV_TEXT("return function(f) local x = f() end"), "@scripts/helper.lua", &err));
    assert_true(dv_sandbox_call(L, 0, 1, &fault));
    lua_newtable(L);
    assert_true(dv_sandbox_load(L, DV_TEXT("local call = ...\n\ncall(function()\n local a = nil + 1 end)"),
                                "@rules/a.lua", &err));
    lua_insert(L, 1);
    assert_false(dv_sandbox_call(L, 1, 0, &fault));
    assert_string_equal(fault.file, "rules/a.lua");
    assert_int_equal(fault.line, 4);
    assert_string_equal(fault.message, "attempt to perform arithmetic on a nil value");
    dv_sandbox_free(L);
}

/* Each thread's run ends by its own deadline, though all are watched by one thread; threads come and go. */
static void *bomb_thread(void *user)
{
    (void)user;
    for (int i = 0; i < 3; i++) {
        result r = run_limited("while true do end", &(dv_sandbox_limits){.time_ms = 20});
        if (r.fault.kind != DV_RUN_TIME)
            return "no time-out";
        r = run_limited("return 7", &(dv_sandbox_limits){.time_ms = 1000});
        if (!r.ok)
            return "the next run is disturbed";
    }
    return NULL;
}

static void many_threads_are_watched_at_once(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip();
    for (int round = 0; round < 3; round++) {
        pthread_t threads[6];
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, bomb_thread, NULL), 0);
        for (size_t i = 0; i < 6; i++) {
            void *why;
            pthread_join(threads[i], &why);
            if (why)
                fail_msg("%s", (char *)why);
        }
    }
}

static void trusted_scripts_get_metatables_but_no_finalizers(void **state)
{
    (void)state;
    dv_error err;
    dv_sandbox_fault fault;
    lua_State *L = dv_sandbox_new(NULL, &err);
    dv_sandbox_push_trusted(L);
    assert_true(dv_sandbox_load(
        L,
        DV_TEXT("local t = setmetatable({}, {__index = safe}) assert(t.string == string and next{} == nil)\n"
                "setmetatable({}, {__gc = pcall})"),
        "@scripts/x.lua", &err));
    assert_false(dv_sandbox_call(L, 0, 0, &fault));
    assert_string_equal(fault.message,
                        "scripts/x.lua:2: bad argument #2 to 'setmetatable' (finalizers are not to be had)");
    assert_string_equal(fault.file, "scripts/x.lua");
    dv_sandbox_free(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_the_allow_list_is_reachable),
        cmocka_unit_test(calls_of_what_is_absent_name_file_and_line),
        cmocka_unit_test(binary_chunks_are_refused),
        cmocka_unit_test(a_syntax_error_names_file_and_line),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(libraries_and_the_string_metatable_are_read_only),
        cmocka_unit_test(error_objects_that_are_tables_run_no_code),
        cmocka_unit_test(nothing_shows_an_address),
        cmocka_unit_test(pairs_goes_by_sorted_keys),
        cmocka_unit_test(the_library_does_what_the_manual_says),
        cmocka_unit_test(every_bomb_ends_within_twice_the_limit_and_names_its_place),
        cmocka_unit_test(a_state_works_again_after_each_bomb),
        cmocka_unit_test(a_thousand_bombs_leave_memory_flat),
        cmocka_unit_test(a_run_within_its_limits_is_not_disturbed),
        cmocka_unit_test(instructions_are_counted_exactly),
        cmocka_unit_test(too_many_instructions_stick_and_count_the_steps_of_c),
        cmocka_unit_test(the_innermost_rule_frame_is_named_not_a_script),
        cmocka_unit_test(many_threads_are_watched_at_once),
        cmocka_unit_test(trusted_scripts_get_metatables_but_no_finalizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
