/* rules.h: what runs over each dataset: generations of Lua rules, and running one.
 *
 *   shipped rules + site rules ──load, check──> generation N ──one pointer swap──> current
 *                                                 pool of ready lua_States; a thread borrows one for a dataset
 *
 * A folder that does not load or whose tests fail never replaces the current generation.
 * Threads   dv_rules is shared; dv_rules_run takes no lock while a rule runs. */
#ifndef DV_RULES_RULES_H
#define DV_RULES_RULES_H

#include "catalog/catalog.h"
#include "dicom/dataset.h"

typedef struct dv_rules dv_rules;
typedef struct dv_generation dv_generation;

typedef enum dv_verdict { DV_VERDICT_STORE, DV_VERDICT_REJECT, DV_VERDICT_HOLD, DV_VERDICT_EXCLUDE } dv_verdict;
const char *dv_verdict_name(dv_verdict v); /* "store" "reject" "hold" "exclude" */

/* What rules see as ctx (M23). NULL strings read as "". All borrowed for the run. */
typedef struct dv_context {
    struct {
        const char *peer, *calling, *called, *address, *channel;
    } origin;
    struct {
        const char *batch;
        int64_t attempt;
    } job;
    const char *seed;        /* the accession or UID that was asked for */
    const dv_dataset *found; /* the source's C-FIND answer, NULL without */
    struct {
        const char *transfer_syntax, *sop_class;
        uint64_t header_bytes, body_bytes; /* body so far known: 0 unknown */
    } info;
    dv_text body;            /* the first up to 64 KB of Pixel Data's value */
    int64_t now;             /* the instance's receive time, wall us */
    uint32_t index_findings; /* dv_index.findings */
} dv_context;

typedef struct dv_finding {
    const char *kind; /* "flag" "warn" */
    dv_text rule, path, message;
    struct dv_finding *next;
} dv_finding;

typedef struct dv_outcome {
    dv_verdict verdict;
    dv_text stage, rule, reason; /* of a verdict other than store */
    dv_text file;                /* of a rule fault: file of the rule, with line */
    int64_t line;
    bool fault;           /* the hold is a failing rule's, not a rule's wish */
    dv_finding *findings; /* in order */
    int64_t generation;
} dv_outcome;

typedef struct dv_rules_options {
    const char *share;   /* holds scripts/ and rules/ as shipped */
    const char *site;    /* the site's rules folder; may be absent on disk */
    dv_catalog *catalog; /* NULL: nothing is recorded, generation numbers count from 1 (harness, tests) */
    bool require_tests;  /* refuse a set whose tests fail */
    int states;          /* ready states a generation, 0: 4; grows on demand off the association threads */
    int time_limit_ms;   /* 0: DV_RULE_MS */
    size_t memory_limit; /* 0: DV_RULE_BYTES */
} dv_rules_options;

/* Loads and publishes. With a catalog: when the folders' text is the current generation's, that one is taken; a site folder that differs
 * is published as a new generation at start and said in the log; when the folders are refused, the generation that the catalog has in force
 * goes on, said in the log and by dv_rules_last_refusal. NULL: RULE_LOAD with file:line and reason. */
dv_rules *dv_rules_open(const dv_rules_options *options, dv_error *err);
void dv_rules_close(dv_rules *rules);
/* Loads, tests and publishes the folders as they are now. *NUMBER is the generation in force then; the same text again gives the same
 * number. WHO for the history. On failure the old one stays. */
bool dv_rules_publish(dv_rules *rules, const char *who, int64_t *number, dv_error *err);
/* Watches the site folder (inotify; rename, in-place write, delete) and publishes when it has been quiet for 200 ms; the outcome is logged
 * and kept for dv_rules_last_refusal. */
bool dv_rules_watch(dv_rules *rules, dv_error *err);
int64_t dv_rules_current(dv_rules *rules);
/* The last refusal's text in BUF; false when the last publish was good. */
bool dv_rules_last_refusal(dv_rules *rules, char *buf, size_t size);

/* Runs the stages over DS in order. True also when a rule failed: then OUT is a hold that names it (fail closed). False only when
 * nothing could be run at all (MEMORY). OUT's texts are in ARENA. */
bool dv_rules_run(dv_rules *rules, dv_dataset *ds, const dv_context *ctx, dv_arena *arena, dv_outcome *out,
                  dv_error *err);

#endif
