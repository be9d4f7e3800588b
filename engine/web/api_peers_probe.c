/* api_peers_probe.c: what a peer can, by what it accepts (M05).
 *
 *   1 association    services: verification, query/retrieve, commitment, and CT with us as SCP (C-GET)
 *   2 or so          every storage class in explicit and implicit little endian
 *   a few            some accepted classes (FULL: all of them) in each transfer syntax, one context each
 *
 * Nothing is asked or sent but C-ECHO: a probe changes nothing at the peer. */
#include "base/clock.h"
#include "dicom/syntax.h"
#include "dimse/classes.h"
#include "dimse/commitment.h"
#include "web/api_peers_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 128, LEAST = 8, SAMPLES = 3, ANSWER_MS = 30000 };

#define CT_STORAGE "1.2.840.10008.5.1.4.1.1.2"

static const struct service {
    const char *uid, *name;
} services[] = {
    {DV_SOP_VERIFICATION, "verification"},
    {DV_SOP_STUDY_FIND, "study root FIND"},
    {DV_SOP_STUDY_MOVE, "study root MOVE"},
    {DV_SOP_STUDY_GET, "study root GET"},
    {"1.2.840.10008.5.1.4.1.2.1.1", "patient root FIND"},
    {"1.2.840.10008.5.1.4.1.2.1.2", "patient root MOVE"},
    {"1.2.840.10008.5.1.4.1.2.1.3", "patient root GET"},
    {"1.2.840.10008.5.1.4.1.2.3.1", "patient/study only FIND (retired)"},
    {"1.2.840.10008.5.1.4.31", "modality worklist FIND"},
    {DV_SOP_COMMITMENT, "storage commitment"},
};
enum { SERVICES = sizeof services / sizeof *services };

typedef struct probing {
    dv_site *site;
    const dv_peer *peer;
    dv_reply *reply;
    cJSON *notes;
    int associations;
} probing;

/* The answers to COUNT offers, in as many associations as that takes; one that is refused as a whole is tried in halves: some peers take no more
 * than so many contexts (DEFECTS P12). */
static bool offer_all(probing *p, const dv_context_offer *offers, size_t count, uint8_t *results, size_t chunk,
                      dv_error *err)
{
    for (size_t at = 0; at < count;) {
        size_t n = count - at < chunk ? count - at : chunk;
        dv_error why = {0};
        if (dv_reply_cancelled(p->reply))
            return dv_fail(err, DV_ERR_CANCELLED, "the probe was broken off");
        dv_association *a = dv_api_call(p->site, p->peer, offers + at, n, true, ANSWER_MS, &why);
        p->associations++;
        if (!a && n > LEAST && why.code != DV_ERR_NETWORK && why.code != DV_ERR_TIMEOUT) {
            char note[700];
            snprintf(note, sizeof note, "it refuses %zu presentation contexts at once: %s", n, why.message);
            cJSON_AddItemToArray(p->notes, cJSON_CreateString(note));
            chunk = n / 2;
            continue;
        }
        if (!a)
            return dv_fail(err, why.code, "%s", why.message);
        for (size_t i = 0; i < n; i++)
            results[at + i] = dv_offer_result(a, i);
        dv_pool_end(p->site->pool, a);
        at += n;
    }
    return true;
}

static const char *answer_text(uint8_t result)
{
    switch (result) {
    case 0:
        return "accepted";
    case 1:
        return "refused by its user";
    case 3:
        return "class not supported";
    case 4:
        return "transfer syntaxes not supported";
    case 255:
        return "not answered";
    default:
        return "refused";
    }
}

static bool probe_services(probing *p, cJSON *row, dv_error *err)
{
    dv_context_offer offers[SERVICES + 1];
    dv_peer_facts facts;
    memset(offers, 0, sizeof offers);
    for (size_t i = 0; i < SERVICES; i++)
        offers[i].sop_class = services[i].uid;
    offers[SERVICES] = (dv_context_offer){.sop_class = CT_STORAGE, .role = DV_ROLE_BOTH};
    int64_t begin = dv_mono_ns();
    dv_association *a = dv_api_call(p->site, p->peer, offers, SERVICES + 1, true, ANSWER_MS, err);
    int64_t associated = dv_mono_ns();
    p->associations++;
    if (!a)
        return false;
    bool ok = true;
    dv_association_facts(a, &facts);
    cJSON_AddStringToObject(row, "implementation", facts.implementation);
    cJSON_AddStringToObject(row, "implementation_uid", facts.implementation_uid);
    cJSON_AddNumberToObject(row, "max_pdu", facts.max_pdu);
    cJSON_AddNumberToObject(row, "pdu_sent", facts.sent);
    cJSON_AddNumberToObject(row, "associate_ms", (double)(associated - begin) / 1e6);
    if (dv_offer_result(a, 0) == 0) {
        begin = dv_mono_ns();
        ok = dv_echo(a, err);
        cJSON_AddNumberToObject(row, "echo_ms", (double)(dv_mono_ns() - begin) / 1e6);
    }
    cJSON *list = cJSON_AddArrayToObject(row, "services");
    for (size_t i = 0; i < SERVICES; i++) {
        cJSON *one = cJSON_CreateObject();
        uint8_t result = dv_offer_result(a, i);
        dv_text syntax = dv_accepted_syntax(a, services[i].uid);
        cJSON_AddStringToObject(one, "service", services[i].name);
        cJSON_AddStringToObject(one, "uid", services[i].uid);
        cJSON_AddBoolToObject(one, "accepted", result == 0);
        cJSON_AddStringToObject(one, "answer", answer_text(result));
        cJSON_AddStringToObject(one, "transfer_syntax", syntax.at ? dv_uid_name(syntax.at) : "");
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddBoolToObject(row, "sends_by_get", dv_may_receive(a) > 0);
    dv_pool_end(p->site->pool, a);
    return ok;
}

static cJSON *class_json(const char *uid)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "uid", uid);
    cJSON_AddStringToObject(one, "name", dv_uid_name(uid));
    return one;
}

/* ACCEPTED[i]: the i-th storage class. */
static bool probe_storage(probing *p, cJSON *row, bool *accepted, dv_error *err)
{
    size_t count = dv_storage_class_count();
    dv_context_offer *offers = calloc(count, sizeof *offers);
    uint8_t *results = malloc(count);
    bool ok = (offers && results) || dv_fail(err, DV_ERR_MEMORY, "no memory for a probe");
    for (size_t i = 0; ok && i < count; i++)
        offers[i].sop_class = dv_storage_class(i);
    ok = ok && offer_all(p, offers, count, results, CHUNK, err);
    if (ok) {
        cJSON *storage = cJSON_AddObjectToObject(row, "storage");
        cJSON_AddNumberToObject(storage, "offered", (double)count);
        cJSON *yes = cJSON_AddArrayToObject(storage, "accepted"), *no = cJSON_AddArrayToObject(storage, "refused");
        for (size_t i = 0; i < count; i++) {
            cJSON *one = class_json(dv_storage_class(i));
            accepted[i] = results[i] == 0;
            if (!accepted[i])
                cJSON_AddStringToObject(one, "answer", answer_text(results[i]));
            cJSON_AddItemToArray(accepted[i] ? yes : no, one);
        }
    }
    free(offers);
    free(results);
    return ok;
}

/* Which of the accepted classes are tried in each syntax: one of each kind, so that a few associations do. */
static void choose_samples(bool *accepted)
{
    static const char *const likely[] = {CT_STORAGE,
                                         "1.2.840.10008.5.1.4.1.1.4",
                                         "1.2.840.10008.5.1.4.1.1.3.1",
                                         "1.2.840.10008.5.1.4.1.1.7",
                                         "1.2.840.10008.5.1.4.1.1.1",
                                         "1.2.840.10008.5.1.4.1.1.104.1"};
    size_t count = dv_storage_class_count(), chosen = 0;
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        bool is = false;
        for (size_t k = 0; k < sizeof likely / sizeof *likely; k++)
            is = is || strcmp(likely[k], dv_storage_class(i)) == 0;
        any = any || (is && accepted[i]);
    }
    for (size_t i = 0; i < count; i++) {
        bool is = !any;
        for (size_t k = 0; k < sizeof likely / sizeof *likely; k++)
            is = is || strcmp(likely[k], dv_storage_class(i)) == 0;
        accepted[i] = accepted[i] && is && chosen < SAMPLES;
        chosen += accepted[i];
    }
}

static bool probe_syntaxes(probing *p, cJSON *row, const bool *wanted, dv_error *err)
{
    size_t classes = 0, syntaxes = 0, n = 0;
    for (size_t i = 0; i < dv_storage_class_count(); i++)
        classes += wanted[i];
    while (dv_syntax_at(syntaxes))
        syntaxes++;
    dv_context_offer *offers = calloc(classes * syntaxes + 1, sizeof *offers);
    uint8_t *results = malloc(classes * syntaxes + 1);
    bool ok = (offers && results) || dv_fail(err, DV_ERR_MEMORY, "no memory for a probe");
    for (size_t i = 0; ok && i < dv_storage_class_count(); i++)
        for (size_t k = 0; wanted[i] && k < syntaxes; k++)
            offers[n++] = (dv_context_offer){.sop_class = dv_storage_class(i), .syntaxes = {dv_syntax_at(k)->uid}};
    ok = ok && offer_all(p, offers, n, results, CHUNK, err);
    cJSON *list = ok ? cJSON_AddArrayToObject(row, "transfer_syntaxes") : NULL;
    for (size_t at = 0; ok && at < n; at += syntaxes) {
        cJSON *one = class_json(offers[at].sop_class), *yes = cJSON_AddArrayToObject(one, "accepted");
        for (size_t k = 0; k < syntaxes; k++)
            if (results[at + k] == 0) {
                cJSON *syntax = cJSON_CreateObject();
                cJSON_AddStringToObject(syntax, "uid", dv_syntax_at(k)->uid);
                cJSON_AddStringToObject(syntax, "name", dv_syntax_at(k)->name);
                cJSON_AddItemToArray(yes, syntax);
            }
        cJSON_AddItemToArray(list, one);
    }
    free(offers);
    free(results);
    return ok;
}

typedef struct saving {
    dv_text slug, result;
} saving;

static bool save(dv_db *db, void *user, dv_error *err)
{
    const saving *s = user;
    return dv_probe_save(db, s->slug, s->result, err);
}

static bool keep(dv_site *site, const dv_peer *peer, const cJSON *row, dv_error *err)
{
    char *text = cJSON_PrintUnformatted(row);
    saving s = {peer->slug, dv_text_of(text)};
    bool ok = text ? dv_catalog_write(site->catalog, true, save, &s, err)
                   : dv_fail(err, DV_ERR_MEMORY, "no memory for a probe's result");
    cJSON_free(text);
    return ok;
}

bool dv_api_peers_probe(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_peer peer;
    dv_arena_init(&arena, 1024);
    bool ok = dv_api_peer(site, dv_args_text(args, "peer"), &arena, &peer, err);
    bool *classes = ok ? dv_arena_zalloc(&arena, dv_storage_class_count(), sizeof *classes) : NULL;
    ok = ok && (classes || dv_fail(err, DV_ERR_MEMORY, "no memory for a probe"));
    if (ok) {
        probing p = {site, &peer, reply, cJSON_CreateArray(), 0};
        cJSON *row = cJSON_CreateObject();
        char at[300];
        snprintf(at, sizeof at, "%s at %.200s:%d", peer.aet.at, peer.host.at, peer.port);
        dv_json_text(row, "peer", peer.slug);
        cJSON_AddStringToObject(row, "address", at);
        dv_json_stamp(row, "probed_at", dv_wall_us());
        cJSON_AddItemToObject(row, "notes", p.notes);
        ok = probe_services(&p, row, err) && probe_storage(&p, row, classes, err);
        if (ok && !dv_args_bool(args, "full"))
            choose_samples(classes);
        ok = ok && probe_syntaxes(&p, row, classes, err);
        cJSON_AddNumberToObject(row, "associations", p.associations);
        ok = ok && keep(site, &peer, row, err);
        if (ok)
            ok = dv_reply_row(reply, row, err);
        else
            cJSON_Delete(row);
    }
    dv_arena_free(&arena);
    return ok;
}

bool dv_api_peers_show(dv_site *site, const cJSON *args, dv_reply *reply, dv_error *err)
{
    dv_arena arena;
    dv_peer peer;
    dv_text result = {0};
    int64_t at = 0;
    dv_arena_init(&arena, 0);
    dv_db *db = dv_catalog_reader(site->catalog, err);
    bool ok = db && dv_api_peer(site, dv_args_text(args, "slug"), &arena, &peer, err) &&
              dv_probe_get(db, peer.slug, &arena, &result, &at, err);
    if (ok) {
        cJSON *row = dv_api_peer_json(site, &peer), *probe = at ? cJSON_ParseWithLength(result.at, result.len) : NULL;
        dv_json_put(row, "probe", probe ? probe : cJSON_CreateNull());
        ok = dv_reply_row(reply, row, err);
    }
    dv_arena_free(&arena);
    return ok;
}
