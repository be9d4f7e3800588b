#include "catalog/peer_settings.h"

#include "base/text.h"

#include <stdio.h>

const dv_peer_setting dv_peer_settings[] = {
#define DV_PEER_SETTING(name, kind, otherwise, min, max, help) {#name, DV_PEER_KIND_##kind, otherwise, min, max, help},
#include "catalog/peer_settings.def"
#undef DV_PEER_SETTING
    {0}};

static bool is_word_of(const char *words, const char *word)
{
    for (dv_text rest = dv_text_of(words); rest.at;)
        if (dv_text_is(dv_text_split(rest, ' ', &rest), word))
            return true;
    return false;
}

static bool check(const dv_peer_setting *s, const cJSON *v, dv_error *err)
{
    switch (s->kind) {
    case DV_PEER_KIND_int:
        return (cJSON_IsNumber(v) && v->valuedouble >= s->min && v->valuedouble <= s->max &&
                v->valuedouble == (double)(int64_t)v->valuedouble) ||
               dv_fail(err, DV_ERR_VALUE, "the peer setting %s is a whole number from %d to %d", s->name, s->min,
                       s->max);
    case DV_PEER_KIND_bool:
        return cJSON_IsBool(v) || dv_fail(err, DV_ERR_VALUE, "the peer setting %s is true or false", s->name);
    case DV_PEER_KIND_text:
        return cJSON_IsString(v) || dv_fail(err, DV_ERR_VALUE, "the peer setting %s is a text", s->name);
    case DV_PEER_KIND_file:
        return (cJSON_IsString(v) && v->valuestring[0]) ||
               dv_fail(err, DV_ERR_VALUE, "the peer setting %s is the path of a PEM file", s->name);
    case DV_PEER_KIND_choice:
        break;
    }
    return (cJSON_IsString(v) && v->valuestring[0] && is_word_of(s->otherwise, v->valuestring)) ||
           dv_fail(err, DV_ERR_VALUE, "the peer setting %s is '%s'; it is one of: %s", s->name,
                   cJSON_IsString(v) ? v->valuestring : "no text", s->otherwise);
}

static bool unknown(const char *name, dv_error *err)
{
    char list[400];
    size_t n = 0;
    for (const dv_peer_setting *s = dv_peer_settings; s->name && n < sizeof list; s++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? " " : "", s->name);
    return dv_fail(err, DV_ERR_VALUE, "there is no peer setting '%.60s'; there are: %s", name, list);
}

bool dv_peer_settings_check(const cJSON *settings, dv_error *err)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, settings)
    {
        const dv_peer_setting *s = dv_peer_settings;
        while (s->name && strcmp(s->name, v->string) != 0)
            s++;
        if (!s->name)
            return unknown(v->string, err);
        if (!check(s, v, err))
            return false;
    }
    return true;
}
