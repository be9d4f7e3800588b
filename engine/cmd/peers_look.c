/* drover peers show, probe, check. */
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

static bool keep_row(void *user, const char *kind, const cJSON *body)
{
    if (strcmp(kind, "row") == 0 && !*(cJSON **)user)
        *(cJSON **)user = cJSON_Duplicate(body, true);
    return true;
}

static double number(const cJSON *row, const char *member)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, member);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* Names of LIST's members joined by commas, in lines of 100 characters. */
static void print_names(const char *title, const cJSON *list)
{
    const cJSON *one;
    char buf[8];
    size_t column = 0;
    printf("%-20s ", title);
    if (cJSON_GetArraySize(list) == 0)
        printf("none");
    cJSON_ArrayForEach(one, list)
    {
        const char *name = dv_show(one, "name", buf, sizeof buf);
        size_t n = strlen(name) + 2;
        if (column && column + n > 100) {
            printf("\n%-20s ", "");
            column = 0;
        }
        printf("%s%s", name, one->next ? ", " : "");
        column += n;
    }
    putchar('\n');
}

static void print_probe(const cJSON *p)
{
    const cJSON *storage = cJSON_GetObjectItemCaseSensitive(p, "storage"), *one;
    const cJSON *yes = cJSON_GetObjectItemCaseSensitive(storage, "accepted"),
                *no = cJSON_GetObjectItemCaseSensitive(storage, "refused");
    char buf[64], second[64];
    printf("%-20s %s\n", "probed", dv_show(p, "probed_at", buf, sizeof buf));
    printf("%-20s %s (%s)\n", "implementation", dv_show(p, "implementation", buf, sizeof buf),
           dv_show(p, "implementation_uid", second, sizeof second));
    if (number(p, "max_pdu") > 0)
        printf("%-20s %.0f bytes; we send at most %.0f\n", "largest PDU", number(p, "max_pdu"), number(p, "pdu_sent"));
    else
        printf("%-20s no limit; we send at most %.0f bytes\n", "largest PDU", number(p, "pdu_sent"));
    printf("%-20s association %.1f ms, C-ECHO %.1f ms\n", "answers within", number(p, "associate_ms"),
           number(p, "echo_ms"));
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(p, "services"))
    {
        printf("%-34s %s\n", dv_show(one, "service", buf, sizeof buf), dv_show(one, "answer", second, sizeof second));
    }
    printf("%-34s %s\n", "sends by C-GET (CT)",
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(p, "sends_by_get")) ? "agreed" : "not agreed");
    printf("%-34s %d of %.0f classes accepted\n", "storage", cJSON_GetArraySize(yes), number(storage, "offered"));
    if (cJSON_GetArraySize(yes) <= cJSON_GetArraySize(no))
        print_names("accepted", yes);
    else
        print_names("refused", no);
    const cJSON *before = NULL;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(p, "transfer_syntaxes"))
    {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(one, "accepted");
        bool same = before && cJSON_Compare(before, list, true);
        printf("transfer syntaxes of %s%s\n", dv_show(one, "name", buf, sizeof buf), same ? ": the same" : "");
        if (!same)
            print_names("", list);
        before = list;
    }
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(p, "notes"))
    {
        if (cJSON_IsString(one))
            printf("%-20s %s\n", "note", one->valuestring);
    }
}

int dv_peers_probe(const dv_args *args)
{
    dv_error err = {0};
    cJSON *row = NULL;
    if (args->count != 2)
        return dv_usage(args, "which peer? drover peers probe PEER");
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "peer", args->value[1]);
    cJSON_AddBoolToObject(a, "full", dv_flag(args, "full"));
    bool ok = dv_ask_quietly(args, "peers.probe", a, true, keep_row, &row, &err);
    char buf[64];
    if (ok && row && dv_flag(args, "json")) {
        dv_print_json(row);
    } else if (ok && row) {
        printf("%-20s %s", "peer", dv_show(row, "peer", buf, sizeof buf));
        printf(", %s\n", dv_show(row, "address", buf, sizeof buf));
        print_probe(row);
    }
    cJSON_Delete(row);
    return ok ? 0 : dv_complain(args, &err);
}

int dv_peers_show(const dv_args *args)
{
    static const dv_column columns[] = {{"slug", "peer", 0},
                                        {"label", "label", 0},
                                        {"aet", "AE title", 0},
                                        {"host", "host", 0},
                                        {"port", "port", 0},
                                        {"direction", "direction", 0},
                                        {"enabled", "enabled", 0},
                                        {"max_associations", "associations", 0},
                                        {"open", "open now", 0},
                                        {"idle", "idle now", 0},
                                        {"sop_classes", "SOP classes", 0},
                                        {"transfer_syntaxes", "transfer syntaxes", 0},
                                        {0}};
    dv_error err = {0};
    cJSON *row = NULL;
    if (args->count != 2)
        return dv_usage(args, "which peer? drover peers show PEER");
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "slug", args->value[1]);
    bool ok = dv_ask_quietly(args, "peers.show", a, true, keep_row, &row, &err);
    char buf[64];
    if (ok && row && dv_flag(args, "json")) {
        dv_print_json(row);
    } else if (ok && row) {
        for (const dv_column *c = columns; c->member; c++)
            if (*dv_show(row, c->member, buf, sizeof buf))
                printf("%-20s %s\n", c->title, dv_show(row, c->member, buf, sizeof buf));
        char *settings = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(row, "settings"));
        printf("%-20s %s\n", "settings", settings ? settings : "");
        cJSON_free(settings);
        const cJSON *probe = cJSON_GetObjectItemCaseSensitive(row, "probe");
        if (cJSON_IsObject(probe))
            print_probe(probe);
        else
            printf("%-20s never; drover peers probe %s\n", "probed", args->value[1]);
    }
    cJSON_Delete(row);
    return ok ? 0 : dv_complain(args, &err);
}

static bool collect(void *user, const char *kind, const cJSON *body)
{
    return strcmp(kind, "row") != 0 || cJSON_AddItemToArray(user, cJSON_Duplicate(body, true));
}

static bool print_check(void *user, const char *kind, const cJSON *body)
{
    char a[32], b[32], c[32], d[32], e[32];
    if (strcmp(kind, "row") != 0)
        return true;
    const char *result = dv_show(body, "result", a, sizeof a), *advice = dv_show(body, "advice", b, sizeof b);
    printf("%-8s %s: %s: %s\n", result, dv_show(body, "peer", c, sizeof c), dv_show(body, "check", d, sizeof d),
           dv_show(body, "detail", e, sizeof e));
    if (*advice)
        printf("%-8s -> %s\n", "", advice);
    fflush(stdout); /* a check may take its time: each line as it is known */
    return collect(user, kind, body);
}

int dv_peers_check(const dv_args *args)
{
    dv_error err = {0};
    if (args->count > 2)
        return dv_usage(args, "'%s' is too much", args->value[2]);
    cJSON *a = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    const cJSON *row;
    int failed = 0;
    if (args->count == 2)
        cJSON_AddStringToObject(a, "peer", args->value[1]);
    cJSON_AddBoolToObject(a, "move", dv_flag(args, "move"));
    bool json = dv_flag(args, "json");
    bool ok = dv_ask_quietly(args, "peers.check", a, true, json ? collect : print_check, rows, &err);
    char buf[32];
    cJSON_ArrayForEach(row, rows) failed += strcmp(dv_show(row, "result", buf, sizeof buf), "failed") == 0;
    if (json)
        dv_print_json(rows);
    else if (ok && cJSON_GetArraySize(rows) == 0)
        fprintf(stderr, "there is no enabled peer; add one: drover peers add SLUG --aet AE --host HOST --port N\n");
    cJSON_Delete(rows);
    return !ok ? dv_complain(args, &err) : failed ? dv_error_lookup(DV_ERR_INCOMPLETE)->exit_code : 0;
}
