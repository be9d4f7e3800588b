/* The table of verbs, in the order that --help prints. */
#include "base/fault.h"
#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <stdio.h>

const char dv_exit_codes[] =
    "exit codes: 0 done, 2 usage, 3 configuration, 4 not found, 5 exists, 6 not DICOM or damaged,\n"
    "  7 a limit, 8 a wrong path, value or character set, 9 not supported, 10 file or disk,\n"
    "  11 memory, 12 database, 13 network, 14 time-out, 15 the peer failed, 16 a rule, 17 hash\n"
    "  mismatch, 18 locked, 19 cancelled, 20 incomplete, 70 a fault of Drover\n";

#ifdef DROVER_FAULTS
static void print_point(const char *name)
{
    puts(name);
}
#endif

static int run_version(const dv_args *args)
{
    if (dv_flag(args, "fail-points")) {
#ifdef DROVER_FAULTS
        dv_fail_points(print_point);
        return 0;
#else
        return dv_usage(args, "this build has no fail points; the CMake preset dev has them");
#endif
    }
    printf("drover %s\n", DROVER_VERSION);
    return 0;
}

static const dv_option version_options[] = {
    {"fail-points", NULL, "the points at which DROVER_FAIL=NAME:kill kills a test build, one a line"}, {0}};
static const dv_verb dv_verb_version = {"version",        "",         "print the version", NULL, version_options,
                                        "drover version", run_version};

const dv_verb *const dv_verbs[] = {
    &dv_verb_serve,      &dv_verb_migrate,     &dv_verb_batches, &dv_verb_status,  &dv_verb_peers, &dv_verb_echo,
    &dv_verb_find,       &dv_verb_send,        &dv_verb_ingest,  &dv_verb_studies, &dv_verb_audit, &dv_verb_versions,
    &dv_verb_quarantine, &dv_verb_commitments, &dv_verb_verify,  &dv_verb_catalog, &dv_verb_rules, &dv_verb_dump,
    &dv_verb_synth,      &dv_verb_config,      &dv_verb_man,     &dv_verb_version, NULL,
};
