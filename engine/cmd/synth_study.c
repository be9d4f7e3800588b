#include "cmd/synth_internal.h"

#include "base/hash.h"
#include "base/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const dv_synth_kind dv_synth_kinds[] = {
    {"CT",
     "1.2.840.10008.5.1.4.1.1.2",
     "CHEST",
     "CT CHEST W CONTRAST",
     "ACME MEDICAL",
     "SCAN 9000",
     {"SCOUT", "AX 1.25 CHEST", "COR MPR"},
     {2, 48, 16},
     512,
     512,
     1,
     16,
     12},
    {"MR",
     "1.2.840.10008.5.1.4.1.1.4",
     "BRAIN",
     "MR BRAIN WO",
     "BOREALIS",
     "MAGNA 1.5T",
     {"AX T1", "AX T2", "SAG FLAIR"},
     {18, 18, 14},
     256,
     256,
     1,
     16,
     12},
    {"CR",
     "1.2.840.10008.5.1.4.1.1.1",
     "CHEST",
     "XR CHEST 2 VIEWS",
     "FILMLESS INC",
     "CR 5000",
     {"PA", "LAT"},
     {1, 1},
     2048,
     1760,
     1,
     16,
     10},
    {"US",
     "1.2.840.10008.5.1.4.1.1.6.1",
     "ABDOMEN",
     "US ABDOMEN COMPLETE",
     "SONIC WORKS",
     "ECHO 7",
     {"LIVER", "KIDNEYS"},
     {5, 4},
     480,
     640,
     3,
     8,
     8},
    {"MG",
     "1.2.840.10008.5.1.4.1.1.1.2",
     "BREAST",
     "MG SCREENING BILATERAL",
     "MAMMATEC",
     "CLARITY",
     {"L CC", "R CC", "L MLO", "R MLO"},
     {1, 1, 1, 1},
     2560,
     2048,
     1,
     16,
     12},
    {0},
};

static const char *const defect_names[DV_SYNTH_DEFECTS] = {"", "accession", "sex", "dates", "charset", "name"};

/* Plain ones, and ones that ASCII does not hold: a wrong character set shows only on these. All are in Latin-1. */
static const char *const plain_names[] = {"DOE^JOHN",      "SMITH^MARY^ANN", "JONES^ROBERT", "MILLER^SUSAN",
                                          "BROWN^PETER^J", "WILSON^GRACE",   "TAYLOR^HENRY", "MOORE^ALICE",
                                          "CLARK^DAVID^R", "LEWIS^HELEN"};
static const char *const accented_names[] = {"MÜLLER^JÜRGEN", "LEFÈVRE^ÉLISE", "GARCÍA^JOSÉ^MARÍA", "SØRENSEN^KÅRE",
                                             "GONÇALVES^INÊS"};

#define COUNT(array) ((uint64_t)(sizeof(array) / sizeof *(array)))

const char *dv_synth_defect_name(dv_synth_defect defect)
{
    return defect_names[defect];
}

const dv_synth_kind *dv_synth_kind_of(dv_text modality)
{
    for (const dv_synth_kind *k = dv_synth_kinds; k->modality; k++)
        if (dv_text_is(modality, k->modality))
            return k;
    return NULL;
}

/* The 128 bits that belong to a place in the plan; numbers below 0 stand for "of the whole". */
static bool draw(const dv_synth_plan *plan, int64_t study, int64_t series, int64_t instance, uint64_t out[2],
                 dv_error *err)
{
    char text[128];
    uint8_t hash[DV_SHA256_BYTES];
    int n = snprintf(text, sizeof text, "synth/%" PRIu64 "/%" PRId64 "/%" PRId64 "/%" PRId64, plan->seed, study, series,
                     instance);
    if (!dv_sha256_of(text, (size_t)n, hash, err))
        return false;
    memcpy(out, hash, 16);
    return true;
}

/* 2.25.<the decimal value of a UUID> (PS3.5 B.2), of version 8 (RFC 9562 5.8): its bits are ours to choose. */
static bool make_uid(const dv_synth_plan *plan, int64_t study, int64_t series, int64_t instance, char out[65],
                     dv_error *err)
{
    uint64_t bits[2];
    if (!draw(plan, study, series, instance, bits, err))
        return false;
    bits[0] = (bits[0] & ~(uint64_t)0xF000) | 0x8000;
    bits[1] = (bits[1] & ~((uint64_t)3 << 62)) | (uint64_t)1 << 63;
    char digits[40];
    int at = sizeof digits - 1;
    digits[at] = '\0';
    for (int left = 128; left > 0 && (bits[0] || bits[1]); left--) {
        uint64_t rest = 0;
        for (int i = 0; i < 4; i++) { /* long division by ten, 32 bits a step */
            uint64_t *word = &bits[i / 2];
            int shift = i % 2 ? 0 : 32;
            uint64_t part = rest << 32 | (*word >> shift & 0xFFFFFFFFu);
            *word = (*word & ~((uint64_t)0xFFFFFFFFu << shift)) | part / 10 << shift;
            rest = part % 10;
        }
        digits[--at] = (char)('0' + rest);
    }
    snprintf(out, 65, "2.25.%s", digits + at);
    return true;
}

bool dv_synth_study_of(const dv_synth_plan *plan, int64_t number, dv_synth_study *out, dv_error *err)
{
    uint64_t bits[2];
    if (!draw(plan, number, -1, -1, bits, err) || !make_uid(plan, number, -1, -2, out->uid, err))
        return false;
    int64_t turn = number - 1;
    out->number = number;
    out->kind = plan->kinds[turn % plan->kind_count];
    out->defect = plan->defects[turn % plan->defect_count];
    out->other_form = turn / plan->defect_count % 2 == 1;
    snprintf(out->accession, sizeof out->accession, "A%02" PRIu64 "%06" PRId64, plan->seed % 100, number);
    /* Every fifth study is of the patient before, as follow-ups are. */
    snprintf(out->patient_id, sizeof out->patient_id, "MRN%02" PRIu64 "%05" PRId64, plan->seed % 100,
             turn % 5 == 4 ? number - 1 : number);
    snprintf(out->date, sizeof out->date, "20%02d%02d%02d", (int)(5 + bits[0] % 15), (int)(1 + bits[0] / 16 % 12),
             (int)(1 + bits[0] / 256 % 28));
    out->total = 0;
    for (int s = 0; s < DV_SYNTH_SERIES; s++) {
        int64_t n = out->kind->series[s] ? out->kind->instances[s] : 0;
        if (plan->instances && n > plan->instances - out->total)
            n = plan->instances - out->total;
        /* More than usual was asked for: the last series takes them. */
        if (plan->instances > out->total + n && out->kind->series[s] &&
            (s + 1 == DV_SYNTH_SERIES || !out->kind->series[s + 1]))
            n = plan->instances - out->total;
        out->instances[s] = n;
        out->total += n;
    }
    return true;
}

/* A dataset being filled; the first error stays, and what follows does nothing. */
typedef struct maker {
    dv_dataset *ds;
    dv_arena *arena;
    dv_error *err;
    bool ok;
} maker;

static void put(maker *m, dv_tag tag, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void put(maker *m, dv_tag tag, const char *format, ...)
{
    char value[256];
    va_list list;
    va_start(list, format);
    vsnprintf(value, sizeof value, format, list);
    va_end(list);
    m->ok = m->ok && dv_dataset_put(m->ds, tag, dv_text_of(value), m->err);
}

static void put_at(maker *m, const char *path, const char *value)
{
    const dv_path *compiled;
    m->ok = m->ok && dv_path_compile(m->arena, dv_text_of(path), &compiled, m->err) &&
            dv_dataset_set(m->ds, compiled, dv_text_of(value), NULL, m->err);
}

typedef struct constant {
    dv_tag tag;
    const char *value;
} constant;

static void put_all(maker *m, const constant *rows)
{
    for (; rows->tag; rows++)
        put(m, rows->tag, "%s", rows->value);
}

static const constant ct[] = {
    {DV_KVP, "120"},
    {DV_DataCollectionDiameter, "500"},
    {DV_ReconstructionDiameter, "380"},
    {DV_GantryDetectorTilt, "0"},
    {DV_TableHeight, "152"},
    {DV_RotationDirection, "CW"},
    {DV_ExposureTime, "500"},
    {DV_XRayTubeCurrent, "240"},
    {DV_Exposure, "120"},
    {DV_FilterType, "BODY FILTER"},
    {DV_GeneratorPower, "36000"},
    {DV_FocalSpots, "1.2"},
    {DV_ConvolutionKernel, "STANDARD"},
    {DV_SliceThickness, "1.25"},
    {DV_DistanceSourceToDetector, "949"},
    {DV_DistanceSourceToPatient, "541"},
    {DV_RescaleIntercept, "-1024"},
    {DV_RescaleSlope, "1"},
    {DV_RescaleType, "HU"},
    {DV_WindowCenter, "40"},
    {DV_WindowWidth, "400"},
    {0},
};
static const constant mr[] = {
    {DV_ScanningSequence, "SE"},
    {DV_SequenceVariant, "SK\\SP"},
    {DV_ScanOptions, "PFP"},
    {DV_MRAcquisitionType, "2D"},
    {DV_SliceThickness, "5"},
    {DV_RepetitionTime, "600"},
    {DV_EchoTime, "12"},
    {DV_EchoTrainLength, "1"},
    {DV_MagneticFieldStrength, "1.5"},
    {DV_SpacingBetweenSlices, "6"},
    {DV_ImagingFrequency, "63.86"},
    {DV_ImagedNucleus, "1H"},
    {DV_FlipAngle, "90"},
    {DV_NumberOfAverages, "2"},
    {DV_WindowCenter, "600"},
    {DV_WindowWidth, "1200"},
    {0},
};
static const constant cr[] = {
    {DV_KVP, "110"},
    {DV_PlateType, "IP"},
    {DV_Sensitivity, "200"},
    {DV_ImagerPixelSpacing, "0.2\\0.2"},
    {DV_CassetteOrientation, "PORTRAIT"},
    {DV_WindowCenter, "512"},
    {DV_WindowWidth, "1024"},
    {0},
};
static const constant us[] = {
    {DV_TransducerData, "C5-2"},
    {DV_UltrasoundColorDataPresent, "1"},
    {DV_ProcessingFunction, "ABD GENERAL"},
    {0},
};
static const constant mg[] = {
    {DV_KVP, "28"},
    {DV_ExposureInuAs, "90000"},
    {DV_AnodeTargetMaterial, "MOLYBDENUM"},
    {DV_BodyPartThickness, "52"},
    {DV_CompressionForce, "110"},
    {DV_ImagerPixelSpacing, "0.094\\0.094"},
    {DV_PixelIntensityRelationship, "LOG"},
    {DV_PixelIntensityRelationshipSign, "-1"},
    {DV_PresentationIntentType, "FOR PRESENTATION"},
    {DV_BurnedInAnnotation, "NO"},
    {DV_WindowCenter, "2048"},
    {DV_WindowWidth, "4096"},
    {0},
};

/* The date in the form that the study's scanner wrote. */
static const char *date_form(const dv_synth_study *study, const char *date, char buf[11])
{
    char mark = study->other_form ? '-' : '.';
    if (study->defect != DV_SYNTH_DATES)
        return date;
    snprintf(buf, 11, "%.4s%c%.2s%c%.2s", date, mark, date + 4, mark, date + 6);
    return buf;
}

static void put_patient(maker *m, const dv_synth_plan *plan, const dv_synth_study *study)
{
    static const char *const legacy[] = {"DOE, JOHN", "SMITH^MARY^^^"};
    uint64_t bits[2];
    char birth[16], shown[11];
    /* Of the patient's number, so that follow-ups agree. */
    int64_t patient = (study->number - 1) % 5 == 4 ? study->number - 1 : study->number;
    m->ok = m->ok && draw(plan, -1, -1, patient, bits, m->err);
    if (!m->ok)
        return;
    bool male = bits[0] % 2 == 0;
    snprintf(birth, sizeof birth, "19%02d%02d%02d", (int)(30 + bits[0] / 2 % 60), (int)(1 + bits[1] % 12),
             (int)(1 + bits[1] / 16 % 28));
    if (study->defect == DV_SYNTH_NAME)
        put(m, DV_PatientName, "%s", legacy[study->other_form]);
    else if (study->defect == DV_SYNTH_CHARSET ||
             (study->defect == DV_SYNTH_CLEAN && study->number % 2 == 1 && study->number > 1))
        put(m, DV_PatientName, "%s", accented_names[bits[1] % COUNT(accented_names)]);
    else
        put(m, DV_PatientName, "%s", plain_names[bits[1] % COUNT(plain_names)]);
    put(m, DV_PatientID, "%s", study->patient_id);
    put(m, DV_PatientBirthDate, "%s", date_form(study, birth, shown));
    if (study->defect == DV_SYNTH_SEX)
        put(m, DV_PatientSex, "%s", study->other_form ? (male ? "Male" : "Female") : (male ? "m" : "f"));
    else
        put(m, DV_PatientSex, "%s", male ? "M" : "F");
    int age = (study->date[0] - '0') * 1000 + (study->date[1] - '0') * 100 + (study->date[2] - '0') * 10 +
              (study->date[3] - '0') - 1900 - ((birth[2] - '0') * 10 + (birth[3] - '0')) -
              (strcmp(study->date + 4, birth + 4) < 0);
    put(m, DV_PatientAge, "%03dY", age);
    put(m, DV_PatientWeight, "%d", (int)(50 + bits[1] / 512 % 50));
}

static void put_study(maker *m, const dv_synth_study *study, const char *time)
{
    char shown[11];
    const char *date = date_form(study, study->date, shown);
    put(m, DV_StudyInstanceUID, "%s", study->uid);
    put(m, DV_StudyID, "%" PRId64, study->number);
    put(m, DV_StudyDate, "%s", date);
    put(m, DV_SeriesDate, "%s", date);
    put(m, DV_AcquisitionDate, "%s", date);
    put(m, DV_ContentDate, "%s", date);
    put(m, DV_StudyTime, "%s", time);
    put(m, DV_SeriesTime, "%s", time);
    put(m, DV_AcquisitionTime, "%s.125", time);
    put(m, DV_ContentTime, "%s.250", time);
    put(m, DV_StudyDescription, "%s", study->kind->study);
    put(m, DV_ReferringPhysicianName, "%s", study->defect == DV_SYNTH_CHARSET ? "GRÜN^HEIDI" : "GREEN^HEIDI");
    put(m, DV_InstitutionName, "GENERAL HOSPITAL");
    put(m, DV_InstitutionAddress, "1 Main Street");
    put(m, DV_InstitutionalDepartmentName, "RADIOLOGY");
    put_at(m, "ProcedureCodeSequence[1].CodeValue", study->kind->modality);
    put_at(m, "ProcedureCodeSequence[1].CodingSchemeDesignator", "99LOCAL");
    put_at(m, "ProcedureCodeSequence[1].CodeMeaning", study->kind->study);
    put_at(m, "RequestAttributesSequence[1].RequestedProcedureID", "RP1");
    put_at(m, "RequestAttributesSequence[1].ScheduledProcedureStepID", "SPS1");
    if (study->defect != DV_SYNTH_ACCESSION)
        put(m, DV_AccessionNumber, "%s", study->accession);
    else if (!study->other_form) {
        put(m, DV_AccessionNumber, "%s", "");
        put_at(m, "RequestAttributesSequence[1].AccessionNumber", study->accession);
    }
}

static void put_equipment(maker *m, const dv_synth_kind *kind)
{
    put(m, DV_Manufacturer, "%s", kind->manufacturer);
    put(m, DV_ManufacturerModelName, "%s", kind->model);
    put(m, DV_StationName, "%s01", kind->modality);
    put(m, DV_DeviceSerialNumber, "12345");
    put(m, DV_SoftwareVersions, "4.2\\7");
    put(m, DV_Modality, "%s", kind->modality);
    put(m, DV_BodyPartExamined, "%s", kind->body_part);
    put(m, DV_PatientPosition, "HFS");
    put(m, DV_ProtocolName, "%s", kind->study);
    const char *modality = kind->modality;
    put_all(m, strcmp(modality, "CT") == 0   ? ct
               : strcmp(modality, "MR") == 0 ? mr
               : strcmp(modality, "CR") == 0 ? cr
               : strcmp(modality, "US") == 0 ? us
                                             : mg);
}

static void put_series(maker *m, const dv_synth_plan *plan, const dv_synth_study *study, int series, int64_t number,
                       const char *sop_uid)
{
    const dv_synth_kind *kind = study->kind;
    const char *description = kind->series[series];
    char uid[65], frame[65];
    m->ok = m->ok && make_uid(plan, study->number, series, -1, uid, m->err) &&
            make_uid(plan, study->number, -2, -1, frame, m->err);
    if (!m->ok)
        return;
    put(m, DV_SOPClassUID, "%s", kind->sop_class);
    put(m, DV_SOPInstanceUID, "%s", sop_uid);
    put(m, DV_SeriesInstanceUID, "%s", uid);
    put(m, DV_SeriesNumber, "%d", series + 1);
    put(m, DV_SeriesDescription, "%s", description);
    put(m, DV_InstanceNumber, "%" PRId64, number + 1);
    put(m, DV_AcquisitionNumber, "1");
    put(m, DV_OperatorsName, "TECH^TERRY");
    if (strcmp(kind->modality, "CT") == 0 || strcmp(kind->modality, "MR") == 0) {
        put(m, DV_ImageType, "ORIGINAL\\PRIMARY\\%s", series == 0 && kind->modality[0] == 'C' ? "LOCALIZER" : "AXIAL");
        put(m, DV_FrameOfReferenceUID, "%s", frame);
        put(m, DV_PositionReferenceIndicator, "%s", "");
        put(m, DV_ImagePositionPatient, "-190\\-190\\%.2f", -200.0 + 1.25 * (double)number);
        put(m, DV_ImageOrientationPatient, "1\\0\\0\\0\\1\\0");
        put(m, DV_SliceLocation, "%.2f", -200.0 + 1.25 * (double)number);
        put(m, DV_PixelSpacing, "0.742188\\0.742188");
    } else {
        put(m, DV_ImageType, "ORIGINAL\\PRIMARY");
        put(m, DV_PatientOrientation, "%s", strcmp(description, "LAT") == 0 ? "P\\F" : "L\\F");
    }
    if (strcmp(kind->modality, "MG") == 0) {
        put(m, DV_ImageLaterality, "%.1s", description);
        put(m, DV_ViewPosition, "%s", description + 2);
    } else if (strcmp(kind->modality, "CR") == 0) {
        put(m, DV_ViewPosition, "%s", strcmp(description, "PA") == 0 ? "PA" : "LL");
    }
}

/* A bright ellipse with noise on a dark ground: previews show that something is there, hashes differ. */
static char *draw_pixels(const dv_synth_kind *kind, int rows, int columns, uint64_t noise, dv_arena *arena, size_t *len)
{
    size_t pixels = (size_t)rows * (size_t)columns * (size_t)kind->samples;
    *len = (pixels * (size_t)kind->bits / 8 + 1) & ~(size_t)1;
    char *out = dv_arena_alloc(arena, *len);
    if (!out)
        return NULL;
    out[*len - 1] = 0;
    uint32_t top = (1u << kind->stored) - 1;
    size_t at = 0;
    for (int y = 0; y < rows; y++) {
        int64_t dy = (int64_t)(2 * y - rows) * 1000 / rows;
        for (int x = 0; x < columns; x++) {
            int64_t dx = (int64_t)(2 * x - columns) * 1000 / columns;
            bool inside = dx * dx * 2 + dy * dy * 3 < 1500000;
            noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17; /* xorshift64 */
            uint32_t value = (inside ? top / 2 : top / 32) + (uint32_t)(noise >> 40) % (top / 16 + 1);
            for (int s = 0; s < kind->samples; s++) {
                out[at++] = (char)(value & 0xFF);
                if (kind->bits == 16)
                    out[at++] = (char)(value >> 8);
            }
        }
    }
    return out;
}

static void put_pixel_description(maker *m, const dv_synth_kind *kind, int rows, int columns)
{
    put(m, DV_SamplesPerPixel, "%d", kind->samples);
    put(m, DV_PhotometricInterpretation, kind->samples == 3 ? "RGB" : "MONOCHROME2");
    if (kind->samples == 3)
        put(m, DV_PlanarConfiguration, "0");
    put(m, DV_Rows, "%d", rows);
    put(m, DV_Columns, "%d", columns);
    put(m, DV_BitsAllocated, "%d", kind->bits);
    put(m, DV_BitsStored, "%d", kind->stored);
    put(m, DV_HighBit, "%d", kind->stored - 1);
    put(m, DV_PixelRepresentation, "0");
}

/* The dataset's bytes with the head of Pixel Data behind them, and with the lie about the character set told: the text was encoded
 * honestly before, and only its label is changed or cut out. */
static bool finish_header(const dv_synth_study *study, dv_text bytes, size_t pixels, dv_arena *arena, dv_text *out,
                          dv_error *err)
{
    char *at = dv_arena_alloc(arena, bytes.len + 12);
    if (!at)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for a header of %zu bytes", bytes.len);
    memcpy(at, bytes.at, bytes.len);
    size_t len = bytes.len;
    const size_t element = 8 + 10; /* (0008,0005) CS, "ISO_IR 1xx" */
    if (study->defect == DV_SYNTH_CHARSET) {
        if (len < element || memcmp(at, "\x08\0\x05\0CS", 6) != 0)
            return dv_fail(err, DV_ERR_INTERNAL, "a synthetic dataset does not begin with SpecificCharacterSet");
        if (study->other_form)
            memmove(at, at + element, len -= element);
        else
            memcpy(at + 8, "ISO_IR 100", 10);
    }
    memcpy(at + len, "\xE0\x7F\x10\0", 4);
    memcpy(at + len + 4, study->kind->bits == 16 ? "OW\0\0" : "OB\0\0", 4);
    for (int i = 0; i < 4; i++)
        at[len + 8 + (size_t)i] = (char)(pixels >> (8 * i) & 0xFF);
    *out = (dv_text){at, len + 12};
    return true;
}

bool dv_synth_instance_of(const dv_synth_plan *plan, const dv_synth_study *study, int series, int64_t number,
                          dv_arena *arena, dv_synth_instance *out, dv_error *err)
{
    uint64_t bits[2], day[2];
    char sop[65], time[16];
    if (!draw(plan, study->number, series, number, bits, err) || !draw(plan, study->number, -3, -1, day, err) ||
        !make_uid(plan, study->number, series, number, sop, err))
        return false;
    snprintf(time, sizeof time, "%02d%02d%02d", (int)(7 + day[0] % 12), (int)(day[0] / 16 % 60), (int)(day[1] % 60));

    const dv_synth_kind *kind = study->kind;
    int rows = plan->normal ? kind->rows : 64, columns = plan->normal ? kind->columns : 64;
    maker m = {.ds = dv_dataset_new(arena, (dv_encoding){0}, err), .arena = arena, .err = err, .ok = true};
    if (!m.ds)
        return false;
    dv_dataset_set_actor(m.ds, (dv_actor){"synth", "synth"});
    bool utf8 = study->defect == DV_SYNTH_CHARSET && !study->other_form;
    put(&m, DV_SpecificCharacterSet, utf8 ? "ISO_IR 192" : "ISO_IR 100");
    put_patient(&m, plan, study);
    put_study(&m, study, time);
    put_equipment(&m, kind);
    put_series(&m, plan, study, series, number, sop);
    put_pixel_description(&m, kind, rows, columns);
    dv_text bytes;
    size_t len = 0;
    if (!m.ok || !dv_write_bytes(m.ds, &bytes, err))
        return false;
    char *pixels = draw_pixels(kind, rows, columns, bits[0] | 1, arena, &len);
    if (!pixels)
        return dv_fail(err, DV_ERR_MEMORY, "out of memory for %d x %d pixels", rows, columns);
    out->pixels = (dv_text){pixels, len};
    out->meta = (dv_file_meta){.sop_class = dv_text_of(kind->sop_class),
                               .sop_instance = dv_arena_text(arena, dv_text_of(sop)),
                               .transfer_syntax = DV_TEXT(DV_UID_EXPLICIT_LE)};
    return finish_header(study, bytes, len, arena, &out->header, err);
}
