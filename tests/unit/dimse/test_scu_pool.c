/* The pool over a network that is made up: what dv_associate of scu.c would do is told by `net`. */
#include "base/clock.h"
#include "dimse/scu_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct dv_association {
    char who[17];
    bool alive;
    bool alone; /* one class was offered */
    const atomic_bool *cancel;
};

static struct {
    pthread_mutex_t lock;
    int opened, open, most_open, released, aborted;
    int open_of[3], most_of[3]; /* by the called title's last digit */
    int full_at;                /* rejects for now from so many open ones on; 0: never */
    bool picky;                 /* accepts a class only when it is offered alone */
    bool refuses;               /* accepts nothing */
} net = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int digit(const char *who)
{
    int d = who[strlen(who) - 1] - '0';

    return d >= 0 && d < 3 ? d : 0;
}

dv_association *dv_associate(const dv_target *to, const dv_context_offer *offers, size_t count, dv_error *err)
{
    dv_association *a = NULL;

    (void)offers;
    pthread_mutex_lock(&net.lock);
    if (net.full_at && net.open >= net.full_at) {
        dv_fail(err, DV_ERR_BUSY, "its limit is reached");
    } else if (net.refuses) {
        dv_fail(err, DV_ERR_UNSUPPORTED, "nothing is accepted");
    } else {
        int d = digit(to->called);

        a = calloc(1, sizeof *a);
        snprintf(a->who, sizeof a->who, "%.16s", to->called);
        a->alive = true;
        a->alone = count == 1;
        net.opened++;
        if (++net.open > net.most_open)
            net.most_open = net.open;
        if (++net.open_of[d] > net.most_of[d])
            net.most_of[d] = net.open_of[d];
    }
    pthread_mutex_unlock(&net.lock);
    return a;
}

dv_text dv_accepted_syntax(const dv_association *a, const char *sop_class)
{
    (void)sop_class;
    return !net.picky || a->alone ? DV_TEXT("1.2.840.10008.1.2") : (dv_text){0};
}

bool dv_association_is_alive(dv_association *a)
{
    return a->alive;
}

void dv_association_lend(dv_association *a, int answer_ms, const atomic_bool *cancel)
{
    (void)answer_ms;
    a->cancel = cancel;
}

static void gone(dv_association *a, int *how)
{
    if (!a)
        return;
    pthread_mutex_lock(&net.lock);
    net.open--;
    net.open_of[digit(a->who)]--;
    ++*how;
    pthread_mutex_unlock(&net.lock);
    free(a);
}

void dv_release(dv_association *a)
{
    gone(a, &net.released);
}

void dv_abort(dv_association *a)
{
    gone(a, &net.aborted);
}

/* ---- */

static dv_pool *pool;
static dv_error err;
static const dv_context_offer offers[2] = {{.sop_class = "1"}, {.sop_class = "2"}};

static int start(int max, int idle_ms)
{
    memset(&net.opened, 0, sizeof net - sizeof net.lock);
    pool = dv_pool_new(max, idle_ms, &err);
    return pool ? 0 : -1;
}

static int start_three(void **state)
{
    (void)state;
    return start(3, 60000);
}

static int stop(void **state)
{
    (void)state;
    dv_pool_free(pool);
    return net.open;
}

static dv_pool_call call_to(const char *peer)
{
    return (dv_pool_call){.peer = peer,
                          .to = {.host = "h", .port = 1, .calling = "US", .called = peer},
                          .offers = offers,
                          .count = 2,
                          .need = "1",
                          .wait_ms = 50};
}

static dv_lease take(const char *peer)
{
    dv_pool_call c = call_to(peer);
    dv_lease l;

    if (!dv_pool_take(pool, &c, false, &l, &err))
        fail_msg("%s", err.message);
    return l;
}

static void an_association_that_was_given_back_is_taken_again(void **state)
{
    (void)state;
    dv_lease a = take("p0");
    assert_false(a.kept);
    dv_pool_give(pool, &a, true);
    assert_int_equal(dv_pool_count(pool, "p0").idle, 1);
    a = take("p0");
    assert_true(a.kept);
    assert_int_equal(dv_pool_count(pool, "p0").idle, 0);
    assert_int_equal(dv_pool_count(pool, NULL).open, 1);
    dv_pool_give(pool, &a, false);
    assert_int_equal(net.aborted, 1);
    assert_int_equal(dv_pool_count(pool, NULL).open, 0);
    a = take("p0");
    assert_false(a.kept);
    dv_pool_give(pool, &a, true);
    assert_int_equal(net.opened, 2);
}

static void one_whose_peer_has_gone_is_not_given_out(void **state)
{
    (void)state;
    dv_lease a = take("p0");
    dv_association *dead = a.a;
    dv_pool_give(pool, &a, true);
    dead->alive = false;
    a = take("p0");
    assert_false(a.kept);
    assert_int_equal(net.open, 1);
    dv_pool_give(pool, &a, true);
}

static void a_fresh_one_closes_the_idle_ones_of_its_kind_only(void **state)
{
    (void)state;
    dv_lease a = take("p0"), b = take("p0"), other = take("p1");
    dv_pool_give(pool, &a, true);
    dv_pool_give(pool, &b, true);
    dv_pool_give(pool, &other, true);
    dv_pool_call c = call_to("p0");
    assert_true(dv_pool_take(pool, &c, true, &a, &err));
    assert_false(a.kept);
    assert_int_equal(net.open_of[0], 1);
    assert_int_equal(net.open_of[1], 1);
    dv_pool_give(pool, &a, true);
}

static void another_variant_shares_no_association(void **state)
{
    (void)state;
    dv_lease a = take("p0");
    dv_pool_give(pool, &a, true);
    dv_pool_call c = call_to("p0");
    c.variant = "tls";
    assert_true(dv_pool_take(pool, &c, false, &a, &err));
    assert_false(a.kept);
    assert_int_equal(net.open, 2);
    dv_pool_give(pool, &a, true);
}

static void an_idle_one_gives_way_when_the_host_s_limit_is_reached(void **state)
{
    (void)state;
    dv_lease a = take("p0"), b = take("p1"), c = take("p2");
    dv_pool_give(pool, &a, true);
    dv_lease d = take("p1");
    assert_int_equal(net.open, 3);
    assert_int_equal(net.open_of[0], 0);
    dv_pool_give(pool, &b, true);
    dv_pool_give(pool, &c, true);
    dv_pool_give(pool, &d, true);
    assert_int_equal(net.most_open, 3);
}

static void who_gets_no_turn_in_time_hears_which_limit_it_was(void **state)
{
    (void)state;
    dv_lease a = take("p0"), b = take("p1"), c = take("p2"), none;
    dv_pool_call call = call_to("p0");
    assert_false(dv_pool_take(pool, &call, false, &none, &err));
    assert_int_equal(err.code, DV_ERR_TIMEOUT);
    assert_non_null(strstr(err.message, "all 3 outbound associations"));
    assert_non_null(strstr(err.message, "dimse.max_outbound"));
    dv_pool_give(pool, &c, true);
    call.most = 1;
    assert_false(dv_pool_take(pool, &call, false, &none, &err));
    assert_non_null(strstr(err.message, "all 1 associations that p0 takes"));
    dv_pool_give(pool, &a, true);
    dv_pool_give(pool, &b, true);
}

static void a_set_flag_ends_the_wait(void **state)
{
    (void)state;
    atomic_bool flag = true;
    dv_lease a = take("p0"), b = take("p1"), c = take("p2"), none;
    dv_pool_call call = call_to("p0");
    call.to.cancel = &flag;
    call.wait_ms = 0;
    assert_false(dv_pool_take(pool, &call, false, &none, &err));
    assert_int_equal(err.code, DV_ERR_CANCELLED);
    dv_pool_give(pool, &a, true);
    dv_pool_give(pool, &b, true);
    dv_pool_give(pool, &c, true);
}

/* P12 */
static void a_class_refused_among_others_gets_an_association_of_its_own(void **state)
{
    (void)state;
    net.picky = true;
    dv_lease a = take("p0");
    assert_true(a.a->alone);
    assert_int_equal(net.open, 1);
    dv_pool_give(pool, &a, true);
    net.refuses = true;
    dv_pool_call c = call_to("p1");
    assert_false(dv_pool_take(pool, &c, false, &a, &err));
    assert_int_equal(err.code, DV_ERR_UNSUPPORTED);
    assert_int_equal(dv_pool_count(pool, "p1").open, 0);
}

/* P14 */
static void a_peer_that_is_full_shows_its_limit_and_is_waited_for(void **state)
{
    (void)state;
    net.full_at = 1;
    dv_lease a = take("p0"), b;
    dv_pool_call c = call_to("p0");
    assert_false(dv_pool_take(pool, &c, false, &b, &err));
    assert_int_equal(err.code, DV_ERR_TIMEOUT); /* not BUSY: it waited for its turn */
    assert_non_null(strstr(err.message, "all 1 associations that p0 takes"));
    dv_pool_give(pool, &a, true);
    b = take("p0");
    assert_true(b.kept);
    dv_pool_give(pool, &b, true);
}

static void a_peer_that_is_full_of_others_is_a_failure(void **state)
{
    (void)state;
    dv_lease a = take("p0"), b;
    net.full_at = 1;
    dv_pool_call c = call_to("p1");
    assert_false(dv_pool_take(pool, &c, false, &b, &err));
    assert_int_equal(err.code, DV_ERR_BUSY);
    dv_pool_give(pool, &a, true);
}

static int start_short(void **state)
{
    (void)state;
    return start(0, 1);
}

static void an_idle_one_is_closed_when_its_time_is_over(void **state)
{
    (void)state;
    dv_lease a = take("p0");
    dv_pool_give(pool, &a, true);
    for (int64_t end = dv_mono_ms() + 5000; dv_pool_count(pool, NULL).open && dv_mono_ms() < end;)
        dv_pool_tend(pool);
    assert_int_equal(net.open, 0);
    assert_int_equal(net.released, 1);
}

static int start_without_keeping(void **state)
{
    (void)state;
    return start(0, 0);
}

static void none_is_kept_when_none_shall_be(void **state)
{
    (void)state;
    dv_lease a = take("p0");
    dv_pool_give(pool, &a, true);
    assert_int_equal(net.open, 0);
    assert_int_equal(net.released, 1);
}

/* ---- many at once ---- */

enum { WORKERS = 8, ROUNDS = 400 };

typedef struct worker {
    pthread_t thread;
    unsigned seed;
    int done;
    dv_error err;
} worker;

static void *work(void *user)
{
    static const char *const peers[] = {"p0", "p1", "p2"};
    worker *w = user;

    for (int i = 0; i < ROUNDS; i++) {
        w->seed = w->seed * 1103515245u + 12345u;
        dv_pool_call c = call_to(peers[w->seed >> 16 & 0xff ? (w->seed >> 16) % 3 : 0]);
        dv_lease l;
        c.wait_ms = 0;
        c.most = 2;
        if (!dv_pool_take(pool, &c, w->seed >> 20 & 1, &l, &w->err))
            break;
        if (w->seed >> 18 & 1)
            l.a->alive = false;
        dv_pool_give(pool, &l, w->seed >> 19 & 1);
        if (i % 16 == 0)
            dv_pool_tend(pool);
        w->done++;
    }
    return NULL;
}

static void eight_workers_pass_no_limit_and_all_get_their_turns(void **state)
{
    (void)state;
    worker w[WORKERS] = {0};

    for (int i = 0; i < WORKERS; i++) {
        w[i].seed = (unsigned)i + 1;
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(w[i].thread, NULL);
        if (w[i].done != ROUNDS)
            fail_msg("worker %d: %s", i, w[i].err.message);
    }
    assert_in_range(net.most_open, 1, 3);
    for (int i = 0; i < 3; i++)
        assert_in_range(net.most_of[i], 0, 2);
    assert_int_equal(dv_pool_count(pool, NULL).waiting, 0);
}

/* Who came first goes first; who waits for a peer that is full keeps nobody else back. */
typedef struct queued {
    pthread_t thread;
    const char *peer;
    int most, order;
} queued;

static atomic_int turns;

static void *wait_in_line(void *user)
{
    queued *q = user;
    dv_pool_call c = call_to(q->peer);
    dv_lease l;

    c.wait_ms = 10000;
    c.most = q->most;
    if (dv_pool_take(pool, &c, false, &l, &(dv_error){0})) {
        q->order = atomic_fetch_add(&turns, 1) + 1;
        dv_pool_give(pool, &l, true);
    }
    return NULL;
}

static void turns_go_in_order_of_arrival_past_those_who_cannot_go(void **state)
{
    (void)state;
    dv_lease full = take("p0"), b = take("p1"), c = take("p2");
    queued line[3] = {{.peer = "p0", .most = 1}, {.peer = "p1"}, {.peer = "p2"}};

    atomic_store(&turns, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&line[i].thread, NULL, wait_in_line, &line[i]), 0);
        while (dv_pool_count(pool, NULL).waiting <= i)
            sched_yield();
    }
    dv_pool_give(pool, &b, true);
    pthread_join(line[1].thread, NULL);
    pthread_join(line[2].thread, NULL);
    assert_int_equal(line[1].order, 1);
    assert_int_equal(line[2].order, 2);
    assert_int_equal(line[0].order, 0);
    dv_pool_give(pool, &full, true);
    pthread_join(line[0].thread, NULL);
    assert_int_equal(line[0].order, 3);
    dv_pool_give(pool, &c, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_association_that_was_given_back_is_taken_again, start_three, stop),
        cmocka_unit_test_setup_teardown(one_whose_peer_has_gone_is_not_given_out, start_three, stop),
        cmocka_unit_test_setup_teardown(a_fresh_one_closes_the_idle_ones_of_its_kind_only, start_three, stop),
        cmocka_unit_test_setup_teardown(another_variant_shares_no_association, start_three, stop),
        cmocka_unit_test_setup_teardown(an_idle_one_gives_way_when_the_host_s_limit_is_reached, start_three, stop),
        cmocka_unit_test_setup_teardown(who_gets_no_turn_in_time_hears_which_limit_it_was, start_three, stop),
        cmocka_unit_test_setup_teardown(a_set_flag_ends_the_wait, start_three, stop),
        cmocka_unit_test_setup_teardown(a_class_refused_among_others_gets_an_association_of_its_own, start_three, stop),
        cmocka_unit_test_setup_teardown(a_peer_that_is_full_shows_its_limit_and_is_waited_for, start_three, stop),
        cmocka_unit_test_setup_teardown(a_peer_that_is_full_of_others_is_a_failure, start_three, stop),
        cmocka_unit_test_setup_teardown(an_idle_one_is_closed_when_its_time_is_over, start_short, stop),
        cmocka_unit_test_setup_teardown(none_is_kept_when_none_shall_be, start_without_keeping, stop),
        cmocka_unit_test_setup_teardown(eight_workers_pass_no_limit_and_all_get_their_turns, start_three, stop),
        cmocka_unit_test_setup_teardown(turns_go_in_order_of_arrival_past_those_who_cannot_go, start_three, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
