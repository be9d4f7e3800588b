/* bind_internal.h: what the bind_*.c files share. */
#ifndef DV_RULES_BIND_INTERNAL_H
#define DV_RULES_BIND_INTERNAL_H

#include "rules/bind.h"
#include "base/limits.h"
#include "rules/sandbox.h"

enum {
    DV_PATH_CACHE = 4096,   /* spellings kept a state: rules write some hundred, places in data are not worth more */
    DV_MAX_FINDINGS = 1000, /* of one dataset: a rule in a loop must not fill the catalog */
};

/* One rule, as changes and outcomes name it. Interned: lives as long as the process. */
typedef struct dv_bind_actor {
    dv_actor actor;
    dv_text stage, rule, file;
    int64_t line;
    struct dv_bind_actor *next;
} dv_bind_actor;

typedef struct dv_bind {
    dv_dataset *ds; /* NULL between runs */
    const dv_context *ctx;
    dv_arena *arena;
    dv_outcome *outcome;
    dv_finding **tail;
    uint32_t findings;
    uint64_t serial;            /* of the run: userdata of another one are dead */
    size_t used;                /* of the dataset's arena when the run began */
    const dv_bind_actor *actor; /* the rule that is running */
    dv_arena paths;             /* compiled paths of this state */
    uint32_t cached;
    int cache, methods; /* registry references: spelling -> path, method name -> function */
    dv_buffer *log;
    uint64_t logged;
} dv_bind;

/* `ds`, one of its items, or `ds.received`. */
typedef struct dv_bind_view {
    uint64_t serial;
    const dv_path *prefix; /* of the item; NULL for the dataset */
    bool received;
} dv_bind_view;

/* Upvalue 1 of every function here. */
dv_bind *dv_bind_of(lua_State *L);
/* Raises unless a run is under way. */
dv_dataset *dv_bind_dataset(lua_State *L, dv_bind *b);
/* Raises ERR: with the position of the Lua function that called, or without (native). */
int dv_bind_raise(lua_State *L, const dv_error *err);
int dv_bind_raise_bare(lua_State *L, const dv_error *err);
/* Puts the path before ERR's message, and behind it what a rule writer can do. */
void dv_bind_explain(dv_error *err, const dv_path *path);
/* Memory that lives as long as the dataset; raises when it is out or when a rule has taken more than its share. */
void *dv_bind_alloc(lua_State *L, dv_bind *b, size_t n);
/* The path at stack INDEX: a light userdata of native.path, or a spelling (cached). False with ERR. */
bool dv_bind_path(lua_State *L, dv_bind *b, int index, const dv_path **out, dv_error *err);
/* PREFIX.PATH, in the dataset's arena. */
const dv_path *dv_bind_join(lua_State *L, dv_bind *b, const dv_path *prefix, const dv_path *path);
/* The value at stack INDEX as the text of an attribute: string, number, list, date, time, name. Raises with WHAT for
 * others. Leaves one value on the stack, which the text borrows from. */
dv_text dv_bind_value(lua_State *L, int index, const char *what);
void dv_bind_push_text(lua_State *L, dv_text t);
/* The VR that two letters name, 0 for other text. */
static inline dv_vr dv_bind_vr(dv_text t)
{
    return t.len == 2 ? (dv_vr)((unsigned)(unsigned char)t.at[0] << 8 | (unsigned char)t.at[1]) : (dv_vr)0;
}
/* Paths of a walk, kept until Lua may be called again. */
typedef struct dv_bind_place {
    dv_text path, value;
    dv_vr vr;
    char *why;
    struct dv_bind_place *next;
} dv_bind_place;

/* What a walk found, in order; cleared but for its arena to begin with. */
typedef struct dv_bind_found {
    dv_arena *arena;
    dv_bind_place *first, *last;
    uint32_t count;
    bool failed; /* memory was out */
} dv_bind_found;

/* A copy of PATH at the end; NULL, and `failed`, when memory is out. */
dv_bind_place *dv_bind_keep(dv_bind_found *found, dv_text path, dv_vr vr);

/* Each file's functions, set into the table on top of the stack. */
void dv_bind_views(lua_State *L, dv_bind *b);   /* metatables only */
void dv_bind_context(lua_State *L, dv_bind *b); /* metatables only */
void dv_bind_rules(lua_State *L, dv_bind *b);
void dv_bind_places(lua_State *L, dv_bind *b);
void dv_bind_contexts(lua_State *L, dv_bind *b);
void dv_bind_values(lua_State *L, dv_bind *b);
void dv_bind_scans(lua_State *L, dv_bind *b);
/* Pushes the context proxy of this state. */
void dv_bind_push_context(lua_State *L, dv_bind *b);
void dv_bind_push_view(lua_State *L, dv_bind *b, const dv_path *prefix, bool received);
/* luaL_setfuncs with B as upvalue 1. */
void dv_bind_set(lua_State *L, dv_bind *b, const luaL_Reg *functions);

#endif
