/* The client, against our own server and against peers that follow a script of bytes. */
#include "raw_peer.h"

#include "base/clock.h"
#include "base/log.h"
#include "dimse/scp.h"
#include "dimse/scu.h"

#include <pthread.h>

/* A peer: takes one connection and runs SCRIPT on it in its own thread. */
typedef struct scripted {
    int listener;
    uint16_t port;
    pthread_t thread;
    void (*script)(struct scripted *p, int fd);
    raw in, out;
    unsigned max_pdu;
    char failed[100]; /* the thread cannot use cmocka's asserts: it says here what was wrong */
} scripted;

static scripted peer;

#define EXPECT(p, what)                                                                                                \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            snprintf((p)->failed, sizeof(p)->failed, "line %d: %s", __LINE__, #what);                                  \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static void *run_script(void *arg)
{
    scripted *p = arg;
    int fd = accept(p->listener, NULL, NULL);

    if (fd >= 0) {
        p->script(p, fd);
        close(fd);
    }
    return NULL;
}

static void start_peer(void (*script)(scripted *p, int fd))
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;

    peer.script = script;
    peer.max_pdu = 16384;
    peer.failed[0] = '\0';
    peer.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(peer.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(peer.listener, 5), 0);
    assert_int_equal(getsockname(peer.listener, (struct sockaddr *)&at, &length), 0);
    peer.port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&peer.thread, NULL, run_script, &peer), 0);
}

static void end_peer(void)
{
    pthread_join(peer.thread, NULL);
    close(peer.listener);
    if (peer.failed[0])
        fail_msg("the peer's script: %s", peer.failed);
}

/* Reads a request for an association and accepts context 1 in implicit little endian. */
static bool take_association(scripted *p, int fd)
{
    if (raw_pdu(fd, &p->in) != 1)
        return false;
    raw_associate_begin(&p->out, 2, "DROVER", "PEER");
    raw_context(&p->out, 0x21, 1, 0, NULL, (const char *[]){IMPLICIT, NULL});
    raw_associate_end(&p->out, p->max_pdu);
    raw_send(fd, p->out.at, p->out.n);
    return true;
}

/* A command, and the data set that it announces, into p->in. */
static bool take_request(scripted *p, int fd, dv_command *c, uint8_t *held, size_t held_size)
{
    dv_error err;

    if (raw_pdu(fd, &p->in) != 4 || p->in.n - 6 > held_size)
        return false;
    memcpy(held, p->in.at + 6, p->in.n - 6);
    if (!dv_command_parse(held, p->in.n - 6, c, &err))
        return false;
    return c->data_set == DV_NO_DATA_SET || raw_pdu(fd, &p->in) == 4;
}

/* STATUS with COUNT counters of a C-MOVE, and an identifier. */
static void say(scripted *p, int fd, const dv_command *rq, uint16_t id, uint16_t status, const int *counters,
                dv_text identifier)
{
    dv_command_writer w;

    dv_command_begin(&w);
    dv_command_u16(&w, 0x0100, rq->field | DV_RESPONSE);
    dv_command_u16(&w, 0x0120, id);
    dv_command_u16(&w, 0x0800, identifier.at ? 0 : DV_NO_DATA_SET);
    dv_command_u16(&w, 0x0900, status);
    dv_command_text(&w, 0x0902, status >= 0xA000 && status < 0xFE00 ? DV_TEXT("too tired") : (dv_text){0}, ' ');
    for (uint16_t i = 0; counters && i < 4; i++)
        dv_command_u16(&w, (uint16_t)(0x1020 + i), (uint16_t)counters[i]);
    dv_command_end(&w);
    raw_pdata_begin(&p->out);
    raw_pdv(&p->out, 1, COMMAND | LAST, w.bytes, w.len);
    if (identifier.at)
        raw_pdv(&p->out, 1, LAST, identifier.at, identifier.len);
    raw_send_pdu(fd, &p->out);
}

static void await_release(scripted *p, int fd)
{
    unsigned type = raw_pdu(fd, &p->in);

    if (type == 5)
        raw_send(fd, "\6\0\0\0\0\4\0\0\0\0", 10);
}

static const dv_text no_text;

static dv_target target(uint16_t port)
{
    return (dv_target){.host = "127.0.0.1",
                       .port = port,
                       .calling = "DROVER",
                       .called = "PEER",
                       .connect_ms = 5000,
                       .answer_ms = RAW_MS};
}

static dv_association *associate_for(const char *sop_class, dv_target to)
{
    dv_context_offer offer = {.sop_class = sop_class, .syntaxes = {IMPLICIT}};
    dv_error err;
    dv_association *a = dv_associate(&to, &offer, 1, &err);

    if (!a)
        fail_msg("%s", err.message);
    return a;
}

static void fails(dv_target to, dv_code code, const char *says, const char *says_too)
{
    dv_context_offer offer = {.sop_class = DV_SOP_VERIFICATION};
    dv_error err = {0};
    dv_association *a = dv_associate(&to, &offer, 1, &err);

    assert_null(a);
    if (err.code != code || !strstr(err.message, says) || !strstr(err.message, says_too))
        fail_msg("unexpected: %s %s", dv_error_lookup(err.code)->name, err.message);
}

/* ---- with our own server ---- */

typedef struct sink {
    uint8_t bytes[400000];
    size_t n;
    char syntax[70];
    int stores;
    char callers[200];
} sink;
static sink got;

static bool accept_all(void *user, const dv_caller *caller, dv_text sop_class, dv_text syntax)
{
    (void)user, (void)caller, (void)syntax;
    return !dv_text_starts(sop_class, DV_TEXT("9."));
}

static void *sink_begin(void *user, dv_caller *caller, const dv_store_request *rq, dv_store_answer *answer)
{
    (void)user, (void)caller, (void)answer;
    got.n = 0;
    dv_text_copy(rq->transfer_syntax, got.syntax, sizeof got.syntax);
    return &got;
}

static bool sink_data(void *instance, const void *bytes, size_t n)
{
    sink *s = instance;

    if (n > sizeof s->bytes - s->n)
        return false;
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return true;
}

static void sink_end(void *instance, dv_store_answer *answer)
{
    ((sink *)instance)->stores++;
    answer->status = 0xB000;
}

static void sink_lost(void *instance)
{
    ((sink *)instance)->stores = -1000;
}

static dv_scp *start_server(uint32_t max_pdu)
{
    dv_scp_options o = {.host = "127.0.0.1", .max_pdu = max_pdu};
    dv_scp_callbacks on = {.accept = accept_all,
                           .store_begin = sink_begin,
                           .store_data = sink_data,
                           .store_end = sink_end,
                           .store_lost = sink_lost};
    dv_error err;
    dv_scp *scp = dv_scp_start(&o, &on, &err);

    if (!scp)
        fail_msg("%s", err.message);
    return scp;
}

static void an_echo_comes_back_and_the_association_stays_good(void **state)
{
    dv_scp *scp = start_server(0);
    dv_association *a = associate_for(DV_SOP_VERIFICATION, target(dv_scp_port(scp)));
    dv_error err;

    (void)state;
    assert_true(dv_echo(a, &err));
    assert_true(dv_association_is_alive(a));
    assert_true(dv_echo(a, &err));
    assert_int_equal(dv_next_message_id(a), 3);
    assert_true(dv_text_is(dv_accepted_syntax(a, DV_SOP_VERIFICATION), IMPLICIT));
    assert_null(dv_accepted_syntax(a, DV_SOP_STUDY_FIND).at);
    dv_scp_stop(scp, 1000);
    assert_false(dv_association_is_alive(a)); /* the server's abort is there by now */
    assert_false(dv_echo(a, &err));
    assert_int_equal(err.code, DV_ERR_ABORTED);
    dv_release(a);
    dv_release(NULL);
    dv_abort(NULL);
}

static void an_operation_whose_class_was_not_accepted_says_so(void **state)
{
    dv_scp *scp = start_server(0);
    dv_association *a = associate_for(CT_CLASS, target(dv_scp_port(scp)));
    dv_error err;

    (void)state;
    assert_false(dv_echo(a, &err));
    assert_int_equal(err.code, DV_ERR_UNSUPPORTED);
    assert_true(dv_association_is_alive(a));
    dv_release(a);
    dv_scp_stop(scp, 1000);
}

static void an_association_without_any_service_is_an_error(void **state)
{
    dv_scp *scp = start_server(0);
    dv_target to = target(dv_scp_port(scp));
    dv_context_offer offer = {.sop_class = "9.9"};
    dv_error err;

    (void)state;
    assert_null(dv_associate(&to, &offer, 1, &err));
    assert_int_equal(err.code, DV_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "9.9"));
    dv_scp_stop(scp, 1000);
}

typedef struct source {
    size_t n, step;
    size_t at;
    size_t fail_at;
} source;

static ptrdiff_t give(void *user, void *buf, size_t size, dv_error *err)
{
    source *s = user;
    size_t n = s->n - s->at;

    if (s->fail_at && s->at >= s->fail_at) {
        dv_fail(err, DV_ERR_IO, "the file is gone");
        return -1;
    }
    if (n > size)
        n = size;
    if (s->step && n > s->step)
        n = s->step;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = (uint8_t)((s->at + i) * 31 >> 3);
    s->at += n;
    return (ptrdiff_t)n;
}

static void data_sets_of_every_length_around_a_pdu_arrive_whole(void **state)
{
    static const size_t lengths[] = {0, 2, 4082, 4084, 4086, 8168, 8170, 131060, 300000};

    (void)state;
    for (uint32_t pdu = 4096; pdu <= 131072; pdu *= 32) {
        dv_scp *scp = start_server(pdu);
        dv_association *a = associate_for(CT_CLASS, target(dv_scp_port(scp)));

        got.stores = 0;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            source s = {.n = lengths[i], .step = i % 2 ? 1000 : 0};
            uint16_t status = 0;
            dv_error err;

            if (!dv_store_send(a, DV_TEXT(CT_CLASS), DV_TEXT("1.2.3"), DV_TEXT(IMPLICIT), give, &s, &status, &err))
                fail_msg("%s", err.message);
            assert_int_equal(status, 0xB000);
            assert_int_equal(got.n, lengths[i]);
            for (size_t k = 0; k < got.n; k++)
                if (got.bytes[k] != (uint8_t)(k * 31 >> 3))
                    fail_msg("byte %zu of %zu differs", k, got.n);
        }
        assert_int_equal(got.stores, sizeof lengths / sizeof *lengths);
        dv_release(a);
        dv_scp_stop(scp, 1000);
    }
}

static void a_source_that_fails_half_way_spoils_the_association(void **state)
{
    dv_scp *scp = start_server(4096);
    dv_association *a = associate_for(CT_CLASS, target(dv_scp_port(scp)));
    source s = {.n = 100000, .step = 5000, .fail_at = 50000};
    uint16_t status;
    dv_error err;

    (void)state;
    got.stores = 0;
    assert_false(dv_store_send(a, DV_TEXT(CT_CLASS), DV_TEXT("1.2.3"), DV_TEXT(IMPLICIT), give, &s, &status, &err));
    assert_string_equal(err.message, "the file is gone");
    assert_false(dv_association_is_alive(a));
    dv_release(a); /* aborts: half a data set cannot be taken back */
    dv_scp_stop(scp, 1000);
    assert_int_equal(got.stores, -1000); /* lost, not ended */
}

/* ---- with scripted peers ---- */

static void reject_calling(scripted *p, int fd)
{
    EXPECT(p, raw_pdu(fd, &p->in) == 1);
    EXPECT(p, memcmp(p->in.at + 4, "PEER            DROVER          ", 32) == 0);
    raw_send(fd, "\3\0\0\0\0\4\0\1\1\3", 10);
    EXPECT(p, raw_closed(fd));
}

static void reject_busy(scripted *p, int fd)
{
    EXPECT(p, raw_pdu(fd, &p->in) == 1);
    raw_send(fd, "\3\0\0\0\0\4\0\2\3\2", 10);
    EXPECT(p, raw_closed(fd));
}

static void hang_up(scripted *p, int fd)
{
    EXPECT(p, raw_pdu(fd, &p->in) == 1);
}

static void speak_http(scripted *p, int fd)
{
    EXPECT(p, raw_pdu(fd, &p->in) == 1);
    raw_send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void say_nothing(scripted *p, int fd)
{
    EXPECT(p, raw_pdu(fd, &p->in) == 1);
    (void)raw_pdu(fd, &p->in); /* the A-ABORT of who lost patience */
}

static void associations_that_fail_say_what_to_do(void **state)
{
    dv_target to;

    (void)state;
    start_peer(reject_calling);
    fails(target(peer.port), DV_ERR_REJECTED, "register AE title DROVER", "PEER (127.0.0.1:");
    end_peer();
    start_peer(reject_busy);
    fails(target(peer.port), DV_ERR_BUSY, "limit of associations", "later");
    end_peer();
    start_peer(hang_up);
    fails(target(peer.port), DV_ERR_NETWORK, "closed the connection", "DICOM port");
    end_peer();
    start_peer(speak_http);
    fails(target(peer.port), DV_ERR_NETWORK, "no association with PEER", "127.0.0.1");
    end_peer();
    start_peer(say_nothing);
    to = target(peer.port);
    to.answer_ms = 200;
    fails(to, DV_ERR_TIMEOUT, "within 0.2 s", "association request");
    end_peer();
    fails(target(peer.port), DV_ERR_NETWORK, "refuses the connection", "127.0.0.1");
    to.host = "no-such-host.invalid";
    fails(to, DV_ERR_NETWORK, "no-such-host.invalid", "resolved");
    to = target(peer.port);
    to.calling = "A_TITLE_OF_17_CHR";
    fails(to, DV_ERR_VALUE, "A_TITLE_OF_17_CHR", "16");
}

static atomic_bool flag;
static pthread_barrier_t reached;

static void *set_flag(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&reached);
    atomic_store(&flag, true);
    return NULL;
}

static void silent_on_request(scripted *p, int fd)
{
    uint8_t held[2000];
    dv_command c;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    pthread_barrier_wait(&reached);
    EXPECT(p, raw_pdu(fd, &p->in) == 7); /* A-ABORT: an echo has no cancel */
}

static void a_flag_ends_the_wait_for_an_answer(void **state)
{
    dv_target to;
    dv_association *a;
    pthread_t setter;
    dv_error err;
    int64_t before;

    (void)state;
    atomic_store(&flag, false);
    pthread_barrier_init(&reached, NULL, 2);
    start_peer(silent_on_request);
    to = target(peer.port);
    to.cancel = &flag;
    a = associate_for(DV_SOP_VERIFICATION, to);
    pthread_create(&setter, NULL, set_flag, NULL);
    before = dv_mono_ms();
    assert_false(dv_echo(a, &err));
    assert_int_equal(err.code, DV_ERR_CANCELLED);
    assert_true(dv_mono_ms() - before < RAW_MS / 2);
    dv_release(a);
    pthread_join(setter, NULL);
    end_peer();
    pthread_barrier_destroy(&reached);
    fails(to, DV_ERR_CANCELLED, "cancelled", "127.0.0.1"); /* the flag is still set */
}

static void answer_three(scripted *p, int fd)
{
    uint8_t held[2000];
    dv_command c;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    EXPECT(p, c.field == DV_C_FIND_RQ);
    EXPECT(p, p->in.n == 6 + 5 && memcmp(p->in.at + 6, "query", 5) == 0);
    say(p, fd, &c, c.message_id, 0xFF00, NULL, DV_TEXT("one"));
    say(p, fd, &c, c.message_id, 0xFF01, NULL, DV_TEXT("two"));
    say(p, fd, &c, c.message_id, 0xFF00, NULL, DV_TEXT("three"));
    say(p, fd, &c, c.message_id, 0x0000, NULL, no_text);
    await_release(p, fd);
}

static void cancelled_after_one(scripted *p, int fd)
{
    uint8_t held[2000], again[2000];
    dv_command c, cancel;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    say(p, fd, &c, c.message_id, 0xFF00, NULL, DV_TEXT("one"));
    say(p, fd, &c, c.message_id, 0xFF00, NULL, DV_TEXT("two"));
    EXPECT(p, take_request(p, fd, &cancel, again, sizeof again));
    EXPECT(p, cancel.field == DV_C_CANCEL_RQ && cancel.answers == c.message_id);
    say(p, fd, &c, c.message_id, 0xFF00, NULL, DV_TEXT("three"));
    say(p, fd, &c, c.message_id, 0xFE00, NULL, no_text);
    await_release(p, fd);
}

typedef struct answers {
    char text[100];
    int enough;
} answers;

static bool note(void *user, dv_text identifier)
{
    answers *a = user;
    size_t n = strlen(a->text);

    snprintf(a->text + n, sizeof a->text - n, "%.*s,", DV_ARG(identifier));
    return --a->enough != 0;
}

static void a_find_gives_each_answer_and_stops_when_told(void **state)
{
    dv_association *a;
    answers all = {"", 0}, first = {"", 1};
    dv_error err;

    (void)state;
    start_peer(answer_three);
    a = associate_for(DV_SOP_STUDY_FIND, target(peer.port));
    assert_true(dv_find(a, DV_SOP_STUDY_FIND, DV_TEXT("query"), note, &all, &err));
    assert_string_equal(all.text, "one,two,three,");
    assert_true(dv_association_is_alive(a));
    dv_release(a);
    end_peer();

    start_peer(cancelled_after_one);
    a = associate_for(DV_SOP_STUDY_FIND, target(peer.port));
    assert_true(dv_find(a, DV_SOP_STUDY_FIND, DV_TEXT("query"), note, &first, &err));
    assert_string_equal(first.text, "one,");
    assert_true(dv_association_is_alive(a));
    dv_release(a);
    end_peer();
}

static void refuse_find(scripted *p, int fd)
{
    uint8_t held[2000];
    dv_command c;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    say(p, fd, &c, c.message_id, 0xA700, NULL, no_text);
    await_release(p, fd);
}

static void answer_another(scripted *p, int fd)
{
    uint8_t held[2000];
    dv_command c;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    say(p, fd, &c, (uint16_t)(c.message_id + 1), 0x0000, NULL, no_text);
    EXPECT(p, raw_pdu(fd, &p->in) == 7);
}

static void a_find_that_fails_names_status_and_comment(void **state)
{
    dv_association *a;
    answers all = {"", 0};
    dv_error err;

    (void)state;
    start_peer(refuse_find);
    a = associate_for(DV_SOP_STUDY_FIND, target(peer.port));
    assert_false(dv_find(a, DV_SOP_STUDY_FIND, DV_TEXT("query"), note, &all, &err));
    assert_int_equal(err.code, DV_ERR_PEER);
    assert_non_null(strstr(err.message, "A700"));
    assert_non_null(strstr(err.message, "too tired"));
    assert_true(dv_association_is_alive(a));
    dv_release(a);
    end_peer();

    start_peer(answer_another);
    a = associate_for(DV_SOP_STUDY_FIND, target(peer.port));
    assert_false(dv_find(a, DV_SOP_STUDY_FIND, DV_TEXT("query"), note, &all, &err));
    assert_int_equal(err.code, DV_ERR_MALFORMED);
    assert_false(dv_association_is_alive(a));
    dv_release(a);
    end_peer();
}

static void move_some(scripted *p, int fd)
{
    uint8_t held[2000];
    dv_command c;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    EXPECT(p, c.field == DV_C_MOVE_RQ && dv_text_is(dv_text_trim(c.move_destination), "HERE"));
    say(p, fd, &c, c.message_id, 0xFF00, (int[]){2, 1, 0, 0}, no_text);
    say(p, fd, &c, c.message_id, 0xB000, (int[]){0, 2, 1, 0},
        (dv_text){"\x08\0\x58\0\x0C\0\0\0"
                  "1.2.3\\1.2.45",
                  8 + 12});
    await_release(p, fd);
}

static void note_move(void *user, const dv_move_result *m)
{
    *(int *)user = m->remaining * 100 + m->completed;
}

static void a_move_tells_progress_and_which_instances_failed(void **state)
{
    dv_association *a;
    dv_move_result r;
    dv_arena arena;
    dv_error err;
    int seen = 0;

    (void)state;
    dv_arena_init(&arena, 0);
    start_peer(move_some);
    a = associate_for(DV_SOP_STUDY_MOVE, target(peer.port));
    if (!dv_move(a, DV_SOP_STUDY_MOVE, "HERE", DV_TEXT("query!"), &arena, note_move, &seen, &r, &err))
        fail_msg("%s", err.message);
    assert_int_equal(seen, 201);
    assert_int_equal(r.status, 0xB000);
    assert_int_equal(r.completed, 2);
    assert_int_equal(r.failed, 1);
    assert_true(dv_text_is(r.failed_uids, "1.2.3\\1.2.45"));
    assert_string_equal(r.comment, "too tired");
    dv_release(a);
    end_peer();
    dv_arena_free(&arena);
}

static void move_until_cancelled(scripted *p, int fd)
{
    uint8_t held[2000], again[2000];
    dv_command c, cancel;

    EXPECT(p, take_association(p, fd));
    EXPECT(p, take_request(p, fd, &c, held, sizeof held));
    say(p, fd, &c, c.message_id, 0xFF00, (int[]){9, 1, 0, 0}, no_text);
    pthread_barrier_wait(&reached);
    EXPECT(p, take_request(p, fd, &cancel, again, sizeof again));
    EXPECT(p, cancel.field == DV_C_CANCEL_RQ);
    say(p, fd, &c, c.message_id, 0xFE00, (int[]){8, 2, 0, 0}, no_text);
    EXPECT(p, raw_pdu(fd, &p->in) == 5);
    raw_send(fd, "\6\0\0\0\0\4\0\0\0\0", 10);
}

static void a_flag_ends_a_move_by_a_cancel_request(void **state)
{
    dv_target to;
    dv_association *a;
    dv_move_result r;
    dv_arena arena;
    dv_error err;
    pthread_t setter;
    int seen = 0;

    (void)state;
    dv_arena_init(&arena, 0);
    atomic_store(&flag, false);
    pthread_barrier_init(&reached, NULL, 2);
    start_peer(move_until_cancelled);
    to = target(peer.port);
    to.cancel = &flag;
    a = associate_for(DV_SOP_STUDY_MOVE, to);
    pthread_create(&setter, NULL, set_flag, NULL);
    assert_false(dv_move(a, DV_SOP_STUDY_MOVE, "HERE", DV_TEXT("query!"), &arena, note_move, &seen, &r, &err));
    assert_int_equal(err.code, DV_ERR_CANCELLED);
    assert_int_equal(r.remaining, 8);
    assert_true(dv_association_is_alive(a));
    pthread_join(setter, NULL);
    dv_release(a);
    end_peer();
    pthread_barrier_destroy(&reached);
    dv_arena_free(&arena);
}

static void accept_what_was_not_asked(scripted *p, int fd)
{
    EXPECT(p, raw_pdu(fd, &p->in) == 1);
    raw_associate_begin(&p->out, 2, "DROVER", "PEER");
    raw_context(&p->out, 0x21, 1, 0, NULL, (const char *[]){EXPLICIT, NULL});
    raw_context(&p->out, 0x21, 9, 0, NULL, (const char *[]){IMPLICIT, NULL});
    raw_associate_end(&p->out, 16384);
    raw_send(fd, p->out.at, p->out.n);
    await_release(p, fd);
}

static void contexts_and_syntaxes_that_were_not_offered_do_not_count(void **state)
{
    dv_context_offer offer = {.sop_class = CT_CLASS, .syntaxes = {IMPLICIT}};
    dv_target to;
    dv_error err;

    (void)state;
    start_peer(accept_what_was_not_asked);
    to = target(peer.port);
    assert_null(dv_associate(&to, &offer, 1, &err));
    assert_int_equal(err.code, DV_ERR_UNSUPPORTED);
    end_peer();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_comes_back_and_the_association_stays_good),
        cmocka_unit_test(an_operation_whose_class_was_not_accepted_says_so),
        cmocka_unit_test(an_association_without_any_service_is_an_error),
        cmocka_unit_test(data_sets_of_every_length_around_a_pdu_arrive_whole),
        cmocka_unit_test(a_source_that_fails_half_way_spoils_the_association),
        cmocka_unit_test(associations_that_fail_say_what_to_do),
        cmocka_unit_test(a_flag_ends_the_wait_for_an_answer),
        cmocka_unit_test(a_find_gives_each_answer_and_stops_when_told),
        cmocka_unit_test(a_find_that_fails_names_status_and_comment),
        cmocka_unit_test(a_move_tells_progress_and_which_instances_failed),
        cmocka_unit_test(a_flag_ends_a_move_by_a_cancel_request),
        cmocka_unit_test(contexts_and_syntaxes_that_were_not_offered_do_not_count),
    };

    dv_log_setup(-1, false, getenv("DROVER_TEST_LOG") ? DV_LOG_INFO : DV_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
