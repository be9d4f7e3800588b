/* One socket with a deadline: what is joined, what is split, what ends a wait. */
#include "raw_peer.h"

#include "base/clock.h"
#include "dimse/wire_internal.h"

#include <sys/eventfd.h>

static dv_wire w;

/* The wire's end and, returned, the other one. A SEQPACKET pair shows what was one write. */
static int open_pair(int type)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, type, 0, fd), 0);
    dv_wire_init(&w, fd[0]);
    dv_wire_patience(&w, RAW_MS);
    return fd[1];
}

static void the_head_of_a_data_pdu_leaves_with_its_data_in_one_write(void **state)
{
    int other = open_pair(SOCK_SEQPACKET);
    const uint8_t head[12] = {4, 0, 0, 0, 0, 8, 0, 0, 0, 4, 1, 3};
    uint8_t got[100];

    (void)state;
    assert_int_equal(dv_wire_write(&w, head, 12), 12);
    assert_int_equal(recv(other, got, sizeof got, MSG_DONTWAIT), -1); /* held back */
    assert_int_equal(dv_wire_write(&w, "ab", 2), 2);
    assert_int_equal(recv(other, got, sizeof got, 0), 14);
    assert_memory_equal(got, head, 12);
    assert_memory_equal(got + 12, "ab", 2);
    assert_int_equal(dv_wire_write(&w, head, 12), 12);
    assert_int_equal(dv_wire_write(&w, head, 12), 12); /* data that looks like a head is data */
    assert_int_equal(recv(other, got, sizeof got, 0), 24);
    assert_int_equal(dv_wire_write(&w, head, 12), 12);
    assert_int_equal(dv_wire_write(&w, "", 0), 0); /* an empty PDV */
    assert_int_equal(recv(other, got, sizeof got, 0), 12);
    assert_int_equal(dv_wire_write(&w, "\5\0\0\0\0\4\0\0\0\0", 10), 10); /* other PDUs go at once */
    assert_int_equal(recv(other, got, sizeof got, 0), 10);
    dv_wire_close(&w, false);
    close(other);
}

static void what_came_early_is_read_first_and_surplus_is_kept(void **state)
{
    int other = open_pair(SOCK_STREAM);
    uint8_t *early = malloc(5);
    char got[10] = "";

    (void)state;
    memcpy(early, "early", 5);
    dv_wire_preload(&w, early, 5);
    raw_send(other, "later+surplus", 13);
    assert_int_equal(dv_wire_read(&w, got, 3), 3);
    assert_int_equal(dv_wire_read(&w, got + 3, 7), 2); /* no read mixes the two */
    assert_string_equal(got, "early");
    assert_int_equal(dv_wire_read(&w, got, 5), 5);
    assert_string_equal(got, "later");
    assert_true(dv_wire_readable(&w)); /* though the kernel has nothing */
    assert_int_equal(dv_wire_read(&w, got, 10), 8);
    assert_memory_equal(got, "+surplus", 8);
    assert_false(dv_wire_readable(&w));
    close(other);
    assert_true(dv_wire_readable(&w));
    assert_int_equal(dv_wire_read(&w, got, 1), 0);
    assert_int_equal(w.state, DV_WIRE_CLOSED);
    dv_wire_close(&w, true);
    dv_wire_close(&w, true);
}

static void a_deadline_ends_a_wait_and_the_wire_stays_good(void **state)
{
    int other = open_pair(SOCK_STREAM);
    char byte;

    (void)state;
    dv_wire_patience(&w, 30);
    assert_int_equal(dv_wire_wait(&w), DV_WIRE_TIMEOUT);
    assert_int_equal(w.state, DV_WIRE_OK);
    raw_send(other, "x", 1);
    dv_wire_patience(&w, RAW_MS);
    assert_int_equal(dv_wire_wait(&w), DV_WIRE_OK);
    assert_int_equal(dv_wire_read(&w, &byte, 1), 1);
    dv_wire_patience(&w, 30);
    assert_int_equal(dv_wire_read(&w, &byte, 1), -1); /* within a PDU it is final */
    assert_int_equal(w.state, DV_WIRE_TIMEOUT);
    dv_wire_close(&w, false);
    close(other);
}

static void a_peer_that_does_not_read_ends_a_write_by_the_deadline(void **state)
{
    static const char much[1 << 20];
    int other = open_pair(SOCK_STREAM);

    (void)state;
    dv_wire_patience(&w, 50);
    assert_int_equal(dv_wire_write(&w, much, sizeof much), -1);
    assert_int_equal(w.state, DV_WIRE_TIMEOUT);
    assert_true(w.torn); /* no A-ABORT into the middle of a PDU */
    dv_wire_close(&w, false);
    close(other);
}

static bool yes(void *user)
{
    return *(bool *)user;
}

static void a_cancel_is_seen_before_the_deadline(void **state)
{
    int other = open_pair(SOCK_STREAM), wake = eventfd(0, 0);
    bool cancelled = false;
    int64_t before = dv_mono_ms();

    (void)state;
    w.cancelled = yes;
    w.user = &cancelled;
    w.wake = wake;
    assert_int_equal(write(wake, &(uint64_t){1}, 8), 8); /* meant for somebody else: no busy loop, no end */
    dv_wire_patience(&w, 300);
    assert_int_equal(dv_wire_wait(&w), DV_WIRE_TIMEOUT);
    cancelled = true;
    dv_wire_patience(&w, RAW_MS);
    assert_int_equal(dv_wire_wait(&w), DV_WIRE_CANCELLED);
    assert_true(dv_mono_ms() - before < RAW_MS / 2);
    assert_int_equal(w.state, DV_WIRE_OK);
    dv_wire_close(&w, false);
    close(wake);
    close(other);
}

static void an_abort_reaches_a_peer_that_was_still_sending(void **state)
{
    int other = open_pair(SOCK_STREAM);
    uint8_t got[10];

    (void)state;
    raw_send(other, "unread", 6);
    dv_wire_abort(&w, 2, 6);
    dv_wire_close(&w, true);
    assert_true(raw_receive(other, got, 10));
    assert_memory_equal(got, "\7\0\0\0\0\4\0\0\2\6", 10);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_of_a_data_pdu_leaves_with_its_data_in_one_write),
        cmocka_unit_test(what_came_early_is_read_first_and_surplus_is_kept),
        cmocka_unit_test(a_deadline_ends_a_wait_and_the_wire_stays_good),
        cmocka_unit_test(a_peer_that_does_not_read_ends_a_write_by_the_deadline),
        cmocka_unit_test(a_cancel_is_seen_before_the_deadline),
        cmocka_unit_test(an_abort_reaches_a_peer_that_was_still_sending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
