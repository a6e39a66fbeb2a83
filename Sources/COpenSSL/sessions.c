// Sessions of clients that showed certificates: a session that goes on says again what was said of them when it began. So it is
// good as long as they are. A ticket carries the client's own certificate only, and not when those above it end: that is
// written beside it, inside what the ticket's key seals.
#include "COpenSSL.h"
#include "internal.h"

#include <string.h>
#include <time.h>

struct claim {
    int64_t since; // of the handshake in full, seconds since 1970
    int64_t until; // the first end of a certificate of the chain that was accepted
};

static int64_t now_of(const struct sluice_server *server) { return (int64_t)time(NULL) + server->clock_ahead; }

// When the first certificate of the chain ends. A client whose certificate was not accepted has nothing to lose.
static int64_t first_end(SSL *ssl) {
    int64_t now = (int64_t)time(NULL), first = INT64_MAX;
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    if (SSL_get_verify_result(ssl) != X509_V_OK) return INT64_MAX;
    for (int index = 0; index < sk_X509_num(chain); index++) {
        int64_t until_end, until_begin;
        sluice_certificate_times(sk_X509_value(chain, index), &until_end, &until_begin);
        if (now + until_end < first) first = now + until_end;
    }
    return first;
}

int sluice_on_ticket_made(SSL *ssl, void *arg) {
    SSL_SESSION *session = SSL_get_session(ssl);
    // A session that goes on keeps what was noted when it began: its chain is not here any more.
    if (SSL_session_reused(ssl) || session == NULL || SSL_SESSION_get0_peer(session) == NULL) return 1;
    struct claim claim = {.since = now_of(arg), .until = first_end(ssl)};
    return SSL_SESSION_set1_ticket_appdata(session, &claim, sizeof claim);
}

static int is_good(SSL_SESSION *session, const struct sluice_server *server) {
    void *bytes = NULL;
    size_t length = 0;
    struct claim claim;
    if (SSL_SESSION_get0_peer(session) == NULL) return 1;
    if (!SSL_SESSION_get0_ticket_appdata(session, &bytes, &length) || length != sizeof claim) return 0;
    memcpy(&claim, bytes, sizeof claim);
    int64_t now = now_of(server);
    return now < claim.until && now - claim.since < SLUICE_SESSION_SECONDS;
}

SSL_TICKET_RETURN sluice_on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_length,
                                          SSL_TICKET_STATUS status, void *arg) {
    (void)name, (void)name_length;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
    // The handshake goes on in full: the client may show what it has now.
    if (!is_good(session, arg)) return SSL_TICKET_RETURN_IGNORE_RENEW;
    // A ticket of TLS 1.3 is used once (RFC 8446 section C.4), so there is a new one with each connection.
    if (SSL_version(ssl) >= TLS1_3_VERSION) return SSL_TICKET_RETURN_USE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}
