/* cmd.h: one table of CLI verbs (main.c), one file a verb. --help, man pages and the docs print the same texts.
 *
 *   static const dv_option options[] = {{"json", NULL, "print JSON"}, {"out", "FILE", "write there"}, {0}};
 *   const dv_verb dv_verb_dump = {"dump", "FILE...", "print a DICOM file", "text", options, "drover dump --json a.dcm", run};
 *
 * Options are --name VALUE, --name=VALUE or --flag, before or between arguments; "--" ends them. A wrong one is refused with the
 * nearest right name. run returns the process's exit code: 0, or errors.def's. */
#ifndef DV_CMD_CMD_H
#define DV_CMD_CMD_H

#include "base/error.h"
#include "base/text.h"

typedef struct dv_option {
    const char *name;     /* without dashes; NULL ends the table */
    const char *argument; /* "FILE", NULL for a flag */
    const char *help;     /* one line; says the default */
} dv_option;

typedef struct dv_args {
    const struct dv_verb *verb;
    int count; /* arguments that are no options */
    const char **value;
    const char **given; /* parallel to verb->options: the last value, "" for a flag that is set, NULL */
} dv_args;

typedef struct dv_verb {
    const char *name;
    const char *arguments; /* "FILE...", "" for none; sub-verbs: "check|test|explain ..." */
    const char *summary;   /* one line, lower case, no full stop */
    const char *text;      /* paragraphs of help, at 78 columns; may be NULL */
    const dv_option *options;
    const char *example; /* one or more lines */
    int (*run)(const dv_args *args);
} dv_verb;

extern const dv_verb *const dv_verbs[]; /* NULL ends it */
extern const char dv_exit_codes[];      /* "exit codes: 0 done, ..." in lines, the same in every help */

/* The option's value, NULL when not given. */
const char *dv_arg(const dv_args *args, const char *option);
/* The same with a default. */
const char *dv_arg_or(const dv_args *args, const char *option, const char *otherwise);
bool dv_flag(const dv_args *args, const char *option);
/* A number between MIN and MAX; false with USAGE that names option, value and range. Not given: OUT keeps what it has. */
bool dv_arg_int(const dv_args *args, const char *option, int64_t min, int64_t max, int64_t *out, dv_error *err);
/* Prints "drover VERB: message" to stderr; with --json {"error":{"code","exit","message"}} to stdout too, unless JSON was printed there. Returns the
 * code's exit code. */
int dv_complain(const dv_args *args, const dv_error *err);
/* To be called by who prints results in JSON. */
void dv_json_printed(void);
/* Prints the verb's help to stderr's last line ("see drover VERB --help"); returns USAGE's exit code. */
int dv_usage(const dv_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
