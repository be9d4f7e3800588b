/* control.h: how the command line speaks to the engine: DATA/drover.sock, one JSON line {"verb":..., "args":{...}}, answered by JSON lines
 * {"row":...} {"progress":...} and one {"end":{}} or {"error":{"code":"NOT_FOUND","message":"..."}}.
 *
 *   drover VERB  --connect--> engine's handler            an engine runs
 *                --lock-----> the same handler, in-process   none runs
 *
 * Handlers are rows of one table (handlers.c); the HTTP routes will call the same functions. Only the engine's own user and root may ask (SO_PEERCRED).
 * Threads   a thread a connection; handlers may run at the same time. */
#ifndef DV_WEB_CONTROL_H
#define DV_WEB_CONTROL_H

#include "web/site.h"

#include <cjson/cJSON.h>

/* Where a handler's results go. */
typedef struct dv_reply dv_reply;
/* ROW is taken (deleted when sent); NULL is DV_ERR_MEMORY. False when nobody reads any more: stop. */
bool dv_reply_row(dv_reply *reply, cJSON *row, dv_error *err);
bool dv_reply_progress(dv_reply *reply, cJSON *progress, dv_error *err);
/* The one who asked has gone, or the engine stops. */
bool dv_reply_cancelled(dv_reply *reply);

typedef bool dv_handler(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err);

typedef struct dv_route {
    const char *verb; /* "peers.add" */
    dv_handler *handler;
    bool serving;     /* needs the running engine (migration) */
    const char *args; /* names of what ARGS may hold, separated by blanks; another name is refused */
} dv_route;

extern const dv_route dv_routes[]; /* verb NULL ends it */

/* Listens on the socket of SITE; replaces a dead one. */
struct dv_control_listener;
struct dv_control_listener *dv_control_start(dv_site *site, dv_error *err);
void dv_control_stop(struct dv_control_listener *listener);

/* Called for each line of the answer; false stops (the connection is closed). */
typedef bool dv_on_line(void *user, const char *kind, const cJSON *body);

/* Runs VERB with ARGS (borrowed) on the data directory FOLDER. LOCAL false: only a running engine may answer (CONFIG says how to start one). */
bool dv_call(const char *folder, const char *verb, const cJSON *args, bool local, dv_on_line *on_line, void *user,
             dv_error *err);

/* For handlers: members of ARGS. Absent: NULL, OTHERWISE. */
const char *dv_args_text(const cJSON *args, const char *name);
int64_t dv_args_int(const cJSON *args, const char *name, int64_t otherwise);
bool dv_args_bool(const cJSON *args, const char *name);

#endif
