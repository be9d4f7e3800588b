/* limits.h: what bounds foreign input and foreign rules, with the reason for each number. */
#ifndef DV_BASE_LIMITS_H
#define DV_BASE_LIMITS_H

enum {
    DV_MAX_NESTING = 64, /* sequences in sequences: the deepest real SR seen has 14; the walk uses this much stack */
    DV_MAX_ELEMENTS = 1000000,        /* elements and items of one dataset: 40 MB of index */
    DV_BULK_BYTES = 64 * 1024,        /* a value longer than this is bulk: spooled, not read by rules */
    DV_MAX_HEADER = 64 * 1024 * 1024, /* bytes before Pixel Data that are not bulk: they are held in memory */
    DV_MAX_COMMAND = 64 * 1024,       /* a DIMSE command set; real ones have 200 bytes */
    DV_MAX_PDU = 131072,              /* the most that DCMTK receives (PS3.8 D.1) */
    DV_MAX_PATH = 512,                /* an attribute path in text */
    DV_RULE_MS = 100,                 /* CPU time of all rules of one dataset */
    DV_RULE_BYTES = 32 * 1024 * 1024, /* Lua memory above the state's baseline, one dataset */
};

#endif
