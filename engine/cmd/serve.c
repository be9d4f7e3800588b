#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"
#include "ops/notify.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HURRY_S = 5 }; /* after a second signal, until the process ends whatever it does */

static const dv_option options[] = {
    {"data", "DIR",
     "the data directory, made when absent (default: $DROVER_DATA_DIR, ./drover-data, or the package's "
     "/var/lib/drover)"},
    {"dicom-port", "N", "TCP port for DICOM, 0 for any free one (setting dimse.port, default 11112)"},
    {"aet", "AE", "our AE title (setting dimse.aet, default DROVER)"},
    {"allow-any", NULL, "take instances from any sender, not only enabled source peers"},
    {"set", "KEY=VALUE", "any other setting of drover.lua, for this run"},
    {"log-level", "LEVEL", "error, warn, info or debug (setting log.level)"},
    {0},
};

/* The command line's settings; they win over drover.lua. NULL on failure. */
static dv_config *flags_of(const dv_args *args, dv_error *err)
{
    static const char *const map[][2] = {
        {"dicom-port", "dimse.port"}, {"aet", "dimse.aet"}, {"log-level", "log.level"}};
    dv_config *flags = dv_config_new();
    bool ok = flags || dv_fail(err, DV_ERR_MEMORY, "out of memory");
    for (size_t i = 0; ok && i < sizeof map / sizeof *map; i++)
        if (dv_arg(args, map[i][0]))
            ok = dv_config_set(flags, map[i][1], dv_arg(args, map[i][0]), "command line", err);
    if (ok && dv_flag(args, "allow-any"))
        ok = dv_config_set(flags, "dimse.allow_any", "true", "command line", err);
    const char *set = ok ? dv_arg(args, "set") : NULL;
    if (set) {
        dv_text value;
        char key[128];
        dv_text_copy(dv_text_split(dv_text_of(set), '=', &value), key, sizeof key);
        ok = value.at ? dv_config_set(flags, key, value.at, "command line", err)
                      : dv_fail(err, DV_ERR_USAGE, "--set is '%s'; it must be KEY=VALUE", set);
    }
    if (!ok) {
        dv_config_free(flags);
        flags = NULL;
    }
    return flags;
}

/* Alive: the catalog answers and the store can still sync. A loop that hangs says nothing, which says it too. */
static bool healthy(dv_site *site)
{
    dv_error err;
    int64_t one = 0;
    dv_db *db = dv_catalog_reader(site->catalog, &err);
    return db && dv_db_int(db, 0, &one, &err, "SELECT 1", "") && dv_store_ready(site->store, &err);
}

/* A second signal during the stop: instances on their way are dropped, unacknowledged. If even that takes long (a disk that hangs), the
 * process just ends, which is a normal way to stop too: the next start looks for objects without rows. */
static void *second_signal(void *arg)
{
    dv_site *site = arg;
    sigset_t signals;
    int got;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigwait(&signals, &got);
    dv_warn("serve", "a second signal: stopping at once");
    atomic_store(&site->hurry, true);
    sigtimedwait(&signals, NULL, &(struct timespec){.tv_sec = HURRY_S});
    dv_warn("serve", "the stop takes too long; the process ends as it is");
    _exit(dv_error_lookup(DV_ERR_CANCELLED)->exit_code);
}

static void be_impatient(dv_site *site)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, second_signal, site) == 0)
        pthread_detach(thread);
}

static int run(const dv_args *args)
{
    dv_error err = {0};
    if (args->count)
        return dv_usage(args, "'%s' is too much", args->value[0]);
    dv_config *flags = flags_of(args, &err);
    if (!flags || !dv_dimse_setup(&err))
        return dv_complain(args, &err);
    /* Before any thread: they inherit the mask, so that only sigwait below gets these. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    dv_site site;
    struct dv_control_listener *control = NULL;
    bool ok = dv_site_open(&site, dv_data_dir(args), flags, &err) && dv_site_log(site.config, &err) &&
              dv_site_serve(&site, &err) && (control = dv_control_start(&site, &err)) != NULL;
    if (ok) {
        dv_info("serve", "ready: %s listens on port %u, rules generation %lld, data in %s",
                dv_config_text(site.config, "dimse.aet"), dv_scp_port(site.scp),
                (long long)dv_rules_current(site.rules), site.folder);
        int64_t every = dv_service_watchdog_ms(), said = dv_mono_ms(), wait_ms = every && every < 1000 ? every : 1000;
        dv_service_tell("READY=1");
        for (int got = 0; got != SIGTERM && got != SIGINT;) {
            dv_error refused = {0};
            int64_t number;
            got = sigtimedwait(&signals, NULL,
                               &(struct timespec){.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000});
            dv_site_tend(&site);
            if (every && dv_mono_ms() - said >= every - 5 && healthy(&site)) {
                said = dv_mono_ms();
                dv_service_tell("WATCHDOG=1");
            }
            if (got == SIGHUP && !dv_site_reload(&site, &refused))
                dv_warn("serve", "the configuration stays as it is: %s", refused.message);
            if (got == SIGHUP && !dv_rules_publish(site.rules, "SIGHUP", &number, &refused))
                dv_warn("serve", "the rules stay as they are: %s", refused.message);
        }
        dv_service_tell("STOPPING=1");
        dv_info("serve", "stopping");
        be_impatient(&site);
        dv_site_drain(&site);
    }
    dv_control_stop(control);
    dv_site_close(&site);
    if (!ok)
        return dv_complain(args, &err);
    dv_info("serve", "stopped");
    return 0;
}

const dv_verb dv_verb_serve = {
    "serve",
    "",
    "run the engine: receive, migrate, answer the other verbs",
    "Runs in the foreground and logs to standard error. A new data directory gets a commented\n"
    "drover.lua; flags win over it. Rules in DIR/rules take effect when a file in it is saved.\n"
    "\n"
    "SIGTERM   stops it: nobody associates any more, instances on their way are finished and\n"
    "          acknowledged (dimse.stop_s bounds it); a second one ends it at once\n"
    "SIGHUP    publishes the rules folder, reads drover.lua again and opens log.file anew; what\n"
    "          counts from the next start only is named in the log",
    options,
    "drover serve --data /srv/drover --dicom-port 11112 --aet DROVER --allow-any",
    run};
