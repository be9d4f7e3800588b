/* The one place that has the tables. Times are microseconds since 1970 UTC. Identifiers stand as stored, and as
 * received (`received_*`) beside them: pre-flight, retrieval and reconciliation speak the source's, serving and
 * forwarding the stored ones. Columns named `*_key` are folded for search (lower case, no accents, single blanks).
 * Hashes are 32 raw bytes. */
#include "catalog/schema.h"

/* Version 1, as released: it is not changed any more. What a table has got since stands in the steps below. */
static const char version_1[] =
    "CREATE TABLE site (name TEXT PRIMARY KEY, value TEXT NOT NULL);" /* schema, clean_stop, recovered_through, uuid,
                                                                         generation */
    "CREATE TABLE counters (name TEXT NOT NULL, host TEXT NOT NULL, value BIGINT NOT NULL, PRIMARY KEY (name, host));"
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);"

    /* peers (M05) */
    "CREATE TABLE peers (id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, label TEXT NOT NULL, aet TEXT NOT NULL, "
    "host TEXT NOT NULL,"
    " port INTEGER NOT NULL, direction TEXT NOT NULL, enabled INTEGER NOT NULL, sop_classes TEXT NOT NULL, "
    "transfer_syntaxes TEXT NOT NULL,"
    " max_associations INTEGER NOT NULL, settings TEXT NOT NULL, created_at BIGINT NOT NULL);"

    /* generations of rules: texts are content-addressed */
    "CREATE TABLE texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE generations (number INTEGER PRIMARY KEY, hash TEXT NOT NULL, who TEXT NOT NULL, note TEXT NOT NULL, "
    "created_at BIGINT NOT NULL);"
    "CREATE TABLE generation_files (generation BIGINT NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY "
    "(generation, path));"

    /* the archive (M06) */
    "CREATE TABLE patients (id INTEGER PRIMARY KEY, patient_id TEXT NOT NULL, issuer TEXT NOT NULL, name TEXT NOT "
    "NULL, name_key TEXT NOT NULL,"
    " birth_date TEXT NOT NULL, sex TEXT NOT NULL, UNIQUE (patient_id, issuer));"
    "CREATE TABLE studies (id INTEGER PRIMARY KEY, patient BIGINT NOT NULL, study_uid TEXT NOT NULL UNIQUE, "
    "received_study_uid TEXT NOT NULL,"
    " patient_id TEXT NOT NULL, patient_key TEXT NOT NULL, received_patient_id TEXT NOT NULL, received_patient_key "
    "TEXT NOT NULL,"
    " received_issuer TEXT NOT NULL, patient_name TEXT NOT NULL, name_key TEXT NOT NULL, birth_date TEXT NOT NULL, sex "
    "TEXT NOT NULL,"
    " accession TEXT NOT NULL, accession_key TEXT NOT NULL, received_accession TEXT NOT NULL, received_accession_key "
    "TEXT NOT NULL,"
    " study_id TEXT NOT NULL, study_date TEXT NOT NULL, study_time TEXT NOT NULL, description TEXT NOT NULL, "
    "referring_physician TEXT NOT NULL,"
    " modalities TEXT NOT NULL," /* values joined by '\', each once */
    " source TEXT NOT NULL, series_count BIGINT NOT NULL, instance_count BIGINT NOT NULL, bytes BIGINT NOT NULL,"
    " first_received BIGINT NOT NULL, last_received BIGINT NOT NULL, generation_first BIGINT NOT NULL, generation_last "
    "BIGINT NOT NULL,"
    " finding_count BIGINT NOT NULL);"
    "CREATE INDEX studies_received ON studies (received_study_uid);"
    "CREATE INDEX studies_patient_key ON studies (patient_key);"
    "CREATE INDEX studies_received_patient_key ON studies (received_patient_key);"
    "CREATE INDEX studies_name_key ON studies (name_key);"
    "CREATE INDEX studies_accession_key ON studies (accession_key);"
    "CREATE INDEX studies_received_accession_key ON studies (received_accession_key);"
    "CREATE INDEX studies_date ON studies (study_date);"
    "CREATE INDEX studies_source ON studies (source);"
    "CREATE INDEX studies_flagged ON studies (id) WHERE finding_count > 0;"
    "CREATE TABLE study_modalities (modality TEXT NOT NULL, study BIGINT NOT NULL, PRIMARY KEY (modality, study));"
    "CREATE TABLE series (id INTEGER PRIMARY KEY, study BIGINT NOT NULL, series_uid TEXT NOT NULL, received_series_uid "
    "TEXT NOT NULL,"
    " modality TEXT NOT NULL, number TEXT NOT NULL, description TEXT NOT NULL, body_part TEXT NOT NULL, instance_count "
    "BIGINT NOT NULL,"
    " UNIQUE (study, series_uid));"
    "CREATE INDEX series_uid ON series (series_uid);"
    "CREATE INDEX series_received ON series (received_series_uid);"
    /* a series as received: rules may merge or split studies, so where an instance came from is a row of its own */
    "CREATE TABLE origins (id INTEGER PRIMARY KEY, received_study_uid TEXT NOT NULL, received_series_uid TEXT NOT NULL,"
    " received_patient_id TEXT NOT NULL, received_issuer TEXT NOT NULL, received_accession TEXT NOT NULL,"
    " UNIQUE (received_study_uid, received_series_uid));"
    "CREATE INDEX origins_series ON origins (received_series_uid);"
    "CREATE TABLE instances (id INTEGER PRIMARY KEY, series BIGINT NOT NULL, origin BIGINT NOT NULL, sop_uid TEXT NOT "
    "NULL, received_sop_uid TEXT NOT NULL,"
    " sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL, instance_number TEXT NOT NULL, path TEXT NOT NULL, bytes "
    "BIGINT NOT NULL,"
    " received_hash BLOB NOT NULL, header_hash BLOB NOT NULL, body_hash BLOB NOT NULL, generation BIGINT NOT NULL, "
    "source TEXT NOT NULL,"
    " job BIGINT NOT NULL, received_at BIGINT NOT NULL, repeats BIGINT NOT NULL, verified_at BIGINT NOT NULL);"
    "CREATE UNIQUE INDEX instances_received ON instances (received_sop_uid);"
    "CREATE INDEX instances_sop ON instances (sop_uid);"
    "CREATE INDEX instances_series ON instances (series);"
    "CREATE INDEX instances_origin ON instances (origin);"

    /* transit audit (M19): one row a change or finding; rule says verb/id */
    "CREATE TABLE edits (instance BIGINT NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, "
    "before TEXT, after TEXT,"
    " stage TEXT NOT NULL, rule TEXT NOT NULL, PRIMARY KEY (instance, position));"
    "CREATE TABLE findings (instance BIGINT NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, rule TEXT NOT "
    "NULL, path TEXT NOT NULL,"
    " message TEXT NOT NULL, PRIMARY KEY (instance, position));"

    /* quarantine (M17): bytes stay in DATA/quarantine until deleted */
    "CREATE TABLE quarantine (id INTEGER PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL, stage TEXT NOT NULL, "
    "rule TEXT NOT NULL,"
    " file TEXT NOT NULL, line INTEGER NOT NULL, received_sop_uid TEXT NOT NULL, received_study_uid TEXT NOT NULL,"
    " received_series_uid TEXT NOT NULL, received_patient_id TEXT NOT NULL, received_accession TEXT NOT NULL, "
    "sop_class TEXT NOT NULL,"
    " transfer_syntax TEXT NOT NULL, path TEXT NOT NULL, bytes BIGINT NOT NULL, body_hash BLOB, received_hash BLOB,"
    " generation BIGINT NOT NULL, job BIGINT NOT NULL, source TEXT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT "
    "NOT NULL,"
    " repeats BIGINT NOT NULL, findings TEXT NOT NULL);" /* findings: JSON array */
    "CREATE INDEX quarantine_study ON quarantine (received_study_uid);"
    "CREATE INDEX quarantine_sop ON quarantine (received_sop_uid);"
    "CREATE INDEX quarantine_body ON quarantine (body_hash);"
    "CREATE INDEX quarantine_rule ON quarantine (rule);"
    "CREATE INDEX quarantine_state ON quarantine (state);"

    /* migration (M30): a batch has entries as submitted; an entry expands to jobs, one a study; attempts belong to jobs
     */
    "CREATE TABLE batches (id INTEGER PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, priority INTEGER NOT "
    "NULL, full_repull INTEGER NOT NULL,"
    " paused INTEGER NOT NULL, cancelled INTEGER NOT NULL, external_id TEXT NOT NULL, channel TEXT NOT NULL, options "
    "TEXT NOT NULL,"
    " created_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, report TEXT NOT NULL);"
    "CREATE UNIQUE INDEX batches_external ON batches (channel, external_id) WHERE external_id <> '';"
    "CREATE INDEX batches_open ON batches (id) WHERE ended_at = 0;"
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, batch BIGINT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, "
    "patient TEXT NOT NULL,"
    " state TEXT NOT NULL, error TEXT NOT NULL, next_at BIGINT NOT NULL, tries INTEGER NOT NULL, peer_tries INTEGER "
    "NOT NULL,"
    " lease_until BIGINT NOT NULL, lease_owner TEXT NOT NULL);"
    /* kind: accession study_uid patient_id all; state: waiting expanded empty failed cancelled; patient: whose the
     * answers must be, or empty; tries: complete answers that were not enough; peer_tries: in a row, that the source
     * could not be asked */
    "CREATE INDEX entries_batch ON entries (batch, state);"
    "CREATE INDEX entries_ready ON entries (batch, next_at) WHERE state = 'waiting' AND lease_owner = '';"
    "CREATE INDEX entries_trouble ON entries (batch) WHERE error <> '';"
    "CREATE INDEX entries_leased ON entries (batch) WHERE lease_owner <> '';"
    "CREATE TABLE jobs (id INTEGER PRIMARY KEY, batch BIGINT NOT NULL, entry BIGINT NOT NULL, source TEXT NOT NULL, "
    "study_uid TEXT NOT NULL,"
    " seed TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL, study_date TEXT NOT NULL, tries INTEGER NOT "
    "NULL,"
    " peer_tries INTEGER NOT NULL, next_at BIGINT NOT NULL, lease_until BIGINT NOT NULL, lease_owner TEXT NOT NULL, "
    "error TEXT NOT NULL,"
    " found BLOB NOT NULL, found_syntax TEXT NOT NULL, source_series BIGINT NOT NULL, source_instances BIGINT NOT NULL,"
    " here_series BIGINT NOT NULL, here_instances BIGINT NOT NULL, explained BIGINT NOT NULL, evidence TEXT NOT NULL, "
    "bytes BIGINT NOT NULL,"
    " created_at BIGINT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, UNIQUE (batch, study_uid));"
    /* state: queued preflight retrieving staging verifying | complete partial failed skipped excluded empty mismatch
     * cancelled, drawn in migrate/job.c. found: the C-FIND answer as it came, in found_syntax; explained: instances in
     * quarantine with a reason; evidence: JSON {A..E} (M35) */
    /* counts and sums of a batch are read from this index alone: the rows hold answers of half a kilobyte each */
    "CREATE INDEX jobs_batch ON jobs (batch, state, ended_at, source_instances, here_instances, explained, bytes);"
    "CREATE INDEX jobs_ready ON jobs (batch, priority DESC, study_date DESC, id) WHERE state IN ('queued', 'staging');"
    "CREATE INDEX jobs_leased ON jobs (source) WHERE lease_owner <> '';"
    "CREATE INDEX jobs_study ON jobs (study_uid);"
    "CREATE INDEX jobs_trouble ON jobs (batch) WHERE error <> '';"
    /* further, different C-FIND answers for the same study (DEFECTS P3) */
    "CREATE TABLE job_answers (job BIGINT NOT NULL, position INTEGER NOT NULL, found BLOB NOT NULL, found_syntax TEXT "
    "NOT NULL,"
    " PRIMARY KEY (job, position));"
    "CREATE TABLE attempts (id INTEGER PRIMARY KEY, job BIGINT NOT NULL, number INTEGER NOT NULL, source TEXT NOT "
    "NULL, started_at BIGINT NOT NULL,"
    " ended_at BIGINT NOT NULL, status TEXT NOT NULL, asked BIGINT NOT NULL, completed BIGINT NOT NULL, failed BIGINT "
    "NOT NULL,"
    " warned BIGINT NOT NULL, arrived BIGINT NOT NULL, error TEXT NOT NULL);"
    "CREATE INDEX attempts_job ON attempts (job);"
    "CREATE INDEX attempts_open ON attempts (job) WHERE ended_at = 0;";

/* Version 2. Each statement ends with ';'; new columns of old tables: ALTER TABLE t ADD COLUMN c TYPE NOT NULL DEFAULT v. */
static const char version_2[] =
    /* Lists that searches intersect (catalog/lists.h): id is term << 20 | chunk */
    "CREATE TABLE search_lists (id INTEGER PRIMARY KEY, list BLOB NOT NULL);"
    "CREATE TABLE search_chunks (chunk INTEGER PRIMARY KEY, state INTEGER NOT NULL);" /* 1 being listed, 2 listed */
    "CREATE TABLE search_changed (study INTEGER PRIMARY KEY);"                        /* since their chunk was listed */

    /* an instance that came again (M01): the one in force is the row of `instances`, the others are here. number counts
     * per received_sop_uid from 1; replaced_by is the number that took its place, 0: it never was in force. Its audit
     * stands in edits and findings under instance = -id. settled 0: its file is still to be moved to versions/ */
    "ALTER TABLE instances ADD COLUMN version BIGINT NOT NULL DEFAULT 1;"
    "CREATE TABLE versions (id INTEGER PRIMARY KEY, received_sop_uid TEXT NOT NULL, number BIGINT NOT NULL, "
    "replaced_by "
    "BIGINT NOT NULL,"
    " replaced_at BIGINT NOT NULL, class TEXT NOT NULL, sop_uid TEXT NOT NULL, sop_class TEXT NOT NULL, "
    "transfer_syntax TEXT NOT NULL,"
    " path TEXT NOT NULL, bytes BIGINT NOT NULL, received_hash BLOB NOT NULL, header_hash BLOB NOT NULL, body_hash "
    "BLOB "
    "NOT NULL,"
    " generation BIGINT NOT NULL, source TEXT NOT NULL, job BIGINT NOT NULL, received_at BIGINT NOT NULL, repeats "
    "BIGINT "
    "NOT NULL,"
    " settled INTEGER NOT NULL);"
    "CREATE INDEX versions_sop ON versions (received_sop_uid);"
    "CREATE INDEX versions_replaced ON versions (replaced_at);"
    "CREATE INDEX versions_unsettled ON versions (id) WHERE settled = 0;"
    /* objects that the scheduled verification (M06) found damaged or missing, until they are good again */
    "CREATE TABLE damages (instance BIGINT PRIMARY KEY, error TEXT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT "
    "NOT NULL);"

    /* storage commitment (PS3.4 J). role: scp, a peer asks us; scu, we ask it. state: asked, decided, reported, lost of the one;
     * asked, complete, failed of the other. aet: the other's AE title, called: ours as it is called there */
    "CREATE TABLE commitments (id INTEGER PRIMARY KEY, role TEXT NOT NULL, transaction_uid TEXT NOT NULL, peer TEXT "
    "NOT "
    "NULL, aet TEXT NOT NULL, called TEXT NOT NULL, address TEXT NOT NULL, state TEXT NOT NULL, asked_at BIGINT NOT "
    "NULL,"
    " decided_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, next_at BIGINT NOT NULL, tries INTEGER NOT NULL, error "
    "TEXT "
    "NOT NULL, instances BIGINT NOT NULL, failed BIGINT NOT NULL, UNIQUE (role, aet, transaction_uid));"
    "CREATE INDEX commitments_open ON commitments (state, next_at) WHERE ended_at = 0;"
    "CREATE INDEX commitments_ended ON commitments (ended_at);"
    /* reason: -1 not known yet, 0 committed, else (0008,1197) */
    "CREATE TABLE commitment_instances (commitment BIGINT NOT NULL, position BIGINT NOT NULL, sop_class TEXT NOT NULL, "
    "sop_uid TEXT NOT NULL, reason INTEGER NOT NULL, PRIMARY KEY (commitment, position));"

    /* what a peer showed of itself last: result is JSON */
    "CREATE TABLE probes (peer TEXT PRIMARY KEY, probed_at BIGINT NOT NULL, result TEXT NOT NULL);";

/* What the two engines spell differently: search structures, partial indices with functions. */
static const char version_2_sqlite[] = "";
static const char version_2_postgres[] =
    /* candidates of a search are ids: read from the index alone, as SQLite does */
    "DROP INDEX studies_received; CREATE INDEX studies_received ON studies (received_study_uid) INCLUDE (id);"
    "DROP INDEX studies_patient_key; CREATE INDEX studies_patient_key ON studies (patient_key) INCLUDE (id);"
    "DROP INDEX studies_received_patient_key;"
    "CREATE INDEX studies_received_patient_key ON studies (received_patient_key) INCLUDE (id);"
    "DROP INDEX studies_name_key; CREATE INDEX studies_name_key ON studies (name_key) INCLUDE (id);"
    "DROP INDEX studies_accession_key; CREATE INDEX studies_accession_key ON studies (accession_key) INCLUDE (id);"
    "DROP INDEX studies_received_accession_key;"
    "CREATE INDEX studies_received_accession_key ON studies (received_accession_key) INCLUDE (id);"
    "DROP INDEX studies_date; CREATE INDEX studies_date ON studies (study_date) INCLUDE (id);";

const dv_schema_step dv_schema_steps[] = {
    {.sql = version_1},
    {.sql = version_2, .sqlite = version_2_sqlite, .postgres = version_2_postgres},
};

const int dv_schema_version = sizeof dv_schema_steps / sizeof *dv_schema_steps;
