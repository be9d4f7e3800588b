/* passage.c: one dataset from complete header to its row.
 *
 *   open  received view, working view, job      run  rules -> outcome      object  meta, note, header      finish  seal, row, receipt
 *
 * An instance whose received SOP Instance UID has a row already is acknowledged when it is identical, and needs no object; else again.h says
 * what becomes of it. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "dicom/deflate.h"
#include "ingest/ingest_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const kept_names[] = {"stored", "known", "rejected", "held", "excluded", "unreadable"};

const char *dv_kept_name(dv_kept kept)
{
    return kept_names[kept];
}

dv_ingest *dv_ingest_new(dv_store *store, dv_catalog *catalog, dv_rules *rules, dv_error *err)
{
    dv_ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for the intake");
        return NULL;
    }
    *ingest = (dv_ingest){.store = store, .catalog = catalog, .rules = rules};
    pthread_mutex_init(&ingest->lock, NULL);
    for (int i = 0; i < DV_AGAIN_LOCKS; i++)
        pthread_mutex_init(&ingest->again[i], NULL);
    return ingest;
}

void dv_ingest_free(dv_ingest *ingest)
{
    if (!ingest)
        return;
    dv_intake_free_spares(ingest);
    for (int i = 0; i < DV_AGAIN_LOCKS; i++)
        pthread_mutex_destroy(&ingest->again[i]);
    pthread_mutex_destroy(&ingest->lock);
    free(ingest);
}

void dv_ingest_hooks(dv_ingest *ingest, dv_identify *identify, dv_notify *notify, void *user)
{
    ingest->identify = identify;
    ingest->notify = notify;
    ingest->user = user;
}

/* ---- the received header without bulk ---- */

/* Calls PART for each run of header bytes; values of bulk nodes that stand in the bytes are skipped. */
static bool header_runs(const dv_index *ix, bool (*part)(void *user, const uint8_t *at, size_t n, dv_error *err),
                        void *user, dv_error *err)
{
    size_t done = 0;
    for (uint32_t i = 0; i < ix->top_count; i++) {
        const dv_node *node = &ix->nodes[ix->top[i]];
        if (!node->bulk)
            continue;
        size_t value = node->offset + node->head;
        if (!part(user, ix->bytes + done, value - done, err))
            return false;
        if (ix->top[i] == ix->body)
            return true; /* what follows Pixel Data's head is body */
        done = node->stop > value ? node->stop : value;
    }
    return part(user, ix->bytes + done, ix->len - done, err);
}

static bool hash_part(void *user, const uint8_t *at, size_t n, dv_error *err)
{
    return dv_sha256_add(user, at, n, err);
}

bool dv_header_hash(const dv_index *ix, uint8_t out[DV_SHA256_BYTES], dv_error *err)
{
    if (!ix->whole && ix->bulk_count == 0) /* the common case: one run */
        return dv_sha256_of(ix->bytes, ix->len, out, err);
    dv_sha256 *h = dv_sha256_new();
    bool ok = h ? dv_sha256_begin(h, err) && header_runs(ix, hash_part, h, err) && dv_sha256_end(h, out, err)
                : dv_fail(err, DV_ERR_MEMORY, "no memory for a digest");
    dv_sha256_free(h);
    return ok;
}

typedef struct joined {
    char *at;
    size_t len;
} joined;

static bool join_part(void *user, const uint8_t *at, size_t n, dv_error *err)
{
    (void)err;
    joined *j = user;
    if (n)
        memcpy(j->at + j->len, at, n);
    j->len += n;
    return true;
}

/* The header bytes without bulk values and with Pixel Data's head, as the note keeps them. */
static bool header_bytes(const dv_index *ix, dv_arena *arena, dv_text *out, dv_error *err)
{
    joined j = {dv_arena_alloc(arena, ix->len), 0};
    if (!j.at)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for a received header");
    if (!header_runs(ix, join_part, &j, err))
        return false;
    *out = (dv_text){j.at, j.len};
    return true;
}

/* ---- open, run ---- */

static dv_text present(dv_text t)
{
    return t.at ? t : DV_TEXT("");
}

bool dv_passage_open(dv_passage *p, dv_error *err)
{
    p->received = dv_dataset_open(p->arena, p->index, err);
    p->dataset = p->received ? dv_dataset_open(p->arena, p->index, err) : NULL;
    if (!p->dataset)
        return false;
    p->sop_uid = present(dv_dataset_raw(p->received, DV_SOPInstanceUID));
    p->study_uid = present(dv_dataset_raw(p->received, DV_StudyInstanceUID));
    p->series_uid = present(dv_dataset_raw(p->received, DV_SeriesInstanceUID));
    if (p->arrival->sop_class.at == NULL)
        p->arrival->sop_class = present(dv_dataset_raw(p->received, DV_SOPClassUID));
    if (p->ingest->identify)
        p->ingest->identify(p->ingest->user, p->study_uid, p->arrival, p->arena);
    return true;
}

void dv_passage_hold(dv_passage *p, const char *reason)
{
    p->outcome.verdict = DV_VERDICT_HOLD;
    p->outcome.reason = dv_text_of(reason);
    p->outcome.stage = DV_TEXT("intake");
    p->outcome.rule = DV_TEXT("");
}

/* A dataset that cannot be filed under its own UIDs, or is not what its command said, is held before any rule sees it: an object's place
 * and the account against the source stand on the UIDs as received. */
static bool intake_check(dv_passage *p)
{
    const dv_arrival *a = p->arrival;
    const char *reason = NULL;
    if (p->sop_uid.len == 0 || p->study_uid.len == 0 || p->series_uid.len == 0)
        reason = dv_arena_printf(p->arena, "the dataset has no %s, so it cannot be filed",
                                 p->sop_uid.len == 0     ? "SOPInstanceUID"
                                 : p->study_uid.len == 0 ? "StudyInstanceUID"
                                                         : "SeriesInstanceUID");
    else if (!a->from_file && a->sop_instance.len && !dv_text_equal(dv_text_trim(a->sop_instance), p->sop_uid))
        reason = dv_arena_printf(p->arena, "the dataset is SOPInstanceUID %.*s, its command says %.*s",
                                 DV_ARG(p->sop_uid), DV_ARG(a->sop_instance));
    if (reason)
        dv_passage_hold(p, reason);
    return reason == NULL;
}

static char *c_string(dv_passage *p, dv_text t)
{
    char *s = dv_arena_string(p->arena, t);
    return s ? s : (char *)(uintptr_t) "";
}

bool dv_passage_run(dv_passage *p, dv_text body, uint64_t body_bytes, dv_error *err)
{
    const dv_arrival *a = p->arrival;
    p->outcome = (dv_outcome){.verdict = DV_VERDICT_STORE};
    if (!intake_check(p))
        return true;
    if (!p->ingest->rules || a->no_rules)
        return dv_pixels_look(p, err);
    dv_context *c = &p->context;
    c->origin.peer = a->source;
    c->origin.calling = a->calling;
    c->origin.called = a->called;
    c->origin.address = a->address;
    c->origin.channel = a->channel;
    c->job.batch = a->batch;
    c->job.attempt = a->attempt;
    c->seed = a->seed;
    c->found = a->found;
    c->info.transfer_syntax = c_string(p, a->transfer_syntax);
    c->info.sop_class = c_string(p, p->arrival->sop_class);
    c->info.header_bytes = p->index->len;
    c->info.body_bytes = body_bytes;
    c->body = body.len > 65536 ? (dv_text){body.at, 65536} : body;
    c->now = p->received_at;
    c->index_findings = p->index->findings;
    return dv_rules_run(p->ingest->rules, p->dataset, c, p->arena, &p->outcome, err) && dv_pixels_look(p, err);
}

/* ---- object ---- */

/* Where in the spool each bulk span begins: rules may have taken bulk elements out, the spool has all of them in order. */
static bool spool_offsets(const dv_passage *p, const dv_spans *spans, const uint64_t **out, dv_error *err)
{
    const dv_index *ix = p->index;
    uint64_t *at = dv_arena_zalloc(p->arena, (size_t)ix->bulk_count + 1, sizeof *at);
    if (!at)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for bulk values");
    uint32_t k = 0;
    for (uint32_t i = 0; i < spans->count; i++) {
        if (spans->span[i].at || spans->span[i].len == 0)
            continue;
        for (uint32_t t = 0; t < ix->top_count && ix->top[t] != spans->span[i].node; t++)
            if (ix->nodes[ix->top[t]].bulk && ix->top[t] != ix->body)
                at[k] += ix->nodes[ix->top[t]].length;
        k++;
    }
    *out = at;
    return true;
}

dv_object *dv_passage_object(dv_passage *p, int spool, dv_error *err)
{
    bool store = p->outcome.verdict == DV_VERDICT_STORE;
    dv_dataset *ds = store ? p->dataset : p->received;
    bool edited = store && dv_dataset_is_changed(ds);
    dv_file_meta meta = {
        .sop_class = present(dv_dataset_text(ds, DV_SOPClassUID)), /* as stored: rules may have changed them */
        .sop_instance = present(dv_dataset_text(ds, DV_SOPInstanceUID)),
        .transfer_syntax = p->arrival->transfer_syntax,
        .source_aet = dv_text_of(p->arrival->calling),
    };
    if (meta.sop_class.len == 0)
        meta.sop_class = p->arrival->sop_class;
    dv_object_note note = {0};
    dv_spans spans = {0};
    if (edited && p->stream.at)
        note.received_header = p->stream;
    else if (edited && !header_bytes(p->index, p->arena, &note.received_header, err))
        return NULL;
    if (!dv_note_write(p, p->arena, &note.json, err))
        return NULL;
    /* Deflated: the stream is all body (store.h). */
    if (!p->index->encoding.deflated && !dv_write_spans(ds, &spans, err))
        return NULL;
    const uint64_t *spool_at = NULL;
    if (spool >= 0 && !spool_offsets(p, &spans, &spool_at, err))
        return NULL;
    dv_object *o = dv_object_begin(p->ingest->store, store ? DV_OBJECTS : DV_QUARANTINE, p->study_uid, err);
    if (o && !dv_object_head_at(o, &meta, &note, &spans, spool, spool_at, p->received_hash, err)) {
        dv_object_drop(o);
        o = NULL;
    }
    return o;
}

/* ---- finish ---- */

static bool row_work(dv_db *db, void *user, dv_error *err)
{
    dv_row_write *w = user;
    if (w->kept)
        return dv_catalog_add_quarantined(db, w->kept, &w->id, &w->duplicate, err);
    if (!dv_catalog_add_instance(db, w->row, &w->seen, &w->id, err))
        return false;
    return !w->must_be_known || w->seen == DV_SEEN_IDENTICAL ||
           dv_fail(err, DV_ERR_LOCKED, "the stored instance changed while it came again; send it once more");
}

bool dv_row_do(dv_ingest *ingest, dv_row_write *w, dv_error *err)
{
    if (dv_catalog_write(ingest->catalog, false, row_work, w, err))
        return true;
    if (!w->must_be_known)
        dv_catalog_row_failed(ingest->catalog);
    return false;
}

static void receipt(dv_receipt *out, dv_kept kept, int64_t id, const char *path, dv_text reason)
{
    out->kept = kept;
    out->id = id;
    dv_text_copy(dv_text_of(path), out->path, sizeof out->path);
    dv_text_copy(present(reason), out->reason, sizeof out->reason);
}

/* ROW for the finished object DONE; what has a row already is not kept twice. */
static bool keep(dv_passage *p, const dv_quarantined *row, const dv_stored *done, dv_kept kept, dv_receipt *out,
                 dv_error *err)
{
    dv_row_write work = {.kept = row};
    DV_FAIL_POINT("ingest.before_kept_row");
    if (!dv_row_do(p->ingest, &work, err) ||
        (work.duplicate && !done->adopted && !dv_store_remove(p->ingest->store, done->path, err)))
        return false;
    DV_FAIL_POINT("ingest.kept");
    receipt(out, kept, work.id, work.duplicate ? "" : done->path, row->reason);
    return true;
}

/* Gives the quarantine object its row. DONE is of a finished object. */
static bool finish_quarantine(dv_passage *p, const dv_stored *done, dv_text state, dv_kept kept, dv_receipt *out,
                              dv_error *err)
{
    bool ok = true;
    dv_text patient = present(dv_dataset_raw(p->received, DV_PatientID));
    dv_quarantined row = {
        .state = state,
        .reason = present(p->outcome.reason),
        .stage = present(p->outcome.stage),
        .rule = present(p->outcome.rule),
        .file = present(p->outcome.file),
        .line = p->outcome.line,
        .received_sop_uid = p->sop_uid,
        .received_study_uid = p->study_uid,
        .received_series_uid = p->series_uid,
        .received_patient_id = patient,
        .received_accession = present(dv_dataset_raw(p->received, DV_AccessionNumber)),
        .sop_class = present(p->arrival->sop_class),
        .transfer_syntax = p->arrival->transfer_syntax,
        .path = dv_text_of(done->path),
        .bytes = done->bytes,
        .body_hash = done->body_hash,
        .received_hash = done->received_hash,
        .generation = p->outcome.generation,
        .job = p->arrival->job,
        .received_at = p->received_at,
        .source = dv_text_of(p->arrival->source),
        .findings = dv_audit_findings(&p->outcome, p->arena, &ok),
    };
    if (!ok)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the findings of a dataset");
    return keep(p, &row, done, kept, out, err);
}

/* The row as far as it is known before the object is finished. BODY is its hash. */
static dv_instance early_row(dv_passage *p, const uint8_t *body)
{
    dv_instance row = {
        .sop_class = present(p->arrival->sop_class),
        .transfer_syntax = p->arrival->transfer_syntax,
        .path = DV_TEXT(""),
        .received_hash = p->received_hash,
        .header_hash = p->received_hash, /* not asked for before the end */
        .body_hash = body,
        .generation = p->outcome.generation,
        .source = dv_text_of(p->arrival->source),
        .job = p->arrival->job,
        .received_at = p->received_at,
        .clash = p->arrival->accept ? DV_CLASH_TAKE : DV_CLASH_HOLD,
    };
    dv_row_fill(&row, p->received, p->dataset);
    return row;
}

/* What came before under this UID, asked while the object has no name yet. *KNOWN: it is identical, counted, and the object not needed. What is to stand beside
 * or apart gets its area; the last word is spoken when it is settled. */
static bool look_before(dv_passage *p, dv_object *o, bool *first, bool *known, dv_receipt *out, dv_error *err)
{
    uint8_t body[DV_SHA256_BYTES];
    dv_seen seen = DV_SEEN_NEW;
    *known = false;
    dv_db *reader = dv_catalog_reader(p->ingest->catalog, err);
    if (!reader || !dv_object_body_hash(o, body, err) ||
        !dv_catalog_seen(reader, p->sop_uid, p->received_hash, body, p->arrival->transfer_syntax, &seen, err))
        return false;
    *first = seen == DV_SEEN_NEW;
    if (*first)
        return true;
    dv_instance row = early_row(p, body);
    if (seen == DV_SEEN_IDENTICAL) {
        dv_row_write work = {.row = &row, .must_be_known = true};
        dv_error why = {0};
        *known = dv_row_do(p->ingest, &work, &why);
        DV_FAIL_POINT("ingest.known");
        if (*known)
            receipt(out, DV_KEPT_KNOWN, work.id, "", DV_TEXT(""));
        return *known || why.code == DV_ERR_LOCKED || dv_fail(err, why.code, "%s", why.message);
    }
    dv_standing standing;
    dv_course course;
    const dv_newcomer n = {.row = &row, .received = p->received};
    if (!dv_again_course(p->ingest, &n, &standing, &course, err))
        return false;
    dv_object_set_area(o, dv_again_area(course));
    if (course != DV_COURSE_BESIDE)
        return true;
    int64_t version;
    if (!dv_again_repeat(p->ingest, &row, &version, err))
        return false;
    *known = version != 0;
    if (*known)
        receipt(out, DV_KEPT_KNOWN, version, "", DV_TEXT("it stands beside what is in force already"));
    return true;
}

bool dv_passage_finish(dv_passage *p, dv_object *o, dv_receipt *out, dv_error *err)
{
    dv_text_copy(p->study_uid, out->study_uid, sizeof out->study_uid);
    dv_text_copy(p->sop_uid, out->sop_uid, sizeof out->sop_uid);
    dv_verdict verdict = p->outcome.verdict;
    bool first = true;
    if (verdict == DV_VERDICT_STORE) { /* else: known or not, it is kept apart */
        bool known, ok = look_before(p, o, &first, &known, out, err);
        if (!ok || known) {
            dv_object_drop(o);
            return ok;
        }
    }
    dv_stored done;
    if (!dv_object_finish(o, p->study_uid, p->sop_uid, &done, err))
        return false;
    if (verdict == DV_VERDICT_REJECT)
        return finish_quarantine(p, &done, DV_TEXT("rejected"), DV_KEPT_REJECTED, out, err);
    if (verdict == DV_VERDICT_EXCLUDE)
        return finish_quarantine(p, &done, DV_TEXT("excluded"), DV_KEPT_EXCLUDED, out, err);
    if (verdict == DV_VERDICT_HOLD)
        return finish_quarantine(p, &done, DV_TEXT("held"), DV_KEPT_HELD, out, err);

    bool ok = true;
    dv_instance row = early_row(p, done.body_hash);
    row.path = dv_text_of(done.path);
    row.bytes = done.bytes;
    row.received_hash = done.received_hash;
    row.header_hash = done.header_hash;
    row.edits = dv_audit_edits(p->dataset, p->arena, &ok);
    row.findings = ok ? dv_audit_findings(&p->outcome, p->arena, &ok) : NULL;
    if (!ok)
        return dv_fail(err, DV_ERR_MEMORY, "no memory for the audit of a dataset");
    out->changed = row.edits != NULL;
    if (first) {
        dv_row_write work = {.row = &row};
        DV_FAIL_POINT("ingest.before_row");
        if (!dv_row_do(p->ingest, &work, err))
            return false;
        if (work.seen == DV_SEEN_NEW) {
            DV_FAIL_POINT("ingest.stored");
            receipt(out, DV_KEPT_STORED, work.id, done.path, DV_TEXT(""));
            return true;
        }
    }
    const dv_newcomer n = {.row = &row, .received = p->received};
    return dv_again_settle(p->ingest, &n, &done, out, err);
}

bool dv_keep_unreadable(dv_passage *p, dv_object *o, const char *reason, dv_receipt *out, dv_error *err)
{
    dv_stored done;
    dv_text sop = present(dv_text_trim(p->arrival->sop_instance));
    dv_text_copy(sop, out->sop_uid, sizeof out->sop_uid);
    if (!dv_object_finish(o, DV_TEXT("unreadable"), sop, &done, err))
        return false;
    dv_quarantined row = {
        .state = DV_TEXT("unreadable"),
        .reason = dv_text_of(reason),
        .stage = DV_TEXT("intake"),
        .rule = DV_TEXT(""),
        .file = DV_TEXT(""),
        .received_sop_uid = sop,
        .received_study_uid = present(p->study_uid),
        .received_series_uid = DV_TEXT(""),
        .received_patient_id = DV_TEXT(""),
        .received_accession = DV_TEXT(""),
        .sop_class = present(p->arrival->sop_class),
        .transfer_syntax = p->arrival->transfer_syntax,
        .path = dv_text_of(done.path),
        .bytes = done.bytes,
        .body_hash = done.body_hash,
        .received_hash = done.received_hash,
        .job = p->arrival->job,
        .received_at = p->received_at,
        .source = dv_text_of(p->arrival->source),
    };
    return keep(p, &row, &done, DV_KEPT_UNREADABLE, out, err);
}
