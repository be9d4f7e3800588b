/* The server, met by peers that say byte by byte what a library would not let them say. */
#include "raw_peer.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "dimse/scp.h"

#include <pthread.h>
#include <stdatomic.h>

static raw out, in;

/* What the callbacks saw; written by association threads, read by tests after an answer or a wait. */
static struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int begun, ended, lost, left;
    char instance[80], sop_class[80], syntax[80], originator[20];
    uint8_t bytes[300000];
    size_t n, most; /* `most`: store_data says no beyond it */
    bool refuse;    /* store_begin gives NULL */
    bool hold;      /* store_end waits until it is false */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void change(int *counter, int by)
{
    pthread_mutex_lock(&seen.lock);
    *counter += by;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static bool wait_for(const int *counter, int value)
{
    struct timespec until;
    int error = 0;
    bool reached;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RAW_MS / 1000;
    pthread_mutex_lock(&seen.lock);
    while (*counter < value && !error)
        error = pthread_cond_timedwait(&seen.changed, &seen.lock, &until);
    reached = *counter >= value;
    pthread_mutex_unlock(&seen.lock);
    return reached;
}

static dv_admit admit(void *user, dv_caller *caller)
{
    (void)user;
    if (strcmp(caller->called, "DROVER") != 0)
        return DV_ADMIT_UNKNOWN_CALLED;
    return strcmp(caller->calling, "MODALITY") == 0 ? DV_ADMIT : DV_ADMIT_UNKNOWN_CALLING;
}

static bool accept_ct(void *user, const dv_caller *caller, dv_text sop_class, dv_text syntax)
{
    (void)user, (void)caller;
    return dv_text_is(sop_class, CT_CLASS) && !dv_text_starts(syntax, DV_TEXT("9."));
}

static void *store_begin(void *user, dv_caller *caller, const dv_store_request *rq, dv_store_answer *answer)
{
    (void)user, (void)caller;
    dv_text_copy(rq->sop_instance, seen.instance, sizeof seen.instance);
    dv_text_copy(rq->sop_class, seen.sop_class, sizeof seen.sop_class);
    dv_text_copy(rq->transfer_syntax, seen.syntax, sizeof seen.syntax);
    dv_text_copy(rq->move_originator, seen.originator, sizeof seen.originator);
    seen.n = 0;
    if (seen.refuse) {
        answer->status = 0xA700;
        snprintf(answer->comment, sizeof answer->comment, "disk is full");
        return NULL;
    }
    change(&seen.begun, 1);
    return &seen;
}

static bool store_data(void *instance, const void *bytes, size_t n)
{
    struct seen *s = instance;

    if (s->n + n > s->most)
        return false;
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return true;
}

static void store_end(void *instance, dv_store_answer *answer)
{
    struct seen *s = instance;

    pthread_mutex_lock(&s->lock);
    s->ended++;
    pthread_cond_broadcast(&s->changed);
    while (s->hold)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    answer->status = s->n < s->most ? 0x0000 : 0xC000;
}

static void store_lost(void *instance)
{
    change(&((struct seen *)instance)->lost, 1);
}

static void leave(void *user, dv_caller *caller)
{
    (void)user, (void)caller;
    change(&seen.left, 1);
}

static dv_scp *start_with(dv_scp_options o)
{
    static const dv_scp_callbacks on = {NULL,      admit,      accept_ct, store_begin, store_data,
                                        store_end, store_lost, leave,     NULL};
    dv_error err;
    dv_scp *scp;

    seen.begun = seen.ended = seen.lost = seen.left = 0;
    seen.refuse = seen.hold = false;
    seen.most = sizeof seen.bytes;
    scp = dv_scp_start(&o, &on, &err);
    if (!scp)
        fail_msg("%s", err.message);
    return scp;
}

static dv_scp *start(void)
{
    return start_with((dv_scp_options){.host = "127.0.0.1"});
}

/* An association with contexts 1 (verification) and 3, 5 (CT). */
static int associate(dv_scp *scp)
{
    int fd = raw_dial(dv_scp_port(scp));

    raw_associate_begin(&out, 1, "MODALITY", "DROVER");
    raw_context(&out, 0x20, 1, 0, VERIFICATION, (const char *[]){IMPLICIT, NULL});
    raw_context(&out, 0x20, 3, 0, CT_CLASS, (const char *[]){IMPLICIT, NULL});
    raw_context(&out, 0x20, 5, 0, CT_CLASS, (const char *[]){EXPLICIT, IMPLICIT, NULL});
    raw_associate_end(&out, 16384);
    raw_send(fd, out.at, out.n);
    assert_int_equal(raw_pdu(fd, &in), 2);
    return fd;
}

static dv_command_writer store_rq(const char *instance, size_t instance_len)
{
    dv_command_writer w;

    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, DV_TEXT(CT_CLASS), '\0');
    dv_command_u16(&w, 0x0100, DV_C_STORE_RQ);
    dv_command_u16(&w, 0x0110, 9);
    dv_command_u16(&w, 0x0700, 0);
    dv_command_u16(&w, 0x0800, 1);
    dv_command_text(&w, 0x1000, (dv_text){instance, instance_len}, '\0');
    dv_command_text(&w, 0x1030, DV_TEXT("ASKER "), ' ');
    dv_command_end(&w);
    return w;
}

static dv_command_writer bare(uint16_t field, bool data)
{
    dv_command_writer w;

    dv_command_begin(&w);
    dv_command_text(&w, 0x0002, DV_TEXT(VERIFICATION), '\0');
    dv_command_u16(&w, 0x0100, field);
    dv_command_u16(&w, 0x0110, 4);
    dv_command_u16(&w, 0x0800, data ? 0 : DV_NO_DATA_SET);
    dv_command_end(&w);
    return w;
}

static void send_command(int fd, unsigned context, dv_command_writer w)
{
    raw_pdata_begin(&out);
    raw_pdv(&out, context, COMMAND | LAST, w.bytes, w.len);
    raw_send_pdu(fd, &out);
}

static void send_data(int fd, unsigned context, const char *data, bool last)
{
    raw_pdata_begin(&out);
    raw_pdv(&out, context, last ? LAST : 0, data, strlen(data));
    raw_send_pdu(fd, &out);
}

static void echo_works(int fd)
{
    dv_command c;

    send_command(fd, 1, bare(DV_C_ECHO_RQ, false));
    c = raw_answer(fd, &in);
    assert_int_equal(c.field, DV_C_ECHO_RQ | DV_RESPONSE);
    assert_int_equal(c.status, 0);
    assert_int_equal(c.answers, 4);
    assert_int_equal(in.at[4], 1);
}

static void is_aborted(int fd)
{
    assert_int_equal(raw_pdu(fd, &in), 7);
    assert_true(raw_closed(fd));
}

static void finish(dv_scp *scp, int fd)
{
    close(fd);
    dv_scp_stop(scp, 1000);
}

static void a_store_in_one_pdu_arrives_and_is_answered(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);
    dv_command_writer w = store_rq("1.2.3", 5);
    dv_command c;

    (void)state;
    raw_pdata_begin(&out);
    raw_pdv(&out, 5, COMMAND | LAST, w.bytes, w.len);
    raw_pdv(&out, 5, 0, "first ", 6);
    raw_pdv(&out, 5, LAST, "second", 6);
    raw_send_pdu(fd, &out);
    c = raw_answer(fd, &in);
    assert_int_equal(c.field, DV_C_STORE_RQ | DV_RESPONSE);
    assert_int_equal(c.status, 0);
    assert_int_equal(c.answers, 9);
    assert_int_equal(c.data_set, DV_NO_DATA_SET);
    assert_string_equal(seen.sop_class, CT_CLASS);
    assert_string_equal(seen.instance, "1.2.3");
    assert_string_equal(seen.syntax, EXPLICIT); /* the sender's first, of context 5 */
    assert_string_equal(seen.originator, "ASKER");
    assert_int_equal(seen.n, 12);
    assert_memory_equal(seen.bytes, "first second", 12);
    finish(scp, fd);
}

static void fragments_of_any_size_and_an_empty_last_one_make_one_message(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);
    dv_command_writer w = store_rq("1.2.3", 5);

    (void)state;
    for (size_t i = 0; i < w.len; i++) {
        raw_pdata_begin(&out);
        raw_pdv(&out, 3, COMMAND, w.bytes + i, 1);
        raw_send_pdu(fd, &out);
    }
    raw_pdata_begin(&out);
    raw_pdv(&out, 3, COMMAND | LAST, NULL, 0);
    raw_pdv(&out, 3, 0, "a", 1);
    raw_send_pdu(fd, &out);
    send_data(fd, 3, "bc", false);
    send_data(fd, 3, "", true);
    assert_int_equal(raw_answer(fd, &in).status, 0);
    assert_string_equal(seen.syntax, IMPLICIT);
    assert_memory_equal(seen.bytes, "abc", 3);
    echo_works(fd);
    finish(scp, fd);
}

/* Peers exist that compare the answer's UID with theirs byte by byte. */
static void uids_are_answered_as_they_came(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);
    dv_command c;

    (void)state;
    send_command(fd, 3, store_rq("1.2.30 ", 7)); /* our writer pads the odd one with NUL */
    send_data(fd, 3, "x", true);
    c = raw_answer(fd, &in);
    assert_int_equal(c.sop_instance.len, 8);
    assert_memory_equal(c.sop_instance.at, "1.2.30 \0", 8);
    assert_string_equal(seen.instance, "1.2.30");
    finish(scp, fd);
}

static void data_before_its_command_ends_the_association(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_data(fd, 3, "x", true);
    is_aborted(fd);
    assert_true(wait_for(&seen.left, 1));
    assert_int_equal(seen.begun, 0);
    finish(scp, fd);
}

static void another_context_inside_a_data_set_loses_the_store(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "x", false);
    send_data(fd, 5, "y", true);
    is_aborted(fd);
    assert_true(wait_for(&seen.lost, 1));
    assert_int_equal(seen.ended, 0);
    finish(scp, fd);
}

static void a_command_inside_a_data_set_loses_the_store(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "x", false);
    send_command(fd, 1, bare(DV_C_ECHO_RQ, false));
    is_aborted(fd);
    assert_true(wait_for(&seen.lost, 1));
    finish(scp, fd);
}

static void a_context_that_was_not_accepted_ends_the_association(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 77, bare(DV_C_ECHO_RQ, false));
    is_aborted(fd);
    finish(scp, fd);
}

static void an_unknown_command_is_answered_0211_and_the_association_lives(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);
    dv_command c;

    (void)state;
    send_command(fd, 3, bare(DV_C_FIND_RQ, true));
    send_data(fd, 3, "an identifier", true);
    c = raw_answer(fd, &in);
    assert_int_equal(c.status, 0x0211);
    assert_int_equal(c.field, DV_C_FIND_RQ | DV_RESPONSE);
    send_command(fd, 3, bare(0x0140, false)); /* N-CREATE */
    assert_int_equal(raw_answer(fd, &in).status, 0x0211);
    echo_works(fd);
    finish(scp, fd);
}

static void a_cancel_with_nothing_to_cancel_is_passed_over(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 3, bare(DV_C_CANCEL_RQ, false));
    echo_works(fd);
    finish(scp, fd);
}

static void a_store_without_a_data_set_or_on_verification_is_refused(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 3, bare(DV_C_STORE_RQ, false));
    assert_int_equal(raw_answer(fd, &in).status, 0xC000);
    send_command(fd, 1, store_rq("1.2", 3));
    send_data(fd, 1, "x", true);
    assert_int_equal(raw_answer(fd, &in).status, 0x0122);
    assert_int_equal(seen.begun, 0);
    finish(scp, fd);
}

static void a_refused_store_is_drained_and_answered_with_its_comment(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);
    dv_command c;

    (void)state;
    seen.refuse = true;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "x", false);
    send_data(fd, 3, "y", true);
    c = raw_answer(fd, &in);
    assert_int_equal(c.status, 0xA700);
    assert_true(dv_text_is(dv_text_trim(c.comment), "disk is full"));
    seen.refuse = false;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "y", true);
    assert_int_equal(raw_answer(fd, &in).status, 0);
    finish(scp, fd);
}

static void a_store_that_says_no_on_the_way_gets_its_end_and_its_answer(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    seen.most = 4;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "1234", false);
    send_data(fd, 3, "5", false);
    send_data(fd, 3, "6", true);
    assert_int_equal(raw_answer(fd, &in).status, 0xC000);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.n, 4);
    finish(scp, fd);
}

static void a_connection_that_ends_in_a_data_set_loses_the_store(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "1234", false);
    assert_true(wait_for(&seen.begun, 1));
    close(fd);
    assert_true(wait_for(&seen.lost, 1));
    assert_true(wait_for(&seen.left, 1));
    fd = associate(scp);
    send_command(fd, 3, store_rq("1.2", 3));
    raw_send(fd, "\7\0\0\0\0\4\0\0\0\0", 10); /* A-ABORT */
    assert_true(wait_for(&seen.lost, 2));
    finish(scp, fd);
}

static void a_command_set_over_64_kb_ends_the_association(void **state)
{
    static const uint8_t zeros[8000];
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    for (int i = 0; i < DV_MAX_COMMAND / 8000 + 1; i++) {
        raw_pdata_begin(&out);
        raw_pdv(&out, 3, COMMAND, zeros, sizeof zeros);
        raw_send_pdu(fd, &out);
    }
    is_aborted(fd);
    finish(scp, fd);
}

static void a_pdu_over_the_limit_ends_the_association_before_its_bytes_come(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    raw_send(fd, "\4\0\xFF\xFF\xFF\xF0", 6);
    is_aborted(fd);
    finish(scp, fd);
}

static void pdvs_that_do_not_add_up_end_the_association(void **state)
{
    static const struct {
        const char *body;
        size_t n;
    } bad[] = {{"", 0},
               {"\0\0\0\0", 4},
               {"\0\0\0\1\3", 5},
               {"\0\0\0\xFF\3\2", 6},
               {"\xFF\xFF\xFF\xFF\3\2", 6},
               {"\0\0\0\2\3\3\0", 7}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dv_scp *scp = start();
        int fd = associate(scp);

        raw_pdata_begin(&out);
        raw_bytes(&out, bad[i].body, bad[i].n);
        raw_send_pdu(fd, &out);
        is_aborted(fd);
        finish(scp, fd);
    }
}

static void a_release_is_answered(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    raw_send(fd, "\5\0\0\0\0\4\0\0\0\0", 10);
    assert_int_equal(raw_pdu(fd, &in), 6);
    close(fd);
    assert_true(wait_for(&seen.left, 1));
    finish(scp, fd);
}

static void strangers_are_rejected_with_the_reason(void **state)
{
    dv_scp *scp = start();
    static const struct {
        const char *calling, *called;
        uint8_t reason;
    } who[] = {{"NOBODY", "DROVER", 3}, {"MODALITY", "OTHER", 7}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int fd = raw_dial(dv_scp_port(scp));

        raw_associate_begin(&out, 1, who[i].calling, who[i].called);
        raw_context(&out, 0x20, 1, 0, VERIFICATION, (const char *[]){IMPLICIT, NULL});
        raw_associate_end(&out, 16384);
        raw_send(fd, out.at, out.n);
        assert_int_equal(raw_pdu(fd, &in), 3);
        assert_memory_equal(in.at + 1, ((uint8_t[]){1, 1, who[i].reason}), 3);
        assert_true(raw_closed(fd));
        close(fd);
    }
    assert_int_equal(seen.left, 0);
    dv_scp_stop(scp, 1000);
}

static void one_association_too_many_is_rejected_as_transient(void **state)
{
    dv_scp *scp = start_with((dv_scp_options){.host = "127.0.0.1", .max_associations = 1});
    int first = associate(scp), fd = raw_dial(dv_scp_port(scp));

    (void)state;
    assert_int_equal(dv_scp_associations(scp), 1);
    raw_associate_begin(&out, 1, "MODALITY", "DROVER");
    raw_context(&out, 0x20, 1, 0, VERIFICATION, (const char *[]){IMPLICIT, NULL});
    raw_associate_end(&out, 16384);
    raw_send(fd, out.at, out.n);
    assert_int_equal(raw_pdu(fd, &in), 3);
    assert_memory_equal(in.at + 1, ((uint8_t[]){2, 3, 2}), 3);
    close(fd);
    close(first);
    assert_true(wait_for(&seen.left, 1));
    finish(scp, -1);
}

static void the_senders_order_of_syntaxes_rules_beyond_fifty_of_them(void **state)
{
    dv_scp *scp = start();
    const char *many[62];
    static char names[60][16];
    int fd = raw_dial(dv_scp_port(scp));
    dv_text accepted;

    (void)state;
    for (int i = 0; i < 60; i++) {
        snprintf(names[i], sizeof names[i], "9.%d", i); /* not wanted */
        many[i] = names[i];
    }
    many[60] = EXPLICIT;
    many[61] = NULL;
    raw_associate_begin(&out, 1, "MODALITY", "DROVER");
    raw_context(&out, 0x20, 1, 0, CT_CLASS, many);
    raw_context(&out, 0x20, 3, 0, "1.2.3.4", (const char *[]){IMPLICIT, NULL});
    raw_context(&out, 0x20, 4, 0, CT_CLASS, (const char *[]){IMPLICIT, NULL}); /* an even id */
    raw_associate_end(&out, 16384);
    raw_send(fd, out.at, out.n);
    assert_int_equal(raw_pdu(fd, &in), 2);
    for (size_t at = 68; at + 4 <= in.n; at += 4 + ((size_t)in.at[at + 2] << 8 | in.at[at + 3])) {
        if (in.at[at] != 0x21)
            continue;
        assert_int_equal(in.at[at + 6] == 0, in.at[at + 4] == 1);
        accepted = (dv_text){(char *)in.at + at + 12, in.at[at + 11]};
        if (in.at[at + 4] == 1)
            assert_true(dv_text_is(accepted, EXPLICIT));
    }
    finish(scp, fd);
}

static void what_is_no_dicom_is_closed_at_once(void **state)
{
    dv_scp *scp = start();
    static const struct {
        const char *bytes;
        size_t n;
        bool abort;
    } noise[] = {{"GET / HTTP/1.1\r\n\r\n", 18, false},
                 {"\x16\x03\x01\x02\x00", 5, false},
                 {"\1\0\xFF\xFF\xFF\xFF", 6, true},
                 {"\4\0\0\0\0\0", 6, true},
                 {"SSH-2.0", 7, true}};

    (void)state;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
        int fd = raw_dial(dv_scp_port(scp));

        raw_send(fd, noise[i].bytes, noise[i].n);
        if (noise[i].abort)
            assert_int_equal(raw_pdu(fd, &in), 7);
        assert_true(raw_closed(fd));
        close(fd);
    }
    dv_scp_stop(scp, 1000);
}

static void a_malformed_request_is_aborted_and_the_next_peer_served(void **state)
{
    dv_scp *scp = start();
    int fd = raw_dial(dv_scp_port(scp));

    (void)state;
    raw_associate_begin(&out, 1, "MODALITY", "DROVER");
    raw_context(&out, 0x20, 1, 0, CT_CLASS, (const char *[]){IMPLICIT, NULL});
    raw_associate_end(&out, 16384);
    out.at[74 + 2] = 0x40; /* the application context says that it is 16 KB */
    raw_send(fd, out.at, out.n);
    assert_int_equal(raw_pdu(fd, &in), 7);
    close(fd);
    fd = associate(scp);
    echo_works(fd);
    finish(scp, fd);
}

static void two_hundred_silent_sockets_hold_nobody_up_and_time_out(void **state)
{
    dv_scp *scp = start_with((dv_scp_options){.host = "127.0.0.1", .first_pdu_ms = 1500});
    int silent[200], fd;
    int64_t before;

    (void)state;
    for (int i = 0; i < 200; i++) {
        silent[i] = raw_dial(dv_scp_port(scp));
        if (i % 2)
            raw_send(silent[i], "\1\0\0\0\xF0\0\0\1", 8); /* half a request */
    }
    before = dv_mono_ms();
    fd = associate(scp);
    echo_works(fd);
    assert_true(dv_mono_ms() - before < 1000);
    assert_int_equal(dv_scp_associations(scp), 1);
    for (int i = 0; i < 200; i++) {
        assert_true(raw_closed(silent[i]));
        close(silent[i]);
    }
    echo_works(fd);
    finish(scp, fd);
}

static void silence_between_messages_is_aborted_after_its_time(void **state)
{
    dv_scp *scp = start_with((dv_scp_options){.host = "127.0.0.1", .idle_ms = 150});
    int fd = associate(scp);

    (void)state;
    is_aborted(fd);
    finish(scp, fd);
}

static void silence_within_a_pdu_or_a_message_is_aborted_after_its_time(void **state)
{
    dv_scp *scp = start_with((dv_scp_options){.host = "127.0.0.1", .pdu_ms = 150});
    int fd = associate(scp);

    (void)state;
    raw_send(fd, "\4\0\0\0\1\0half", 10);
    is_aborted(fd);
    close(fd);
    fd = associate(scp);
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "x", false);
    is_aborted(fd);
    assert_true(wait_for(&seen.lost, 1));
    finish(scp, fd);
}

static void *stop_in_background(void *scp)
{
    dv_scp_stop(scp, RAW_MS);
    return NULL;
}

static void a_stop_ends_idle_ones_at_once_and_lets_a_message_finish(void **state)
{
    dv_scp *scp = start();
    int idle = associate(scp), busy = associate(scp);
    uint16_t port = dv_scp_port(scp);
    pthread_t stopper;

    (void)state;
    seen.hold = true;
    send_command(busy, 3, store_rq("1.2", 3));
    send_data(busy, 3, "x", true);
    assert_true(wait_for(&seen.ended, 1));
    assert_int_equal(pthread_create(&stopper, NULL, stop_in_background, scp), 0);
    is_aborted(idle);
    pthread_mutex_lock(&seen.lock);
    seen.hold = false;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
    assert_int_equal(raw_answer(busy, &in).status, 0);
    is_aborted(busy);
    pthread_join(stopper, NULL);
    close(idle);
    close(busy);
    idle = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_not_equal(connect(idle,
                                 (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET,
                                                                          .sin_port = htons(port),
                                                                          .sin_addr = {htonl(INADDR_LOOPBACK)}},
                                 sizeof(struct sockaddr_in)),
                         0);
    close(idle);
}

static void a_stop_aborts_what_does_not_finish_in_its_grace(void **state)
{
    dv_scp *scp = start();
    int fd = associate(scp);

    (void)state;
    send_command(fd, 3, store_rq("1.2", 3));
    send_data(fd, 3, "x", false);
    assert_true(wait_for(&seen.begun, 1));
    dv_scp_stop(scp, 50);
    assert_int_equal(seen.lost, 1);
    assert_int_equal(seen.left, 1);
    is_aborted(fd);
    close(fd);
}

static void a_port_that_is_taken_is_named(void **state)
{
    dv_scp *scp = start();
    dv_scp_options o = {.host = "127.0.0.1", .port = dv_scp_port(scp)};
    dv_error err;
    char port[8];

    (void)state;
    assert_null(dv_scp_start(&o, &(dv_scp_callbacks){.accept = accept_ct}, &err));
    snprintf(port, sizeof port, "%u", o.port);
    assert_non_null(strstr(err.message, port));
    assert_non_null(strstr(err.message, "taken"));
    o.host = "no-such-host.invalid";
    assert_null(dv_scp_start(&o, &(dv_scp_callbacks){.accept = accept_ct}, &err));
    assert_non_null(strstr(err.message, o.host));
    dv_scp_stop(scp, 0);
    dv_scp_stop(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_in_one_pdu_arrives_and_is_answered),
        cmocka_unit_test(fragments_of_any_size_and_an_empty_last_one_make_one_message),
        cmocka_unit_test(uids_are_answered_as_they_came),
        cmocka_unit_test(data_before_its_command_ends_the_association),
        cmocka_unit_test(another_context_inside_a_data_set_loses_the_store),
        cmocka_unit_test(a_command_inside_a_data_set_loses_the_store),
        cmocka_unit_test(a_context_that_was_not_accepted_ends_the_association),
        cmocka_unit_test(an_unknown_command_is_answered_0211_and_the_association_lives),
        cmocka_unit_test(a_cancel_with_nothing_to_cancel_is_passed_over),
        cmocka_unit_test(a_store_without_a_data_set_or_on_verification_is_refused),
        cmocka_unit_test(a_refused_store_is_drained_and_answered_with_its_comment),
        cmocka_unit_test(a_store_that_says_no_on_the_way_gets_its_end_and_its_answer),
        cmocka_unit_test(a_connection_that_ends_in_a_data_set_loses_the_store),
        cmocka_unit_test(a_command_set_over_64_kb_ends_the_association),
        cmocka_unit_test(a_pdu_over_the_limit_ends_the_association_before_its_bytes_come),
        cmocka_unit_test(pdvs_that_do_not_add_up_end_the_association),
        cmocka_unit_test(a_release_is_answered),
        cmocka_unit_test(strangers_are_rejected_with_the_reason),
        cmocka_unit_test(one_association_too_many_is_rejected_as_transient),
        cmocka_unit_test(the_senders_order_of_syntaxes_rules_beyond_fifty_of_them),
        cmocka_unit_test(what_is_no_dicom_is_closed_at_once),
        cmocka_unit_test(a_malformed_request_is_aborted_and_the_next_peer_served),
        cmocka_unit_test(two_hundred_silent_sockets_hold_nobody_up_and_time_out),
        cmocka_unit_test(silence_between_messages_is_aborted_after_its_time),
        cmocka_unit_test(silence_within_a_pdu_or_a_message_is_aborted_after_its_time),
        cmocka_unit_test(a_stop_ends_idle_ones_at_once_and_lets_a_message_finish),
        cmocka_unit_test(a_stop_aborts_what_does_not_finish_in_its_grace),
        cmocka_unit_test(a_port_that_is_taken_is_named),
    };

    pthread_cond_init(&seen.changed, NULL);
    dv_log_setup(-1, false, getenv("DROVER_TEST_LOG") ? DV_LOG_INFO : DV_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
