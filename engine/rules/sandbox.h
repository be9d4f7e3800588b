/* sandbox.h: a lua_State that foreign rules may run in.
 *
 *   dv_sandbox_new ──> registry: the SAFE environment (string table math utf8 ipairs pairs type tostring tonumber
 * select error assert pcall), read-only; the table of globals is empty dv_sandbox_seal ─> the memory in use now is the
 * BASELINE dv_sandbox_call ─> arms the limits, calls, disarms; a failure says kind, file, line and message
 *
 * Limits stick: once one is passed, the error is raised again at every pcall and every instruction until
 * dv_sandbox_call returns. time          watchdog.h: a thread looks every 5 ms; no hook in normal running instructions
 * an exact count hook, for the harness; long C functions charge their steps to it memory        a counting allocator
 * refuses above baseline + limit; the collector is stopped and runs only when memory is short or in dv_sandbox_collect
 * Chunk names are "@scripts/x.lua" for trusted scripts, "@rules/x.lua" (the site's) or "@share/rules/x.lua" (shipped)
 * for rules; a failure is placed at the innermost frame that is a rule's. Threads   a state belongs to one thread at a
 * time. Errors    a Lua error jumps over C: hold nothing that must be given back where Lua may raise. */
#ifndef DV_RULES_SANDBOX_H
#define DV_RULES_SANDBOX_H

#include "base/error.h"
#include "base/text.h"

#include <lua.h>

typedef struct dv_sandbox_limits {
    int time_ms;          /* 0: DV_RULE_MS, or none when instructions are counted */
    size_t memory;        /* above the baseline; 0: DV_RULE_BYTES */
    int64_t instructions; /* 0: not counted */
} dv_sandbox_limits;

typedef enum dv_fault_reason {
    DV_RUN_OK,
    DV_RUN_ERROR, /* a Lua error */
    DV_RUN_TIME,
    DV_RUN_MEMORY,
    DV_RUN_INSTRUCTIONS,
} dv_fault_reason;

typedef struct dv_sandbox_fault {
    dv_fault_reason kind;
    char file[128]; /* "rules/site.lua"; "" when no rule's code was running (a data rule: the caller knows which) */
    int line;
    char message[400]; /* without the place; never an address */
} dv_sandbox_fault;

/* A new state. LIMITS NULL: the defaults. NULL: MEMORY. */
lua_State *dv_sandbox_new(const dv_sandbox_limits *limits, dv_error *err);
void dv_sandbox_free(lua_State *L);
/* Changes the limits of the next calls (harness: more instructions). */
void dv_sandbox_limit(lua_State *L, const dv_sandbox_limits *limits);

/* Pushes the safe environment, a plain table: name -> function or read-only library table. Its users copy from it or
 * stand it behind an __index; it must never reach a rule itself. */
void dv_sandbox_push_safe(lua_State *L);
/* Pushes a new environment for trusted scripts: safe + getmetatable setmetatable rawget rawset rawequal rawlen next,
 * and `safe`, the table above. */
void dv_sandbox_push_trusted(lua_State *L);

/* Compiles TEXT (never binary; a byte order mark is skipped) under CHUNK ("@rules/x.lua") with the environment on top
 * of the stack, which is popped, and pushes the function. False: RULE_LOAD "rules/x.lua:3: ...", nothing pushed. The
 * environment is popped either way. */
bool dv_sandbox_load(lua_State *L, dv_text text, const char *chunk, dv_error *err);

/* Collects, takes what is in use as the baseline. To be called when loading is over. */
void dv_sandbox_seal(lua_State *L);

/* lua_pcall with the limits armed; on failure nothing is left of function and arguments, and FAULT (may be NULL) says
 * what it was. */
bool dv_sandbox_call(lua_State *L, int arguments, int results, dv_sandbox_fault *fault);
/* The same for loading: the time limit is LOAD_MS (a set of 1000 rules needs 5 ms), memory is counted from here. */
enum { DV_SANDBOX_LOAD_MS = 2000 };
bool dv_sandbox_call_loading(lua_State *L, int arguments, int results, dv_sandbox_fault *fault);

/* Bytes in use above the baseline, garbage included. */
size_t dv_sandbox_grown(lua_State *L);
size_t dv_sandbox_used(lua_State *L);
/* A full collection; not inside a call. */
void dv_sandbox_collect(lua_State *L);

/* ---- for C functions that rules call ---- */

/* To be called every so often by what loops: STEPS is what was done since. Raises when a limit is passed. */
void dv_sandbox_step(lua_State *L, int64_t steps);
/* Raises, sticking, the memory error when N more bytes cannot be had: for sizes that are known before. */
void dv_sandbox_room(lua_State *L, size_t n);
/* The value at INDEX as text, on top of the stack: tostring as rules have it, without addresses. */
const char *dv_sandbox_tolstring(lua_State *L, int index, size_t *len);
/* The file and line of the innermost frame that is a rule's; false when there is none. */
bool dv_sandbox_where(lua_State *L, char *file, size_t size, int *line);

/* A buffer that grows as a userdata in one stack slot, so that an error frees it. The slot is made by init; the stack
 * must be as init left it, or higher, at every add. Result: dv_luabuf_push pushes the string. */
typedef struct dv_luabuf {
    lua_State *L;
    int slot;
    char *at;
    size_t len, size;
} dv_luabuf;
void dv_luabuf_init(dv_luabuf *b, lua_State *L);
void dv_luabuf_add(dv_luabuf *b, const char *bytes, size_t n);
void dv_luabuf_push(dv_luabuf *b);

#endif
