#include "dimse/tls.h"
#include "dimse/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dv_tls {
    SSL_CTX *context;
    bool server, insecure;
};

struct dv_tls_session {
    SSL *ssl;
    short wants;
    bool server, done;
    char name[256];
    char why[400];
};

/* RFC 9325 4.2, the suites that PS3.15 B.12 requires first; TLS 1.3 has its own, all of them good. */
static const char suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                             "ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384";

/* ---- contexts ---- */

static bool given(const char *text)
{
    return text && *text;
}

/* OpenSSL's first complaint, the nearest to the cause; its queue is empty afterwards. */
static bool complain(dv_error *err, const char *what, const char *file)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    char text[120];

    snprintf(text, sizeof text, "%s",
             ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
             : reason               ? reason
                                    : "unknown");
    ERR_clear_error();
    return dv_fail(err, DV_ERR_CONFIG, "TLS: cannot use the %s %s: %s", what, file, text);
}

static bool load(dv_tls *t, const dv_tls_files *f, dv_error *err)
{
    if (given(f->certificate)) {
        const char *key = given(f->key) ? f->key : f->certificate;

        if (SSL_CTX_use_certificate_chain_file(t->context, f->certificate) != 1)
            return complain(err, "certificate", f->certificate);
        if (SSL_CTX_use_PrivateKey_file(t->context, key, SSL_FILETYPE_PEM) != 1)
            return complain(err, "key", key);
    }
    if (given(f->ca)) {
        if (SSL_CTX_load_verify_locations(t->context, f->ca, NULL) != 1)
            return complain(err, "file of authorities", f->ca);
        if (t->server)
            SSL_CTX_set_client_CA_list(t->context, SSL_load_client_CA_file(f->ca));
    } else if (!t->server) {
        (void)SSL_CTX_set_default_verify_paths(t->context);
    }
    return true;
}

static dv_tls *make(const dv_tls_files *f, bool server, int verify, dv_error *err)
{
    dv_tls *t = calloc(1, sizeof *t);

    ERR_clear_error();
    if (t)
        t->context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!t || !t->context || SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(t->context, suites) != 1) {
        dv_fail(err, DV_ERR_MEMORY, "no memory for a TLS context");
        dv_tls_free(t);
        return NULL;
    }
    t->server = server;
    (void)SSL_CTX_set_options(t->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                              SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(t->context, 0);
    (void)SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(t->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                           SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_dh_auto(t->context, 1);
    SSL_CTX_set_verify(t->context, verify, NULL);
    if (!load(t, f, err)) {
        dv_tls_free(t);
        return NULL;
    }
    return t;
}

bool dv_tls_clients_of(const char *name, dv_tls_clients *out)
{
    static const char *const names[] = {
        [DV_TLS_REQUIRE] = "require", [DV_TLS_CHECK] = "check", [DV_TLS_IGNORE] = "ignore"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (dv_tls_clients)i;
            return true;
        }
    return false;
}

dv_tls *dv_tls_server(const dv_tls_files *f, dv_tls_clients clients, dv_error *err)
{
    static const int verify[] = {[DV_TLS_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                                 [DV_TLS_CHECK] = SSL_VERIFY_PEER,
                                 [DV_TLS_IGNORE] = SSL_VERIFY_NONE};

    if (!given(f->certificate)) {
        dv_fail(err, DV_ERR_CONFIG, "TLS: a listener needs a certificate and its key (dimse.tls_cert, dimse.tls_key)");
        return NULL;
    }
    if (clients != DV_TLS_IGNORE && !given(f->ca)) {
        dv_fail(err, DV_ERR_CONFIG,
                "TLS: to check clients' certificates it must be said who signs them (dimse.tls_ca), or "
                "dimse.tls_clients be 'ignore'");
        return NULL;
    }
    return make(f, true, verify[clients], err);
}

dv_tls *dv_tls_client(const dv_tls_files *f, bool insecure, dv_error *err)
{
    dv_tls *t = make(f, false, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, err);

    if (t)
        t->insecure = insecure;
    return t;
}

void dv_tls_free(dv_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

/* ---- a connection ---- */

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool expect(dv_tls_session *s, const dv_tls *t)
{
    if (is_address(s->name)) /* SNI is for names only (RFC 6066 3) */
        return t->insecure || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), s->name) == 1;
    SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(s->ssl, s->name) == 1 && (t->insecure || SSL_set1_host(s->ssl, s->name) == 1);
}

dv_tls_session *dv_tls_open(const dv_tls *t, int fd, const char *name)
{
    dv_tls_session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->ssl = SSL_new(t->context);
    s->server = t->server;
    s->wants = POLLIN;
    snprintf(s->name, sizeof s->name, "%s", name ? name : "");
    if (!s->ssl || SSL_set_fd(s->ssl, fd) != 1 || (!t->server && !expect(s, t))) {
        ERR_clear_error();
        SSL_free(s->ssl);
        free(s);
        return NULL;
    }
    if (t->server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    return s;
}

static const char *certificate_trouble(long verdict)
{
    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "is not valid yet; is this machine's clock right?";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "is for another host";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "is signed by an authority that is not known here";
    case X509_V_ERR_INVALID_PURPOSE:
        return "is not meant for this use";
    default:
        return X509_verify_cert_error_string(verdict);
    }
}

/* What the peer or OpenSSL said, in words for an administrator. */
static const char *protocol_trouble(unsigned long code)
{
    static const struct {
        int reason;
        const char *text;
    } list[] = {
        {SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS on this port"},
        {SSL_R_HTTP_REQUEST, "the peer speaks HTTP"},
        {SSL_R_UNSUPPORTED_PROTOCOL, "the peer offers only TLS versions below 1.2"},
        {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the peer and we have no TLS version in common (we take 1.2 and 1.3)"},
        {SSL_R_NO_SHARED_CIPHER, "the peer offers no cipher suite of the BCP 195 profile"},
        {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
         "the peer accepts none of our cipher suites, or wants a certificate of ours (dimse.tls_cert)"},
        {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the peer showed no certificate (dimse.tls_clients asks for one)"},
        {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the peer wants a certificate of ours (dimse.tls_cert)"},
        {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the peer does not know the authority of our certificate"},
        {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the peer refuses our certificate"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the peer refuses our certificate"},
        {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "the peer refuses our kind of certificate"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "our certificate has expired, says the peer"},
    };

    if (ERR_GET_LIB(code) == ERR_LIB_SSL)
        for (size_t i = 0; i < sizeof list / sizeof *list; i++)
            if (ERR_GET_REASON(code) == list[i].reason)
                return list[i].text;
    return NULL;
}

static void explain(dv_tls_session *s)
{
    long verdict = SSL_get_verify_result(s->ssl);
    unsigned long code = ERR_peek_error();
    const char *known = protocol_trouble(code), *reason = ERR_reason_error_string(code);

    if (verdict != X509_V_OK && !s->done && code && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        bool other = verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;

        snprintf(s->why, sizeof s->why, "TLS: the peer's certificate %s%s%s", certificate_trouble(verdict),
                 other ? " than " : "", other ? s->name : "");
    } else {
        snprintf(s->why, sizeof s->why, "TLS: %s", known ? known : reason ? reason : "the handshake failed");
    }
}

/* What OpenSSL's answer N means to a caller who thinks in recv's terms. */
static ssize_t outcome(dv_tls_session *s, int n)
{
    int error = errno;

    if (n > 0)
        return n;
    switch (SSL_get_error(s->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        s->wants = POLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        s->wants = POLLOUT;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        if (error == 0)
            return 0;
        errno = error;
        return -1;
    default:
        /* DICOM's own framing tells a whole message from a cut one: an end without a goodbye is an end. */
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return 0;
        }
        explain(s);
        ERR_clear_error();
        errno = EPROTO;
        return -1;
    }
}

int dv_tls_handshake(dv_tls_session *s)
{
    ssize_t n;

    ERR_clear_error();
    errno = 0;
    n = outcome(s, SSL_do_handshake(s->ssl));
    if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE))) {
        snprintf(s->why, sizeof s->why,
                 "TLS: the peer closed the connection in the handshake; does it speak TLS on this port?");
        errno = EPROTO;
        return -1;
    }
    s->done = n > 0;
    return n > 0 ? 1 : -1;
}

static int clamp(size_t n)
{
    return n > 1 << 30 ? 1 << 30 : (int)n;
}

ssize_t dv_tls_read(dv_tls_session *s, void *bytes, size_t n)
{
    ERR_clear_error();
    errno = 0;
    return outcome(s, SSL_read(s->ssl, bytes, clamp(n)));
}

ssize_t dv_tls_write(dv_tls_session *s, const void *bytes, size_t n)
{
    ssize_t sent;

    ERR_clear_error();
    errno = 0;
    sent = outcome(s, SSL_write(s->ssl, bytes, clamp(n)));
    if (sent == 0)
        errno = EPIPE;
    return sent > 0 ? sent : -1;
}

short dv_tls_wants(const dv_tls_session *s)
{
    return s->wants;
}

const char *dv_tls_why(const dv_tls_session *s)
{
    return s->why;
}

void dv_tls_moved(dv_tls_session *s, int fd)
{
    (void)BIO_set_fd(SSL_get_rbio(s->ssl), fd, BIO_NOCLOSE); /* one BIO reads and writes */
}

void dv_tls_close(dv_tls_session *s, bool polite)
{
    if (!s)
        return;
    if (polite && s->done)
        (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
    SSL_free(s->ssl);
    free(s);
}
