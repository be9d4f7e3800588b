/* Names, dates, numbers. */
#include "scale.h"

#include <stdio.h>

const char *const surnames[FAMILIES] = {
    "Smith",        "Müller",   "García",   "Nguyen", "Kowalski", "Johnson",   "Rossi",        "Dubois",   "Jensen",
    "Papadopoulos", "Yamada",   "Öztürk",   "Silva",  "Novák",    "O'Brien",   "van der Berg", "Schmidt",  "Schneider",
    "Fischer",      "Weber",    "Martínez", "López",  "Williams", "Brown",     "Jones",        "Miller",   "Davis",
    "Wilson",       "Anderson", "Thomas",   "Moore",  "Martin",   "Jackson",   "Thompson",     "White",    "Lee",
    "Harris",       "Clark",    "Lewis",    "Walker", "Hall",     "Young",     "King",         "Wright",   "Hill",
    "Scott",        "Green",    "Adams",    "Baker",  "Nelson",   "Carter",    "Mitchell",     "Roberts",  "Turner",
    "Phillips",     "Campbell", "Parker",   "Evans",  "Edwards",  "Collins",   "Иванов",       "Петров",   "Tanaka",
    "Suzuki",       "Kim",      "Park",     "Chen",   "Wang",     "Zhang",     "Singh",        "Kumar",    "Patel",
    "Khan",         "Ali",      "Hassan",   "Cohen",  "Levy",     "Andersson", "Johansson",    "Virtanen", "Hansen",
    "Olsen"};
static const char *const given[] = {
    "John",      "Mary",    "Hans Peter", "José",     "Anna",    "Thi Hoa", "Jan",     "Emma",     "Luca",
    "Sophie",    "Lars",    "Eleni",      "Taro",     "Ayşe",    "João",    "Eva",     "Siobhán",  "Pieter",
    "Wolfgang",  "Ursula",  "Michael",    "Jennifer", "David",   "Linda",   "James",   "Patricia", "Robert",
    "Elizabeth", "William", "Barbara",    "Richard",  "Susan",   "Joseph",  "Jessica", "Charles",  "Karen",
    "Пётр",      "Ольга",   "Haruto",     "Yui",      "Min-jun", "Wei",     "Priya",   "Omar",     "Fatima",
    "Moshe",     "Erik",    "Ingrid",     "Aino",     "Bjørn"};
const char *const modalities[MANY] = {"CT", "CR", "DX", "MR", "US", "MG", "XA", "NM", "PT", "RF"};
/* of a hundred studies; PT is rare */
static const int shares[] = {22, 25, 20, 12, 12, 4, 2, 1, 1, 1};
const char *const sources[4] = {"main-pacs", "cardio", "mammo", "old-archive"};
const char *const descriptions[MANY] = {"CT THORAX/ABDOMEN", "CHEST PA",           "KNEE LEFT 2V",   "MR BRAIN W/WO",
                                        "US ABDOMEN",        "MAMMO SCREEN BILAT", "CORONARY ANGIO", "BONE SCAN",
                                        "PET WHOLE BODY",    "BARIUM SWALLOW"};

static uint64_t state = 0x9E3779B97F4A7C15u;

uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* One of N, the same for the same seed and K. */
uint64_t mix(uint64_t k)
{
    k = (k ^ (k >> 30)) * 0xBF58476D1CE4E5B9u;
    k = (k ^ (k >> 27)) * 0x94D049BB133111EBu;
    return k ^ (k >> 31);
}

void fold(const char *text, char *out)
{
    out[dv_fold_into(dv_text_of(text), out)] = '\0';
}

/* Some names are common: one in sixteen is Smith; one patient has a name that nobody else has. A third came under another number. */
void person_of(int64_t number, person *p)
{
    uint64_t r = mix((uint64_t)number * 2 + 1);
    size_t family = sizeof surnames / sizeof *surnames, first = sizeof given / sizeof *given;
    snprintf(p->id, sizeof p->id, "P%08lld", (long long)(mix((uint64_t)number) % 90000000));
    snprintf(p->received, sizeof p->received, number % 3 ? "%s" : "MRN%.5s", number % 3 ? p->id : p->id + 4);
    snprintf(p->name, sizeof p->name, "%s^%s^%c",
             surnames[(r & 0xffff) % family * ((r >> 16 & 0xffff) % family) / family],
             given[(r >> 8 & 0xffff) % first * ((r >> 24 & 0xffff) % first) / first], (int)('A' + (r >> 32) % 26));
    if (number == ALONE)
        snprintf(p->name, sizeof p->name, "Quxleyan^Zyta");
    fold(p->id, p->key);
    fold(p->received, p->received_key);
    fold(p->name, p->name_key);
    snprintf(p->birth, sizeof p->birth, "%04d%02d%02d", (int)(1925 + (r >> 40) % 95), (int)(1 + (r >> 48) % 12),
             (int)(1 + (r >> 52) % 28));
    p->sex[0] = "MFO"[(r >> 56) % 100 == 0 ? 2 : (r >> 57) % 2];
    p->sex[1] = '\0';
}

int64_t patients_of(int64_t studies)
{
    return studies / 2 + 1;
}

int modality_of(int64_t study)
{
    int n = (int)(mix((uint64_t)study + 77) % 100), k = 0;
    while (k < MANY - 1 && n >= shares[k])
        n -= shares[k++];
    return k;
}

/* Migrated newest first, with scatter of a quarter: so do batches come. */
void date_of(int64_t study, int64_t studies, char out[16])
{
    int64_t days = 20 * 360,
            day = days - study * days / (studies + 1) - (int64_t)(mix((uint64_t)study + 5) % (uint64_t)(days / 4));
    day = (day % days + days) % days;
    snprintf(out, 16, "%04d%02d%02d", (int)(2006 + day / 360), (int)(1 + day / 30 % 12), (int)(1 + day % 30 % 28));
}

void accession_of(int64_t study, char out[32])
{
    snprintf(out, 32, "A%02d%07lld", (int)(6 + study % 20), (long long)(mix((uint64_t)study + 9) % 10000000));
}

void study_uid_of(int64_t study, char out[SPELL])
{
    uint64_t r = mix((uint64_t)study + 31);
    snprintf(out, SPELL, "1.2.840.113619.2.%d.%llu.%llu", (int)(r % 400), (unsigned long long)(r >> 20) % 1000000000u,
             (unsigned long long)study);
}

int64_t patient_of(int64_t study, int64_t studies)
{
    if (study == studies / 3)
        return ALONE;
    int64_t who = 1 + (int64_t)(mix((uint64_t)study + 3) % (uint64_t)patients_of(studies));
    return who == ALONE ? 1 : who;
}

const char *source_of(int64_t study)
{
    return sources[mix((uint64_t)study + 13) % 100 < 70 ? 0 : 1 + (int)(mix((uint64_t)study) % 3)];
}
