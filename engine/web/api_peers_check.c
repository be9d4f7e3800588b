/* api_peers_check.c: what an administrator needs to know of a peer before a migration, a row a check: ok, warning or failed, and what to do.
 *
 *   reachable and TLS -> AE titles -> echo -> query/retrieve -> a query -> relational queries -> C-MOVE's destination      (sources)
 *                                             storage classes                                                              (destinations)
 *   our side: the engine listens, its disk has room, the peer is enabled and the only one of its AE title and host
 *
 * C-MOVE's destination is proved only by an instance that comes: with MOVE one is asked for. Otherwise C-MOVE of a study that nobody has: a peer
 * that does not know our AE title says so even then, if it looks at that first. */
#include "base/clock.h"
#include "catalog/query.h"
#include "web/api_peers_internal.h"

#include <stdio.h>
#include <time.h>

enum { ANSWER_MS = 20000, ARRIVAL_MS = 30000, SLOW_MS = 500 };

#define PATIENT_FIND "1.2.840.10008.5.1.4.1.2.1.1"
#define PATIENT_MOVE "1.2.840.10008.5.1.4.1.2.1.2"

enum { ECHO, FIND, MOVE, GET, P_FIND, P_MOVE, CT, MR, CR, US, SC, OFFERS };

typedef enum verdict { OK, WARNING, FAILED } verdict;

typedef struct look {
    dv_site *site;
    const dv_peer *peer;
    dv_reply *reply;
    dv_error *err; /* of the reply: nobody reads any more */
    dv_arena *arena;
    dv_association *a;
    bool source, destination, reading;
    dv_text study, series, instance; /* an example of the peer's */
} look;

/* One row. */
static void say(look *l, const char *check, verdict v, const char *advice, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void say(look *l, const char *check, verdict v, const char *advice, const char *format, ...)
{
    static const char *const words[] = {"ok", "warning", "failed"};
    char detail[600];
    va_list list;
    va_start(list, format);
    vsnprintf(detail, sizeof detail, format, list);
    va_end(list);
    cJSON *row = cJSON_CreateObject();
    dv_json_text(row, "peer", l->peer->slug);
    cJSON_AddStringToObject(row, "check", check);
    cJSON_AddStringToObject(row, "result", words[v]);
    dv_json_text(row, "detail", dv_text_of(detail));
    cJSON_AddStringToObject(row, "advice", v == OK ? "" : advice);
    l->reading = dv_reply_row(l->reply, row, l->err) && l->reading;
}

static const char *our_aet(const look *l)
{
    return dv_config_text(l->site->config, "dimse.aet");
}

/* ---- our side ---- */

static void check_listener(look *l)
{
    dv_site *s = l->site;
    if (!s->scp) {
        say(l, "our listener", WARNING, "start 'drover serve', and check again", "no engine runs on %s", s->folder);
        return;
    }
    /* Any answer on the protocol's level proves it; that this address may not be the peer's is no matter. */
    const char *host = dv_config_text(s->config, "dimse.host");
    dv_target to = {.host = *host ? host : "127.0.0.1",
                    .port = dv_scp_port(s->scp),
                    .calling = l->peer->aet.at,
                    .called = our_aet(l),
                    .answer_ms = 5000,
                    .keep_empty = true};
    dv_context_offer offer = {.sop_class = DV_SOP_VERIFICATION};
    dv_error why = {0};
    dv_association *a = dv_associate(&to, &offer, 1, &why);
    if (a || why.code == DV_ERR_REJECTED)
        say(l, "our listener", OK, "", "%s answers on port %u; the peer must reach it too", our_aet(l), to.port);
    else
        say(l, "our listener", FAILED, "see the engine's log; are all associations (dimse.max_associations) in use?",
            "%s", why.message);
    dv_release(a);
    if (s->receiver && dv_receiver_disk_low(s->receiver))
        say(l, "our disk", FAILED, "free some space, or lower store.low_water_mb",
            "less than %lld MB are free: whoever sends gets A700",
            (long long)dv_config_int(s->config, "store.low_water_mb"));
}

static bool is_host(void *user, const char *host)
{
    return strcmp(host, ((const dv_peer *)user)->host.at) == 0;
}

static void check_entry(look *l)
{
    dv_peer other;
    bool found = false;
    dv_error why = {0};
    dv_db *db = dv_catalog_reader(l->site->catalog, &why);
    if (!l->peer->enabled)
        say(l, "our entry", FAILED, "enter it again with --replace and without --disabled",
            "the peer is disabled: what it sends is refused");
    else if (!db ||
             !dv_peer_calling(db, l->peer->aet, is_host, (void *)(uintptr_t)l->peer, l->arena, &other, &found, &why))
        say(l, "our entry", FAILED, "see 'drover catalog info'", "%s", why.message);
    else if (found && other.id != l->peer->id)
        say(l, "our entry", WARNING, "give each its own AE title, or remove one",
            "the peer '%s' has the same AE title and host: what comes is taken for that one's", other.slug.at);
    else
        say(l, "our entry", OK, "", "%s from %s is let in as '%s'%s", l->peer->aet.at, l->peer->host.at,
            l->peer->slug.at, l->source ? "" : ", for C-ECHO and reports only");
}

/* ---- reaching it ---- */

static bool associate(look *l)
{
    static const char *const classes[OFFERS] = {[ECHO] = DV_SOP_VERIFICATION,
                                                [FIND] = DV_SOP_STUDY_FIND,
                                                [MOVE] = DV_SOP_STUDY_MOVE,
                                                [GET] = DV_SOP_STUDY_GET,
                                                [P_FIND] = PATIENT_FIND,
                                                [P_MOVE] = PATIENT_MOVE,
                                                [CT] = "1.2.840.10008.5.1.4.1.1.2",
                                                [MR] = "1.2.840.10008.5.1.4.1.1.4",
                                                [CR] = "1.2.840.10008.5.1.4.1.1.1",
                                                [US] = "1.2.840.10008.5.1.4.1.1.6.1",
                                                [SC] = "1.2.840.10008.5.1.4.1.1.7"};
    dv_context_offer offers[OFFERS];
    dv_error why = {0};
    dv_peer_tls how = {0};
    memset(offers, 0, sizeof offers);
    for (int i = 0; i < OFFERS; i++) {
        offers[i].sop_class = classes[i];
        offers[i].role = i >= CT && l->source ? DV_ROLE_BOTH : DV_ROLE_SCU;
    }
    int64_t begin = dv_mono_ns();
    l->a = dv_api_call(l->site, l->peer, offers, OFFERS, true, ANSWER_MS, &why);
    double ms = (double)(dv_mono_ns() - begin) / 1e6;
    bool reached = l->a || why.code == DV_ERR_REJECTED || why.code == DV_ERR_BUSY || why.code == DV_ERR_ABORTED;
    if (!reached) {
        say(l, "reachable", FAILED, "check host, port and firewalls in between; is the peer running?", "%s",
            why.message);
        return false;
    }
    say(l, "reachable", OK, "", "%s:%d takes the connection", l->peer->host.at, l->peer->port);
    if (!dv_peer_tls_of(l->peer->settings, l->arena, &how, NULL) || !how.on)
        say(l, "TLS", OK, "", "off: what is sent can be read on the way ('drover peers add --tls' turns it on)");
    else if (how.insecure)
        say(l, "TLS", WARNING, "take tls_insecure out, and give --tls-ca",
            "on, but any certificate of the peer is taken");
    else
        say(l, "TLS", OK, "", "on, and its certificate is good for %s", l->peer->host.at);
    if (!l->a) {
        say(l, "AE titles", FAILED,
            "ask its administrator to enter our AE title, address and port, and for its own AE title", "%s",
            why.message);
        return false;
    }
    say(l, "AE titles", OK, "", "%s takes an association of %s (%.1f ms)", l->peer->aet.at, our_aet(l), ms);
    return true;
}

static void check_echo(look *l)
{
    dv_error why = {0};
    if (dv_offer_result(l->a, ECHO) != 0) {
        say(l, "C-ECHO", WARNING, "nothing, if the rest is well", "the peer refuses verification");
        return;
    }
    int64_t begin = dv_mono_ns();
    bool ok = dv_echo(l->a, &why);
    double ms = (double)(dv_mono_ns() - begin) / 1e6;
    if (!ok)
        say(l, "C-ECHO", FAILED, "see the peer's log", "%s", why.message);
    else
        say(l, "C-ECHO", ms > SLOW_MS ? WARNING : OK,
            "look at the network: each instance costs at least one round trip", "answered in %.1f ms", ms);
}

/* ---- what a source must do ---- */

typedef struct key {
    dv_tag tag;
    const char *value;
} key;

typedef struct asking {
    look *l;
    dv_encoding encoding;
    dv_tag wanted;
    dv_text got;
    int answers;
} asking;

/* Takes the wanted value of the first answer; that is enough. */
static bool each(void *user, dv_text identifier)
{
    asking *q = user;
    dv_arena arena;
    dv_index ix;
    dv_arena_init(&arena, 0);
    dv_dataset *ds = dv_index_all(&ix, &arena, q->encoding, (const uint8_t *)identifier.at, identifier.len, NULL)
                         ? dv_dataset_open(&arena, &ix, NULL)
                         : NULL;
    if (ds)
        q->got = dv_arena_text(q->l->arena, dv_dataset_raw(ds, q->wanted));
    q->answers++;
    dv_arena_free(&arena);
    return q->got.len == 0 && q->answers < 100;
}

static dv_text identifier_of(look *l, const char *sop_class, const char *level, const key *keys, size_t count,
                             dv_error *err)
{
    dv_text bytes = {0};
    dv_dataset *ds = dv_dataset_new(l->arena, dv_syntax_encoding(dv_accepted_syntax(l->a, sop_class)), err);
    bool ok = ds && dv_dataset_put(ds, DV_QueryRetrieveLevel, dv_text_of(level), err);
    for (size_t i = 0; ok && i < count; i++)
        ok = dv_dataset_put(ds, keys[i].tag, dv_text_of(keys[i].value), err);
    return ok && dv_write_bytes(ds, &bytes, err) ? bytes : (dv_text){0};
}

/* WANTED of the first answer; absent when there is none. */
static bool ask(look *l, const char *level, const key *keys, size_t count, dv_tag wanted, dv_text *out, dv_error *err)
{
    asking q = {l, dv_syntax_encoding(dv_accepted_syntax(l->a, DV_SOP_STUDY_FIND)), wanted, {0}, 0};
    dv_text query = identifier_of(l, DV_SOP_STUDY_FIND, level, keys, count, err);
    bool ok = query.at && dv_find(l->a, DV_SOP_STUDY_FIND, query, each, &q, err);
    *out = q.got.len ? q.got : (dv_text){0};
    return ok;
}

static void check_models(look *l)
{
    bool find = dv_offer_result(l->a, FIND) == 0, move = dv_offer_result(l->a, MOVE) == 0,
         get = dv_offer_result(l->a, GET) == 0;
    bool patient = dv_offer_result(l->a, P_FIND) == 0 && dv_offer_result(l->a, P_MOVE) == 0;
    if (find && (move || get))
        say(l, "query/retrieve", OK, "", "study root: FIND%s%s; patient root: %s", move ? ", MOVE" : "",
            get ? (dv_may_receive(l->a) ? ", GET" : ", GET (it does not agree to send)") : "", patient ? "too" : "no");
    else
        say(l, "query/retrieve", FAILED,
            patient ? "Drover asks in the study root model; its administrator may be able to enable it"
                    : "ask its administrator to enable query/retrieve for our AE title",
            "it refuses study root %s%s", find ? "" : "FIND ", move || get ? "" : "MOVE and GET");
}

static void check_query(look *l)
{
    char month[32], uid[65];
    time_t then = (time_t)(dv_wall_us() / 1000000) - 30 * 86400;
    struct tm t;
    dv_error why = {0};
    gmtime_r(&then, &t);
    strftime(month, sizeof month, "%Y%m%d-", &t);
    const key recent[] = {{DV_StudyDate, month}, {DV_StudyInstanceUID, ""}}, any[] = {{DV_StudyInstanceUID, ""}};
    int64_t begin = dv_mono_ns();
    bool ok = ask(l, "STUDY", recent, 2, DV_StudyInstanceUID, &l->study, &why);
    double ms = (double)(dv_mono_ns() - begin) / 1e6;
    if (ok && !l->study.at)
        ok = ask(l, "STUDY", any, 1, DV_StudyInstanceUID, &l->study, &why);
    if (!ok) {
        say(l, "query", FAILED, "see the peer's log; some want a date or a patient ID in each query", "%s",
            why.message);
        return;
    }
    if (!l->study.at) {
        say(l, "query", WARNING, "is that the right archive, and may our AE title see its studies?",
            "it answers, and lists no study");
        return;
    }
    say(l, "query", OK, "", "it lists studies (the last month's in %.0f ms)", ms);
    dv_text_copy(l->study, uid, sizeof uid);
    const key series[] = {{DV_StudyInstanceUID, uid}, {DV_SeriesInstanceUID, ""}};
    if (!ask(l, "SERIES", series, 2, DV_SeriesInstanceUID, &l->series, &why) || !l->series.at) {
        say(l, "query of series", WARNING, "Drover then checks studies by their counts only (peer setting evidence)",
            "%s", why.message[0] ? why.message : "it lists no series of a study");
        return;
    }
    const key image[] = {{DV_StudyInstanceUID, uid},
                         {DV_SeriesInstanceUID, dv_arena_string(l->arena, l->series)},
                         {DV_SOPInstanceUID, ""}};
    if (!ask(l, "IMAGE", image, 3, DV_SOPInstanceUID, &l->instance, &why) || !l->instance.at)
        say(l, "query of instances", WARNING,
            "Drover then checks studies by the counts of their series only (peer setting evidence)", "%s",
            why.message[0] ? why.message : "it lists no instance of a series");
    else
        say(l, "query of instances", OK, "", "it lists the instances of a series: each can be compared");
}

static void check_relational(look *l)
{
    dv_text got;
    dv_error why = {0};
    if (!l->series.at)
        return;
    const key keys[] = {{DV_SeriesInstanceUID, dv_arena_string(l->arena, l->series)}, {DV_StudyInstanceUID, ""}};
    bool ok = dv_association_is_alive(l->a) && ask(l, "SERIES", keys, 2, DV_StudyInstanceUID, &got, &why);
    if (ok && dv_text_equal(dv_text_trim(got), dv_text_trim(l->study)))
        say(l, "relational queries", OK, "", "a series is found by its UID alone");
    else
        say(l, "relational queries", OK, "", "no: a series is found within its study only, which is how Drover asks");
}

/* ---- C-MOVE's destination ---- */

typedef struct arrival {
    bool there;
    int64_t repeats, quarantined;
} arrival;

static bool look_up(look *l, arrival *out, dv_error *err)
{
    dv_db *db = dv_catalog_reader(l->site->catalog, err);
    int64_t n = -1;
    *out = (arrival){0};
    if (!db ||
        !dv_db_int(db, -1, &n, err, "SELECT repeats FROM instances WHERE received_sop_uid = $1", "t", l->instance) ||
        !dv_db_int(db, 0, &out->quarantined, err,
                   "SELECT coalesce(sum(repeats + 1), 0) FROM quarantine WHERE received_sop_uid = $1", "t",
                   l->instance))
        return false;
    out->there = n >= 0;
    out->repeats = n;
    return true;
}

static bool has_come(look *l, const arrival *before)
{
    arrival now;
    return look_up(l, &now, NULL) &&
           (now.there != before->there || now.repeats > before->repeats || now.quarantined > before->quarantined);
}

static void move_one(look *l)
{
    const key keys[] = {{DV_StudyInstanceUID, dv_arena_string(l->arena, l->study)},
                        {DV_SeriesInstanceUID, dv_arena_string(l->arena, l->series)},
                        {DV_SOPInstanceUID, dv_arena_string(l->arena, l->instance)}};
    dv_error why = {0};
    arrival before;
    dv_move_result result;
    dv_text query = identifier_of(l, DV_SOP_STUDY_MOVE, "IMAGE", keys, 3, &why);
    static const char advice[] = "ask its administrator to enter our AE title with this machine's address and our "
                                 "port, and open the way back in the firewall";
    if (!query.at || !look_up(l, &before, &why) ||
        !dv_move(l->a, DV_SOP_STUDY_MOVE, our_aet(l), query, l->arena, NULL, NULL, &result, &why)) {
        say(l, "C-MOVE to us", FAILED, advice, "%s", why.message);
        return;
    }
    int64_t until = dv_mono_ms() + (result.status == 0 ? ARRIVAL_MS : 2000);
    bool come;
    while (!(come = has_come(l, &before)) && dv_mono_ms() < until && !dv_reply_cancelled(l->reply))
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    if (come)
        say(l, "C-MOVE to us", OK, "", "one instance was asked for, and came");
    else
        say(l, "C-MOVE to us", FAILED, advice, "it answered %04X%s%s, and nothing came", result.status,
            result.comment[0] ? ": " : "", result.comment);
}

static void check_move(look *l, bool move)
{
    dv_error why = {0};
    dv_move_result result;
    const key nobodys[] = {{DV_StudyInstanceUID, "2.25.0"}};
    if (dv_offer_result(l->a, MOVE) != 0 || !dv_association_is_alive(l->a))
        return;
    if (move && !l->site->scp)
        say(l, "C-MOVE to us", WARNING, "start 'drover serve', and check again", "nobody listens here");
    else if (move && !l->instance.at)
        say(l, "C-MOVE to us", WARNING, "try a study by 'drover migrate --study'", "there is no instance to ask for");
    else if (move)
        move_one(l);
    else {
        dv_text query = identifier_of(l, DV_SOP_STUDY_MOVE, "STUDY", nobodys, 1, &why);
        if (!query.at || !dv_move(l->a, DV_SOP_STUDY_MOVE, our_aet(l), query, l->arena, NULL, NULL, &result, &why))
            say(l, "C-MOVE to us", WARNING, "'drover peers check PEER --move' asks for one instance, which proves it",
                "%s", why.message);
        else if (result.status == 0xA801)
            say(l, "C-MOVE to us", FAILED,
                "ask its administrator to enter our AE title as a destination, with this machine's address and our "
                "port",
                "it does not know the destination %s", our_aet(l));
        else
            say(l, "C-MOVE to us", WARNING, "'drover peers check PEER --move' asks for one instance, which proves it",
                "not proved: C-MOVE of a study that is not there was answered %04X", result.status);
    }
}

static void check_destination(look *l)
{
    static const char *const names[] = {"CT", "MR", "CR", "US", "SC"};
    char yes[64] = "", no[64] = "";
    for (int i = CT; i <= SC; i++) {
        char *list = dv_offer_result(l->a, (size_t)i) == 0 ? yes : no;
        size_t n = strlen(list);
        snprintf(list + n, sizeof yes - n, "%s%s", n ? " " : "", names[i - CT]);
    }
    if (!*yes)
        say(l, "storage", FAILED, "ask its administrator to allow storing for our AE title", "it takes none of %s", no);
    else
        say(l, "storage", OK, "", "it takes %s%s%s; all of it: drover peers probe", yes, *no ? ", not " : "", no);
}

static bool check(dv_site *site, const dv_peer *peer, bool move, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_arena_init(&arena, 0);
    look l = {.site = site,
              .peer = peer,
              .reply = reply,
              .err = err,
              .arena = &arena,
              .source = !dv_text_is(peer->direction, "DestinationOnly"),
              .destination = !dv_text_is(peer->direction, "SourceOnly"),
              .reading = true};
    check_entry(&l);
    check_listener(&l);
    if (l.reading && associate(&l)) {
        check_echo(&l);
        if (l.source && dv_association_is_alive(l.a)) {
            check_models(&l);
            if (dv_offer_result(l.a, FIND) == 0) {
                check_query(&l);
                check_relational(&l);
            }
            check_move(&l, move);
        }
        if (l.destination)
            check_destination(&l);
    }
    dv_pool_end(l.site->pool, l.a);
    dv_arena_free(&arena);
    return l.reading;
}

bool dv_api_peers_check(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    const char *slug = dv_args_text(args, "peer");
    bool move = dv_args_bool(args, "move");
    dv_arena arena;
    dv_peer one, *peers = &one;
    size_t count = 1;
    dv_arena_init(&arena, 0);
    dv_db *db = slug ? NULL : dv_catalog_reader(site->catalog, err);
    bool ok = slug ? dv_api_peer(site, slug, &arena, &one, err) : db && dv_peer_list(db, &arena, &peers, &count, err);
    for (size_t i = 0; ok && i < count && !dv_reply_cancelled(reply); i++)
        if (slug || peers[i].enabled)
            ok = check(site, &peers[i], move, reply, err);
    dv_arena_free(&arena);
    return ok;
}
