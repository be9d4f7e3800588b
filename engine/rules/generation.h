/* generation.h: the text of a rule set, and the pool of ready states that was made from it.
 *
 *   folders or catalog ──dv_rule_set──> files, each with its SHA-256; the set's hash is over paths and hashes
 *   rule set ──dv_state_new──> a lua_State: main.lua, then shipped rules, then the site's, in order of name
 *   generation = number + rule set + pool of states
 *
 * Paths in a set (chunk names, the catalog's generation_files): scripts/x.lua, share/rules/x.lua (shipped), rules/x.lua
 * (the site's).
 *
 * What scripts/main.lua gets and returns (M)
 *   its environment: dv_sandbox_push_trusted + native + script(name) -> result of scripts/NAME, run once
 *   M.environment(path, origin, text) -> environment of a rule file; origin "shipped" | "site"
 *   M.finish() -> nil, or a list of { file =, line =, column =, message = }
 *   M.run(ds, ctx) -> verdict or nil (store), stage, rule, reason
 * Memory    a set is shared and counted. States are freed by dv_state_free.
 * Threads   a set is not changed after it was read; a state belongs to one thread at a time. */
#ifndef DV_RULES_GENERATION_H
#define DV_RULES_GENERATION_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "rules/sandbox.h"

typedef enum dv_rule_origin { DV_RULE_SCRIPT, DV_RULE_SHIPPED, DV_RULE_SITE } dv_rule_origin;

typedef struct dv_rule_file {
    const char *path;
    dv_rule_origin origin;
    dv_text text; /* UTF-8, no NUL */
    char hash[DV_SHA256_HEX];
} dv_rule_file;

typedef struct dv_rule_set {
    dv_rule_file *files; /* scripts, shipped, site; by name in each */
    size_t count;
    char hash[DV_SHA256_HEX];
    dv_arena arena;
    int refs; /* atomic */
} dv_rule_set;

/* Reads SHARE/scripts, SHARE/rules and SITE (NULL or absent: none). A file that changes while it is read is read again.
 * NULL: IO, or RULE_LOAD for a file that is no text. */
dv_rule_set *dv_rule_set_read(const char *share, const char *site, dv_error *err);
/* An empty one to be filled by dv_rule_set_add, in the order above, and closed by dv_rule_set_seal. */
dv_rule_set *dv_rule_set_new(void);
bool dv_rule_set_add(dv_rule_set *set, const char *path, dv_text text, dv_error *err);
bool dv_rule_set_seal(dv_rule_set *set, dv_error *err);
dv_rule_set *dv_rule_set_ref(dv_rule_set *set);
void dv_rule_set_free(dv_rule_set *set); /* gives one reference back; NULL is fine */

/* One ready state. */
typedef struct dv_state {
    lua_State *L;
    int m;                            /* luaL_ref of main.lua's M in the registry */
    int run;                          /* luaL_ref of M.run */
    struct dv_generation *generation; /* rules.c: whose pool it belongs to */
    bool spoiled;                     /* not to be used again */
    struct dv_state *next;
} dv_state;

/* Loads SET into a new state and seals it. *REPORT (may be NULL) gets every finding of M.finish, a line each. NULL:
 * RULE_LOAD "rules/x.lua:3: reason". */
dv_state *dv_state_new(const dv_rule_set *set, const dv_sandbox_limits *limits, dv_buffer *report, dv_error *err);
void dv_state_free(dv_state *state);

#endif
