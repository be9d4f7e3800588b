#include "dimse/scp.h"

#include <string.h>

static const char example[] = "as in \"2762 DROVER tls; 10.0.0.5:11113 ARCHIVE\"";

/* "PORT", "HOST:PORT" or "[IPv6]:PORT". */
static bool place_of(dv_text t, dv_arena *arena, dv_scp_listener *out)
{
    dv_text port = t;
    uint32_t number = 0;

    for (size_t i = t.len; i > 0; i--)
        if (t.at[i - 1] == ':') {
            dv_text host = {t.at, i - 1};

            port = (dv_text){t.at + i, t.len - i};
            if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
                host = (dv_text){host.at + 1, host.len - 2};
            out->host = host.len ? dv_arena_string(arena, host) : NULL;
            if (!out->host)
                return false;
            break;
        }
    for (size_t i = 0; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9' || number > 65535)
            return false;
        number = number * 10 + (uint32_t)(port.at[i] - '0');
    }
    out->port = (uint16_t)number;
    return port.len > 0 && number <= 65535;
}

static bool says_tls(dv_text *rest)
{
    dv_text t = dv_text_trim(*rest);
    bool yes = t.len > 4 && memcmp(t.at + t.len - 4, " tls", 4) == 0;

    *rest = yes ? dv_text_trim((dv_text){t.at, t.len - 4}) : t;
    return yes;
}

bool dv_scp_listeners_of(const char *text, const dv_tls *secure, dv_arena *arena, dv_scp_listener *out, size_t *count,
                         dv_error *err)
{
    *count = 0;
    for (dv_text rest = dv_text_of(text); rest.at;) {
        dv_text one = dv_text_trim(dv_text_split(rest, ';', &rest)), aet = {0};
        dv_scp_listener l = {0};

        if (one.len == 0)
            continue;
        if (*count == DV_MAX_LISTENERS)
            return dv_fail(err, DV_ERR_CONFIG, "dimse.listeners names more than %d listeners", DV_MAX_LISTENERS);
        if (!place_of(dv_text_split(one, ' ', &aet), arena, &l))
            return dv_fail(err, DV_ERR_CONFIG,
                           "dimse.listeners: '%.*s' does not begin with a port or host:port; write it %s", DV_ARG(one),
                           example);
        aet = dv_text_trim(aet.at ? aet : DV_TEXT(""));
        if (says_tls(&aet))
            l.tls = secure;
        if (aet.len < 1 || aet.len > 16 || dv_text_is(aet, "tls"))
            return dv_fail(err, DV_ERR_CONFIG,
                           "dimse.listeners: '%.*s' has no AE title of 1 to 16 characters; write it %s", DV_ARG(one),
                           example);
        l.aet = dv_arena_string(arena, aet);
        if (!l.aet)
            return dv_fail(err, DV_ERR_MEMORY, "no memory for the listeners");
        out[(*count)++] = l;
    }
    return true;
}

bool dv_scp_listeners_need_tls(const char *text)
{
    for (dv_text rest = dv_text_of(text); rest.at;) {
        dv_text one = dv_text_trim(dv_text_split(rest, ';', &rest));

        if (says_tls(&one))
            return true;
    }
    return false;
}
