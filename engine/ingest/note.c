/* note.c: what an object's File Meta says of where it came from and what rules did, so that its row can be made again. */
#include "base/buffer.h"
#include "ingest/ingest_internal.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* ---- audit rows ---- */

/* PS3.3 has no words for this; SPEC M19's are used. */
static dv_text kind_of(const dv_change *c)
{
    if (!c->after.at)
        return DV_TEXT("removed");
    if (c->by.stage && strcmp(c->by.stage, "missing") == 0)
        return DV_TEXT("filled");
    if (!c->before.at)
        return DV_TEXT("added");
    return c->after.len == 0 ? DV_TEXT("cleared") : DV_TEXT("changed");
}

const dv_audit_edit *dv_audit_edits(const dv_dataset *ds, dv_arena *arena, bool *ok)
{
    dv_audit_edit *first = NULL, **tail = &first;
    for (const dv_change *c = dv_dataset_changes(ds); c; c = c->next) {
        dv_audit_edit *e = dv_arena_alloc(arena, sizeof *e);
        if (!e) {
            *ok = false;
            return NULL;
        }
        *e = (dv_audit_edit){.path = c->path, .before = c->before, .after = c->after, .kind = kind_of(c)};
        e->stage = c->by.stage ? dv_text_of(c->by.stage) : DV_TEXT("");
        e->rule = c->by.rule ? dv_text_of(c->by.rule) : DV_TEXT("");
        *tail = e;
        tail = (dv_audit_edit **)(uintptr_t)&e->next;
    }
    *ok = true;
    return first;
}

const dv_audit_finding *dv_audit_findings(const dv_outcome *outcome, dv_arena *arena, bool *ok)
{
    dv_audit_finding *first = NULL, **tail = &first;
    for (const dv_finding *f = outcome->findings; f; f = f->next) {
        dv_audit_finding *a = dv_arena_alloc(arena, sizeof *a);
        if (!a) {
            *ok = false;
            return NULL;
        }
        *a = (dv_audit_finding){.kind = dv_text_of(f->kind), .rule = f->rule, .path = f->path, .message = f->message};
        *tail = a;
        tail = (dv_audit_finding **)(uintptr_t)&a->next;
    }
    *ok = true;
    return first;
}

/* ---- identifiers ---- */

static dv_text text_or_empty(const dv_dataset *ds, dv_tag tag)
{
    dv_text t = dv_dataset_text(ds, tag);
    return t.at ? t : DV_TEXT("");
}

static dv_text raw_or_empty(const dv_dataset *ds, dv_tag tag)
{
    dv_text t = dv_dataset_raw(ds, tag);
    return t.at ? t : DV_TEXT("");
}

void dv_row_fill(dv_instance *row, dv_dataset *received, dv_dataset *stored)
{
    row->received_sop_uid = raw_or_empty(received, DV_SOPInstanceUID);
    row->received_study_uid = raw_or_empty(received, DV_StudyInstanceUID);
    row->received_series_uid = raw_or_empty(received, DV_SeriesInstanceUID);
    row->received_patient_id = text_or_empty(received, DV_PatientID);
    row->received_issuer = text_or_empty(received, DV_IssuerOfPatientID);
    row->received_accession = text_or_empty(received, DV_AccessionNumber);
    row->sop_uid = text_or_empty(stored, DV_SOPInstanceUID);
    if (text_or_empty(stored, DV_SOPClassUID).len)
        row->sop_class = text_or_empty(stored, DV_SOPClassUID);
    row->instance_number = text_or_empty(stored, DV_InstanceNumber);
    row->study_uid = text_or_empty(stored, DV_StudyInstanceUID);
    row->study_date = text_or_empty(stored, DV_StudyDate);
    row->study_time = text_or_empty(stored, DV_StudyTime);
    row->study_description = text_or_empty(stored, DV_StudyDescription);
    row->study_id = text_or_empty(stored, DV_StudyID);
    row->accession = text_or_empty(stored, DV_AccessionNumber);
    row->referring_physician = text_or_empty(stored, DV_ReferringPhysicianName);
    row->series_uid = text_or_empty(stored, DV_SeriesInstanceUID);
    row->modality = text_or_empty(stored, DV_Modality);
    row->series_number = text_or_empty(stored, DV_SeriesNumber);
    row->series_description = text_or_empty(stored, DV_SeriesDescription);
    row->body_part = text_or_empty(stored, DV_BodyPartExamined);
    row->patient_id = text_or_empty(stored, DV_PatientID);
    row->issuer = text_or_empty(stored, DV_IssuerOfPatientID);
    row->patient_name = text_or_empty(stored, DV_PatientName);
    row->birth_date = text_or_empty(stored, DV_PatientBirthDate);
    row->sex = text_or_empty(stored, DV_PatientSex);
}

/* ---- the note ---- */

static void member(dv_buffer *b, const char *name, dv_text value)
{
    if (!value.at)
        return;
    dv_buffer_printf(b, ",\"%s\":", name);
    dv_buffer_json(b, value);
}

bool dv_note_write(const dv_passage *p, dv_arena *arena, dv_text *out, dv_error *err)
{
    const dv_arrival *a = p->arrival;
    const dv_outcome *o = &p->outcome;
    dv_buffer b = {0};
    dv_buffer_printf(&b, "{\"received_at\":%lld,\"generation\":%lld,\"job\":%lld,\"verdict\":\"%s\"",
                     (long long)p->received_at, (long long)o->generation, (long long)a->job,
                     dv_verdict_name(o->verdict));
    if (a->accept)
        dv_buffer_string(&b, ",\"accepted\":true");
    member(&b, "source", dv_text_of(a->source));
    member(&b, "calling", dv_text_of(a->calling));
    member(&b, "channel", dv_text_of(a->channel));
    member(&b, "reason", o->reason);
    member(&b, "stage", o->stage);
    member(&b, "rule", o->rule);
    member(&b, "file", o->file);
    if (o->line)
        dv_buffer_printf(&b, ",\"line\":%lld", (long long)o->line);
    if (o->verdict == DV_VERDICT_STORE && dv_dataset_changes(p->dataset)) {
        bool ok;
        const char *comma = ",\"edits\":[";
        for (const dv_audit_edit *e = dv_audit_edits(p->dataset, arena, &ok); e; e = e->next) {
            dv_buffer_string(&b, comma);
            dv_buffer_printf(&b, "{\"kind\":\"%.*s\"", DV_ARG(e->kind));
            member(&b, "path", e->path);
            member(&b, "before", e->before);
            member(&b, "after", e->after);
            member(&b, "stage", e->stage);
            member(&b, "rule", e->rule);
            dv_buffer_string(&b, "}");
            comma = ",";
        }
        dv_buffer_string(&b, ok ? "]" : "");
        b.failed = b.failed || !ok;
    }
    const char *comma = ",\"findings\":[";
    for (const dv_finding *f = o->findings; f; f = f->next) {
        dv_buffer_printf(&b, "%s{\"kind\":\"%s\"", comma, f->kind);
        member(&b, "rule", f->rule);
        member(&b, "path", f->path);
        member(&b, "message", f->message);
        dv_buffer_string(&b, "}");
        comma = ",";
    }
    dv_buffer_string(&b, o->findings ? "]}" : "}");
    *out = b.failed ? (dv_text){NULL, 0} : dv_arena_text(arena, dv_buffer_as_text(&b));
    dv_buffer_free(&b);
    return out->at || dv_fail(err, DV_ERR_MEMORY, "no memory for an object's note");
}

bool dv_note_write_unreadable(const dv_passage *p, const char *reason, dv_text *out, dv_error *err)
{
    dv_buffer b = {0};
    dv_buffer_printf(&b, "{\"received_at\":%lld,\"job\":%lld,\"verdict\":\"unreadable\",\"stage\":\"intake\"",
                     (long long)p->received_at, (long long)p->arrival->job);
    member(&b, "source", dv_text_of(p->arrival->source));
    member(&b, "reason", dv_text_of(reason));
    dv_buffer_string(&b, p->arrival->whole_file ? ",\"file\":true}" : "}");
    *out = b.failed ? (dv_text){NULL, 0} : dv_arena_text(p->arena, dv_buffer_as_text(&b));
    dv_buffer_free(&b);
    return out->at || dv_fail(err, DV_ERR_MEMORY, "no memory for an object's note");
}

/* cJSON does not say whether the text or the memory was bad, and a good object must not be taken for a bad one: a second look. */
static cJSON *parse(dv_text json)
{
    cJSON *root = cJSON_ParseWithLength(json.at, json.len);
    return root ? root : cJSON_ParseWithLength(json.at, json.len);
}

bool dv_note_is_file(dv_text json)
{
    cJSON *root = parse(json);
    bool is = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "file"));
    cJSON_Delete(root);
    return is;
}

/* Absent stays absent; texts are copied into ARENA because the JSON tree goes. */
static dv_text string_of(const cJSON *object, const char *name, dv_arena *arena)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? dv_arena_text(arena, dv_text_of(item->valuestring)) : (dv_text){NULL, 0};
}

static dv_text string_or_empty(const cJSON *object, const char *name, dv_arena *arena)
{
    dv_text t = string_of(object, name, arena);
    return t.at ? t : DV_TEXT("");
}

static int64_t number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? dv_int64_of(item->valuedouble) : 0;
}

bool dv_note_read(dv_text json, dv_arena *arena, dv_instance *row, dv_error *err)
{
    cJSON *root = parse(json);
    if (!root)
        return dv_fail(err, DV_ERR_MALFORMED, "the object's note is no JSON");
    row->source = string_or_empty(root, "source", arena);
    row->received_at = number_of(root, "received_at");
    row->generation = number_of(root, "generation");
    row->job = number_of(root, "job");
    row->clash = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "accepted")) ? DV_CLASH_TAKE : DV_CLASH_HOLD;
    bool ok = true;
    const cJSON *item;
    const dv_audit_edit **edit_tail = &row->edits;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "edits"))
    {
        dv_audit_edit *e = dv_arena_zalloc(arena, 1, sizeof *e);
        if (!(ok = e != NULL))
            break;
        e->kind = string_or_empty(item, "kind", arena);
        e->path = string_or_empty(item, "path", arena);
        e->before = string_of(item, "before", arena);
        e->after = string_of(item, "after", arena);
        e->stage = string_or_empty(item, "stage", arena);
        e->rule = string_or_empty(item, "rule", arena);
        *edit_tail = e;
        edit_tail = &e->next;
    }
    const dv_audit_finding **finding_tail = &row->findings;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "findings"))
    {
        dv_audit_finding *f = ok ? dv_arena_zalloc(arena, 1, sizeof *f) : NULL;
        if (!(ok = f != NULL))
            break;
        f->kind = string_or_empty(item, "kind", arena);
        f->rule = string_or_empty(item, "rule", arena);
        f->path = string_or_empty(item, "path", arena);
        f->message = string_or_empty(item, "message", arena);
        *finding_tail = f;
        finding_tail = &f->next;
    }
    cJSON_Delete(root);
    return ok || dv_fail(err, DV_ERR_MEMORY, "no memory for an object's note");
}

bool dv_note_quarantined(const dv_sealed *sealed, const dv_instance *row, bool header, dv_arena *arena,
                         dv_quarantined *out, dv_error *err)
{
    cJSON *root = parse(sealed->json);
    if (!root)
        return dv_fail(err, DV_ERR_MALFORMED, "the object's note is no JSON");
    dv_text verdict = string_or_empty(root, "verdict", arena), none = DV_TEXT("");
    *out = (dv_quarantined){
        .state = !header                          ? DV_TEXT("unreadable")
                 : dv_text_is(verdict, "reject")  ? DV_TEXT("rejected")
                 : dv_text_is(verdict, "exclude") ? DV_TEXT("excluded")
                                                  : DV_TEXT("held"),
        .reason = string_or_empty(root, "reason", arena),
        .stage = string_or_empty(root, "stage", arena),
        .rule = string_or_empty(root, "rule", arena),
        .file = string_or_empty(root, "file", arena),
        .line = number_of(root, "line"),
        .received_sop_uid = header ? row->received_sop_uid : sealed->meta.sop_instance,
        .received_study_uid = header ? row->received_study_uid : none,
        .received_series_uid = header ? row->received_series_uid : none,
        .received_patient_id = header ? row->received_patient_id : none,
        .received_accession = header ? row->received_accession : none,
        .sop_class = row->sop_class,
        .transfer_syntax = row->transfer_syntax,
        .path = row->path,
        .bytes = row->bytes,
        .body_hash = row->body_hash,
        .received_hash = row->received_hash,
        .generation = row->generation,
        .job = row->job,
        .received_at = row->received_at,
        .source = row->source,
        .findings = row->findings,
    };
    if (out->received_sop_uid.at == NULL)
        out->received_sop_uid = none;
    cJSON_Delete(root);
    return true;
}
