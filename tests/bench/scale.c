/* scale.c: a big catalog, and how long it takes to be asked.
 *
 *   scale fill DSN STUDIES INSTANCES    writes rows straight into a new catalog (SQLite file or PostgreSQL): names, dates, accession numbers
 *                                       and modalities as a hospital has them, the same ones each time; then lists them for searches as the
 *                                       engine does; prints how long each took
 *   scale ask DSN ROUNDS [KIND]         one client: study search and C-FIND's keys, ROUNDS questions a kind about what is there;
 *                                       prints p50, p99 and the worst; exit 1 when a p99 is over 50 ms
 *
 * scale_made.c has what a hospital has, scale_fill.c writes it. */
#include "catalog/query.h"
#include "scale.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GOAL_MS 50.0

/* ---- ask ---- */

static bool count_study(void *user, const dv_study_row *row)
{
    (void)row;
    ++*(int64_t *)user;
    return true;
}

static bool count_instance(void *user, const dv_instance_row *row)
{
    (void)row;
    return ++*(int64_t *)user < 256;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A random study that is there, and its words. */
typedef struct sample {
    int64_t number;
    person who;
    char uid[SPELL], date[16], accession[32], text[400];
    const char *family;
    int year;
} sample;

static void take(sample *s, int64_t studies)
{
    s->number = 1 + (int64_t)(next_random() % (uint64_t)studies);
    person_of(patient_of(s->number, studies), &s->who);
    study_uid_of(s->number, s->uid);
    date_of(s->number, studies, s->date);
    accession_of(s->number, s->accession);
    s->family = surnames[next_random() % (sizeof surnames / sizeof *surnames)];
    s->year = (s->date[0] - '0') * 1000 + (s->date[1] - '0') * 100 + (s->date[2] - '0') * 10 + s->date[3] - '0';
}

static dv_text write_text(sample *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static dv_text write_text(sample *s, const char *format, ...)
{
    va_list a;
    va_start(a, format);
    vsnprintf(s->text, sizeof s->text, format, a);
    va_end(a);
    return dv_text_of(s->text);
}

static dv_text week(sample *s)
{
    return write_text(s, "%.6s01-%.6s07", s->date, s->date);
}

static dv_text years(sample *s, int count)
{
    return write_text(s, "%04d0101-%04d1231", s->year, s->year + count - 1);
}

static dv_text one_of(const sample *s, const char *const *texts, int count)
{
    return dv_text_of(texts[s->number % count]);
}

typedef enum kind_of {
    K_RECENT,
    K_UID,
    K_PID,
    K_RECEIVED_PID,
    K_PID_PREFIX,
    K_PID_BROAD,
    K_PID_INSIDE,
    K_ACC,
    K_ACC_PREFIX,
    K_ACC_INSIDE,
    K_NAME,
    K_FAMILY,
    K_SMITH,
    K_PREFIX2,
    K_LETTER,
    K_INSIDE,
    K_COMMON,
    K_LONE,
    K_END,
    K_NONE,
    K_TWO,
    K_ONE,
    K_HOLES,
    K_DATE,
    K_WEEK,
    K_YEAR,
    K_YEARS,
    K_OPEN,
    K_CT,
    K_PT,
    K_SOURCE,
    K_FLAGGED,
    K_CT_WEEK,
    K_PT_YEAR,
    K_FAMILY_DAY,
    K_FAMILY_MG,
    K_FOUR,
    K_FLAGGED_SMITH,
    K_DEEP_CT,
    K_DEEP_SMITH,
    K_DEEP_COMMON,
    K_DEEP_YEAR,
    K_TOTALS,
    K_INSTANCES,
    K_COUNT
} kind_of;

static const char *const kinds[K_COUNT] = {"the newest 100",
                                           "Study Instance UID",
                                           "Patient ID",
                                           "Patient ID as received",
                                           "Patient ID P12345*",
                                           "Patient ID P1*",
                                           "Patient ID *2345*",
                                           "Accession",
                                           "Accession A0612*",
                                           "Accession *45678*",
                                           "name, whole",
                                           "name of 82 + *",
                                           "name Smith*, common",
                                           "name sm*",
                                           "name s*",
                                           "name *ohn* and such",
                                           "name *ohn*, common",
                                           "name *xleya*, one",
                                           "name *son",
                                           "name *qzq*, none",
                                           "name *oh*",
                                           "name *x*",
                                           "name s?i?h*a*",
                                           "date, one day",
                                           "date, a week",
                                           "date, a year",
                                           "date, five years",
                                           "date, from a day on",
                                           "modality CT",
                                           "modality PT, 1 %",
                                           "source",
                                           "with findings",
                                           "CT of a week",
                                           "PT of a year",
                                           "name* of a day",
                                           "name*, MG",
                                           "*ohn*, MG, year, source",
                                           "Smith* with findings",
                                           "a page deep in CT",
                                           "a page deep in Smith*",
                                           "a page deep in *ohn*",
                                           "a page deep in 5 years",
                                           "totals",
                                           "instances of a study"};

/* The study query of KIND about S. */
static dv_study_query question(kind_of what, sample *s)
{
    static const char *const inside[] = {"*ohn*", "*ette*", "*ria*", "*ylva*", "*wolf*", "*ter*"},
                             *const ends[] = {"*hoa q", "*priya x", "*son", "*erik b"},
                             *const two[] = {"*oh*", "*zq*", "*ha*", "*xy*"}, *const one[] = {"*x*", "*a*", "*q*"},
                             *const starts[] = {"sm*", "ce*", "ga*", "ji*"};
    const int letters[] = {'*', 'a' + (int)(s->number % 26), 'a' + (int)(s->number / 26 % 26)};
    switch (what) {
    case K_UID:
        return (dv_study_query){.study_uid = dv_text_of(s->uid)};
    case K_PID:
        return (dv_study_query){.patient_id = dv_text_of(s->who.id)};
    case K_RECEIVED_PID:
        return (dv_study_query){.patient_id = dv_text_of(s->who.received)};
    case K_PID_PREFIX:
        return (dv_study_query){.patient_id = write_text(s, "%.6s*", s->who.id)};
    case K_PID_BROAD:
        return (dv_study_query){.patient_id = write_text(s, "%.2s*", s->who.id)};
    case K_PID_INSIDE:
        return (dv_study_query){.patient_id = write_text(s, "*%.4s*", s->who.id + 3)};
    case K_ACC:
        return (dv_study_query){.accession = dv_text_of(s->accession)};
    case K_ACC_PREFIX:
        return (dv_study_query){.accession = write_text(s, "%.5s*", s->accession)};
    case K_ACC_INSIDE:
        return (dv_study_query){.accession = write_text(s, "*%.5s*", s->accession + 4)};
    case K_NAME:
        return (dv_study_query){.patient_name = dv_text_of(s->who.name)};
    case K_FAMILY:
        return (dv_study_query){.patient_name = write_text(s, "%s*", s->family)};
    case K_SMITH:
        return (dv_study_query){.patient_name = DV_TEXT("Smith*")};
    case K_PREFIX2:
        return (dv_study_query){.patient_name = one_of(s, starts, 4)};
    case K_LETTER:
        return (dv_study_query){.patient_name = write_text(s, "%c*", letters[1])};
    case K_INSIDE:
        return (dv_study_query){.patient_name = one_of(s, inside, 6)};
    case K_COMMON:
        return (dv_study_query){.patient_name = DV_TEXT("*ohn*")};
    case K_LONE:
        return (dv_study_query){.patient_name = DV_TEXT("*xleya*")};
    case K_END:
        return (dv_study_query){.patient_name = one_of(s, ends, 4)};
    case K_NONE:
        return (dv_study_query){.patient_name = write_text(s, "*%c%czq*", letters[1], letters[2])};
    case K_TWO:
        return (dv_study_query){.patient_name = one_of(s, two, 4)};
    case K_ONE:
        return (dv_study_query){.patient_name = one_of(s, one, 3)};
    case K_HOLES:
        return (dv_study_query){.patient_name = DV_TEXT("s?i?h*a*")};
    case K_DATE:
        return (dv_study_query){.study_date = dv_text_of(s->date)};
    case K_WEEK:
        return (dv_study_query){.study_date = week(s)};
    case K_YEAR:
        return (dv_study_query){.study_date = years(s, 1)};
    case K_YEARS:
        return (dv_study_query){.study_date = years(s, 5)};
    case K_OPEN:
        return (dv_study_query){.study_date = write_text(s, "%s-", s->date)};
    case K_CT:
        return (dv_study_query){.modality = DV_TEXT("CT")};
    case K_PT:
        return (dv_study_query){.modality = DV_TEXT("PT")};
    case K_SOURCE:
        return (dv_study_query){.source = one_of(s, sources, 4)};
    case K_FLAGGED:
        return (dv_study_query){.flagged = true};
    case K_CT_WEEK:
        return (dv_study_query){.study_date = week(s), .modality = DV_TEXT("CT")};
    case K_PT_YEAR:
        return (dv_study_query){.study_date = years(s, 1), .modality = DV_TEXT("PT")};
    case K_FAMILY_DAY:
        return (dv_study_query){.patient_name = write_text(s, "%s*", s->family), .study_date = dv_text_of(s->date)};
    case K_FAMILY_MG:
        return (dv_study_query){.patient_name = write_text(s, "%s*", s->family), .modality = DV_TEXT("MG")};
    case K_FOUR:
        return (dv_study_query){.patient_name = DV_TEXT("*ohn*"),
                                .study_date = years(s, 1),
                                .modality = DV_TEXT("MG"),
                                .source = DV_TEXT("cardio")};
    case K_FLAGGED_SMITH:
        return (dv_study_query){.patient_name = DV_TEXT("Smith*"), .flagged = true};
    case K_DEEP_CT:
        return (dv_study_query){.modality = DV_TEXT("CT"), .after = s->number};
    case K_DEEP_SMITH:
        return (dv_study_query){.patient_name = DV_TEXT("Smith*"), .after = s->number};
    case K_DEEP_COMMON:
        return (dv_study_query){.patient_name = DV_TEXT("*ohn*"), .after = s->number};
    case K_DEEP_YEAR:
        return (dv_study_query){.study_date = years(s, 5), .after = s->number};
    default:
        return (dv_study_query){0};
    }
}

/* Asks one question of KIND; false on failure. */
static bool ask(dv_db *db, kind_of what, int64_t studies, int64_t *rows, dv_error *err)
{
    sample s;
    dv_totals totals;
    take(&s, studies);
    if (what == K_INSTANCES)
        return dv_query_instances(db, dv_text_of(s.uid), 0, count_instance, rows, err);
    if (what == K_TOTALS) {
        *rows = 1;
        return dv_query_totals(db, &totals, err);
    }
    dv_study_query q = question(what, &s);
    return dv_query_studies(db, &q, count_study, rows, err);
}

static int ask_all(const char *path, int rounds, const char *only)
{
    dv_error err = {0};
    dv_db *db = dv_db_open(path, DV_DB_READ, &err);
    int64_t studies = 0;
    double *ms = calloc((size_t)rounds, sizeof *ms), worst = 0;
    if (!ms || !db || !dv_db_int(db, 0, &studies, &err, "SELECT MAX(id) FROM studies", "")) {
        fprintf(stderr, "scale: %s\n", err.message);
        return 1;
    }
    printf("%-24s %9s %9s %9s %9s %7s   %lld studies, %d questions each, one client\n", "asked for", "p50 ms", "p99 ms",
           "worst", "own CPU", "rows", (long long)studies, rounds);
    for (int k = 0; k < K_COUNT; k++) {
        if (only && !strstr(kinds[k], only))
            continue;
        int64_t rows = 0;
        clock_t cpu = clock();
        for (int i = 0; i < rounds; i++) {
            struct timespec a, b;
            int64_t found = 0;
            clock_gettime(CLOCK_MONOTONIC, &a);
            if (!ask(db, (kind_of)k, studies, &found, &err)) {
                fprintf(stderr, "scale: %s: %s\n", kinds[k], err.message);
                return 1;
            }
            clock_gettime(CLOCK_MONOTONIC, &b);
            rows += found;
            ms[i] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        }
        qsort(ms, (size_t)rounds, sizeof *ms, by_value);
        double p99 = ms[(rounds * 99 - 1) / 100];
        worst = p99 > worst ? p99 : worst;
        printf("%-24s %9.2f %9.2f %9.2f %9.2f %7.1f%s\n", kinds[k], ms[rounds / 2], p99, ms[rounds - 1],
               (double)(clock() - cpu) * 1e3 / (double)CLOCKS_PER_SEC / rounds, (double)rows / rounds,
               p99 > GOAL_MS ? "   over the goal" : "");
        fflush(stdout);
    }
    printf("worst p99: %.2f ms, the goal is %.0f\n", worst, GOAL_MS);
    dv_db_close(db);
    free(ms);
    return worst > GOAL_MS;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2], strtoll(argv[3], NULL, 10), strtoll(argv[4], NULL, 10));
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "ask") == 0)
        return ask_all(argv[2], (int)strtol(argv[3], NULL, 10), argc == 5 ? argv[4] : NULL);
    fprintf(stderr, "scale fill DSN STUDIES INSTANCES | ask DSN ROUNDS [KIND]\n");
    return 2;
}
