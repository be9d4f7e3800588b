/* The watch on the site's folder: every event starts 200 ms of quiet anew, then the folder is published. Names that are
 * no rule files (an editor's swap and temporary files) do not count. */
#include "rules/rules_internal.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { QUIET_MS = 200, GONE_MS = 1000 };
enum {
    EVENTS =
        IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
};

typedef struct watch {
    dv_rules *rules;
    int fd, folder; /* folder -1: it is gone */
} watch;

static bool is_rule_name(const struct inotify_event *e)
{
    size_t n = e->len ? strlen(e->name) : 0;
    return n > 4 && e->name[0] != '.' && strcmp(e->name + n - 4, ".lua") == 0;
}

/* True when something happened that asks for a publish. */
static bool take_events(watch *w)
{
    _Alignas(struct inotify_event) char buf[16 * 1024];
    bool changed = false;
    ssize_t n;
    while ((n = read(w->fd, buf, sizeof buf)) > 0) {
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
            p += sizeof *e + e->len;
            if (e->wd == w->folder && (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))) {
                if (e->mask & IN_MOVE_SELF)
                    inotify_rm_watch(w->fd, w->folder);
                w->folder = -1;
                changed = true;
            }
            changed |= (e->mask & IN_Q_OVERFLOW) || is_rule_name(e);
        }
    }
    return changed;
}

static void publish(dv_rules *rules)
{
    dv_error err;
    int64_t number, before = dv_rules_current(rules);
    if (dv_rules_publish(rules, "folder", &number, &err)) {
        if (number != before)
            dv_info("rules", "generation %lld is in force: %s was changed", (long long)number, rules->site);
    } else if (err.code == DV_ERR_LOCKED) {
        dv_debug("rules", "%s", err.message); /* its closing will be an event */
    } else {
        dv_warn("rules", "the change of %s is refused, generation %lld goes on: %s", rules->site, (long long)before,
                err.message);
    }
}

static void *run(void *user)
{
    dv_rules *rules = user;
    watch w = {rules, rules->watch_fd, rules->watch_folder};
    int64_t due = 0; /* 0: nothing to publish */
    for (;;) {
        int64_t now = dv_mono_ms();
        int timeout = due ? (due > now ? (int)(due - now) : 0) : w.folder < 0 ? GONE_MS : -1;
        struct pollfd fds[2] = {{w.fd, POLLIN, 0}, {rules->stop_fd, POLLIN, 0}};
        int n = poll(fds, 2, timeout);
        if (n < 0 && errno != EINTR) {
            dv_error_log("rules", "the watch on %s ends: poll failed", rules->site);
            break;
        }
        if (n > 0 && fds[1].revents)
            break;
        if (n > 0 && fds[0].revents && take_events(&w))
            due = dv_mono_ms() + QUIET_MS;
        if (w.folder < 0 && (w.folder = inotify_add_watch(w.fd, rules->site, EVENTS)) >= 0)
            due = dv_mono_ms() + QUIET_MS; /* it is back, with whatever is in it */
        if (due && dv_mono_ms() >= due) {
            due = 0;
            publish(rules);
        }
    }
    return NULL;
}

bool dv_rules_watch(dv_rules *rules, dv_error *err)
{
    if (!rules->site || rules->has_watcher)
        return true;
    if (!dv_mkdirs(rules->site, 0755, err))
        return false;
    rules->stop_fd = eventfd(0, EFD_CLOEXEC);
    rules->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    rules->watch_folder = rules->watch_fd < 0 ? -1 : inotify_add_watch(rules->watch_fd, rules->site, EVENTS);
    if (rules->stop_fd < 0 || rules->watch_folder < 0) {
        dv_fail_errno(err, "cannot watch %s", rules->site);
        dv_watch_stop(rules);
        return false;
    }
    sigset_t all, kept;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept); /* signals are for the main thread */
    rules->has_watcher = pthread_create(&rules->watcher, NULL, run, rules) == 0;
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    if (!rules->has_watcher) {
        dv_watch_stop(rules);
        return dv_fail(err, DV_ERR_MEMORY, "the watch on %s cannot be started", rules->site);
    }
    /* what was changed between opening and watching */
    int64_t number;
    dv_error ignored;
    dv_rules_publish(rules, "folder", &number, &ignored);
    return true;
}

void dv_watch_stop(dv_rules *rules)
{
    if (rules->has_watcher) {
        eventfd_write(rules->stop_fd, 1);
        pthread_join(rules->watcher, NULL);
        rules->has_watcher = false;
    }
    if (rules->stop_fd >= 0)
        close(rules->stop_fd);
    if (rules->watch_fd >= 0)
        close(rules->watch_fd);
    rules->stop_fd = rules->watch_fd = -1;
}
