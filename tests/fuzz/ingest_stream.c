/* What a peer may send once it is associated, through the server's own code into the intake, the rules, the store and the catalog.
 * First byte, even: the rest is PDUs as they are. Odd: the rest is a data set, sent in right PDUs as a C-STORE; bits 1 and 2 say in which
 * syntax, the bits above in pieces of which size. Then the answer is success: what is bad is kept too, and never lost. */
#include "dimse_peer.h"

#define dv_arrival dv_socket_arrival /* ingest.h has another */
#include "dimse/scp.c"               /* its visit, without a thread */
#undef dv_arrival

#include "base/file.h"
#include "ingest/receiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROUND = 2000 }; /* instances in one data directory */

static const char *const classes[] = {FUZZ_CT, FUZZ_CT, FUZZ_CT, FUZZ_CT, DV_SOP_VERIFICATION};
static const char *const syntaxes[] = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
                                       "1.2.840.10008.1.2"};

static struct {
    char folder[64];
    dv_store *store;
    dv_catalog *catalog;
    dv_rules *rules;
    dv_ingest *ingest;
    dv_receiver *receiver;
    dv_scp *scp;
    int instances;
} site;

static void must(bool ok, const dv_error *err)
{
    if (!ok) {
        fprintf(stderr, "%s\n", err->message);
        abort();
    }
}

static void close_site(void)
{
    if (!site.scp)
        return;
    dispose(site.scp);
    dv_receiver_free(site.receiver);
    dv_ingest_free(site.ingest);
    dv_rules_close(site.rules);
    dv_catalog_close(site.catalog);
    dv_store_close(site.store);
    dv_remove_tree(site.folder, NULL);
    memset(&site, 0, sizeof site);
}

static void open_site(void)
{
    dv_error err;
    char path[128], share[4096];
    snprintf(site.folder, sizeof site.folder, "/dev/shm/drover-fuzz-XXXXXX");
    if (!mkdtemp(site.folder))
        abort();
    must((site.store = dv_store_open(site.folder, &err)) != NULL, &err);
    snprintf(path, sizeof path, "%s/catalog.db", site.folder);
    must((site.catalog = dv_catalog_open(path, &err)) != NULL, &err);
    must(dv_share_dir(share, sizeof share, &err), &err);
    must((site.rules = dv_rules_open(&(dv_rules_options){.share = share, .states = 1, .time_limit_ms = 5000}, &err)) != NULL, &err);
    must((site.ingest = dv_ingest_new(site.store, site.catalog, site.rules, &err)) != NULL, &err);
    must((site.receiver = dv_receiver_new(&(dv_receiver_options){.ingest = site.ingest, .store = site.store, .catalog = site.catalog,
                                                                 .aet = "DROVER", .allow_any = true}, &err)) != NULL, &err);
    dv_scp_callbacks on = dv_receiver_callbacks(site.receiver);
    site.scp = make(&(dv_scp_options){.pdu_ms = 2000, .idle_ms = 2000}, &on);
    if (!site.scp)
        abort();
}

static void put_store(wire_text *w, int context, dv_text dataset, size_t piece)
{
    dv_command_writer c;
    char uid[40];
    snprintf(uid, sizeof uid, "1.2.3.%d", site.instances);
    dv_command_begin(&c);
    dv_command_text(&c, 0x0002, dv_text_of(FUZZ_CT), '\0');
    dv_command_u16(&c, 0x0100, DV_C_STORE_RQ);
    dv_command_u16(&c, 0x0110, 1);
    dv_command_u16(&c, 0x0700, 0);
    dv_command_u16(&c, 0x0800, 1);
    dv_command_text(&c, 0x1000, dv_text_of(uid), '\0');
    dv_command_end(&c);
    put_pdv(w, context, 3, c.bytes, c.len);
    for (size_t at = 0; at == 0 || at < dataset.len; at += piece) {
        size_t n = dataset.len - at < piece ? dataset.len - at : piece;
        put_pdv(w, context, at + n == dataset.len ? 2 : 0, dataset.at + at, n);
    }
}

/* The answer to a C-STORE in what we sent, behind the A-ASSOCIATE-AC: success. */
static void check_answer(const uint8_t *said, size_t n)
{
    dv_command c;
    dv_error err;
    size_t ac = n < 6 ? n : 6 + ((size_t)said[4] << 8 | said[5]);
    if (n < ac + 12 || said[0] != 2 || said[ac] != 4)
        abort();
    size_t pdv = (size_t)said[ac + 8] << 8 | said[ac + 9];
    if (ac + 10 + pdv > n || !dv_command_parse(said + ac + 12, pdv - 2, &c, &err) || c.field != (DV_C_STORE_RQ | DV_RESPONSE))
        abort();
    if (c.status != 0) {
        fprintf(stderr, "status %04x: %.*s\n", c.status, DV_ARG(c.comment));
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static wire_text w;
    static uint8_t said[PEER_MOST];
    int theirs;
    if (size < 1 || size > 60000)
        return 0;
    if (!site.scp) {
        dv_error err;
        must(dv_dimse_setup(&err), &err);
        dv_log_setup(nowhere(), false, DV_LOG_ERROR);
        open_site();
        atexit(close_site);
    }
    bool framed = data[0] & 1;
    w.n = 0;
    put_associate(&w, 1, classes, syntaxes, sizeof classes / sizeof *classes);
    size_t first = w.n;
    if (framed)
        put_store(&w, 1 + (data[0] & 6), (dv_text){(const char *)data + 1, size - 1}, (size_t)64 << 2 * (data[0] >> 5));
    else
        put(&w, data + 1, size - 1);
    uint8_t *rq = malloc(first);
    memcpy(rq, w.at, first);
    visit v = {.scp = site.scp,
               .arrival = {.fd = begin_peer(w.at + first, w.n - first, &theirs), .first = rq, .n = first, .address = "127.0.0.1"}};
    serve(&v);
    size_t n = end_peer(theirs, said, sizeof said);
    if (framed)
        check_answer(said, n);
    if (++site.instances % ROUND == 0) {
        close_site();
        open_site();
    }
    return 0;
}
