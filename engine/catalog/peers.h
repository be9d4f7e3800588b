/* peers.h: the table of remote AEs (M05). A peer is named by its slug, which never changes. */
#ifndef DV_CATALOG_PEERS_H
#define DV_CATALOG_PEERS_H

#include "catalog/catalog.h"

typedef struct dv_peer {
    int64_t id;
    dv_text slug, label, aet, host;
    int port;
    dv_text direction; /* SourceOnly DestinationOnly Both */
    bool enabled;
    dv_text sop_classes, transfer_syntaxes; /* allow-lists, UIDs separated by '\', empty: all */
    int max_associations;                   /* outbound, 0: the host's limit only */
    dv_text settings; /* JSON object of quirks: find_timeout_s, quiet_ms, charset, warn_on_change, tls ... */
} dv_peer;

/* By slug, in ARENA; *FOUND false and OUT untouched when there is none. */
bool dv_peer_get(dv_db *db, dv_text slug, dv_arena *arena, dv_peer *out, bool *found, dv_error *err);
/* The enabled peer, of whatever direction, that AET and HOST_IS (is its host the caller's address?) name; a source before a mere destination. */
bool dv_peer_calling(dv_db *db, dv_text aet, bool (*host_is)(void *user, const char *host), void *user, dv_arena *arena,
                     dv_peer *out, bool *found, dv_error *err);
/* By calling AE title and address: the enabled source whose AE title is AET and whose host is ADDRESS (or resolves to it). */
bool dv_peer_by_aet(dv_db *db, dv_text aet, dv_arena *arena, dv_peer *out, bool *found, dv_error *err);
bool dv_peer_list(dv_db *db, dv_arena *arena, dv_peer **out, size_t *count, dv_error *err);
/* Adds (id 0) or changes; inside a WORK. Values are checked: slug [a-z0-9_-]{1,32}i, AE title 1 to 16 characters without backslash, port 1
 * to 65535, direction. DV_ERR_VALUE names the wrong one. */
bool dv_peer_save(dv_db *db, const dv_peer *peer, int64_t *id, dv_error *err);
bool dv_peer_remove(dv_db *db, dv_text slug, dv_error *err);

/* What a probe of SLUG found last (JSON) and when; *AT 0: never probed. */
bool dv_probe_save(dv_db *db, dv_text slug, dv_text result, dv_error *err);
bool dv_probe_get(dv_db *db, dv_text slug, dv_arena *arena, dv_text *result, int64_t *at, dv_error *err);

/* How we call a peer: its settings tls (true: by TLS), tls_ca, tls_cert, tls_key (files; absent: ours, of the configuration), tls_insecure. */
typedef struct dv_peer_tls {
    bool on, insecure;
    const char *certificate, *key, *ca; /* NULL: not said */
} dv_peer_tls;

/* Of SETTINGS, strings in ARENA. VALUE: one has the wrong type. */
bool dv_peer_tls_of(dv_text settings, dv_arena *arena, dv_peer_tls *out, dv_error *err);

#endif
