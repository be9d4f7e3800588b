#include "base/log.h"
#include "base/clock.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Changed while threads log; log_fd is set once to a descriptor of our own, which then keeps its number. */
static atomic_int log_fd = 2;
static atomic_bool log_json;
static atomic_int log_level = DV_LOG_INFO;

static const char *const names[] = {"error", "warn", "info", "debug"};

void dv_log_setup(int fd, bool json, dv_log_level level)
{
    int now = atomic_load(&log_fd), to = fd < 0 ? 2 : fd;
    if (now != 2)
        dup3(to, now, O_CLOEXEC);
    else if (to != 2 && (to = fcntl(fd, F_DUPFD_CLOEXEC, 3)) >= 0)
        atomic_store(&log_fd, to);
    atomic_store(&log_json, json);
    atomic_store(&log_level, (int)level);
}

bool dv_log_level_of(const char *name, dv_log_level *out)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (dv_log_level)i;
            return true;
        }
    return false;
}

void dv_log(dv_log_level level, const char *part, const char *format, ...)
{
    char text[1024], stamp[DV_STAMP_SIZE], line[2400];
    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dv_stamp(dv_wall_us(), stamp);
    size_t n;
    if (!atomic_load_explicit(&log_json, memory_order_relaxed)) {
        for (char *c = text; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7F)
                *c = '?';
        stamp[23] = 'Z';
        stamp[24] = '\0';
        n = (size_t)snprintf(line, sizeof line, "%s %-5s %s: %s\n", stamp, names[level], part, text);
    } else {
        n = (size_t)snprintf(line, sizeof line, "{\"time\":\"%s\",\"level\":\"%s\",\"part\":\"%s\",\"message\":\"",
                             stamp, names[level], part);
        for (const char *c = text; *c && n < sizeof line - 12; c++) {
            if (*c == '"' || *c == '\\')
                line[n++] = '\\';
            line[n++] = (unsigned char)*c < 0x20   ? ' '
                        : (unsigned char)*c < 0x7F ? *c
                                                   : '?'; /* cut or foreign UTF-8 would be no JSON */
        }
        n += (size_t)snprintf(line + n, sizeof line - n, "\"}\n");
    }
    if (n >= sizeof line)
        n = sizeof line - 1;
    /* A log that cannot be written has nobody to tell. */
    ssize_t written = write(atomic_load_explicit(&log_fd, memory_order_relaxed), line, n);
    (void)written;
}
