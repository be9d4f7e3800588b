/* tls.h: DICOM over TLS (PS3.15 B.12, B.13: the BCP 195 profiles), by OpenSSL.
 *
 *   ours to listen with    dv_tls_server -> dv_scp_listener.tls
 *   ours to call with      dv_tls_client -> dv_target.tls
 *
 * Profile   TLS 1.2 and 1.3, forward secrecy and AEAD only: the non-downgrading profile. No renegotiation, no tickets.
 * Names     a client checks that the certificate is for the host (a name or an address) it called, without partial
 *           wildcards; the host name is sent as SNI.
 * Files     PEM; read when the context is made, so a renewed certificate counts from the next one on.
 * Threads   a dv_tls may serve many connections at once; free it after the last. */
#ifndef DV_DIMSE_TLS_H
#define DV_DIMSE_TLS_H

#include "base/error.h"

typedef struct dv_tls dv_tls;

/* NULL or "" is absent. */
typedef struct dv_tls_files {
    const char *certificate; /* ours, with the chain behind it; a server needs it */
    const char *key;         /* of the certificate; absent: in the same file */
    const char *ca; /* who may sign the other's certificate; absent: the system's authorities (a client only) */
} dv_tls_files;

typedef enum dv_tls_clients { DV_TLS_REQUIRE, DV_TLS_CHECK, DV_TLS_IGNORE } dv_tls_clients;

/* "require": no certificate, no association; "check": one that is shown must be good; "ignore": none is asked for. */
bool dv_tls_clients_of(const char *name, dv_tls_clients *out);
/* NULL: CONFIG, with the file and what is wrong with it. */
dv_tls *dv_tls_server(const dv_tls_files *files, dv_tls_clients clients, dv_error *err);
/* INSECURE takes any certificate (laboratory). */
dv_tls *dv_tls_client(const dv_tls_files *files, bool insecure, dv_error *err);
void dv_tls_free(dv_tls *tls);

#endif
