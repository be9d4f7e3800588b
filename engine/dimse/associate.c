#include "dimse/associate_internal.h"

#include <string.h>

dv_first_bytes dv_associate_first(const uint8_t *bytes, size_t n, size_t *total)
{
    static const char *const methods[] = {"GET ", "POST", "HEAD", "PUT ", "OPTI", "CONN", "DELE"};
    uint32_t length;

    if (n == 0)
        return DV_FIRST_MORE;
    if (bytes[0] != 0x01) {
        if (bytes[0] == 0x16)
            return DV_FIRST_TLS;
        if (n < 4 && bytes[0] >= 'A' && bytes[0] <= 'Z')
            return DV_FIRST_MORE;
        for (size_t i = 0; n >= 4 && i < sizeof methods / sizeof *methods; i++)
            if (memcmp(bytes, methods[i], 4) == 0)
                return DV_FIRST_HTTP;
        return DV_FIRST_FOREIGN;
    }
    if (n < DV_PDU_HEAD)
        return DV_FIRST_MORE;
    length = (uint32_t)bytes[2] << 24 | (uint32_t)bytes[3] << 16 | (uint32_t)bytes[4] << 8 | bytes[5];
    if (length > DV_MAX_ASSOCIATE)
        return DV_FIRST_TOO_LONG;
    *total = DV_PDU_HEAD + length;
    return DV_FIRST_ASSOCIATE;
}

/* Items of type, reserved byte, 16-bit length from AT to END. UIDS: their values are UIDs, at most 64 bytes. */
static bool items_add_up(const uint8_t *at, const uint8_t *end, bool uids)
{
    while (at < end) {
        size_t length;

        if (end - at < 4)
            return false;
        length = (size_t)at[2] << 8 | at[3];
        if (length > (size_t)(end - at) - 4 || (uids && length > 64))
            return false;
        at += 4 + length;
    }
    return true;
}

bool dv_associate_check(const uint8_t *pdu, size_t n, const char **why)
{
    const uint8_t *at = pdu + DV_PDU_HEAD + 68, *end = pdu + n;
    unsigned contexts = 0;

    *why = "its items do not add up to its length";
    if (n < DV_PDU_HEAD + 68) {
        *why = "it is too short";
        return false;
    }
    if (!items_add_up(at, end, false))
        return false;
    for (size_t length; at < end; at += 4 + length) {
        length = (size_t)at[2] << 8 | at[3];
        switch (at[0]) {
        case 0x10:
            if (length > 64)
                return false;
            break;
        case 0x20:
            if (++contexts > 128) {
                *why = "it proposes more than 128 presentation contexts";
                return false;
            }
            if (length < 4 || !items_add_up(at + 8, at + 4 + length, true))
                return false;
            break;
        case 0x50:
            if (!items_add_up(at + 4, at + 4 + length, false))
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}
