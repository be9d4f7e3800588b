/* api.h: the handlers, one file a page family; dv_routes (routes.c) is their table. */
#ifndef DV_WEB_API_H
#define DV_WEB_API_H

#include "web/control.h"

/* api_site.c */
dv_handler dv_api_status;
/* api_peers.c */
dv_handler dv_api_peers_list, dv_api_peers_add, dv_api_peers_remove, dv_api_echo, dv_api_find;
/* api_send.c */
dv_handler dv_api_send;
/* api_peers_probe.c, api_peers_check.c */
dv_handler dv_api_peers_show, dv_api_peers_probe, dv_api_peers_check;
/* api_commitments.c */
dv_handler dv_api_peers_commit, dv_api_commitments_list, dv_api_commitments_instances;
/* api_archive.c */
dv_handler dv_api_studies, dv_api_instances, dv_api_audit, dv_api_audit_by_rule, dv_api_verify, dv_api_damages;
/* api_ingest.c */
dv_handler dv_api_ingest;
/* api_quarantine.c */
dv_handler dv_api_quarantine_list, dv_api_quarantine_show, dv_api_quarantine_retry, dv_api_quarantine_accept,
    dv_api_quarantine_delete;
/* api_versions.c */
dv_handler dv_api_versions, dv_api_versions_restore;
/* api_catalog.c */
dv_handler dv_api_catalog_info;
/* api_rules.c */
dv_handler dv_api_rules_publish, dv_api_rules_history;
/* api_migrate.c */
dv_handler dv_api_migrate_submit, dv_api_migrate_wait, dv_api_migrate_list, dv_api_migrate_show, dv_api_migrate_jobs,
    dv_api_migrate_job, dv_api_migrate_control;

/* Appends the versions of an instance that are not in force, by number. */
bool dv_version_list(dv_site *site, dv_db *db, dv_text received_sop_uid, cJSON *list, dv_error *err);
/* Adds ITEM, which is OBJECT's or gone then: cJSON needs memory to add. */
void dv_json_put(cJSON *object, const char *name, cJSON *item);
/* Adds T as a JSON string (bytes that are no UTF-8 replaced); absent: null. */
void dv_json_text(cJSON *object, const char *name, dv_text t);
/* A wall stamp as "2026-11-24T21:52:29.123456Z", 0 as null. */
void dv_json_stamp(cJSON *object, const char *name, int64_t wall_us);

#endif
