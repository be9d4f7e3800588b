#include "base/log.h"
#include "base/clock.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Set once, before any thread. */
static int log_fd = 2;
static bool log_json;
static dv_log_level log_level = DV_LOG_INFO;

static const char *const names[] = {"error", "warn", "info", "debug"};

void dv_log_setup(int fd, bool json, dv_log_level level)
{
    log_fd = fd < 0 ? 2 : fd;
    log_json = json;
    log_level = level;
}

void dv_log_replace(int fd)
{
    if (log_fd != 2)
        dup3(fd, log_fd, O_CLOEXEC);
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
    if (level > log_level)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dv_stamp(dv_wall_us(), stamp);
    size_t n;
    if (!log_json) {
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
    ssize_t written = write(log_fd, line, n);
    (void)written;
}
