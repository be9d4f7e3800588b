/* scale.h: what a hospital has, as scale.c says it; everything follows from the study's number. */
#ifndef SCALE_H
#define SCALE_H

#include "catalog/fold.h"

#include <stdint.h>

enum { SPELL = 192, MANY = 10, ALONE = 777, FAMILIES = 82 };

extern const char *const surnames[FAMILIES], *const modalities[MANY], *const descriptions[MANY], *const sources[4];

typedef struct person {
    char id[32], key[96], received[32], received_key[96], name[96], name_key[DV_FOLD_GROWTH * 96], birth[16], sex[2];
} person;

uint64_t next_random(void);
/* One of N, the same for the same K. */
uint64_t mix(uint64_t k);
void fold(const char *text, char *out);
void person_of(int64_t number, person *p);
int64_t patients_of(int64_t studies);
int64_t patient_of(int64_t study, int64_t studies);
int modality_of(int64_t study);
const char *source_of(int64_t study);
void date_of(int64_t study, int64_t studies, char out[16]);
void accession_of(int64_t study, char out[32]);
void study_uid_of(int64_t study, char out[SPELL]);

int fill(const char *dsn, int64_t studies, int64_t instances);

#endif
