#include "web/site.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "web/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_PATIENCE_MS = 2000 };

static bool take_lock(dv_site *site, dv_error *err)
{
    char path[4200], pid[32] = "";
    snprintf(path, sizeof path, "%s/lock", site->folder);
    site->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (site->lock < 0)
        return dv_fail_errno(err, "cannot open %s", path);
    /* A verb without an engine holds the lock for a moment: whoever comes meanwhile waits for it, and not for an engine. */
    int64_t patience = dv_mono_ms() + LOCK_PATIENCE_MS;
    bool held;
    while ((held = flock(site->lock, LOCK_EX | LOCK_NB) != 0) && errno == EWOULDBLOCK && dv_mono_ms() < patience)
        nanosleep(&(struct timespec){0, 20 * 1000000}, NULL);
    if (held) {
        if (errno != EWOULDBLOCK)
            return dv_fail_errno(err, "cannot lock %s", path);
        ssize_t n = pread(site->lock, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        return dv_fail(err, DV_ERR_LOCKED,
                       "the data directory %s is in use by process %s; stop it, or name another directory with --data",
                       site->folder, *pid ? pid : "(unknown)");
    }
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(site->lock, 0) != 0 || pwrite(site->lock, pid, (size_t)n, 0) != n)
        return dv_fail_errno(err, "cannot write %s", path);
    return true;
}

static bool read_config(dv_site *site, dv_config *flags, dv_error *err)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/drover.lua", site->folder);
    if (access(path, F_OK) != 0) {
        dv_buffer text = {0};
        bool ok = dv_config_template(&text) && dv_file_replace(path, dv_buffer_as_text(&text), 0640, err);
        dv_buffer_free(&text);
        if (!ok)
            return false;
    }
    /* The file goes over the defaults, the flags over the file: load into a fresh one and lay the flags over it. */
    dv_config *config = dv_config_new();
    if (!config)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the configuration");
    site->config = config;
    bool ok = dv_config_load(config, path, err) && (!flags || dv_config_overlay(config, flags, err));
    return ok;
}

static bool open_rules(dv_site *site, dv_error *err)
{
    char folder[4200];
    snprintf(folder, sizeof folder, "%s/rules", site->folder);
    if (!dv_share_dir(site->share, sizeof site->share, err) || !dv_mkdirs(folder, 0755, err))
        return false;
    dv_rules_options options = {
        .share = site->share,
        .site = folder,
        .catalog = site->catalog,
        .require_tests = dv_config_bool(site->config, "rules.require_tests"),
        .states = 0,
        .time_limit_ms = (int)dv_config_int(site->config, "rules.time_limit_ms"),
        .memory_limit = (size_t)dv_config_int(site->config, "rules.memory_limit_mb") << 20,
    };
    site->rules = dv_rules_open(&options, err);
    return site->rules != NULL;
}

bool dv_site_open_folder(dv_site *site, const char *folder, dv_config *flags, dv_error *err)
{
    memset(site, 0, sizeof *site);
    site->lock = -1;
    dv_arena_init(&site->listeners, 1024);
    site->started_at = dv_wall_us();
    bool ok = dv_mkdirs(folder, 0750, err);
    if (ok && !realpath(folder, site->folder))
        ok = dv_fail_errno(err, "cannot find %s", folder);
    ok = ok && take_lock(site, err) && read_config(site, flags, err);
    dv_config_free(flags);
    if (ok)
        site->store = dv_store_open(site->folder, err);
    return ok && site->store;
}

void dv_site_dsn(const dv_site *site, char *buf, size_t size)
{
    const char *given = dv_config_text(site->config, "database");
    snprintf(buf, size, "%s%s", *given ? given : site->folder, *given ? "" : "/catalog.db");
}

static bool read_policies(const dv_site *site, dv_again_policies *out, dv_error *err)
{
    static const char *const keys[] = {"store.header_changed", "store.reencoded"};
    return dv_again_policy_of(keys[0], dv_config_text(site->config, keys[0]), &out->header_changed, err) &&
           dv_again_policy_of(keys[1], dv_config_text(site->config, keys[1]), &out->reencoded, err);
}

bool dv_site_open(dv_site *site, const char *folder, dv_config *flags, dv_error *err)
{
    char dsn[4200];
    if (!dv_site_open_folder(site, folder, flags, err))
        return false;
    dv_site_dsn(site, dsn, sizeof dsn);
    if (!dv_rebuild_finish(dsn, err))
        return false;
    site->pool = dv_pool_new((int)dv_config_int(site->config, "dimse.max_outbound"),
                             1000 * (int)dv_config_int(site->config, "dimse.outbound_idle_s"), err);
    site->catalog = site->pool ? dv_catalog_open(dsn, err) : NULL;
    if (!site->catalog || !open_rules(site, err))
        return false;
    site->ingest = dv_ingest_new(site->store, site->catalog, site->rules, err);
    int64_t rows = 0;
    dv_again_policies again;
    if (!site->ingest || !read_policies(site, &again, err))
        return false;
    dv_ingest_policies(site->ingest, again);
    return (!dv_catalog_was_unclean(site->catalog) || dv_ingest_recover(site->ingest, &rows, err));
}

/* Instances may come before the migration runs: the port must be open before the first C-MOVE goes. Then they belong to no job. */
static void identify(void *user, dv_text received_study_uid, dv_arrival *arrival, dv_arena *arena)
{
    dv_migrate *m = atomic_load(&((dv_site *)user)->migrate);
    if (m)
        dv_migrate_identify(m, received_study_uid, arrival, arena);
}

static void notify(void *user, const dv_arrival *arrival, const dv_receipt *receipt)
{
    dv_migrate *m = atomic_load(&((dv_site *)user)->migrate);
    if (m)
        dv_migrate_notify(m, arrival, receipt);
}

/* What a C-GET brings is taken by the receiver, whose callbacks have it as their user. */
static bool expect(void *user, dv_text slug, dv_caller *caller, dv_error *err)
{
    return dv_receiver_expect(user, slug, caller, err);
}

dv_tls_files dv_site_tls(const dv_site *site)
{
    return (dv_tls_files){dv_config_text(site->config, "dimse.tls_cert"), dv_config_text(site->config, "dimse.tls_key"),
                          dv_config_text(site->config, "dimse.tls_ca")};
}

/* The listeners beside the first one. */
static bool read_listeners(dv_site *site, dv_scp_listener *more, size_t *count, dv_error *err)
{
    const char *text = dv_config_text(site->config, "dimse.listeners"),
               *who = dv_config_text(site->config, "dimse.tls_clients");
    const dv_tls_files files = dv_site_tls(site);
    dv_tls_clients clients;
    if (!dv_tls_clients_of(who, &clients))
        return dv_fail(err, DV_ERR_CONFIG, "dimse.tls_clients is '%s'; require, check and ignore are", who);
    if (dv_scp_listeners_need_tls(text) && !(site->tls = dv_tls_server(&files, clients, err)))
        return false;
    return dv_scp_listeners_of(text, site->tls, &site->listeners, more, count, err);
}

dv_custody_options dv_site_custody(const dv_site *site, const dv_config *c)
{
    return (dv_custody_options){
        .ingest = site->ingest,
        .interval_days = dv_config_int(c, "verify.interval_days"),
        .rate_mb_s = dv_config_int(c, "verify.rate_mb_s"),
        .keep_versions_days = dv_config_int(c, "store.keep_versions_days"),
    };
}

bool dv_site_serve(dv_site *site, dv_error *err)
{
    const dv_config *c = site->config;
    dv_receiver_options receiver = {
        .ingest = site->ingest,
        .store = site->store,
        .catalog = site->catalog,
        .aet = dv_config_text(c, "dimse.aet"),
        .any_called = dv_config_bool(c, "dimse.any_called"),
        .allow_any = dv_config_bool(c, "dimse.allow_any"),
        .low_water = dv_config_int(c, "store.low_water_mb") << 20,
    };
    const char *host = dv_config_text(c, "dimse.host");
    dv_scp_options scp = {
        .host = *host ? host : NULL,
        .port = (uint16_t)dv_config_int(c, "dimse.port"),
        .max_associations = (int)dv_config_int(c, "dimse.max_associations"),
        .max_pdu = (uint32_t)dv_config_int(c, "dimse.max_pdu"),
        .idle_ms = (int)dv_config_int(c, "dimse.idle_s") * 1000,
        .pdu_ms = (int)dv_config_int(c, "dimse.pdu_s") * 1000,
    };
    dv_scp_listener more[DV_MAX_LISTENERS];
    if (!read_listeners(site, more, &scp.more_count, err))
        return false;
    scp.more = more;
    dv_ingest_hooks(site->ingest, identify, notify, site);
    dv_commitments_options commitments = {
        .catalog = site->catalog,
        .store = site->store,
        .aet = dv_config_text(c, "dimse.aet"),
        .tls = dv_site_tls(site),
        .tries = (int)dv_config_int(c, "commitment.tries"),
        .backoff_ms = (int)dv_config_int(c, "commitment.backoff_ms"),
        .keep_days = (int)dv_config_int(c, "commitment.keep_days"),
    };
    if (!(site->commitments = dv_commitments_start(&commitments, err)))
        return false;
    receiver.commitments = site->commitments;
    if (!(site->receiver = dv_receiver_new(&receiver, err)))
        return false;
    dv_scp_callbacks callbacks = dv_receiver_callbacks(site->receiver);
    if (!(site->scp = dv_scp_start(&scp, &callbacks, err)))
        return false;
    dv_migrate_options migrate = {
        .catalog = site->catalog,
        .aet = dv_config_text(c, "dimse.aet"),
        .port = dv_scp_port(site->scp),
        .tls_certificate = dv_config_text(c, "dimse.tls_cert"),
        .tls_key = dv_config_text(c, "dimse.tls_key"),
        .tls_ca = dv_config_text(c, "dimse.tls_ca"),
        .workers = (int)dv_config_int(c, "migrate.workers"),
        .pool = site->pool,
        .taker = {callbacks, expect},
        .quiet_ms = (int)dv_config_int(c, "migrate.quiet_ms"),
        .max_tries = (int)dv_config_int(c, "migrate.tries"),
        .backoff_ms = (int)dv_config_int(c, "migrate.backoff_ms"),
    };
    dv_migrate *m = dv_migrate_start(&migrate, err);
    atomic_store(&site->migrate, m);
    const dv_custody_options custody = dv_site_custody(site, c);
    if (!m || !(site->custody = dv_custody_start(&custody, err)))
        return false;
    return (!dv_config_bool(c, "rules.watch") || dv_rules_watch(site->rules, err));
}

void dv_site_tend(dv_site *site)
{
    dv_error err;
    int64_t rows;
    dv_pool_tend(site->pool);
    if (dv_catalog_rows_lost(site->catalog) && !dv_ingest_recover(site->ingest, &rows, &err))
        dv_error_log("recovery", "%s; it is tried again", err.message);
}

void dv_site_drain(dv_site *site)
{
    dv_migrate_halt(
        atomic_load(&site->migrate)); /* first: a C-MOVE that loses its associations then costs no job a try */
    if (site->scp)
        dv_scp_drain(site->scp);
}

static void await_instances(dv_site *site)
{
    const dv_config *c = site->latest ? site->latest : site->config;
    int64_t end = dv_mono_ms() + dv_config_int(c, "dimse.stop_s") * 1000;
    int open = dv_scp_associations(site->scp);
    if (open)
        dv_info("scp", "%d associations have an instance on its way", open);
    /* Looked at, not waited for: a second signal must be heard too, and it happens once in the life of a process. */
    while ((open = dv_scp_associations(site->scp)) > 0 && dv_mono_ms() < end && !atomic_load(&site->hurry))
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (open)
        dv_warn("scp", "%d associations are aborted in the middle of an instance: %s", open,
                atomic_load(&site->hurry) ? "a second signal came" : "dimse.stop_s is over");
}

void dv_site_close(dv_site *site)
{
    dv_migrate *m = atomic_load(&site->migrate);
    dv_site_drain(site);
    dv_migrate_quiesce(m);
    if (site->scp) {
        await_instances(site);
        dv_scp_stop(site->scp, 0);
    }
    dv_custody_stop(site->custody);
    dv_tls_free(site->tls);
    dv_arena_free(&site->listeners);
    atomic_store(&site->migrate, NULL);
    dv_migrate_stop(m);
    dv_commitments_stop(site->commitments);
    dv_pool_free(site->pool);
    dv_receiver_free(site->receiver);
    dv_ingest_free(site->ingest);
    if (site->rules)
        dv_rules_close(site->rules);
    if (site->catalog)
        dv_catalog_close(site->catalog);
    if (site->store)
        dv_store_close(site->store);
    dv_config_free(site->latest);
    dv_config_free(site->config);
    if (site->lock >= 0)
        close(site->lock); /* the file stays: whoever removes it could remove another's lock */
    memset(site, 0, sizeof *site);
    site->lock = -1;
}
