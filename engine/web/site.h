/* site.h: one open data directory and all that runs on it. `drover serve` keeps one open; a verb without a running engine opens one for
 * itself, under the same lock.
 *
 *   DATA/  drover.lua  catalog.db  objects/  quarantine/  rules/  drover.sock  lock
 *
 * Threads   open and close in one; what it holds says itself what may be shared. */
#ifndef DV_WEB_SITE_H
#define DV_WEB_SITE_H

#include "base/config.h"
#include "ingest/commitment.h"
#include "ingest/again.h"
#include "ingest/custody.h"
#include "ingest/receiver.h"
#include "migrate/migrate.h"

#include <stdatomic.h>

typedef struct dv_site {
    char folder[4096];
    char share[4096];
    int lock;
    dv_config *config;
    dv_catalog *catalog;
    dv_store *store;
    dv_rules *rules;
    dv_ingest *ingest;
    dv_pool *pool; /* of all outbound associations */
    /* only while serving, else NULL */
    _Atomic(dv_migrate *) migrate;
    dv_receiver *receiver;
    dv_commitments *commitments;
    dv_custody *custody;
    dv_scp *scp;
    dv_tls *tls; /* of the listeners that have it; NULL: none does */
    dv_arena listeners;
    dv_config *latest; /* as SIGHUP read it last; NULL: as `config`, whose strings the parts have borrowed */
    atomic_bool hurry; /* the stop waits for nobody any more */
    int64_t started_at;
} dv_site;

/* Makes FOLDER when it is absent, takes its lock (LOCKED names the pid that has it), reads drover.lua, opens catalog, store and rules, recovers
 * after an unclean stop. CONFIG (owned by the site from then on, also on failure) has the command line's flags; NULL: defaults. */
bool dv_site_open(dv_site *site, const char *folder, dv_config *config, dv_error *err);
/* Makes FOLDER when it is absent, takes the lock, reads the configuration, opens the store, and nothing else. */
bool dv_site_open_folder(dv_site *site, const char *folder, dv_config *config, dv_error *err);
/* The catalog that the configuration names. */
void dv_site_dsn(const dv_site *site, char *buf, size_t size);
/* Our own certificate, key and authorities, of the configuration. */
dv_tls_files dv_site_tls(const dv_site *site);
/* Starts receiver, SCP, migration and the watch on the rules folder. */
bool dv_site_serve(dv_site *site, dv_error *err);
/* To be called every second or so while serving: rows that a database server lost are made again from the objects. */
void dv_site_tend(dv_site *site);
/* The numbers of custody.h, by CONFIG. */
dv_custody_options dv_site_custody(const dv_site *site, const dv_config *config);
/* Where the log goes and how, by CONFIG. */
bool dv_site_log(const dv_config *config, dv_error *err);
/* SIGHUP: reads drover.lua again, applies what can change while it runs, and says in the log what counts from the next start only. On failure
 * nothing has changed. The log is opened anew in any case. */
bool dv_site_reload(dv_site *site, dv_error *err);
/* Nobody associates any more, nothing new is retrieved; what is on its way is awaited by dv_site_close, dimse.stop_s at most. */
void dv_site_drain(dv_site *site);
/* Stops what runs, in the reverse order, and closes; safe on a half-opened site. */
void dv_site_close(dv_site *site);

#endif
