/* The table of verbs, in the order that --help prints. */
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

static int run_version(const dv_args *args)
{
    (void)args;
    printf("drover %s\n", DROVER_VERSION);
    return 0;
}

static const dv_verb dv_verb_version = {"version", "", "print the version", NULL, NULL, "drover version", run_version};

const dv_verb *const dv_verbs[] = {
    &dv_verb_serve,
    &dv_verb_migrate,
    &dv_verb_batches,
    &dv_verb_status,
    &dv_verb_peers,
    &dv_verb_echo,
    &dv_verb_find,
    &dv_verb_ingest,
    &dv_verb_studies,
    &dv_verb_audit,
    &dv_verb_quarantine,
    &dv_verb_verify,
    &dv_verb_catalog,
    &dv_verb_rules,
    &dv_verb_dump,
    &dv_verb_synth,
    &dv_verb_config,
    &dv_verb_version,
    NULL,
};
