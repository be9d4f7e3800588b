/* Patterns: Lua's, compared with the stock library on a table and on chance; PCRE2 with its limits. */
#include "rules/pattern.h"
#include "rules/sandbox.h"
#include "base/clock.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static lua_State *ours, *stock;

static int open_native(lua_State *L)
{
    lua_settop(L, 1); /* an environment */
    lua_newtable(L);
    dv_regex_open(L);
    lua_setfield(L, 1, "native");
    return 1;
}

static int new_environment(lua_State *L)
{
    dv_sandbox_push_trusted(L);
    return 1;
}

/* Compiles TEXT, sets it running, and gives what it returned or "! error". */
static const char *in_ours(const char *text)
{
    static char out[4096];
    dv_error err;
    dv_sandbox_fault fault;
    lua_State *L = ours;
    lua_settop(L, 0);
    lua_pushcfunction(L, open_native);
    lua_pushcfunction(L, new_environment);
    assert_int_equal(lua_pcall(L, 0, 1, 0), LUA_OK);
    assert_int_equal(lua_pcall(L, 1, 1, 0), LUA_OK);
    if (!dv_sandbox_load(L, dv_text_of(text), "@rules/p.lua", &err))
        fail_msg("%s: %s", text, err.message);
    dv_sandbox_seal(L);
    if (dv_sandbox_call(L, 0, 1, &fault))
        snprintf(out, sizeof out, "%s", dv_sandbox_tolstring(L, -1, NULL));
    else
        snprintf(out, sizeof out, "! %s", fault.message);
    lua_settop(L, 0);
    return out;
}

static const char *in_stock(const char *text)
{
    static char out[4096];
    lua_settop(stock, 0);
    if (luaL_dostring(stock, text) == LUA_OK)
        snprintf(out, sizeof out, "%s", luaL_tolstring(stock, -1, NULL));
    else
        snprintf(out, sizeof out, "! error");
    return out;
}

static void expect(const char *text, const char *wanted)
{
    const char *got = in_ours(text);
    if (strcmp(got, wanted) != 0)
        fail_msg("%s\n  gives %s, wanted %s", text, got, wanted);
}

static const char all[] =
    "local function all(...) local t = {} for i = 1, select('#', ...) do t[i] = tostring((select(i, ...))) end "
    "return table.concat(t, '|') end ";

/* Both libraries say the same; that something is an error, not its words, has to agree. */
static void same(const char *call, bool strict)
{
    char text[1500];
    snprintf(text, sizeof text, "%sreturn all(%s)", all, call);
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", in_ours(text));
    const char *wanted = in_stock(text);
    if (!strict && kept[0] == '!' && (strstr(kept, "capture") || strstr(kept, "pattern")))
        return; /* ours checks the whole pattern first, Lua only as far as it gets */
    if (!(kept[0] == '!' && wanted[0] == '!') && strcmp(kept, wanted) != 0)
        fail_msg("%s\n  gives %s, Lua gives %s", call, kept, wanted);
}

static void lua_patterns_match_as_lua_matches(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "('hello world'):find('o w')",
        "('hello world'):find('l+')",
        "('hello'):find('xyz')",
        "('hello'):find('')",
        "('hello'):find('', 10)",
        "('hello'):find('l', -2)",
        "('a.b'):find('.', 2, true)",
        "('a+b'):find('+', 1, true)",
        "('hello'):match('^(h)(.-)(o)$')",
        "('key = value'):match('^(%w+)%s*=%s*(%w+)$')",
        "('  trim  '):match('^%s*(.-)%s*$')",
        "('abc'):match('()b()')",
        "('2024-01-31'):match('(%d+)-(%d+)-(%d+)')",
        "('THE (quick) fox'):find('%((%a+)%)')",
        "('f(a(b)c)d'):match('%b()')",
        "('THE (quick) fox'):gsub('%f[%a]%a+', string.lower)",
        "('hello world'):gsub('o', '0')",
        "('hello'):gsub('', '-')",
        "('abc'):gsub('%w', '%0%0')",
        "('hello world'):gsub('(%w+) (%w+)', '%2 %1')",
        "('abc'):gsub('b', {b = 'X'})",
        "('abc'):gsub('.', {a = 1, b = false})",
        "('abc'):gsub('%w', function(c) if c == 'b' then return 'X' end end)",
        "('abc'):gsub('b', '%%')",
        "('abc'):gsub('b', '%')",
        "('abc'):gsub('b', '%2')",
        "('abc'):gsub('b', {b = {}})",
        "('aaa'):gsub('a', 'b', 2)",
        "('aaa'):gsub('^a', 'b')",
        "('abc'):gsub('x*', '-')",
        "(''):gsub('', 'x')",
        "(''):gsub('^', 'x')",
        "('abc'):gsub('$', 'x')",
        "('a$b'):gsub('$b', 'x')",
        "('a^b'):find('a^b')",
        "('x]y'):find('[]]')",
        "('x-y'):find('[a-]')",
        "('x^y'):find('[x^]+')",
        "('abc'):find('[^%s]+')",
        "('a]b'):find('[^]]')",
        "('abc'):find('[a-c]+')",
        "('abc'):find('[%a-z]+')",
        "('a-z'):find('[%a-]+')",
        "('abab'):match('(ab)%1')",
        "('abac'):match('(ab)%1')",
        "('x'):match('%1')",
        "('x'):match('(x')",
        "('x'):match('x)')",
        "('x'):match('%')",
        "('x'):match('[x')",
        "('x'):match('[x%')",
        "('x'):match('%f')",
        "('x'):match('%b')",
        "('x'):match('%bx')",
        "('a'):match('a-')",
        "('aaa'):match('a-$')",
        "('aaa'):match('a?a?a?a?$')",
        "('(a)*'):match('(%(a%)*)')",
        "('x*'):match('(x)*')",
        "('\\0a\\0'):find('\\0', 2)",
        "('\\0a\\0'):match('%z*')",
        "('\\xe4'):match('[\\xe0-\\xff]')",
        "('a\\nb'):match('a.b')",
        "('%d'):match('%%d')",
        "('x'):rep(50):match(('(x)'):rep(33))",
        "('abc'):match('.', 2)",
        "('abc'):match('^b', 2)",
        "('abc'):find('b', 1, true)",
        "('a,b,,c'):gsub(',', ';')",
        "('one two'):match('(%a+) (%a+)')",
        "('0x1F'):match('%x+', 3)",
        "('A1 b2'):gsub('%u%d', '')",
        "('a.b.c'):gsub('%.', '/')",
        "('Hello'):gsub('%l', '.')",
        "('x  y'):gsub('%s+', ' ')",
        "('a;b'):match('%p')",
        "('ab1'):match('%D+')",
        "('ab1'):match('%A')",
        "('\\t '):match('%C')",
        "('abc'):find('c', -1)",
        "('abc'):find('a', -10)",
        "('abc'):gsub('(b)()', '%2')",
        "('abc'):match('()()()')",
        "('aXb'):match('()()')",
        "('ab'):match('(a)(b)(c?)')",
        "('x'):find('x', 2)",
        "('x'):find('x', 3)",
        "('123'):gsub('%d', 7)",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        same(calls[i], true);
    same("(function(s) local o = {} for a, b in s:gmatch('(%w)=(%w)') do o[#o + 1] = a .. b end return table.concat(o, "
         "',') end)('a=1, b=2')",
         true);
    same("(function(s) local o = {} for a in s:gmatch('%a*') do o[#o + 1] = '<' .. a .. '>' end return table.concat(o) "
         "end)('ab cd')",
         true);
    same("(function(s) local o = {} for a in s:gmatch('()') do o[#o + 1] = a end return table.concat(o, ',') "
         "end)('abc')",
         true);
    same("(function(s) local o = {} for a in s:gmatch('a', 2) do o[#o + 1] = a end return #o end)('aaa')", true);
}

static uint32_t seed;

static uint32_t chance(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void patterns_made_by_chance_match_as_lua_matches(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",  "b",  ".",    "%a",    "%d", "[ab]", "[^a]", "(",     ")",
                                        "()", "%1", "%b()", "%f[a]", "$",  "^",    "x",    "[a-c]", "%%"};
    static const char repeats[] = "*+-?";
    seed = (uint32_t)dv_wall_us();
    print_message("seed %u\n", seed);
    for (int i = 0; i < 4000; i++) {
        char pattern[120] = "", subject[40] = "", call[300];
        for (uint32_t n = chance(7); n > 0; n--) {
            size_t len = strlen(pattern);
            snprintf(pattern + len, sizeof pattern - len, "%s", parts[chance(sizeof parts / sizeof *parts)]);
            len = strlen(pattern);
            if (chance(3) == 0)
                snprintf(pattern + len, sizeof pattern - len, "%c", repeats[chance(4)]);
        }
        for (uint32_t n = chance(12); n > 0; n--) {
            size_t len = strlen(subject);
            snprintf(subject + len, sizeof subject - len, "%c", "aabbc1(x)"[chance(9)]);
        }
        static const char *const forms[] = {"('%s'):find('%s')", "('%s'):match('%s')", "('%s'):gsub('%s', '<%%0>')"};
        const char *form = forms[chance(3)];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(call, sizeof call, form, subject, pattern);
#pragma GCC diagnostic pop
        same(call, false);
    }
}

static void a_pattern_that_takes_too_many_steps_is_refused(void **state)
{
    (void)state;
    expect("return ('a'):rep(300):find(('.-'):rep(8) .. 'b')",
           "! the pattern takes too many steps on a text of 300 bytes");
    expect("return ('x'):find(('a'):rep(5000) .. '.')", "! pattern too long (5001 bytes, at most 4096)");
    expect("return #('a'):rep(1e5):match('a*')", "100000");
    expect("return #('ab'):rep(1e5):gsub('a', '')", "100000");
}

static void pcre_finds_and_replaces(void **state)
{
    (void)state;
    expect("return table.concat({native.regex_find('(\\\\d+)-(\\\\d+)', 'ab12-34')}, '|')", "3|7|12|34");
    expect("return native.regex_find('x', 'abc')", "nil");
    expect("return (select(4, native.regex_find('(a)|(b)', 'a')))", "false");
    expect("return native.regex_test('^A\\\\d{3}$', 'A123')", "true");
    expect("return native.regex_test('^A\\\\d{3}$', 'A123\\n')", "false"); /* $ is the end, not a line's */
    expect("return native.regex_test('^\\xc3\\xa4.$', '\\xc3\\xa4\\xc3\\xb6')", "true"); /* characters, not bytes */
    expect("return native.regex_test('(?i)\\xc3\\x84', '\\xc3\\xa4')", "true");
    expect("return (native.regex_replace('(\\\\w)(\\\\w)', 'abcd e', '$2${1}'))", "badc e");
    expect("return (native.regex_replace('(?<year>\\\\d{4})', 'in 1999', '<${year}$0$&$$>'))", "in <199919991999$>");
    expect("return (native.regex_replace('x*', 'abc', '-'))", "-a-b-c-");
    expect("return (native.regex_replace('x*', '\\xc3\\xa4', '-'))", "-\xc3\xa4-");
    expect("return select(2, native.regex_replace('a', 'banana', 'o'))", "3");
    expect("return select(2, native.regex_replace('z', 'banana', 'o'))", "0");
    expect("local re = native.regex_compile 'a' return tostring(re == native.regex_compile 'a') .. "
           "native.regex_replace(re, 'a', 'b')",
           "trueb");
}

static void pcre_says_what_is_wrong_with_a_pattern(void **state)
{
    (void)state;
    expect("return select(2, native.regex_compile '(a')", "missing closing parenthesis at offset 2");
    expect("return select(2, native.regex_compile '\\xff')", "UTF-8 error: illegal byte (0xfe or 0xff) at offset 0");
    expect("return (native.regex_compile(('a'):rep(5000)))", "nil");
    expect("return (native.regex_compile('(((a{1,1000}){1,1000}){1,1000})'))", "nil");
    expect("return select(2, native.regex_compile [[\\C]]) ~= nil", "true");
    expect("return native.regex_check('(a)', '$1$0')", "nil");
    expect("return native.regex_check('(a)', '$2')", "the pattern has no group '2'");
    expect("return native.regex_check('(a)', '${name}')", "the pattern has no group 'name'");
    expect("return native.regex_check('(a)', 'cost $')",
           "a '$' in a replacement is followed by a group's number, {name} or another '$'");
    expect("return native.regex_test('(a', 'a')", "! bad pattern: missing closing parenthesis at offset 2");
    expect("return native.regex_test({}, 'a')", "! bad argument #1 to 'regex_test' (regex expected, got table)");
}

static void pcre_is_not_brought_down_by_bytes_that_are_no_text(void **state)
{
    (void)state;
    expect("return native.regex_test('a', '\\xff\\xfea')", "true");
    expect("return native.regex_test('.', '\\xff\\x80\\x80')", "false");
    expect("return (native.regex_replace('.', '\\xffa\\x80', 'x'))", "\xffx\x80");
    expect("return #(native.regex_replace('x*', ('\\x80'):rep(1000), ''))", "1000");
}

static void pcre_patterns_that_explode_are_ended(void **state)
{
    (void)state;
    static const char *const bombs[] = {
        "native.regex_test('(a+)+$', ('a'):rep(40) .. 'b')",
        "native.regex_test('(a|aa)+$', ('a'):rep(60000) .. 'b')",
        "native.regex_test('(.*)*x(.*)*y(.*)*z', ('ab'):rep(30000))",
        "native.regex_test('^(?:(?:a?){50}){50}b', ('a'):rep(3000))",
        "native.regex_test('(?=(a+))*?\\\\1b', ('a'):rep(60000))",
        "native.regex_replace('a*?b|', ('a'):rep(60000), 'xx')",
        "native.regex_test('((?R)|a)*b', ('a'):rep(1000))",
        "while true do native.regex_test('.*x', ('a'):rep(60000)) end",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        int64_t start = dv_mono_ms();
        in_ours(bombs[i]); /* an answer or an error, soon */
        if (dv_mono_ms() - start > 1000)
            fail_msg("%s\n  took %lld ms", bombs[i], (long long)(dv_mono_ms() - start));
    }
}

static int open_states(void **state)
{
    (void)state;
    dv_error err;
    ours = dv_sandbox_new(NULL, &err);
    stock = luaL_newstate();
    luaL_openlibs(stock);
    return ours ? 0 : -1;
}

static int close_states(void **state)
{
    (void)state;
    dv_sandbox_free(ours);
    lua_close(stock);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lua_patterns_match_as_lua_matches),
        cmocka_unit_test(patterns_made_by_chance_match_as_lua_matches),
        cmocka_unit_test(a_pattern_that_takes_too_many_steps_is_refused),
        cmocka_unit_test(pcre_finds_and_replaces),
        cmocka_unit_test(pcre_says_what_is_wrong_with_a_pattern),
        cmocka_unit_test(pcre_is_not_brought_down_by_bytes_that_are_no_text),
        cmocka_unit_test(pcre_patterns_that_explode_are_ended),
    };
    return cmocka_run_group_tests(tests, open_states, close_states);
}
