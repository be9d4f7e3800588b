/* dimse_tool.c: engine/dimse alone, for dimse_peers.py and measurements: a server that keeps what it gets, and a client.
 *
 *   dimse_tool serve PORT [DIR]            prints "port N"; DIR: each data set into DIR/SOPINSTANCE.raw; ends when stdin does
 *   dimse_tool echo HOST PORT CALLED
 *   dimse_tool find HOST PORT CALLED       all studies: prints "study UID" lines
 *   dimse_tool move HOST PORT CALLED DESTINATION STUDY
 *   dimse_tool get HOST PORT CALLED STUDY DIR     CT images only; CANCEL_AFTER: instances
 *   dimse_tool store HOST PORT CALLED CLASS INSTANCE SYNTAX FILE.raw
 * Environment: LISTENERS (as dimse.listeners; their ports stand behind the first), TLS (client: 1 or insecure), TLS_CERT, TLS_KEY, TLS_CA,
 *   TLS_CLIENTS, AET (calling title, DROVER), MAX (associations), ANSWER_MS, CANCEL_AFTER (find: answers). */
#include "base/log.h"
#include "dimse/scp.h"
#include "dimse/scu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *dir;
static atomic_ullong bytes_in, stores_in, lost_in;
static atomic_bool enough;
static int cancel_after;

static const char *env(const char *name, const char *otherwise)
{
    const char *v = getenv(name);

    return v ? v : otherwise;
}

static int env_int(const char *name, int otherwise)
{
    const char *v = getenv(name);

    return v ? (int)strtol(v, NULL, 10) : otherwise;
}

typedef struct one {
    FILE *to;
} one;

static dv_admit admit(void *user, dv_caller *caller)
{
    (void)user;
    if (strcmp(caller->called, "WRONG") == 0)
        return DV_ADMIT_UNKNOWN_CALLED;
    return strcmp(caller->calling, "NOBODY") == 0 ? DV_ADMIT_UNKNOWN_CALLING : DV_ADMIT;
}

static bool accept_any(void *user, const dv_caller *caller, dv_text sop_class, dv_text syntax)
{
    (void)user, (void)caller, (void)syntax;
    return dv_text_starts(sop_class, DV_TEXT("1.2.840.10008.5.1.4.1.1.")) ||
           dv_text_starts(sop_class, DV_TEXT("1.2.276."));
}

static void *store_begin(void *user, dv_caller *caller, const dv_store_request *rq, dv_store_answer *answer)
{
    one *o = malloc(sizeof *o);
    char path[512];

    (void)user, (void)caller, (void)answer;
    o->to = NULL;
    if (dir) {
        snprintf(path, sizeof path, "%s/%.*s.raw", dir, DV_ARG(rq->sop_instance));
        o->to = fopen(path, "wb");
    }
    return o;
}

static bool store_data(void *instance, const void *bytes, size_t n)
{
    one *o = instance;

    atomic_fetch_add(&bytes_in, n);
    return !o->to || fwrite(bytes, 1, n, o->to) == n;
}

static void store_end(void *instance, dv_store_answer *answer)
{
    one *o = instance;

    answer->status = 0;
    if (o->to && fclose(o->to))
        answer->status = 0xA700;
    unsigned long long stores = atomic_fetch_add(&stores_in, 1) + 1;
    if (cancel_after && stores >= (unsigned)cancel_after)
        atomic_store(&enough, true);
    free(o);
}

static void store_lost(void *instance)
{
    one *o = instance;

    if (o->to)
        fclose(o->to);
    atomic_fetch_add(&lost_in, 1);
    free(o);
}

/* TLS_CERT, TLS_KEY and TLS_CA. */
static dv_tls_files tls_files(void)
{
    return (dv_tls_files){getenv("TLS_CERT"), getenv("TLS_KEY"), getenv("TLS_CA")};
}

static int serve(uint16_t port)
{
    dv_scp_options o = {.port = port,
                        .max_associations = env_int("MAX", 0),
                        .first_pdu_ms = env_int("FIRST_MS", 3000),
                        .idle_ms = env_int("IDLE_MS", 0),
                        .pdu_ms = env_int("PDU_MS", 0)};
    dv_scp_callbacks on = {.admit = admit,
                           .accept = accept_any,
                           .store_begin = store_begin,
                           .store_data = store_data,
                           .store_end = store_end,
                           .store_lost = store_lost};
    dv_error err = {0};
    dv_scp_listener more[DV_MAX_LISTENERS];
    dv_tls_clients clients = DV_TLS_REQUIRE;
    const dv_tls_files files = tls_files();
    dv_tls *tls = NULL;
    dv_arena arena;
    dv_scp *scp = NULL;
    char byte;

    dv_arena_init(&arena, 0);
    (void)dv_tls_clients_of(env("TLS_CLIENTS", "require"), &clients);
    if ((!files.certificate || (tls = dv_tls_server(&files, clients, &err))) &&
        dv_scp_listeners_of(env("LISTENERS", ""), tls, &arena, more, &o.more_count, &err)) {
        o.more = more;
        scp = dv_scp_start(&o, &on, &err);
    }

    if (!scp) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("port %u", dv_scp_port(scp));
    for (size_t i = 0; i < o.more_count; i++)
        printf(" %u", dv_scp_more_port(scp, i));
    printf("\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0 || errno == EINTR)
        ;
    dv_scp_stop(scp, 2000);
    dv_tls_free(tls);
    dv_arena_free(&arena);
    printf("stores %llu bytes %llu lost %llu\n", atomic_load(&stores_in), atomic_load(&bytes_in),
           atomic_load(&lost_in));
    return 0;
}

static int failed(const dv_error *err)
{
    printf("error %s %s\n", dv_error_lookup(err->code)->name, err->message);
    return dv_error_lookup(err->code)->exit_code;
}

static void add(uint8_t *to, size_t *n, unsigned element_group, unsigned element, const char *value)
{
    size_t length = strlen(value);

    to[*n] = (uint8_t)element_group;
    to[*n + 1] = (uint8_t)(element_group >> 8);
    to[*n + 2] = (uint8_t)element;
    to[*n + 3] = (uint8_t)(element >> 8);
    to[*n + 4] = (uint8_t)(length + length % 2);
    to[*n + 5] = to[*n + 6] = to[*n + 7] = 0;
    memcpy(to + *n + 8, value, length);
    if (length % 2)
        to[*n + 8 + length] = 0;
    *n += 8 + length + length % 2;
}

static int left = -1;

static bool print_study(void *user, dv_text id)
{
    (void)user;
    for (size_t at = 0; at + 8 <= id.len;) { /* implicit little endian, as asked for */
        const uint8_t *p = (const uint8_t *)id.at + at;
        size_t length = (size_t)p[4] | (size_t)p[5] << 8;

        if (p[0] == 0x20 && p[1] == 0 && p[2] == 0x0D && p[3] == 0) {
            dv_text uid = dv_text_trim((dv_text){(const char *)p + 8, length});

            printf("study %.*s\n", DV_ARG(uid));
        }
        at += 8 + length;
    }
    return left < 0 || --left > 0;
}

static void print_move(void *user, const dv_move_result *m)
{
    (void)user;
    printf("moving %d %d %d %d\n", m->remaining, m->completed, m->failed, m->warning);
}

static ptrdiff_t next_bytes(void *user, void *buf, size_t size, dv_error *err)
{
    (void)err;
    return (ptrdiff_t)fread(buf, 1, size, user);
}

static int client(int argc, char **argv)
{
    const char *verb = argv[1];
    dv_target to = {.host = argv[2],
                    .port = (uint16_t)strtoul(argv[3], NULL, 10),
                    .calling = env("AET", "DROVER"),
                    .called = argv[4],
                    .connect_ms = env_int("CONNECT_MS", 3000),
                    .answer_ms = env_int("ANSWER_MS", 20000)};
    dv_context_offer offers[4] = {
        {.sop_class = DV_SOP_VERIFICATION},
        {.sop_class = DV_SOP_STUDY_FIND, .syntaxes = {"1.2.840.10008.1.2"}},
        {.sop_class = DV_SOP_STUDY_MOVE, .syntaxes = {"1.2.840.10008.1.2"}},
        {.sop_class = "1.2.840.10008.5.1.4.1.1.2", .syntaxes = {"1.2.840.10008.1.2.1"}, .role = DV_ROLE_SCP}};
    dv_error err = {0};
    dv_association *a;
    dv_tls *tls = NULL;
    uint8_t query[512];
    size_t n = 0;
    int code = 0;

    if (strcmp(verb, "store") == 0)
        offers[0] = (dv_context_offer){.sop_class = argv[5], .syntaxes = {argv[7]}};
    if (strcmp(verb, "get") == 0)
        offers[2].sop_class = DV_SOP_STUDY_GET;
    if (getenv("TLS")) {
        const dv_tls_files files = tls_files();

        tls = dv_tls_client(&files, strcmp(getenv("TLS"), "insecure") == 0, &err);
        if (!tls)
            return failed(&err);
        to.tls = tls;
    }
    a = dv_associate(&to, offers, strcmp(verb, "get") == 0 ? 4 : 3, &err);
    dv_tls_free(tls);
    if (!a)
        return failed(&err);
    if (strcmp(verb, "echo") == 0) {
        code = dv_echo(a, &err) ? 0 : failed(&err);
    } else if (strcmp(verb, "find") == 0) {
        left = env_int("CANCEL_AFTER", -1);
        add(query, &n, 0x08, 0x52, "STUDY");
        add(query, &n, 0x20, 0x0D, "");
        code = dv_find(a, DV_SOP_STUDY_FIND, (dv_text){(char *)query, n}, print_study, NULL, &err) ? 0 : failed(&err);
    } else if (strcmp(verb, "move") == 0 && argc == 7) {
        dv_move_result r;
        dv_arena arena;

        dv_arena_init(&arena, 0);
        add(query, &n, 0x08, 0x52, "STUDY");
        add(query, &n, 0x20, 0x0D, argv[6]);
        if (dv_move(a, DV_SOP_STUDY_MOVE, argv[5], (dv_text){(char *)query, n}, &arena, print_move, NULL, &r, &err))
            printf("moved %04x %d %d %d %d failed \"%.*s\" %s\n", r.status, r.remaining, r.completed, r.failed,
                   r.warning, DV_ARG(r.failed_uids), r.comment);
        else
            code = failed(&err);
        dv_arena_free(&arena);
    } else if (strcmp(verb, "get") == 0 && argc == 7) {
        const dv_scp_callbacks on = {
            .store_begin = store_begin, .store_data = store_data, .store_end = store_end, .store_lost = store_lost};
        dv_caller caller = {.calling = to.called, .called = to.calling, .address = to.host};
        const dv_get_sink sink = {&on, &caller};
        dv_move_result r;
        dv_arena arena;

        dir = argv[6];
        dv_arena_init(&arena, 0);
        add(query, &n, 0x08, 0x52, "STUDY");
        add(query, &n, 0x20, 0x0D, argv[5]);
        cancel_after = env_int("CANCEL_AFTER", 0);
        dv_association_lend(a, to.answer_ms, &enough);
        printf("roles %zu\n", dv_may_receive(a));
        if (dv_get(a, DV_SOP_STUDY_GET, (dv_text){(char *)query, n}, &sink, &arena, print_move, NULL, &r, &err))
            printf("got %04x %d %d %d %d failed \"%.*s\" %s\n", r.status, r.remaining, r.completed, r.failed, r.warning,
                   DV_ARG(r.failed_uids), r.comment);
        else
            code = failed(&err);
        printf("stores %llu lost %llu\n", atomic_load(&stores_in), atomic_load(&lost_in));
        dv_arena_free(&arena);
    } else if (strcmp(verb, "store") == 0 && argc == 9) {
        FILE *f = fopen(argv[8], "rb");
        uint16_t status = 0;

        if (!f)
            return 2;
        if (dv_store_send(a, dv_text_of(argv[5]), dv_text_of(argv[6]), dv_text_of(argv[7]), next_bytes, f, &status,
                          &err))
            printf("status %04x\n", status);
        else
            code = failed(&err);
        fclose(f);
    }
    printf("alive %d\n", dv_association_is_alive(a));
    dv_release(a);
    return code;
}

int main(int argc, char **argv)
{
    dv_error err = {0};

    if (!dv_dimse_setup(&err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (argc >= 3 && strcmp(argv[1], "serve") == 0) {
        dir = argc > 3 ? argv[3] : NULL;
        return serve((uint16_t)strtoul(argv[2], NULL, 10));
    }
    if (argc >= 5)
        return client(argc, argv);
    fprintf(stderr, "dimse_tool serve|echo|find|move|store ...; see the head of dimse_tool.c\n");
    return 2;
}
