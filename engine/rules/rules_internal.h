/* rules_internal.h: what rules.c, publish.c and watch.c share. */
#ifndef DV_RULES_RULES_INTERNAL_H
#define DV_RULES_RULES_INTERNAL_H

#include "rules/generation.h"
#include "rules/rules.h"

#include <pthread.h>

struct dv_generation {
    int64_t number;
    dv_rule_set *set;
    dv_state *free; /* ready ones */
    int total;      /* states that exist or are being made: free, borrowed, at the keeper's */
    bool retired;   /* not current any more: what comes back is closed, the last one frees the generation */
};

struct dv_rules {
    /* set once */
    char *share, *site;
    dv_catalog *catalog;
    bool require_tests;
    int states;
    dv_sandbox_limits limits;
    pthread_t keeper, watcher;
    bool has_keeper, has_watcher;
    int stop_fd, watch_fd, watch_folder; /* watch.c; -1: none. stop_fd is an eventfd that ends the watcher */

    pthread_mutex_t publishing; /* one publisher at a time; guards the list below */
    struct dv_known {           /* numbers given without a catalog */
        char hash[DV_SHA256_HEX];
        struct dv_known *next;
    } * known;
    int64_t last_number;

    pthread_mutex_t lock; /* all below; held for moments, never while Lua runs */
    pthread_cond_t ready; /* a state came free, or none can be made */
    pthread_cond_t work;  /* for the keeper */
    dv_generation *current;
    dv_state *returned; /* to be collected or closed */
    int waiting;        /* threads that want a state */
    bool make_failed, stop;
    char refusal[2048];
};

/* Puts SET on record and gives it its number: the one it had when the same text was published before, else the next. */
bool dv_publish_record(dv_rules *rules, const dv_rule_set *set, const char *who, int64_t *number, dv_error *err);
/* The set in force by the catalog; NULL with *NUMBER 0 when there is none, NULL with ERR on failure. */
dv_rule_set *dv_publish_recorded(dv_rules *rules, int64_t *number, dv_error *err);
/* The number in force by the catalog, 0 without. */
bool dv_publish_number(dv_rules *rules, int64_t *number, dv_error *err);
void dv_watch_stop(dv_rules *rules);

#endif
