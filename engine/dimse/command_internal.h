/* command_internal.h: DIMSE command sets (PS3.7 6.3, E.1): bytes to a struct and back.
 *
 * A command set is flat implicit little endian, so it is read in one pass over the bytes, without an index and
 * without memory of its own. Elements that mean nothing to us are passed over, a wrong group length is not believed,
 * order does not matter; a length that runs past the end is an error.
 * Texts      keep the bytes as they came (padding, trailing NUL): some peers compare the answer's UIDs with theirs
 *            byte by byte. dv_text_trim gives the value.
 * Threads    pure functions. */
#ifndef DV_DIMSE_COMMAND_INTERNAL_H
#define DV_DIMSE_COMMAND_INTERNAL_H

#include "base/error.h"
#include "base/text.h"

enum {
    DV_C_STORE_RQ = 0x0001,
    DV_C_GET_RQ = 0x0010,
    DV_C_FIND_RQ = 0x0020,
    DV_C_MOVE_RQ = 0x0021,
    DV_C_ECHO_RQ = 0x0030,
    DV_N_EVENT_REPORT_RQ = 0x0100,
    DV_N_ACTION_RQ = 0x0130,
    DV_C_CANCEL_RQ = 0x0FFF,
    DV_RESPONSE = 0x8000,
    DV_NO_DATA_SET = 0x0101,
};

enum {
    DV_STATUS_SUCCESS = 0x0000,
    DV_STATUS_PROCESSING = 0x0110,
    DV_STATUS_NO_SUCH_INSTANCE = 0x0112,
    DV_STATUS_NO_SUCH_EVENT = 0x0113,
    DV_STATUS_INVALID_VALUE = 0x0115,
    DV_STATUS_NO_SUCH_CLASS = 0x0118,
    DV_STATUS_CLASS_NOT_SUPPORTED = 0x0122,
    DV_STATUS_NO_SUCH_ACTION = 0x0123,
    DV_STATUS_NOT_AUTHORIZED = 0x0124,
    DV_STATUS_UNRECOGNIZED = 0x0211,
    DV_STATUS_RESOURCES = 0x0213,
    DV_STATUS_CANCEL = 0xFE00,
    DV_STATUS_PENDING = 0xFF00,
    DV_STATUS_PENDING_WARNING = 0xFF01,
};

typedef struct dv_command {
    uint16_t field;           /* (0000,0100) */
    uint16_t message_id;      /* (0000,0110), 0 when absent */
    uint16_t answers;         /* (0000,0120) Message ID Being Responded To */
    uint16_t data_set;        /* (0000,0800); DV_NO_DATA_SET when absent */
    uint16_t status;          /* (0000,0900); 0 when absent, see has_status */
    uint16_t move_message_id; /* (0000,1031) */
    uint16_t type;            /* Event Type ID (0000,1002), Action Type ID (0000,1008) */
    bool has_status;
    int remaining, completed, failed, warning; /* (0000,1020..1023); -1 when absent */
    dv_text sop_class;                         /* (0000,0002), of N- requests (0000,0003) */
    dv_text sop_instance;                      /* (0000,1000), of N- requests (0000,1001) */
    dv_text move_destination;                  /* (0000,0600) */
    dv_text move_originator;                   /* (0000,1030) */
    dv_text comment;                           /* (0000,0902) */
} dv_command;

/* Texts point into BYTES. DV_ERR_TRUNCATED, DV_ERR_MALFORMED. */
bool dv_command_parse(const uint8_t *bytes, size_t n, dv_command *out, dv_error *err);

/* A command set being written; it fits or `full` is set. Elements must be added in order of tag. */
typedef struct dv_command_writer {
    uint8_t bytes[1024];
    size_t len;
    bool full;
} dv_command_writer;

void dv_command_begin(dv_command_writer *w);
void dv_command_u16(dv_command_writer *w, uint16_t element, uint16_t value);
/* Odd lengths are padded with PAD. An absent text adds nothing. */
void dv_command_text(dv_command_writer *w, uint16_t element, dv_text value, char pad);
/* Sets the group length. */
void dv_command_end(dv_command_writer *w);

#endif
