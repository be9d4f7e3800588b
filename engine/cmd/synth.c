/* drover synth: a folder of synthetic studies, as a legacy PACS might hold them. */
#include "cmd/cmd.h"
#include "cmd/synth_internal.h"

#include "base/buffer.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static const dv_option options[] = {
    {"studies", "N", "how many; default 12"},
    {"modalities", "LIST", "taken in turn; default CT,MR,CR,US,MG"},
    {"instances-per-study", "N", "at most; default what the modality usually has"},
    {"seed", "N", "another seed, other studies; default 1"},
    {"defects", "LIST", "all, none, or of accession,sex,dates,charset,name; default all"},
    {"size", "small|normal", "64 pixels a side, or real matrix sizes; default small"},
    {"json", NULL, "print what was made, one JSON object a study"},
    {0},
};

static bool parse_modalities(const char *list, dv_synth_plan *plan, dv_error *err)
{
    dv_text rest = dv_text_of(list);
    while (rest.at) {
        dv_text word = dv_text_trim(dv_text_split(rest, ',', &rest));
        const dv_synth_kind *kind = dv_synth_kind_of(word);
        if (!kind)
            return dv_fail(err, DV_ERR_USAGE, "--modalities has '%.*s'; there are CT, MR, CR, US and MG", DV_ARG(word));
        if (plan->kind_count == (int)(sizeof plan->kinds / sizeof *plan->kinds))
            return dv_fail(err, DV_ERR_USAGE, "--modalities names more than %d", plan->kind_count);
        plan->kinds[plan->kind_count++] = kind;
    }
    return true;
}

static bool parse_defects(const char *list, dv_synth_plan *plan, dv_error *err)
{
    bool all = strcmp(list, "all") == 0;
    plan->defects[plan->defect_count++] = DV_SYNTH_CLEAN;
    if (strcmp(list, "none") == 0)
        return true;
    for (int d = DV_SYNTH_CLEAN + 1; all && d < DV_SYNTH_DEFECTS; d++)
        plan->defects[plan->defect_count++] = (dv_synth_defect)d;
    dv_text rest = all ? (dv_text){0} : dv_text_of(list);
    while (rest.at) {
        dv_text word = dv_text_trim(dv_text_split(rest, ',', &rest));
        int d = DV_SYNTH_CLEAN + 1;
        while (d < DV_SYNTH_DEFECTS && !dv_text_is(word, dv_synth_defect_name((dv_synth_defect)d)))
            d++;
        if (d == DV_SYNTH_DEFECTS || plan->defect_count == DV_SYNTH_DEFECTS)
            return dv_fail(
                err, DV_ERR_USAGE,
                "--defects has '%.*s'; there are accession, sex, dates, charset and name, each once, or all, or none",
                DV_ARG(word));
        plan->defects[plan->defect_count++] = (dv_synth_defect)d;
    }
    return true;
}

static bool parse_plan(const dv_args *args, dv_synth_plan *plan, dv_error *err)
{
    int64_t seed = 1;
    plan->studies = 12;
    if (!dv_arg_int(args, "studies", 1, 100000, &plan->studies, err) ||
        !dv_arg_int(args, "instances-per-study", 1, 10000, &plan->instances, err) ||
        !dv_arg_int(args, "seed", 0, INT64_MAX, &seed, err))
        return false;
    plan->seed = (uint64_t)seed;
    const char *size = dv_arg_or(args, "size", "small");
    plan->normal = strcmp(size, "normal") == 0;
    if (!plan->normal && strcmp(size, "small") != 0)
        return dv_fail(err, DV_ERR_USAGE, "--size is '%s'; it is small or normal", size);
    return parse_modalities(dv_arg_or(args, "modalities", "CT,MR,CR,US,MG"), plan, err) &&
           parse_defects(dv_arg_or(args, "defects", "all"), plan, err);
}

/* Nobody's files are mixed with made-up ones. */
static bool make_empty_folder(const char *folder, dv_error *err)
{
    if (!dv_mkdirs(folder, 0777, err))
        return false;
    DIR *dir = opendir(folder);
    if (!dir)
        return dv_fail_errno(err, "cannot read %s", folder);
    bool empty = true;
    for (struct dirent *e; (e = readdir(dir));)
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    closedir(dir);
    return empty || dv_fail(err, DV_ERR_EXISTS, "%s is not empty; name a new folder", folder);
}

static bool write_instance(const char *path, const dv_synth_instance *in, dv_arena *arena, dv_error *err)
{
    dv_text meta;
    if (!dv_part10_write(&in->meta, arena, &meta, NULL, err))
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return dv_fail_errno(err, "cannot write %s", path);
    bool ok = dv_write_all(fd, meta.at, meta.len, path, err) &&
              dv_write_all(fd, in->header.at, in->header.len, path, err) &&
              dv_write_all(fd, in->pixels.at, in->pixels.len, path, err);
    if (close(fd) != 0 && ok)
        ok = dv_fail_errno(err, "cannot write %s", path);
    return ok;
}

static bool write_study(const dv_synth_plan *plan, const dv_synth_study *study, const char *folder, dv_arena *arena,
                        dv_error *err)
{
    char path[PATH_MAX];
    for (int s = 0; s < DV_SYNTH_SERIES; s++) {
        if (study->instances[s] == 0)
            continue;
        int n = snprintf(path, sizeof path - 32, "%s/study-%03" PRId64 "-%s/series-%d", folder, study->number,
                         study->kind->modality, s + 1);
        if (n >= (int)sizeof path - 32)
            return dv_fail(err, DV_ERR_LIMIT, "the folder's name is too long: %s", folder);
        if (!dv_mkdirs(path, 0777, err))
            return false;
        for (int64_t i = 0; i < study->instances[s]; i++) {
            dv_synth_instance in;
            dv_arena_reset(arena);
            snprintf(path + n, sizeof path - (size_t)n, "/%04" PRId64 ".dcm", i + 1);
            if (!dv_synth_instance_of(plan, study, s, i, arena, &in, err) || !write_instance(path, &in, arena, err))
                return false;
        }
    }
    return true;
}

static void print_study(const dv_synth_study *s, bool json)
{
    if (json)
        printf("{\"study_uid\":\"%s\",\"modality\":\"%s\",\"accession\":\"%s\",\"patient_id\":\"%s\",\"instances\":"
               "%" PRId64 ",\"defect\":\"%s\"}\n",
               s->uid, s->kind->modality, s->accession, s->patient_id, s->total, dv_synth_defect_name(s->defect));
    else
        printf("study %3" PRId64 "  %s  %4" PRId64 " instances  %s  %s\n", s->number, s->kind->modality, s->total,
               s->accession, s->defect == DV_SYNTH_CLEAN ? "clean" : dv_synth_defect_name(s->defect));
}

static int run(const dv_args *args)
{
    dv_error err = {0};
    dv_synth_plan plan = {0};
    if (args->count != 1)
        return dv_usage(args, args->count ? "it makes one folder, not %d" : "name the folder to make", args->count);
    if (!parse_plan(args, &plan, &err) || !make_empty_folder(args->value[0], &err))
        return dv_complain(args, &err);
    dv_arena arena;
    dv_arena_init(&arena, 1 << 20);
    bool ok = true;
    int64_t total = 0;
    for (int64_t n = 1; ok && n <= plan.studies; n++) {
        dv_synth_study study;
        ok = dv_synth_study_of(&plan, n, &study, &err) && write_study(&plan, &study, args->value[0], &arena, &err);
        if (ok)
            print_study(&study, dv_flag(args, "json"));
        total += ok ? study.total : 0;
    }
    dv_arena_free(&arena);
    if (!ok)
        return dv_complain(args, &err);
    if (!dv_flag(args, "json"))
        printf("%" PRId64 " studies, %" PRId64 " instances in %s\n", plan.studies, total, args->value[0]);
    return 0;
}

const dv_verb dv_verb_synth = {
    "synth",
    "OUT_DIR",
    "make synthetic studies with the faults of legacy archives",
    "OUT_DIR gets study-NNN-MODALITY/series-N/NNNN.dcm: CT, MR, CR, US and MG studies with\n"
    "plausible headers. In turn they are clean, or have no accession number, a sex in lower\n"
    "case, dates with dots or dashes, a character set that is not the one declared, or a\n"
    "patient's name in the wrong shape. The same seed makes the same files.",
    options,
    "drover synth /tmp/legacy --studies 40 --modalities CT,CR --defects accession,dates",
    run,
};
