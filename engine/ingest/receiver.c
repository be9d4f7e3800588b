#include "ingest/receiver.h"
#include "base/clock.h"
#include "base/log.h"
#include "catalog/peers.h"
#include "ingest/commitment.h"

#include <cjson/cJSON.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

struct dv_receiver {
    dv_receiver_options o; /* without the three that follow */
    atomic_bool any_called, allow_any;
    atomic_llong low_water;
    atomic_llong looked_at; /* mono ms of the last look at the disk */
    atomic_bool disk_low;
};

/* What `admit` learnt of a caller. */
typedef struct guest {
    dv_arena arena;
    dv_peer peer;
    bool known;
    bool unasked; /* the catalog was lost when it came: whoever it is, it gets A700 and may come again */
    bool sends;   /* a destination may only echo and report commitments */
    bool warn_on_change, fail_on_hold, commit_apart;
} guest;

typedef struct store {
    dv_receiver *receiver;
    guest *guest;
    dv_intake *intake;
    dv_error err;
    bool failed;
} store;

dv_receiver *dv_receiver_new(const dv_receiver_options *options, dv_error *err)
{
    dv_receiver *r = calloc(1, sizeof *r);
    if (!r) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the receiver");
        return NULL;
    }
    r->o = *options;
    atomic_init(&r->looked_at, -10000);
    dv_receiver_adjust(r, options->any_called, options->allow_any, options->low_water);
    return r;
}

void dv_receiver_adjust(dv_receiver *r, bool any_called, bool allow_any, int64_t low_water)
{
    atomic_store(&r->any_called, any_called);
    atomic_store(&r->allow_any, allow_any);
    atomic_store(&r->low_water, low_water);
}

void dv_receiver_free(dv_receiver *r)
{
    free(r);
}

/* statvfs costs a syscall; once a second is enough for a mark that is a gigabyte away from trouble. */
bool dv_receiver_disk_low(dv_receiver *r)
{
    int64_t low_water = atomic_load_explicit(&r->low_water, memory_order_relaxed);
    if (low_water == 0)
        return false;
    int64_t now = dv_mono_ms();
    long long last = atomic_load(&r->looked_at);
    if (now - last >= 1000 && atomic_compare_exchange_strong(&r->looked_at, &last, now)) {
        struct statvfs v;
        if (statvfs(dv_store_folder(r->o.store), &v) == 0) {
            bool low = (int64_t)(v.f_bavail * v.f_frsize) < low_water;
            if (low != atomic_exchange(&r->disk_low, low))
                dv_warn("receiver",
                        low ? "the disk has less than %lld MB free: senders get A700 until there is more"
                            : "the disk has more than %lld MB free again",
                        (long long)(low_water >> 20));
        }
    }
    return atomic_load(&r->disk_low);
}

/* Is ADDRESS (numeric) one of HOST's? IPv4 mapped into IPv6 is the same address. */
static bool host_is(const char *host, const char *address)
{
    if (strncmp(address, "::ffff:", 7) == 0)
        address += 7;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (strcmp(host, address) == 0)
        return true;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    bool same = false;
    for (struct addrinfo *a = list; a && !same; a = a->ai_next) {
        char text[128];
        same = getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0 &&
               strcmp(text, address) == 0;
    }
    freeaddrinfo(list);
    return same;
}

static bool is_callers(void *user, const char *host)
{
    return host_is(host, ((const dv_caller *)user)->address);
}

static bool setting_on(dv_text settings, const char *name)
{
    cJSON *object = cJSON_ParseWithLength(settings.at ? settings.at : "", settings.len);
    bool on = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
    cJSON_Delete(object);
    return on;
}

static bool whatever_host(void *user, const char *host)
{
    (void)user, (void)host;
    return true;
}

/* Why nobody is known by that AE title at that address. */
static void say_unknown(dv_db *db, const dv_caller *caller, dv_arena *arena)
{
    dv_peer other;
    bool elsewhere = false;
    if (dv_peer_calling(db, dv_text_of(caller->calling), whatever_host, NULL, arena, &other, &elsewhere, NULL) &&
        elsewhere)
        dv_warn("receiver", "%s calls from %s, but the peer %s is at %s", caller->calling, caller->address,
                other.slug.at, other.host.at);
    else
        dv_warn("receiver", "%s at %s is no enabled peer; add it with 'drover peers add' or start with --allow-any",
                caller->calling, caller->address);
}

static dv_admit admit(void *user, dv_caller *caller)
{
    dv_receiver *r = user;
    dv_error err;
    const char *ours = caller->ours ? caller->ours : r->o.aet;
    if (!atomic_load_explicit(&r->any_called, memory_order_relaxed) && strcmp(caller->called, ours) != 0) {
        dv_warn("receiver", "%s at %s calls us %s; we are %s", caller->calling, caller->address, caller->called, ours);
        return DV_ADMIT_UNKNOWN_CALLED;
    }
    guest *g = calloc(1, sizeof *g);
    if (!g)
        return DV_ADMIT_BUSY;
    dv_arena_init(&g->arena, 2048);
    dv_text aet = dv_text_of(caller->calling);
    dv_db *db = dv_catalog_reader(r->o.catalog, &err);
    if (!db || !dv_peer_calling(db, aet, is_callers, caller, &g->arena, &g->peer, &g->known, &err)) {
        dv_error_log("receiver", "%s at %s is answered A700: %s", caller->calling, caller->address, err.message);
        g->known = false;
        g->sends = g->unasked = true;
        caller->user = g;
        return DV_ADMIT;
    }
    bool allow_any = atomic_load_explicit(&r->allow_any, memory_order_relaxed);
    g->sends = !g->known || allow_any || !dv_text_is(g->peer.direction, "DestinationOnly");
    if (g->known && !caller->tls && setting_on(g->peer.settings, "tls_only")) {
        dv_warn("receiver", "%s at %s calls without TLS, but the peer %s has tls_only", caller->calling,
                caller->address, g->peer.slug.at);
        dv_arena_free(&g->arena);
        free(g);
        return DV_ADMIT_UNKNOWN_CALLING;
    }
    if (!g->known && !allow_any) {
        say_unknown(db, caller, &g->arena);
        dv_arena_free(&g->arena);
        free(g);
        return DV_ADMIT_UNKNOWN_CALLING;
    }
    g->warn_on_change = g->known && setting_on(g->peer.settings, "warn_on_change");
    g->fail_on_hold = g->known && setting_on(g->peer.settings, "fail_on_hold");
    g->commit_apart = g->known && setting_on(g->peer.settings, "commit_apart");
    caller->user = g;
    return DV_ADMIT;
}

/* Is UID one of the backslash-separated LIST? */
static bool listed(dv_text list, dv_text uid)
{
    for (dv_text rest = list; rest.at;)
        if (dv_text_equal(dv_text_trim(dv_text_split(rest, '\\', &rest)), uid))
            return true;
    return false;
}

/* Everything but the services that are no storage (PS3.4): any class that a source may hold, private and retired ones too. */
static bool is_storage(dv_text sop_class)
{
    static const char *const others[] = {
        "1.2.840.10008.1.",         /* verification, storage commitment, ... */
        "1.2.840.10008.3.1.2.",     /* retired management classes, MPPS */
        "1.2.840.10008.5.1.1.",     /* print; but see below */
        "1.2.840.10008.5.1.4.1.2.", /* query/retrieve */
        "1.2.840.10008.5.1.4.31",   /* modality worklist */
        "1.2.840.10008.5.1.4.32",   /* general purpose worklist */
        "1.2.840.10008.5.1.4.33",   /* instance availability */
        "1.2.840.10008.5.1.4.34.6", /* unified procedure step */
        "1.2.840.10008.5.1.4.37",   /* relevant patient information */
        "1.2.840.10008.4.",         /* media creation, storage service class */
    };
    if (dv_text_is(sop_class, "1.2.840.10008.5.1.1.27") || dv_text_is(sop_class, "1.2.840.10008.5.1.1.29") ||
        dv_text_is(sop_class, "1.2.840.10008.5.1.1.30"))
        return true; /* stored print, hardcopy grayscale and color image: retired storage classes among print's */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (dv_text_starts(sop_class, dv_text_of(others[i])))
            return false;
    return true;
}

static bool accept_context(void *user, const dv_caller *caller, dv_text sop_class, dv_text transfer_syntax)
{
    (void)user;
    const guest *g = caller->user;
    if (!g->sends || !is_storage(sop_class))
        return false;
    if (g->known && g->peer.sop_classes.len && !listed(g->peer.sop_classes, sop_class))
        return false;
    return !transfer_syntax.at || !(g->known && g->peer.transfer_syntaxes.len) ||
           listed(g->peer.transfer_syntaxes, transfer_syntax);
}

static void answer_error(dv_store_answer *answer, const dv_error *err)
{
    answer->status = dv_error_lookup(err->code)->dimse_status;
    dv_text_copy(dv_text_of(err->message), answer->comment, sizeof answer->comment);
}

static void *store_begin(void *user, dv_caller *caller, const dv_store_request *rq, dv_store_answer *answer)
{
    dv_receiver *r = user;
    guest *g = caller->user;
    dv_error err = {0};
    if (dv_receiver_disk_low(r)) {
        dv_fail(&err, DV_ERR_DISK_FULL, "out of disk: less than %lld MB free",
                (long long)(atomic_load(&r->low_water) >> 20));
        answer_error(answer, &err);
        return NULL;
    }
    if (g->unasked) {
        dv_fail(&err, DV_ERR_DB, "the catalog could not be asked; associate again");
        answer_error(answer, &err);
        return NULL;
    }
    store *s = calloc(1, sizeof *s);
    if (!s)
        dv_fail(&err, DV_ERR_MEMORY, "out of memory");
    dv_arrival arrival = {
        .transfer_syntax = rq->transfer_syntax,
        .sop_class = rq->sop_class,
        .sop_instance = rq->sop_instance,
        .source = g->known ? g->peer.slug.at : "",
        .calling = caller->calling,
        .called = caller->called,
        .address = caller->address,
        .channel = "dimse",
        .batch = "",
        .seed = "",
    };
    dv_intake *intake = s ? dv_intake_begin(r->o.ingest, &arrival, &err) : NULL;
    if (!intake) {
        dv_error_log("receiver", "%s", err.message);
        answer_error(answer, &err);
        free(s);
        return NULL;
    }
    *s = (store){.receiver = r, .guest = g, .intake = intake};
    return s;
}

static bool store_data(void *instance, const void *bytes, size_t n)
{
    store *s = instance;
    if (!s->failed && !dv_intake_data(s->intake, bytes, n, &s->err))
        s->failed = true;
    return !s->failed;
}

static void store_end(void *instance, dv_store_answer *answer)
{
    store *s = instance;
    dv_receipt receipt;
    bool ok = !s->failed && dv_intake_finish(s->intake, &receipt, &s->err);
    if (s->failed)
        dv_intake_drop(s->intake);
    answer->status = 0x0000;
    answer->comment[0] = '\0';
    if (!ok) {
        dv_error_log("receiver", "%s", s->err.message);
        answer_error(answer, &s->err);
    } else if (receipt.kept == DV_KEPT_STORED) {
        answer->status = receipt.changed && s->guest->warn_on_change ? 0xB000 : 0x0000;
    } else if (receipt.kept != DV_KEPT_KNOWN && receipt.kept != DV_KEPT_EXCLUDED && s->guest->fail_on_hold) {
        answer->status = 0xC000;
        dv_text_copy(dv_text_of(receipt.reason), answer->comment, sizeof answer->comment);
    }
    free(s);
}

static void store_lost(void *instance)
{
    store *s = instance;
    dv_intake_drop(s->intake);
    free(s);
}

/* ---- storage commitment ---- */

static uint16_t commit_asked(void *user, dv_caller *caller, const dv_commitment *request, bool *here)
{
    const dv_receiver *r = user;
    const guest *g = caller->user;
    return dv_commitments_take(r->o.commitments, caller, g->known ? g->peer.slug.at : "", g->commit_apart, request,
                               here);
}

static bool commit_due(void *user, dv_caller *caller, dv_arena *arena, dv_commitment *report, int64_t *id)
{
    return dv_commitments_due(((const dv_receiver *)user)->o.commitments, caller, arena, report, id);
}

static void commit_delivered(void *user, dv_caller *caller, int64_t id, uint16_t status)
{
    dv_commitments_delivered(((const dv_receiver *)user)->o.commitments, caller, id, status);
}

/* Only the peer that was asked may say what it has. */
static uint16_t commit_told(void *user, dv_caller *caller, const dv_commitment *report)
{
    const guest *g = caller->user;
    if (!g->known) {
        dv_warn("receiver", "%s at %s reports a commitment, and is no peer of ours", caller->calling, caller->address);
        return 0x0124;
    }
    return dv_commitments_told(((const dv_receiver *)user)->o.commitments, caller->calling, report);
}

static const dv_commit_events commit_events = {commit_asked, commit_due, commit_delivered, commit_told};

static void leave(void *user, dv_caller *caller)
{
    const dv_receiver *r = user;
    guest *g = caller->user;
    if (r->o.commitments)
        dv_commitments_left(r->o.commitments, caller);
    if (g) {
        dv_arena_free(&g->arena);
        free(g);
    }
    caller->user = NULL;
}

bool dv_receiver_expect(dv_receiver *r, dv_text slug, dv_caller *caller, dv_error *err)
{
    dv_db *db = dv_catalog_reader(r->o.catalog, err);
    guest *g = db ? calloc(1, sizeof *g) : NULL;
    if (!g)
        return db ? dv_fail(err, DV_ERR_MEMORY, "no memory for what %.*s sends", DV_ARG(slug)) : false;
    dv_arena_init(&g->arena, 2048);
    if (!dv_peer_get(db, slug, &g->arena, &g->peer, &g->known, err)) {
        dv_arena_free(&g->arena);
        free(g);
        return false;
    }
    g->warn_on_change = g->known && setting_on(g->peer.settings, "warn_on_change");
    g->fail_on_hold = g->known && setting_on(g->peer.settings, "fail_on_hold");
    caller->user = g;
    return true;
}

dv_scp_callbacks dv_receiver_callbacks(dv_receiver *r)
{
    return (dv_scp_callbacks){.user = r,
                              .admit = admit,
                              .accept = accept_context,
                              .store_begin = store_begin,
                              .store_data = store_data,
                              .store_end = store_end,
                              .store_lost = store_lost,
                              .leave = leave,
                              .commit = r->o.commitments ? &commit_events : NULL};
}
