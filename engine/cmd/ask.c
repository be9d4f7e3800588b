#include "cmd/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *dv_data_dir(const dv_args *args)
{
    static const char here[] = "drover-data", packaged[] = "/var/lib/drover";
    const char *given = dv_arg(args, "data"), *environment = getenv("DROVER_DATA_DIR");
    if (given || (environment && *environment))
        return given ? given : environment;
    return access(here, F_OK) != 0 && access(packaged, F_OK) == 0 ? packaged : here;
}

void dv_ask_text(cJSON *arguments, const char *member, const dv_args *args, const char *option)
{
    const char *given = dv_arg(args, option);
    if (given)
        cJSON_AddStringToObject(arguments, member, given);
}

void dv_ask_texts(cJSON *arguments, const char *member, const dv_args *args, const char *option)
{
    const char *given = dv_arg(args, option);
    if (!given)
        return;
    cJSON *list = cJSON_AddArrayToObject(arguments, member);
    for (dv_text rest = dv_text_of(given); rest.at;) {
        dv_text part = dv_text_split(rest, ',', &rest);
        char *copy = strndup(part.at, part.len);
        if (copy)
            cJSON_AddItemToArray(list, cJSON_CreateString(copy));
        free(copy);
    }
}

bool dv_ask_quietly(const dv_args *args, const char *verb, cJSON *arguments, bool local, dv_on_line *on_line,
                    void *user, dv_error *err)
{
    bool ok = arguments ? dv_call(dv_data_dir(args), verb, arguments, local, on_line, user, err)
                        : dv_fail(err, DV_ERR_MEMORY, "out of memory");
    cJSON_Delete(arguments);
    return ok;
}

int dv_ask(const dv_args *args, const char *verb, cJSON *arguments, bool local, dv_on_line *on_line, void *user)
{
    dv_error err = {0};
    return dv_ask_quietly(args, verb, arguments, local, on_line, user, &err) ? 0 : dv_complain(args, &err);
}

/* "1.2 GB" */
static char *show_bytes(double bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    int u = 0;
    while (bytes >= 1000 && u < 5) {
        bytes /= 1000;
        u++;
    }
    snprintf(buf, size, u && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return buf;
}

const char *dv_show(const cJSON *row, const char *member, char *buf, size_t size)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, member);
    if (cJSON_IsString(v))
        return v->valuestring;
    if (cJSON_IsBool(v))
        return cJSON_IsTrue(v) ? "yes" : "no";
    if (cJSON_IsNumber(v) && strcmp(member, "bytes") == 0)
        return show_bytes(v->valuedouble, buf, size);
    if (cJSON_IsNumber(v)) {
        snprintf(buf, size, v->valuedouble == (double)(int64_t)v->valuedouble ? "%.0f" : "%.1f", v->valuedouble);
        return buf;
    }
    return "";
}

void dv_print_json(const cJSON *value)
{
    char *text = cJSON_Print(value);
    dv_json_printed();
    puts(text ? text : "null");
    cJSON_free(text);
}

static bool collect(void *user, const char *kind, const cJSON *body)
{
    return strcmp(kind, "row") != 0 || cJSON_AddItemToArray(user, cJSON_Duplicate(body, true));
}

/* Characters on the screen, near enough: UTF-8 lead bytes. */
static int width(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* Prints S in WIDTH columns, cut when it must be. Control characters of a foreign value do not reach the terminal. */
static void print_cell(const char *s, int columns, bool right, bool last)
{
    int n = width(s), shown = 0;
    for (int i = n; right && i < columns; i++)
        putchar(' ');
    for (; *s; s++) {
        bool lead = ((unsigned char)*s & 0xC0) != 0x80;
        if (lead && ++shown > columns)
            break;
        if (lead && shown == columns && n > columns) {
            fputs("…", stdout);
            continue;
        }
        if (shown < columns || n <= columns)
            putchar((unsigned char)*s < 0x20 || *s == 0x7F ? '?' : *s);
    }
    for (int i = n; !right && !last && i < columns; i++)
        putchar(' ');
    fputs(last ? "\n" : "  ", stdout);
}

static void print_table(const cJSON *rows, const dv_column *columns)
{
    enum { MOST = 24 };
    int widths[MOST], count = 0;
    bool right[MOST];
    char buf[64];
    const cJSON *row;
    for (; columns[count].member && count < MOST; count++) {
        widths[count] = width(columns[count].title);
        right[count] = true;
        cJSON_ArrayForEach(row, rows)
        {
            const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, columns[count].member);
            right[count] = right[count] && cJSON_IsNumber(v);
            int w = width(dv_show(row, columns[count].member, buf, sizeof buf));
            if (w > widths[count])
                widths[count] = w;
        }
        if (columns[count].most && widths[count] > columns[count].most)
            widths[count] = columns[count].most;
    }
    for (int i = 0; i < count; i++)
        print_cell(columns[i].title, widths[i], right[i], i == count - 1);
    cJSON_ArrayForEach(row, rows) for (int i = 0; i < count; i++)
        print_cell(dv_show(row, columns[i].member, buf, sizeof buf), widths[i], right[i], i == count - 1);
}

int dv_ask_list(const dv_args *args, const char *verb, cJSON *arguments, const dv_column *columns, const char *none)
{
    cJSON *rows = cJSON_CreateArray();
    dv_error err = {0};
    bool ok = dv_ask_quietly(args, verb, arguments, true, collect, rows, &err);
    if (dv_flag(args, "json") && (ok || cJSON_GetArraySize(rows)))
        dv_print_json(rows);
    else if (cJSON_GetArraySize(rows))
        print_table(rows, columns);
    else if (ok && none)
        fprintf(stderr, "%s\n", none);
    cJSON_Delete(rows);
    return ok ? 0 : dv_complain(args, &err);
}

int dv_ask_one(const dv_args *args, const char *verb, cJSON *arguments, const dv_column *columns)
{
    cJSON *rows = cJSON_CreateArray();
    dv_error err = {0};
    char buf[64];
    bool ok = dv_ask_quietly(args, verb, arguments, true, collect, rows, &err);
    const cJSON *row = cJSON_GetArrayItem(rows, 0);
    if (ok && row && dv_flag(args, "json"))
        dv_print_json(row);
    else if (ok && row)
        for (const dv_column *c = columns; c->member; c++) {
            const char *value = dv_show(row, c->member, buf, sizeof buf);
            if (*value)
                printf("%-20s %s\n", c->title, value);
        }
    cJSON_Delete(rows);
    return ok ? 0 : dv_complain(args, &err);
}
