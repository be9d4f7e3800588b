/* log.h: one line an event, to stderr or a file, as text or JSON.
 *
 *   2026-11-24T21:52:29.123Z info  scp: listening on port 11112 as DROVER
 * Values of patient attributes never enter the log, at any level.
 * Threads   any; a line is one write(). */
#ifndef DV_BASE_LOG_H
#define DV_BASE_LOG_H

#include <stdbool.h>

typedef enum dv_log_level { DV_LOG_ERROR, DV_LOG_WARN, DV_LOG_INFO, DV_LOG_DEBUG } dv_log_level;

/* From now on lines go where FD goes (the caller closes FD); -1: stderr. Also while threads log: after logrotate, or when the
 * configuration was read again. Before it is called: stderr, text, INFO. */
void dv_log_setup(int fd, bool json, dv_log_level level);
/* "error", "warn", "info", "debug"; false if NAME is none of them. */
bool dv_log_level_of(const char *name, dv_log_level *out);
/* PART is the module: "scp", "migrate". */
void dv_log(dv_log_level level, const char *part, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define dv_error_log(part, ...) dv_log(DV_LOG_ERROR, part, __VA_ARGS__)
#define dv_warn(part, ...)      dv_log(DV_LOG_WARN, part, __VA_ARGS__)
#define dv_info(part, ...)      dv_log(DV_LOG_INFO, part, __VA_ARGS__)
#define dv_debug(part, ...)     dv_log(DV_LOG_DEBUG, part, __VA_ARGS__)

#endif
