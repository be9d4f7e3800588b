#include "catalog/peer_settings.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <stdlib.h>

static const dv_column columns[] = {{"slug", "PEER", 0},
                                    {"aet", "AE TITLE", 0},
                                    {"host", "HOST", 40},
                                    {"port", "PORT", 0},
                                    {"direction", "DIRECTION", 0},
                                    {"enabled", "ENABLED", 0},
                                    {"retrieve", "RETRIEVE", 0},
                                    {"open", "OPEN", 0},
                                    {"idle", "IDLE", 0},
                                    {"label", "LABEL", 40},
                                    {0}};

static const dv_option peer_options[] = {
    {"aet", "AE", "add: the peer's AE title"},
    {"host", "HOST", "add: its name or address"},
    {"port", "N", "add: its DICOM port (default 104)"},
    {"direction", "D", "add: SourceOnly, DestinationOnly or Both (default Both)"},
    {"label", "TEXT", "add: a name for people (default: the slug)"},
    {"disabled", NULL, "add: not to be used yet"},
    {"sop-classes", "UIDS", "add: only these SOP classes, separated by '\\' (default: all)"},
    {"transfer-syntaxes", "UIDS", "add: only these transfer syntaxes, separated by '\\' (default: all)"},
    {"max-associations", "N", "add: associations to it at once (default 0: the host's limit only)"},
    {"settings", "JSON", "add: quirks, e.g. {\"retrieve\":\"get\"}; 'drover peers settings' lists them"},
    {"tls", NULL, "add: call it by TLS; its certificate must be for HOST"},
    {"tls-ca", "FILE", "add: PEM of the authorities for its certificate (default: dimse.tls_ca, else the system's)"},
    {"tls-cert", "FILE", "add: PEM of the certificate we show to it (default: dimse.tls_cert)"},
    {"tls-key", "FILE", "add: PEM of that certificate's key (default: in the same file)"},
    {"tls-insecure", NULL, "add: take any certificate of it (laboratory)"},
    {"replace", NULL, "add: change the peer when it is there"},
    {"move", NULL, "check: ask for one instance by C-MOVE, which proves that it comes (it is stored)"},
    {"full", NULL, "probe: every accepted class in every transfer syntax, which takes many associations"},
    {"study", "UID", "commit: what it shall commit; a series or an instance too"},
    {"wait", "SECONDS", "commit: for its report (default 60)"},
    DV_ASK_OPTIONS};

/* The TLS options become settings. */
static void add_tls(cJSON *peer, const dv_args *args)
{
    static const char *const files[][2] = {{"tls_ca", "tls-ca"}, {"tls_cert", "tls-cert"}, {"tls_key", "tls-key"}};
    cJSON *settings = cJSON_GetObjectItemCaseSensitive(peer, "settings");
    if (!dv_flag(args, "tls"))
        return;
    if (!settings)
        settings = cJSON_AddObjectToObject(peer, "settings");
    cJSON_AddBoolToObject(settings, "tls", true);
    if (dv_flag(args, "tls-insecure"))
        cJSON_AddBoolToObject(settings, "tls_insecure", true);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        /* The engine has another working directory. */
        char *path = dv_arg(args, files[i][1]) ? realpath(dv_arg(args, files[i][1]), NULL) : NULL;
        if (dv_arg(args, files[i][1]))
            cJSON_AddStringToObject(settings, files[i][0], path ? path : dv_arg(args, files[i][1]));
        free(path);
    }
}

static int add(const dv_args *args)
{
    static const char *const texts[][2] = {{"aet", "aet"},
                                           {"host", "host"},
                                           {"direction", "direction"},
                                           {"label", "label"},
                                           {"sop_classes", "sop-classes"},
                                           {"transfer_syntaxes", "transfer-syntaxes"}};
    dv_error err = {0};
    int64_t port = 104, most = 0;
    if (args->count != 2)
        return dv_usage(args, "give the new peer's name: drover peers add SLUG --aet AE --host HOST");
    if (!dv_arg(args, "aet") || !dv_arg(args, "host"))
        return dv_usage(args, "--aet and --host are needed");
    if (!dv_flag(args, "tls") && (dv_arg(args, "tls-ca") || dv_arg(args, "tls-cert") || dv_arg(args, "tls-key") ||
                                  dv_flag(args, "tls-insecure")))
        return dv_usage(args, "the options --tls-... say how; --tls says that");
    if (!dv_arg_int(args, "port", 1, 65535, &port, &err) || !dv_arg_int(args, "max-associations", 0, 1000, &most, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "slug", args->value[1]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        dv_ask_text(a, texts[i][0], args, texts[i][1]);
    cJSON_AddNumberToObject(a, "port", (double)port);
    cJSON_AddNumberToObject(a, "max_associations", (double)most);
    cJSON_AddBoolToObject(a, "enabled", !dv_flag(args, "disabled"));
    cJSON_AddBoolToObject(a, "replace", dv_flag(args, "replace"));
    if (dv_arg(args, "settings")) {
        cJSON *settings = cJSON_Parse(dv_arg(args, "settings"));
        if (!cJSON_IsObject(settings)) {
            cJSON_Delete(settings);
            cJSON_Delete(a);
            return dv_usage(args, "--settings is '%s'; it must be a JSON object", dv_arg(args, "settings"));
        }
        cJSON_AddItemToObject(a, "settings", settings);
    }
    add_tls(a, args);
    return dv_ask_list(args, "peers.add", a, columns, NULL);
}

/* The list that `peers add --settings` is checked against. */
static int list_settings(void)
{
    static const char *const kinds[] = {"number", "true, false", "text", "file", ""};
    for (const dv_peer_setting *s = dv_peer_settings; s->name; s++) {
        bool words = s->kind == DV_PEER_KIND_choice;
        char range[64] = "";
        if (s->kind == DV_PEER_KIND_int)
            snprintf(range, sizeof range, " %d to %d", s->min, s->max);
        printf("%-16s %s%s%s%s\n%-16s %s\n", s->name, words ? s->otherwise : kinds[s->kind], range,
               words || !s->otherwise[0] ? "" : ", default ", words ? "" : s->otherwise, "", s->help);
    }
    return 0;
}

static int run_peers(const dv_args *args)
{
    const char *what = args->count ? args->value[0] : "list";
    if (strcmp(what, "add") == 0)
        return add(args);
    if (strcmp(what, "list") == 0)
        return dv_ask_list(args, "peers.list", cJSON_CreateObject(), columns,
                           "no peers yet; add one: drover peers add SLUG --aet AE --host HOST --port N");
    if (strcmp(what, "show") == 0)
        return dv_peers_show(args);
    if (strcmp(what, "probe") == 0)
        return dv_peers_probe(args);
    if (strcmp(what, "check") == 0)
        return dv_peers_check(args);
    if (strcmp(what, "settings") == 0 && args->count == 1)
        return list_settings();
    if (strcmp(what, "commit") == 0)
        return dv_peers_commit(args);
    if (strcmp(what, "remove") == 0 && args->count == 2) {
        cJSON *a = cJSON_CreateObject();
        cJSON_AddStringToObject(a, "slug", args->value[1]);
        return dv_ask_list(args, "peers.remove", a, columns, NULL);
    }
    return dv_usage(args, "'%s' is no action, or its peer is missing", what);
}

const dv_verb dv_verb_peers = {
    "peers",
    "list | add SLUG ... | remove SLUG | show SLUG | probe SLUG | check [SLUG] | settings | commit SLUG --study UID",
    "remote systems we receive from and pull out of",
    "A peer is named by its slug, which rules, batches and this command line use. Check says what stands in the\n"
    "way of a migration, and ends with 20 when something does; probe finds out what the peer can, and show\n"
    "prints it again; commit asks it for storage commitment.",
    peer_options,
    "drover peers add old-pacs --aet OLDPACS --host 10.1.2.3 --port 104 --direction SourceOnly",
    run_peers};

static int run_echo(const dv_args *args)
{
    static const dv_column result[] = {
        {"peer", "PEER", 0}, {"associate_ms", "ASSOCIATE MS", 0}, {"echo_ms", "C-ECHO MS", 0}, {0}};
    if (args->count != 1)
        return dv_usage(args, "which peer?");
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "peer", args->value[0]);
    return dv_ask_list(args, "echo", a, result, NULL);
}

static const dv_option ask_options[] = {DV_ASK_OPTIONS};

const dv_verb dv_verb_echo = {
    "echo", "PEER", "does a peer answer? C-ECHO with times", NULL, ask_options, "drover echo old-pacs", run_echo};

static const char *value_of(const cJSON *dataset, const char *tag, char *buf, size_t size)
{
    const cJSON *element = cJSON_GetObjectItemCaseSensitive(dataset, tag);
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(element, "Value"), *v;
    size_t n = 0;
    buf[0] = '\0';
    cJSON_ArrayForEach(v, values)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(v, "Alphabetic");
        const char *text = cJSON_IsString(v) ? v->valuestring : cJSON_IsString(name) ? name->valuestring : "";
        if (cJSON_IsNumber(v))
            n += (size_t)snprintf(buf + n, size - n, "%s%.10g", n ? "\\" : "", v->valuedouble);
        else
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "\\" : "", text);
        if (n >= size)
            break;
    }
    return buf;
}

/* The answers' DICOM JSON as flat rows for the table. */
static bool flatten(void *user, const char *kind, const cJSON *body)
{
    static const char *const keys[][2] = {
        {"00080020", "date"},         {"00080061", "modalities"}, {"00100020", "patient_id"},
        {"00100010", "patient_name"}, {"00080050", "accession"},  {"00081030", "description"},
        {"00201206", "series"},       {"00201208", "instances"},  {"0020000D", "study_uid"}};
    char buf[512];
    if (strcmp(kind, "row") != 0)
        return true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        printf("%s%s", value_of(body, keys[i][0], buf, sizeof buf), i + 1 == sizeof keys / sizeof *keys ? "\n" : "\t");
    ++*(int64_t *)user;
    return true;
}

static const dv_option find_options[] = {{"limit", "N", "stop after so many answers (default 0: all)"}, DV_ASK_OPTIONS};

static int run_find(const dv_args *args)
{
    dv_error err = {0};
    int64_t limit = 0, rows = 0;
    if (args->count < 1)
        return dv_usage(args, "which peer?");
    if (!dv_arg_int(args, "limit", 0, 1000000000, &limit, &err))
        return dv_complain(args, &err);
    cJSON *a = cJSON_CreateObject();
    cJSON_AddStringToObject(a, "peer", args->value[0]);
    cJSON_AddNumberToObject(a, "limit", (double)limit);
    cJSON *keys = cJSON_AddObjectToObject(a, "keys");
    for (int i = 1; i < args->count; i++) {
        dv_text value;
        char name[256];
        dv_text_copy(dv_text_split(dv_text_of(args->value[i]), '=', &value), name, sizeof name);
        if (!value.at) {
            cJSON_Delete(a);
            return dv_usage(args, "'%s' is no KEY=VALUE, for example PatientID=4711", args->value[i]);
        }
        cJSON_AddStringToObject(keys, name, value.at);
    }
    if (dv_flag(args, "json"))
        return dv_ask_list(args, "find", a, NULL, NULL);
    printf("DATE\tMODALITIES\tPATIENT ID\tPATIENT NAME\tACCESSION\tDESCRIPTION\tSERIES\tINSTANCES\tSTUDY UID\n");
    int code = dv_ask(args, "find", a, true, flatten, &rows);
    if (code == 0)
        fprintf(stderr, "%lld studies\n", (long long)rows);
    return code;
}

const dv_verb dv_verb_find = {
    "find",
    "PEER [KEY=VALUE ...]",
    "what does a peer hold? C-FIND at study level",
    "Keys are DICOM keywords or tags; * and ? are wildcards where the standard allows them, dates may be ranges.\n"
    "The table is separated by tabs; --json prints the DICOM JSON model.",
    find_options,
    "drover find old-pacs PatientID=4711 StudyDate=20200101-20201231",
    run_find};
