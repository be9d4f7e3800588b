/* Any text as a site's rule file, beside the shipped ones: it loads or is refused with its name and a reason; what loads has its tests run
 * and is run over a dataset. */
#include "base/file.h"
#include "rules/generation.h"
#include "rules/harness.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char dataset[] = "\x08\0\x50\0SH\x04\0A123"
                              "\x08\0\x60\0CS\x02\0CT"
                              "\x10\0\x10\0PN\x08\0DOE^JOHN"
                              "\x10\0\x20\0LO\x04\0P 1 "
                              "\x20\0\x0d\0UI\x08\0001.2.3.4\0";

static const dv_rule_set *shipped(void)
{
    static dv_rule_set *set;
    char share[4096];
    dv_error err;
    if (!set && !(dv_share_dir(share, sizeof share, &err) && (set = dv_rule_set_read(share, NULL, &err)))) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return set;
}

static void run(dv_state *state)
{
    static const dv_context ctx = {.origin = {"GE_MAIN", "GE", "DROVER", "127.0.0.1", "dimse"}};
    int passed, failed;
    dv_arena arena;
    dv_error err;
    dv_buffer out = {0};
    dv_harness_test_all(state->L, NULL, &passed, &failed);
    dv_arena_init(&arena, 0);
    dv_index *ix = dv_arena_zalloc(&arena, 1, sizeof *ix);
    dv_dataset *ds;
    if (!dv_index_all(ix, &arena, (dv_encoding){0}, (const uint8_t *)dataset, sizeof dataset - 1, &err) ||
        !(ds = dv_dataset_open(&arena, ix, &err)))
        abort();
    dv_harness_explain(state->L, ds, &ctx, &arena, true, &out, &err);
    dv_buffer_free(&out);
    dv_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dv_rule_set *base = shipped();
    dv_error err = {0};
    dv_rule_set *set = dv_rule_set_new();
    bool ok = set != NULL;
    for (size_t i = 0; ok && i < base->count; i++)
        if (base->files[i].origin == DV_RULE_SCRIPT)
            ok = dv_rule_set_add(set, base->files[i].path, base->files[i].text, &err);
    ok = ok && dv_rule_set_add(set, "rules/fuzz.lua", (dv_text){(const char *)data, size}, &err) && dv_rule_set_seal(set, &err);
    dv_state *state = ok ? dv_state_new(set, &(dv_sandbox_limits){.time_ms = 200, .memory = 4 << 20}, NULL, &err) : NULL;
    if (state)
        run(state);
    else if (err.code == DV_ERR_NONE || !strstr(err.message, "fuzz.lua"))
        abort();
    if (state)
        dv_state_free(state);
    dv_rule_set_free(set);
    return 0;
}
