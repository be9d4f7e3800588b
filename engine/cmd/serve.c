#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"
#include "ops/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

static bool setup_log(const dv_config *config, dv_error *err)
{
    dv_log_level level;
    int fd = -1;
    if (!dv_log_level_of(dv_config_text(config, "log.level"), &level))
        return dv_fail(err, DV_ERR_CONFIG, "log.level is '%s'; error, warn, info and debug are",
                       dv_config_text(config, "log.level"));
    const char *file = dv_config_text(config, "log.file");
    if (*file && (fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640)) < 0)
        return dv_fail_errno(err, "cannot open the log file %s", file);
    dv_log_setup(fd, dv_config_bool(config, "log.json"), level);
    return true;
}

/* logrotate has moved the file away: the descriptor keeps its number, so that no thread writes to a closed one. */
static void reopen_log(const dv_config *config)
{
    const char *file = dv_config_text(config, "log.file");
    int fd = *file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : -1;
    if (fd >= 0) {
        dv_log_replace(fd);
        close(fd);
    } else if (*file) {
        dv_warn("serve", "cannot open the log file %s again: %s", file, strerror(errno));
    }
}

/* Alive: the catalog answers and the store can still sync. A loop that hangs says nothing, which says it too. */
static bool healthy(dv_site *site)
{
    dv_error err;
    int64_t one = 0;
    dv_db *db = dv_catalog_reader(site->catalog, &err);
    return db && dv_db_int(db, 0, &one, &err, "SELECT 1", "") && dv_store_ready(site->store, &err);
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
    bool ok = dv_site_open(&site, dv_data_dir(args), flags, &err) && setup_log(site.config, &err) &&
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
            if (got == SIGHUP)
                reopen_log(site.config);
            if (got == SIGHUP && !dv_rules_publish(site.rules, "SIGHUP", &number, &refused))
                dv_warn("serve", "the rules stay as they are: %s", refused.message);
        }
        dv_service_tell("STOPPING=1");
        dv_info("serve", "stopping");
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
    "Runs in the foreground and logs to standard error; SIGTERM or Ctrl-C stops it cleanly, SIGHUP\n"
    "publishes the rules folder and opens log.file anew. A new data directory gets a commented drover.lua; flags win "
    "over it.\n"
    "Rules in DIR/rules take effect when a file in it is saved.",
    options,
    "drover serve --data /srv/drover --dicom-port 11112 --aet DROVER --allow-any",
    run};
