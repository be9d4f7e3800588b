// dataset.cc: what the dataset core and the rule pipeline cost, against dcmdata on the same bytes.
//
//   dataset FILE.dcm [SHARE SITE_RULES]      built and called by tests/bench/run.sh
//
// FILE's dataset up to Pixel Data goes from memory to memory, four ways in turn, seven rounds:
//   dcmdata    parse, 6 reads, 3 edits, write: DcmDataset over buffer streams
//   core       the same by index and overlay
//   pipeline   index, every stage with the rules of SITE_RULES over the shipped ones of SHARE, write
//   dcmdata    again: how far one run can be believed
// Printed are medians of the rounds in CPU time, threads of the rules' keeper included, and each round's ratio to its own dcmdata.
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dcdeftag.h"
#include "dcmtk/dcmdata/dcdatset.h"
#include "dcmtk/dcmdata/dcistrmb.h"
#include "dcmtk/dcmdata/dcostrmb.h"

extern "C" {
#include "base/clock.h"
#include "base/file.h"
#include "dicom/part10.h"
#include "dicom/values.h"
#include "rules/rules.h"
}

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

static const int ROUNDS = 7;

static double now_us()
{
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); // all from memory to memory: what else runs on the machine does not count
    return double(t.tv_sec) * 1e6 + double(t.tv_nsec) / 1e3;
}

[[noreturn]] static void stop(const char *what, const char *why)
{
    fprintf(stderr, "dataset: %s: %s\n", what, why);
    exit(1);
}

static std::vector<char> header;  // the dataset's bytes before Pixel Data
static E_TransferSyntax dcm_syntax;
static dv_encoding encoding;
static size_t sink;               // keeps the compiler honest

static void dcmdata_once()
{
    static std::vector<char> out(1 << 20);
    DcmInputBufferStream in;
    in.setBuffer(header.data(), offile_off_t(header.size()));
    in.setEos();
    DcmDataset ds;
    ds.transferInit();
    if (ds.read(in, dcm_syntax).bad())
        stop("dcmdata", "cannot read the header");
    ds.transferEnd();
    const DcmTagKey reads[] = {DCM_PatientID, DCM_PatientName, DCM_StudyInstanceUID, DCM_Modality, DCM_StudyDate, DCM_AccessionNumber};
    OFString value;
    for (const DcmTagKey &key : reads)
        if (ds.findAndGetOFStringArray(key, value).good())
            sink += value.size();
    ds.putAndInsertString(DCM_PatientID, "N-4711");
    ds.putAndInsertString(DCM_AccessionNumber, "A4711");
    ds.putAndInsertString(DCM_InstitutionName, "NEW HOSPITAL");
    DcmOutputBufferStream stream(out.data(), offile_off_t(out.size()));
    ds.transferInit();
    if (ds.write(stream, dcm_syntax, EET_ExplicitLength, NULL).bad())
        stop("dcmdata", "cannot write");
    ds.transferEnd();
    sink += size_t(stream.tell());
}

static void write_out(dv_dataset *ds)
{
    static std::vector<char> out(1 << 20);
    dv_error err;
    dv_spans spans;
    if (!dv_write_spans(ds, &spans, &err))
        stop("write", err.message);
    size_t at = 0;
    for (uint32_t i = 0; i < spans.count; i++) {
        memcpy(out.data() + at, spans.span[i].at, spans.span[i].len);
        at += spans.span[i].len;
    }
    sink += at;
}

static dv_dataset *open_header(dv_arena *arena)
{
    dv_error err;
    dv_index *ix = static_cast<dv_index *>(dv_arena_alloc(arena, sizeof *ix));
    if (!dv_index_all(ix, arena, encoding, reinterpret_cast<uint8_t *>(header.data()), header.size(), &err))
        stop("index", err.message);
    dv_dataset *ds = dv_dataset_open(arena, ix, &err);
    if (!ds)
        stop("dataset", err.message);
    return ds;
}

static dv_arena arena, paths;
static const dv_path *read_paths[6], *edit_paths[3];

static void compile_paths()
{
    const char *reads[] = {"PatientID", "PatientName", "StudyInstanceUID", "Modality", "StudyDate", "AccessionNumber"};
    const char *edits[] = {"PatientID", "AccessionNumber", "InstitutionName"};
    dv_error err;
    for (int i = 0; i < 6; i++)
        if (!dv_path_compile(&paths, dv_text_of(reads[i]), &read_paths[i], &err))
            stop("path", err.message);
    for (int i = 0; i < 3; i++)
        if (!dv_path_compile(&paths, dv_text_of(edits[i]), &edit_paths[i], &err))
            stop("path", err.message);
}

static void core_once()
{
    const char *values[] = {"N-4711", "A4711", "NEW HOSPITAL"};
    dv_error err;
    dv_arena_reset(&arena);
    dv_dataset *ds = open_header(&arena);
    dv_dataset_set_actor(ds, dv_actor{"mapping", "mapping/bench"});
    for (const dv_path *path : read_paths) {
        dv_text value;
        if (!dv_dataset_get(ds, path, &value, &err))
            stop("get", err.message);
        sink += value.len;
    }
    for (int i = 0; i < 3; i++)
        if (!dv_dataset_set(ds, edit_paths[i], dv_text_of(values[i]), NULL, &err))
            stop("set", err.message);
    write_out(ds);
}

static dv_rules *rules;
static int changes, findings;     // of the last run: that the rules did act

static void pipeline_once()
{
    dv_error err;
    dv_outcome outcome = {};
    dv_context context = {};
    context.origin.peer = "GE_MAIN";
    context.origin.calling = "GE_MAIN";
    context.origin.called = "DROVER";
    context.origin.address = "127.0.0.1";
    context.origin.channel = "dimse";
    context.info.transfer_syntax = DV_UID_EXPLICIT_LE;
    context.info.header_bytes = header.size();
    dv_arena_reset(&arena);
    dv_dataset *ds = open_header(&arena);
    context.now = 1700000000000000;
    if (!dv_rules_run(rules, ds, &context, &arena, &outcome, &err))
        stop("rules", err.message);
    if (outcome.verdict != DV_VERDICT_STORE)
        stop("rules", std::string(outcome.reason.at ? outcome.reason.at : "no store", outcome.reason.at ? outcome.reason.len : 8).c_str());
    changes = findings = 0;
    for (const dv_change *c = dv_dataset_changes(ds); c; c = c->next)
        changes++;
    for (const dv_finding *f = outcome.findings; f; f = f->next)
        findings++;
    write_out(ds);
}

static double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

int main(int argc, char **argv)
{
    dv_error err;
    dv_map map;
    if (argc != 2 && argc != 4)
        stop("usage", "dataset FILE.dcm [SHARE SITE_RULES]");
    if (!dv_map_open(&map, argv[1], &err))
        stop(argv[1], err.message);
    dv_arena_init(&arena, 1 << 20);
    dv_arena_init(&paths, 0);
    dv_arena whole;
    dv_arena_init(&whole, 0);
    dv_file_meta meta;
    dv_dataset *file = dv_part10_open(map.bytes, map.len, &whole, &meta, &err);
    if (!file)
        stop(argv[1], err.message);
    const dv_index *ix = dv_dataset_index(file);
    size_t end = ix->body == DV_NO_NODE ? ix->len : ix->nodes[ix->body].offset;
    header.assign(reinterpret_cast<const char *>(ix->bytes), reinterpret_cast<const char *>(ix->bytes) + end);
    encoding = dv_syntax_encoding(meta.transfer_syntax);
    dcm_syntax = DcmXfer(std::string(meta.transfer_syntax.at, meta.transfer_syntax.len).c_str()).getXfer();
    compile_paths();

    std::vector<std::pair<const char *, std::function<void()>>> ways = {
        {"dcmdata", dcmdata_once}, {"core", core_once}, {"dcmdata again", dcmdata_once}};
    if (argc == 4) {
        dv_rules_options options = {};
        options.share = argv[2];
        options.site = argv[3];
        options.require_tests = true;
        if (!(rules = dv_rules_open(&options, &err)))
            stop("rules", err.message);
        ways.insert(ways.begin() + 2, {"pipeline", pipeline_once});
    }

    std::vector<std::vector<double>> took(ways.size());
    for (int round = -1; round < ROUNDS; round++) // the first warms up
        for (size_t w = 0; w < ways.size(); w++) {
            const int times = 1500;
            double start = now_us();
            for (int i = 0; i < times; i++)
                ways[w].second();
            if (round >= 0)
                took[w].push_back((now_us() - start) / times);
        }

    printf("CT header, %zu bytes, %u elements, %d rounds in turn\n", header.size(), ix->count, ROUNDS);
    printf("%-16s %9s %9s %9s   %-22s\n", "", "median us", "least", "most", "of dcmdata (range)");
    for (size_t w = 0; w < ways.size(); w++) {
        std::vector<double> ratio;
        for (int r = 0; r < ROUNDS; r++)
            ratio.push_back(took[w][size_t(r)] / took[0][size_t(r)]);
        printf("%-16s %9.2f %9.2f %9.2f   %.3f (%.3f to %.3f)", ways[w].first, median(took[w]),
               *std::min_element(took[w].begin(), took[w].end()), *std::max_element(took[w].begin(), took[w].end()), median(ratio),
               *std::min_element(ratio.begin(), ratio.end()), *std::max_element(ratio.begin(), ratio.end()));
        if (w == 1)
            printf(" = %.1f times as fast; goal 20", 1 / median(ratio));
        if (argc == 4 && w == 2)
            printf("; goal 0.6; %d changes, %d findings a run", changes, findings);
        printf("\n");
    }
    if (rules)
        dv_rules_close(rules);
    dv_map_close(&map);
    return sink ? 0 : 1;
}
