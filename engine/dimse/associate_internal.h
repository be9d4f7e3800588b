/* associate_internal.h: is this an A-ASSOCIATE-RQ or -AC that DCMTK may see? (PS3.8 9.3.2)
 * DCMTK parses it again; what is refused here is what its parser leaks memory on or should not be trusted with.
 * Threads   pure functions. */
#ifndef DV_DIMSE_ASSOCIATE_INTERNAL_H
#define DV_DIMSE_ASSOCIATE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DV_PDU_HEAD = 6,
    DV_MAX_ASSOCIATE = 512 * 1024, /* 128 contexts of 50 syntaxes have 450 KB */
};

typedef enum dv_first_bytes {
    DV_FIRST_MORE,
    DV_FIRST_ASSOCIATE,
    DV_FIRST_HTTP,
    DV_FIRST_TLS,
    DV_FIRST_TOO_LONG,
    DV_FIRST_FOREIGN
} dv_first_bytes;

/* What a connection that begins with these N bytes wants; ASSOCIATE when the head is complete: *TOTAL is then the
 * whole PDU. */
dv_first_bytes dv_associate_first(const uint8_t *bytes, size_t n, size_t *total);
/* The whole PDU, an A-ASSOCIATE-RQ or -AC: do all items and their parts add up? False: WHY is a constant text. */
bool dv_associate_check(const uint8_t *pdu, size_t n, const char **why);

#endif
