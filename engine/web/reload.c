/* What SIGHUP changes. The parts keep the strings of the configuration they were made with, so that one is never replaced: the new one is
 * compared with it, and what can be changed is told to the part that has it. */
#include "base/log.h"
#include "web/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Applied by dv_site_reload; every other key counts from the next start. */
static const char *const live[] = {
    "log.level",
    "log.json",
    "log.file",
    "dimse.allow_any",
    "dimse.any_called",
    "dimse.max_associations",
    "dimse.idle_s",
    "dimse.pdu_s",
    "dimse.stop_s",
    "store.low_water_mb",
    "store.keep_versions_days",
    "verify.interval_days",
    "verify.rate_mb_s",
};

bool dv_site_log(const dv_config *config, dv_error *err)
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
    if (fd >= 0)
        close(fd);
    return true;
}

static bool is_live(const char *key)
{
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (strcmp(live[i], key) == 0)
            return true;
    return false;
}

/* Names, not values: one of them has the password of a database. */
static void say_changes(const dv_site *site, const dv_config *was, const dv_config *now)
{
    const char *key;
    for (int i = 0; (key = dv_config_key(i)) != NULL; i++) {
        const char *value = dv_config_text(now, key);
        if (is_live(key) && strcmp(value, dv_config_text(was, key)) != 0)
            dv_info("serve", "%s is '%s' from now on", key, value);
        else if (!is_live(key) && strcmp(value, dv_config_text(site->config, key)) != 0)
            dv_warn("serve", "%s was changed in drover.lua; it counts from the next start", key);
    }
}

bool dv_site_reload(dv_site *site, dv_error *err)
{
    char path[4200];
    dv_error log = {0};
    const dv_config *was = site->latest ? site->latest : site->config;
    snprintf(path, sizeof path, "%s/drover.lua", site->folder);
    dv_config *now = dv_config_again(site->config, path, err);
    if (!now || !dv_site_log(now, err)) {
        dv_config_free(now);
        if (!dv_site_log(was, &log))
            dv_warn("serve", "the log goes where it went: %s", log.message);
        return false;
    }
    dv_receiver_adjust(site->receiver, dv_config_bool(now, "dimse.any_called"), dv_config_bool(now, "dimse.allow_any"),
                       dv_config_int(now, "store.low_water_mb") << 20);
    dv_scp_adjust(site->scp, (int)dv_config_int(now, "dimse.max_associations"),
                  (int)dv_config_int(now, "dimse.idle_s") * 1000, (int)dv_config_int(now, "dimse.pdu_s") * 1000);
    const dv_custody_options custody = dv_site_custody(site, now);
    dv_custody_set(site->custody, &custody);
    say_changes(site, was, now);
    dv_config_free(site->latest);
    site->latest = now;
    return true;
}
