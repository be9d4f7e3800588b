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

static size_t number(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

/* Items of type, reserved byte, 16-bit length from AT to END. */
static bool items_add_up(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        if (end - at < 4 || number(at + 2) > (size_t)(end - at) - 4)
            return false;
        at += 4 + number(at + 2);
    }
    return true;
}

static bool is_uid(const uint8_t *at, size_t n)
{
    return n > 0 && n <= 64 && at[0] != 0;
}

/* The items of a presentation context: a class and syntaxes. One without leaks its neighbours in DCMTK. */
static bool context_adds_up(const uint8_t *at, const uint8_t *end)
{
    bool class = false, syntax = false;

    if (!items_add_up(at, end))
        return false;
    for (; at < end; at += 4 + number(at + 2)) {
        if (number(at + 2) > 64 || ((at[0] == 0x30 || at[0] == 0x40) && !is_uid(at + 4, number(at + 2))))
            return false;
        class |= at[0] == 0x30;
        syntax |= at[0] == 0x40;
    }
    return class && syntax;
}

/* Role selection and extended negotiation (PS3.7 D.3.3.4, D.3.3.5) have a UID with a length of its own. */
static bool user_adds_up(const uint8_t *at, const uint8_t *end)
{
    if (!items_add_up(at, end))
        return false;
    for (; at < end; at += 4 + number(at + 2)) {
        size_t length = number(at + 2), fixed = at[0] == 0x54 ? 4 : 2;

        if ((at[0] == 0x54 || at[0] == 0x56) &&
            (length < fixed || number(at + 4) > length - fixed || !is_uid(at + 6, number(at + 4))))
            return false;
    }
    return true;
}

/* PS3.5 6.2: sixteen blanks are no AE title. */
static bool is_title(const uint8_t *at)
{
    size_t i = 0;

    while (i < 16 && at[i] == ' ')
        i++;
    return i < 16 && at[i] != 0;
}

/* A context of an answer: one that was refused may have no syntax (PS3.8 table 9-18); some peers send the class back. */
static bool answer_adds_up(const uint8_t *at, size_t length)
{
    const uint8_t *end = at + length, *item = at + 4;
    bool refused = length >= 4 && at[2] != 0, class = false, syntax = false;

    if (length < 4 || !items_add_up(item, end))
        return false;
    for (; item < end; item += 4 + number(item + 2)) {
        bool *had = item[0] == 0x30 ? &class : item[0] == 0x40 ? &syntax : NULL;

        if (!had || *had || number(item + 2) > 64 || (!refused && !is_uid(item + 4, number(item + 2))))
            return false;
        *had = true;
    }
    return refused || syntax;
}

/* One item of an A-ASSOCIATE-RQ, or of an -AC (ANSWER). */
static bool item_adds_up(const uint8_t *at, bool answer, unsigned *contexts, const char **why)
{
    size_t length = number(at + 2);

    switch (at[0]) {
    case 0x10:
        return is_uid(at + 4, length);
    case 0x20:
    case 0x21:
        if ((at[0] == 0x21) != answer) {
            *why = answer ? "it has an item of a request" : "it has an item of an answer";
            return false;
        }
        if (++*contexts > 128) {
            *why = "it has more than 128 presentation contexts";
            return false;
        }
        if (answer)
            return answer_adds_up(at + 4, length);
        if (length >= 4 && context_adds_up(at + 8, at + 4 + length))
            return true;
        *why = "a presentation context has no class or no transfer syntax";
        return false;
    case 0x50:
        return user_adds_up(at + 4, at + 4 + length);
    default:
        return true;
    }
}

bool dv_associate_check(const uint8_t *pdu, size_t n, const char **why)
{
    const uint8_t *at = pdu + DV_PDU_HEAD + 68, *end = pdu + n;
    unsigned contexts = 0;
    bool application = false, answer = n > 0 && pdu[0] == 2;

    *why = "its items do not add up to its length";
    if (n < DV_PDU_HEAD + 68) {
        *why = "it is too short";
        return false;
    }
    if (!answer && (!is_title(pdu + DV_PDU_HEAD + 4) || !is_title(pdu + DV_PDU_HEAD + 20))) {
        *why = "its calling or called AE title is blank";
        return false;
    }
    if (!items_add_up(at, end))
        return false;
    for (; at < end; at += 4 + number(at + 2)) {
        if (!item_adds_up(at, answer, &contexts, why))
            return false;
        application |= at[0] == 0x10;
    }
    if (!application && !answer)
        *why = "it names no application context";
    return application || answer;
}
