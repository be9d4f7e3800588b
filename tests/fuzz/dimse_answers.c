/* What a peer may answer: to an association request, a C-ECHO, C-FIND, C-MOVE or C-STORE of ours. The first byte: bits 0 and 1 which, bit 2
 * whether the A-ASSOCIATE-AC is the input's too, bit 3 how many answers we want. An answer's identifier is opened as the migration does. */
#include "dimse_peer.h"

#include "base/log.h"
#include "dicom/write.h"
#include "dimse/connect_internal.h"
#include "dimse/scp.h"
#include "dimse/scu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int connected;

/* In place of connect.c. */
int dv_connect(const char *host, uint16_t port, int ms, const atomic_bool *cancel, dv_error *err)
{
    (void)host, (void)port, (void)ms, (void)cancel, (void)err;
    return connected;
}

static bool look(void *user, dv_text identifier)
{
    static const dv_tag tags[] = {DV_StudyInstanceUID, DV_PatientName, DV_PatientID, DV_AccessionNumber, DV_SpecificCharacterSet};
    int *wanted = user;
    dv_arena arena;
    dv_arena_init(&arena, 0);
    dv_index *ix = dv_arena_zalloc(&arena, 1, sizeof *ix);
    dv_dataset *ds;
    if (dv_index_all(ix, &arena, dv_syntax_encoding(DV_TEXT(DV_UID_EXPLICIT_LE)), (const uint8_t *)identifier.at, identifier.len, NULL) &&
        (ds = dv_dataset_open(&arena, ix, NULL)))
        for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
            if (dv_dataset_text(ds, tags[i]).len > identifier.len * 4)
                abort();
    dv_arena_free(&arena);
    return --*wanted > 0;
}

static ptrdiff_t piece(void *user, void *buf, size_t size, dv_error *err)
{
    size_t *left = user, n = *left < size ? *left : size;
    (void)err;
    memset(buf, 0, n);
    *left -= n;
    return (ptrdiff_t)n;
}

static void operate(dv_association *a, int what, int wanted)
{
    static const char query[] = "\x08\0\x52\0CS\x06\0STUDY ";
    const dv_text q = {query, sizeof query - 1};
    dv_error err;
    dv_arena arena;
    dv_move_result moved;
    uint16_t status;
    size_t left = 300;
    dv_arena_init(&arena, 0);
    switch (what) {
    case 0: dv_echo(a, &err); break;
    case 1: dv_find(a, DV_SOP_STUDY_FIND, q, look, &wanted, &err); break;
    case 2: dv_move(a, DV_SOP_STUDY_MOVE, "DROVER", q, &arena, NULL, NULL, &moved, &err); break;
    default: dv_store_send(a, DV_TEXT(FUZZ_CT), DV_TEXT("1.2.3"), DV_TEXT(DV_UID_EXPLICIT_LE), piece, &left, &status, &err); break;
    }
    dv_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const classes[] = {DV_SOP_VERIFICATION, DV_SOP_STUDY_FIND, DV_SOP_STUDY_MOVE, FUZZ_CT};
    static const char *const syntaxes[] = {DV_UID_EXPLICIT_LE, DV_UID_EXPLICIT_LE, DV_UID_EXPLICIT_LE, DV_UID_EXPLICIT_LE};
    static const dv_target to = {.host = "peer", .port = 104, .calling = "DROVER", .called = "PEER", .answer_ms = 2000};
    static wire_text w;
    static bool set_up;
    static uint8_t said[PEER_MOST];
    dv_context_offer offers[4];
    dv_error err;
    int theirs;
    if (size < 1 || size > 60000)
        return 0;
    if (!set_up) {
        if (!dv_dimse_setup(&err))
            abort();
        dv_log_setup(nowhere(), false, DV_LOG_ERROR);
        set_up = true;
    }
        for (int i = 0; i < 4; i++)
        offers[i] = (dv_context_offer){.sop_class = classes[i], .syntaxes = {DV_UID_EXPLICIT_LE}};
    w.n = 0;
    if (!(data[0] & 4))
        put_associate(&w, 2, classes, syntaxes, 4);
    put(&w, data + 1, size - 1);
    connected = begin_peer(w.at, w.n, &theirs);
    dv_association *a = dv_associate(&to, offers, 4, &err);
    if (a)
        operate(a, data[0] & 3, data[0] & 8 ? 1 : 1000);
    dv_release(a);
    if (end_peer(theirs, said, sizeof said) < 6 || said[0] != 1)
        abort(); /* our request came first */
    return 0;
}
