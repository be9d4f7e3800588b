/* verbs.h: every verb; each is a file of its name. */
#ifndef DV_CMD_VERBS_H
#define DV_CMD_VERBS_H

#include "cmd/cmd.h"

extern const dv_verb dv_verb_serve, dv_verb_migrate, dv_verb_batches, dv_verb_status, dv_verb_peers, dv_verb_echo,
    dv_verb_find, dv_verb_send, dv_verb_ingest, dv_verb_studies, dv_verb_audit, dv_verb_quarantine, dv_verb_verify,
    dv_verb_rules, dv_verb_dump, dv_verb_synth, dv_verb_config, dv_verb_catalog, dv_verb_man, dv_verb_commitments,
    dv_verb_versions;

/* Actions of `drover peers`: in commitments.c, in peers_look.c. */
int dv_peers_commit(const dv_args *args);
int dv_peers_show(const dv_args *args);
int dv_peers_probe(const dv_args *args);
int dv_peers_check(const dv_args *args);

#endif
