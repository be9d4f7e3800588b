/* ask.h: what the verbs that speak to an engine share: the call, and rows as a table or JSON.
 * Results go to stdout, everything said about them to stderr. */
#ifndef DV_CMD_ASK_H
#define DV_CMD_ASK_H

#include "cmd/cmd.h"
#include "web/control.h"

/* The options every such verb has; put them last in its table. */
#define DV_ASK_OPTIONS                                                                                                 \
    {"data", "DIR",                                                                                                    \
     "the data directory (default: $DROVER_DATA_DIR, ./drover-data, or the package's /var/lib/drover)"},               \
        {"json", NULL, "print JSON"},                                                                                  \
    {                                                                                                                  \
        0                                                                                                              \
    }

/* A column of a table: member of the row, title, and most characters (0: no limit). Numbers are set flush right. */
typedef struct dv_column {
    const char *member, *title;
    int most;
} dv_column;

const char *dv_data_dir(const dv_args *args);
/* Calls VERB with ARGUMENTS (taken) and prints the rows: as a table of COLUMNS (member NULL ends), or as a JSON array. NONE is said on stderr
 * when there is no row; NULL: nothing. Returns the exit code. */
int dv_ask_list(const dv_args *args, const char *verb, cJSON *arguments, const dv_column *columns, const char *none);
/* One row: as "title  value" lines of COLUMNS, or as a JSON object. */
int dv_ask_one(const dv_args *args, const char *verb, cJSON *arguments, const dv_column *columns);
/* Rows and progress to ON_LINE. */
int dv_ask(const dv_args *args, const char *verb, cJSON *arguments, bool local, dv_on_line *on_line, void *user);
/* The same, error to ERR instead of stderr. */
bool dv_ask_quietly(const dv_args *args, const char *verb, cJSON *arguments, bool local, dv_on_line *on_line,
                    void *user, dv_error *err);

/* Adds the option's value under MEMBER when it was given. */
void dv_ask_text(cJSON *arguments, const char *member, const dv_args *args, const char *option);
/* Adds values separated by commas as an array. */
void dv_ask_texts(cJSON *arguments, const char *member, const dv_args *args, const char *option);
/* A value of a row as text for people; BUF is used for numbers. Numbers of bytes when MEMBER is "bytes". */
const char *dv_show(const cJSON *row, const char *member, char *buf, size_t size);
void dv_print_json(const cJSON *value);

#endif
