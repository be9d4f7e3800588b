/* rules_fixture.h: a share folder with the smallest scripts/main.lua that there can be, and a site's folder beside it.
 * A rule is rule "id" (function(ds, ctx) ... return verdict, reason end)
 */
#ifndef RULES_FIXTURE_H
#define RULES_FIXTURE_H

#include "base/clock.h"
#include "base/file.h"
#include "rules/rules.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char root[64], share[80], site[80];
static dv_error err;

static const char main_lua[] =
    "local M, rules, ids = {}, {}, {}\n"
    "function M.environment(path, origin)\n"
    "  local env = { rule = function(id) return function(run)\n"
    "    if ids[id] then ids[id].run = run return end\n"
    "    ids[id] = { id = id, run = run } rules[#rules + 1] = ids[id]\n"
    "  end end }\n"
    "  for k, v in pairs(safe) do env[k] = v end\n"
    "  return setmetatable(env, { __newindex = function(_, k) error(\"undeclared global '\" .. k .. \"'\", 2) end })\n"
    "end\n"
    "function M.finish()\n"
    "  if ids.wrong then return { { file = 'rules/a.lua', line = 7, message = 'a wrong rule' } } end\n"
    "end\n"
    "function M.run(ds, ctx)\n"
    "  for i = 1, #rules do\n"
    "    local v, why = rules[i].run(ds, ctx)\n"
    "    if v then return v, 'mapping', 'mapping/' .. rules[i].id, why end\n"
    "  end\n"
    "end\n"
    "return M\n";

static void put(const char *folder, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!dv_file_replace(path, dv_text_of(text), 0644, &err))
        fail_msg("%s", err.message);
}

static void drop(const char *folder, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static int make_folders(void **state)
{
    (void)state;
    char scripts[100], shipped[100];
    snprintf(root, sizeof root, "/tmp/dv-rules-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(share, sizeof share, "%s/share", root);
    snprintf(site, sizeof site, "%s/rules", root);
    snprintf(scripts, sizeof scripts, "%s/scripts", share);
    snprintf(shipped, sizeof shipped, "%s/rules", share);
    if (!dv_mkdirs(scripts, 0755, &err) || !dv_mkdirs(shipped, 0755, &err) || !dv_mkdirs(site, 0755, &err))
        return -1;
    put(scripts, "main.lua", main_lua);
    return 0;
}

static int remove_folders(void **state)
{
    (void)state;
    return dv_remove_tree(root, NULL) ? 0 : -1;
}

static dv_rules *open_rules(void)
{
    dv_rules *rules = dv_rules_open(&(dv_rules_options){.share = share, .site = site, .states = 2}, &err);
    if (!rules)
        fail_msg("%s", err.message);
    return rules;
}

/* Runs the rules over an empty dataset; the outcome's texts live until the next call of this thread. */
static dv_outcome run(dv_rules *rules)
{
    static _Thread_local dv_arena arena;
    static const dv_context ctx = {0};
    dv_outcome out;
    dv_error e;
    dv_arena_free(&arena);
    dv_arena_init(&arena, 0);
    dv_dataset *ds = dv_dataset_new(&arena, (dv_encoding){0}, &e);
    if (!ds || !dv_rules_run(rules, ds, &ctx, &arena, &out, &e))
        fail_msg("%s", e.message);
    static _Thread_local char reason[600], rule[100], file[100];
    dv_text_copy(out.reason, reason, sizeof reason);
    dv_text_copy(out.rule, rule, sizeof rule);
    dv_text_copy(out.file, file, sizeof file);
    out.reason = dv_text_of(reason);
    out.rule = dv_text_of(rule);
    out.file = dv_text_of(file);
    dv_arena_free(&arena);
    return out;
}

static const char *refusal(dv_rules *rules)
{
    static char text[2048];
    return dv_rules_last_refusal(rules, text, sizeof text) ? text : "";
}

#endif
