#include "web/api.h"
#include "base/buffer.h"
#include "base/clock.h"

const dv_route dv_routes[] = {
    {"status", dv_api_status, false, ""},
    {"peers.list", dv_api_peers_list, false, ""},
    {"peers.add", dv_api_peers_add, false,
     "slug label aet host port direction enabled sop_classes transfer_syntaxes max_associations settings replace"},
    {"peers.remove", dv_api_peers_remove, false, "slug"},
    {"peers.show", dv_api_peers_show, false, "slug"},
    {"peers.probe", dv_api_peers_probe, false, "peer full"},
    {"peers.check", dv_api_peers_check, false, "peer move"},
    {"peers.commit", dv_api_peers_commit, true, "peer uid wait_s"},
    {"commitments.list", dv_api_commitments_list, false, "id state limit after"},
    {"commitments.instances", dv_api_commitments_instances, false, "id"},
    {"echo", dv_api_echo, false, "peer"},
    {"find", dv_api_find, false, "peer keys limit"},
    {"send", dv_api_send, false, "peer paths study_uid"},
    {"studies", dv_api_studies, false,
     "patient_id patient_name accession study_date modality study_uid source flagged limit after"},
    {"instances", dv_api_instances, false, "uid"},
    {"audit", dv_api_audit, false, "uid"},
    {"audit.by_rule", dv_api_audit_by_rule, false, ""},
    {"verify", dv_api_verify, false, "uid"},
    {"damages", dv_api_damages, false, ""},
    {"ingest", dv_api_ingest, false, "path rules source"},
    {"quarantine.list", dv_api_quarantine_list, false, "state rule study source limit after"},
    {"quarantine.show", dv_api_quarantine_show, false, "id"},
    {"quarantine.retry", dv_api_quarantine_retry, false, "id rule state all"},
    {"quarantine.accept", dv_api_quarantine_accept, false, "id rule study"},
    {"quarantine.delete", dv_api_quarantine_delete, false, "id"},
    {"versions", dv_api_versions, false, "uid limit"},
    {"versions.restore", dv_api_versions_restore, false, "id"},
    {"catalog.info", dv_api_catalog_info, false, ""},
    {"rules.publish", dv_api_rules_publish, false, "who"},
    {"rules.history", dv_api_rules_history, false, "limit"},
    {"migrate.submit", dv_api_migrate_submit, true,
     "batch_name source accession_numbers study_instance_uids patient_ids patient_id all force_full_repull priority "
     "external_id channel"},
    {"migrate.wait", dv_api_migrate_wait, true, "batch"},
    {"migrate.list", dv_api_migrate_list, false, "after limit"},
    {"migrate.show", dv_api_migrate_show, false, "batch"},
    {"migrate.jobs", dv_api_migrate_jobs, false, "batch state after limit"},
    {"migrate.job", dv_api_migrate_job, false, "job"},
    {"migrate.control", dv_api_migrate_control, true, "action batch source"},
    {0},
};

void dv_json_put(cJSON *object, const char *name, cJSON *item)
{
    if (!cJSON_AddItemToObject(object, name, item))
        cJSON_Delete(item);
}

void dv_json_text(cJSON *object, const char *name, dv_text t)
{
    if (!t.at) {
        cJSON_AddNullToObject(object, name);
        return;
    }
    /* dv_buffer_json replaces what is no UTF-8; cJSON would pass it on. */
    dv_buffer b = {0};
    if (dv_buffer_json(&b, t))
        dv_json_put(object, name, cJSON_Parse(b.at));
    dv_buffer_free(&b);
}

void dv_json_stamp(cJSON *object, const char *name, int64_t wall_us)
{
    char stamp[DV_STAMP_SIZE];
    if (wall_us)
        cJSON_AddStringToObject(object, name, dv_stamp(wall_us, stamp));
    else
        cJSON_AddNullToObject(object, name);
}
