#include "dimse/command_internal.h"

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool dv_command_parse(const uint8_t *bytes, size_t n, dv_command *out, dv_error *err)
{
    bool has_field = false;
    size_t at = 0;

    *out = (dv_command){.data_set = DV_NO_DATA_SET, .remaining = -1, .completed = -1, .failed = -1, .warning = -1};
    while (n - at >= 8) {
        uint16_t group = u16(bytes + at), element = u16(bytes + at + 2), number = 0;
        uint32_t length = u32(bytes + at + 4);
        const uint8_t *value = bytes + at + 8;
        dv_text text = {(const char *)value, length};

        if (length > n - at - 8)
            return dv_fail(err, DV_ERR_TRUNCATED,
                           "command element (%04x,%04x) at byte %zu says %u bytes, %zu are there", group, element, at,
                           length, n - at - 8);
        at += 8 + length;
        if (group != 0)
            continue;
        if (length >= 2)
            number = u16(value);
        switch (element) {
        case 0x0100:
        case 0x0110:
        case 0x0120:
        case 0x0800:
        case 0x0900:
        case 0x1002:
        case 0x1008:
        case 0x1020:
        case 0x1021:
        case 0x1022:
        case 0x1023:
        case 0x1031:
            if (length < 2) {
                if (element == 0x0100 || element == 0x0900)
                    return dv_fail(err, DV_ERR_MALFORMED, "command element (0000,%04x) has %u bytes, a number has 2",
                                   element, length);
                continue;
            }
            break;
        default:
            break;
        }
        switch (element) {
        case 0x0002:
        case 0x0003:
            out->sop_class = text;
            break;
        case 0x0100:
            out->field = number;
            has_field = true;
            break;
        case 0x0110:
            out->message_id = number;
            break;
        case 0x0120:
            out->answers = number;
            break;
        case 0x0600:
            out->move_destination = text;
            break;
        case 0x0800:
            out->data_set = number;
            break;
        case 0x0900:
            out->status = number;
            out->has_status = true;
            break;
        case 0x0902:
            out->comment = text;
            break;
        case 0x1000:
        case 0x1001:
            out->sop_instance = text;
            break;
        case 0x1002:
        case 0x1008:
            out->type = number;
            break;
        case 0x1020:
            out->remaining = number;
            break;
        case 0x1021:
            out->completed = number;
            break;
        case 0x1022:
            out->failed = number;
            break;
        case 0x1023:
            out->warning = number;
            break;
        case 0x1030:
            out->move_originator = text;
            break;
        case 0x1031:
            out->move_message_id = number;
            break;
        default:
            break;
        }
    }
    if (at != n)
        return dv_fail(err, DV_ERR_TRUNCATED, "%zu bytes behind the last command element", n - at);
    if (!has_field)
        return dv_fail(err, DV_ERR_MALFORMED, "a command set without Command Field (0000,0100)");
    return true;
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)v);
    put16(p + 2, (uint16_t)(v >> 16));
}

/* The head of an element of N bytes, and the room for them; NULL when it does not fit. */
static uint8_t *element_at(dv_command_writer *w, uint16_t element, size_t n)
{
    uint8_t *p = w->bytes + w->len;

    if (n > sizeof w->bytes - 8 || w->len > sizeof w->bytes - 8 - n) {
        w->full = true;
        return NULL;
    }
    put16(p, 0);
    put16(p + 2, element);
    put32(p + 4, (uint32_t)n);
    w->len += 8 + n;
    return p + 8;
}

void dv_command_begin(dv_command_writer *w)
{
    uint8_t *p;

    w->len = 0;
    w->full = false;
    p = element_at(w, 0x0000, 4);
    put32(p, 0);
}

void dv_command_u16(dv_command_writer *w, uint16_t element, uint16_t value)
{
    uint8_t *p = element_at(w, element, 2);

    if (p)
        put16(p, value);
}

void dv_command_text(dv_command_writer *w, uint16_t element, dv_text value, char pad)
{
    uint8_t *p;

    if (!value.at)
        return;
    p = element_at(w, element, value.len + value.len % 2);
    if (!p)
        return;
    if (value.len)
        memcpy(p, value.at, value.len);
    if (value.len % 2)
        p[value.len] = (uint8_t)pad;
}

void dv_command_end(dv_command_writer *w)
{
    put32(w->bytes + 8, (uint32_t)(w->len - 12));
}
