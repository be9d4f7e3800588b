/* drover dump: a DICOM file as a listing for people, or as the DICOM JSON model. Reads files only; needs no data
 * directory. */
#include "cmd/verbs.h"

#include "base/file.h"
#include "dicom/json.h"

#include <errno.h>
#include <stdio.h>

static const dv_option options[] = {
    {"json", NULL, "the DICOM JSON model (PS3.18 F), one object a file and line"},
    {"pretty", NULL, "with --json: indented, over many lines"},
    {"no-pixel-data", NULL, "with --json: leave (7FE0,0010) out"},
    {"meta", NULL, "with --json: group 0002 too, which a listing always has"},
    {0},
};

static void say_read_past(const char *path, const dv_file_meta *meta)
{
    if (meta->wrong_meta)
        fprintf(stderr, "drover dump: %s: the declared transfer syntax is not the data's; read as %.*s\n", path,
                DV_ARG(meta->transfer_syntax));
    else if (meta->no_meta)
        fprintf(stderr, "drover dump: %s: no File Meta group; read as %.*s\n", path, DV_ARG(meta->transfer_syntax));
}

typedef struct sink {
    dv_map map;
    size_t written;
    dv_error *err;
} sink;

/* JSON of a large file is printed as it is made, and the file's pages are given back. */
static bool print_piece(void *user, dv_text piece)
{
    enum { MUCH = 16 << 20 };
    sink *s = user;
    if (fwrite(piece.at, 1, piece.len, stdout) != piece.len)
        return dv_fail_errno(s->err, "cannot write the output");
    s->written += piece.len;
    if (s->written > MUCH) {
        dv_map_passed(s->map.bytes, s->map.len);
        s->written = 0;
    }
    return true;
}

static bool dump_file(const dv_args *args, const char *path, dv_error *err)
{
    dv_map map;
    dv_arena arena;
    dv_buffer out = {0};
    dv_file_meta meta;
    bool json = dv_flag(args, "json");
    sink s = {.err = err};
    dv_json_options o = {dv_flag(args, "pretty"), dv_flag(args, "no-pixel-data"), dv_flag(args, "meta"), print_piece,
                         &s};
    if (!dv_map_open(&map, path, err))
        return false;
    s.map = map;
    dv_arena_init(&arena, 0);
    dv_error fault;
    dv_dataset *ds = dv_part10_open_most(map.bytes, map.len, &arena, &meta, &fault, err);
    bool good = ds != NULL;
    if (good)
        say_read_past(path, &meta);
    if (good && !json && args->count > 1)
        dv_buffer_printf(&out, "# %s\n", path);
    good = good && (json ? dv_json_write(ds, &meta, o, &out, err) && dv_buffer_string(&out, "\n")
                         : dv_dump_write(ds, &meta, &out, err));
    if (good && out.failed)
        good = dv_fail(err, DV_ERR_MEMORY, "no memory for the text");
    dv_arena_free(&arena);
    dv_map_close(&map);
    if (good && (fwrite(out.at, 1, out.len, stdout) != out.len || fflush(stdout) != 0))
        good = dv_fail_errno(err, "cannot write the output");
    dv_buffer_free(&out);
    if (good && fault.code != DV_ERR_NONE) { /* what could be read is printed; then the truth */
        *err = fault;
        good = false;
    }
    return good;
}

static int run(const dv_args *args)
{
    int first = 0;
    if (args->count == 0)
        return dv_usage(args, "name the files to print");
    if (!dv_flag(args, "json") && (dv_flag(args, "pretty") || dv_flag(args, "no-pixel-data") || dv_flag(args, "meta")))
        return dv_usage(args, "--pretty, --no-pixel-data and --meta go with --json");
    for (int i = 0; i < args->count; i++) {
        dv_error err = {0};
        if (dump_file(args, args->value[i], &err))
            continue;
        dv_error_context(&err, "%s", args->value[i]);
        int code = dv_complain(args, &err);
        first = first ? first : code;
    }
    return first;
}

const dv_verb dv_verb_dump = {
    .name = "dump",
    .arguments = "FILE...",
    .summary = "print DICOM files as a listing or as JSON",
    .text = "A line of the listing has tag, VR, value, length and keyword; what a sequence holds\n"
            "stands indented below it. Long values are cut at 64 characters. Files without\n"
            "preamble or File Meta group, or with a wrong transfer syntax, are read by trial of\n"
            "their first elements, and a note on stderr says so. Of a file that is cut or broken, what can\n"
            "be read is printed, then the error. With several files, one that\n"
            "cannot be read does not stop the others; the exit code is that of the first.",
    .options = options,
    .example = "drover dump a.dcm\n  drover dump --json --pretty --no-pixel-data a.dcm",
    .run = run,
};
