#include "dicom/syntax.h"

#define NATIVE                                                                                                         \
    {                                                                                                                  \
        false, false, false, false                                                                                     \
    }
#define IMPLICIT                                                                                                       \
    {                                                                                                                  \
        true, false, false, false                                                                                      \
    }
#define FRAMES                                                                                                         \
    {                                                                                                                  \
        false, false, false, true                                                                                      \
    }

/* PS3.6 table A-1; names as dcmdump prints them. The last column: may be lossy. */
static const dv_syntax syntaxes[] = {
    {DV_UID_IMPLICIT_LE, "LittleEndianImplicit", IMPLICIT, false},
    {DV_UID_EXPLICIT_LE, "LittleEndianExplicit", NATIVE, false},
    {"1.2.840.10008.1.2.1.98", "EncapsulatedUncompressedExplicitVRLittleEndian", FRAMES, false},
    {DV_UID_DEFLATED_LE, "DeflatedLittleEndianExplicit", {false, false, true, false}, false},
    {DV_UID_EXPLICIT_BE, "BigEndianExplicit", {false, true, false, false}, false},
    {"1.2.840.10008.1.2.4.100", "MPEG2MainProfile@MainLevel", FRAMES, true},
    {"1.2.840.10008.1.2.4.100.1", "FragmentableMPEG2MainProfile@MainLevel", FRAMES, true},
    {"1.2.840.10008.1.2.4.101", "MPEG2MainProfile@HighLevel", FRAMES, true},
    {"1.2.840.10008.1.2.4.101.1", "FragmentableMPEG2MainProfile@HighLevel", FRAMES, true},
    {"1.2.840.10008.1.2.4.102", "MPEG4HighProfile/Level4.1", FRAMES, true},
    {"1.2.840.10008.1.2.4.102.1", "FragmentableMPEG4HighProfile/Level4.1", FRAMES, true},
    {"1.2.840.10008.1.2.4.103", "MPEG4BDcompatibleHighProfile/Level4.1", FRAMES, true},
    {"1.2.840.10008.1.2.4.103.1", "FragmentableMPEG4BDcompatibleHighProfile/Level4.1", FRAMES, true},
    {"1.2.840.10008.1.2.4.104", "MPEG4HighProfile/Level4.2For2DVideo", FRAMES, true},
    {"1.2.840.10008.1.2.4.104.1", "FragmentableMPEG4HighProfile/Level4.2For2DVideo", FRAMES, true},
    {"1.2.840.10008.1.2.4.105", "MPEG4HighProfile/Level4.2For3DVideo", FRAMES, true},
    {"1.2.840.10008.1.2.4.105.1", "FragmentableMPEG4HighProfile/Level4.2For3DVideo", FRAMES, true},
    {"1.2.840.10008.1.2.4.106", "MPEG4StereoHighProfile/Level4.2", FRAMES, true},
    {"1.2.840.10008.1.2.4.106.1", "FragmentableMPEG4StereoHighProfile/Level4.2", FRAMES, true},
    {"1.2.840.10008.1.2.4.107", "HEVCMainProfile/Level5.1", FRAMES, true},
    {"1.2.840.10008.1.2.4.108", "HEVCMain10Profile/Level5.1", FRAMES, true},
    {"1.2.840.10008.1.2.4.110", "JPEGXLLossless", FRAMES, false},
    {"1.2.840.10008.1.2.4.111", "JPEGXLJPEGRecompression", FRAMES, true},
    {"1.2.840.10008.1.2.4.112", "JPEGXL", FRAMES, true},
    {"1.2.840.10008.1.2.4.201", "HighThroughputJPEG2000LosslessOnly", FRAMES, false},
    {"1.2.840.10008.1.2.4.202", "HighThroughputJPEG2000RPCLLosslessOnly", FRAMES, false},
    {"1.2.840.10008.1.2.4.203", "HighThroughputJPEG2000", FRAMES, true},
    {"1.2.840.10008.1.2.4.204", "JPIPHTJ2KReferenced", NATIVE, true},
    {"1.2.840.10008.1.2.4.205", "JPIPHTJ2KReferencedDeflate", {false, false, true, false}, true},
    {"1.2.840.10008.1.2.4.50", "JPEGBaseline", FRAMES, true},
    {"1.2.840.10008.1.2.4.51", "JPEGExtended:Process2+4", FRAMES, true},
    {"1.2.840.10008.1.2.4.52", "JPEGExtended:Process3+5", FRAMES, true},
    {"1.2.840.10008.1.2.4.53", "JPEGSpectralSelection:Non-hierarchical:Process6+8", FRAMES, true},
    {"1.2.840.10008.1.2.4.54", "JPEGSpectralSelection:Non-hierarchical:Process7+9", FRAMES, true},
    {"1.2.840.10008.1.2.4.55", "JPEGFullProgression:Non-hierarchical:Process10+12", FRAMES, true},
    {"1.2.840.10008.1.2.4.56", "JPEGFullProgression:Non-hierarchical:Process11+13", FRAMES, true},
    {"1.2.840.10008.1.2.4.57", "JPEGLossless:Non-hierarchical:Process14", FRAMES, false},
    {"1.2.840.10008.1.2.4.58", "JPEGLossless:Non-hierarchical:Process15", FRAMES, false},
    {"1.2.840.10008.1.2.4.59", "JPEGExtended:Hierarchical:Process16+18", FRAMES, true},
    {"1.2.840.10008.1.2.4.60", "JPEGExtended:Hierarchical:Process17+19", FRAMES, true},
    {"1.2.840.10008.1.2.4.61", "JPEGSpectralSelection:Hierarchical:Process20+22", FRAMES, true},
    {"1.2.840.10008.1.2.4.62", "JPEGSpectralSelection:Hierarchical:Process21+23", FRAMES, true},
    {"1.2.840.10008.1.2.4.63", "JPEGFullProgression:Hierarchical:Process24+26", FRAMES, true},
    {"1.2.840.10008.1.2.4.64", "JPEGFullProgression:Hierarchical:Process25+27", FRAMES, true},
    {"1.2.840.10008.1.2.4.65", "JPEGLossless:Hierarchical:Process28", FRAMES, false},
    {"1.2.840.10008.1.2.4.66", "JPEGLossless:Hierarchical:Process29", FRAMES, false},
    {"1.2.840.10008.1.2.4.70", "JPEGLossless:Non-hierarchical-1stOrderPrediction", FRAMES, false},
    {"1.2.840.10008.1.2.4.80", "JPEGLSLossless", FRAMES, false},
    {"1.2.840.10008.1.2.4.81", "JPEGLSLossy", FRAMES, true},
    {"1.2.840.10008.1.2.4.90", "JPEG2000LosslessOnly", FRAMES, false},
    {"1.2.840.10008.1.2.4.91", "JPEG2000", FRAMES, true},
    {"1.2.840.10008.1.2.4.92", "JPEG2000MulticomponentLosslessOnly", FRAMES, false},
    {"1.2.840.10008.1.2.4.93", "JPEG2000Multicomponent", FRAMES, true},
    {"1.2.840.10008.1.2.4.94", "JPIPReferenced", NATIVE, true},
    {"1.2.840.10008.1.2.4.95", "JPIPReferencedDeflate", {false, false, true, false}, true},
    {"1.2.840.10008.1.2.5", "RLELossless", FRAMES, false},
    {"1.2.840.10008.1.2.6.1", "RFC2557MIMEEncapsulation", NATIVE, false},
    {"1.2.840.10008.1.2.6.2", "XMLEncoding", NATIVE, false},
    {"1.2.840.10008.1.2.7.1", "SMPTEST2110-20:UncompressedProgressiveActiveVideo", FRAMES, false},
    {"1.2.840.10008.1.2.7.2", "SMPTEST2110-20:UncompressedInterlacedActiveVideo", FRAMES, false},
    {"1.2.840.10008.1.2.7.3", "SMPTEST2110-30:PCMDigitalAudio", FRAMES, false},
    {"1.2.840.10008.1.2.8.1", "DeflatedImageFrameCompression", FRAMES, false},
    {"1.2.840.10008.1.20", "Papyrus3ImplicitVRLittleEndian", IMPLICIT, false},
    {"1.2.840.113619.5.2", "PrivateGELittleEndianImplicitWithBigEndianPixelData", IMPLICIT, false},
};

const dv_syntax *dv_syntax_lookup(dv_text uid)
{
    for (size_t i = 0; i < sizeof syntaxes / sizeof syntaxes[0]; i++)
        if (dv_text_is(uid, syntaxes[i].uid))
            return &syntaxes[i];
    return NULL;
}

const dv_syntax *dv_syntax_at(size_t i)
{
    return i < sizeof syntaxes / sizeof syntaxes[0] ? &syntaxes[i] : NULL;
}

dv_encoding dv_syntax_encoding(dv_text uid)
{
    const dv_syntax *known = dv_syntax_lookup(uid);
    return known ? known->encoding : (dv_encoding)FRAMES;
}
