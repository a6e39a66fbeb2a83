// OpenSSL 3 as plain C: its headers, functions where OpenSSL offers only macros, and the way
// records take between a session and its socket.
#ifndef SLUICE_COPENSSL_H
#define SLUICE_COPENSSL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <sys/uio.h>
#include "codes.h"
#include <stdint.h>

// MARK: Socket side of a session

// Room in which the records of one call are collected, so that they leave with one system call.
// One per worker; empty between calls.
struct sluice_tls_room {
    uint8_t *bytes;
    size_t capacity;
    size_t collected;
    uint8_t *incoming; // for received records
    uint8_t *spill;    // for what of a record has no place at the caller's
};

struct sluice_tls_room *sluice_tls_room_new(size_t capacity);
void sluice_tls_room_free(struct sluice_tls_room *room);

struct sluice_tls_io {
    int fd;
    int error;            // errno of the call that failed, or 0
    int drained;          // the last recv gave less than it was asked for: do not ask again now
    int ended;            // recv answered 0
    int more;             // what is sent may wait in the kernel for what follows at once
    uint32_t receives;    // system calls made, taken by the caller
    uint32_t sends;
    size_t received;      // bytes so far
    size_t receive_limit; // reading more than this fails with EMSGSIZE; 0 is no limit
    uint32_t messages;    // handshake messages received (KeyUpdate, renegotiation attempts, tickets)
    struct sluice_tls_room *room;
    uint8_t *kept;        // records that the socket did not take yet
    size_t kept_offset;
    size_t kept_count;
    size_t kept_capacity;
    int ktls;             // the kernel makes the records of what is sent
    int record_type;      // of the next write then, where it is no application data; else 0
    uint8_t *hello;       // the first ClientHello received, until sluice_tls_forget_hello
    size_t hello_count;
    size_t hello_length;  // of the last ClientHello received
    size_t hello_limit;   // a longer one is refused; 0 is no limit
    int whole;            // OpenSSL is given one record at a time, so that none of the next ones is in its hands
    size_t record_left;   // of that record
    uint8_t *in;          // received, and not given on
    size_t in_offset;
    size_t in_count;
    struct sluice_secrets *secrets; // of the handshake, until they are used
    struct sluice_records *records; // records are made by us
    const char *note;     // what the peer did wrong, as records.c says
};

// Connects `ssl` to the socket by a BIO of ours. The result lives until sluice_tls_detach.
// NULL when memory is short.
struct sluice_tls_io *sluice_tls_attach(SSL *ssl, int fd, struct sluice_tls_room *room);
// Frees the session, where it is still there, and everything that belongs to it.
void sluice_tls_detach(SSL *ssl, struct sluice_tls_io *io);
// Frees the session alone: its records are made by us.
void sluice_tls_release(SSL *ssl);
// Sends what is kept and collected: 0 when all went, 1 when the socket is full, or a negative errno.
int sluice_tls_flush(struct sluice_tls_io *io);
void sluice_tls_forget_hello(struct sluice_tls_io *io);
int sluice_tls_shutdown_write(struct sluice_tls_io *io);

// MARK: Records of our own (TLS 1.3, server, after the handshake)

enum {
    SLUICE_RECORDS_FULL = 0, // there may be more: call again with room
    SLUICE_RECORDS_DRAINED,  // the socket has no more
    SLUICE_RECORDS_ENDED,    // close_notify
    SLUICE_RECORDS_BROKEN,   // `error`, and `note` where the peer is to blame
};

// A context whose sessions tell the secrets that records need (telling.c). NULL when memory is short.
SSL_CTX *sluice_context_new(int serves);
// SSL_do_handshake(3), with an ear for them.
int sluice_tls_handshake(SSL *ssl, struct sluice_tls_io *io);
// Takes a connection over from OpenSSL, right after its handshake. 0 when that is not possible: it goes on as it was.
int sluice_records_begin(struct sluice_tls_io *io, SSL *ssl);
// Decrypts into `room` bytes, and says how many are there and why there are not more.
int sluice_records_read(struct sluice_tls_io *io, uint8_t *out, size_t room, size_t *count);
// Encrypts up to `most` bytes into the room, which is empty: how many, or -1.
ptrdiff_t sluice_records_write(struct sluice_tls_io *io, const struct iovec *vectors, int count, size_t most);
// Puts close_notify behind what was written. 0 when it has no place.
int sluice_records_close(struct sluice_tls_io *io);
// Puts a KeyUpdate there, for tests. 0 when that fails.
int sluice_records_update(struct sluice_tls_io *io);
// For tests, which forge: a record of any type, length and padding, also such as nobody may send; new keys that nobody is told of;
// the number of the next record of a direction.
int sluice_records_forge(struct sluice_tls_io *io, int type, const uint8_t *bytes, size_t length, size_t padding);
int sluice_records_forge_keys(struct sluice_tls_io *io);
uint64_t *sluice_records_sequence(struct sluice_tls_io *io, int sends);

// MARK: Server contexts

#define SLUICE_TICKET_KEY_BYTES 80
#define SLUICE_TICKET_KEYS 4

struct sluice_server {
    // Called with the server name of a ClientHello: 1 to go on, 0 to refuse the name.
    int (*choose)(void *owner, SSL *ssl, const char *name);
    void *owner;
    size_t alpn_length;
    unsigned char alpn[256]; // length-prefixed names
    int ticket_keys;         // 0: OpenSSL's own
    unsigned char tickets[SLUICE_TICKET_KEYS][SLUICE_TICKET_KEY_BYTES];
    struct sluice_staple *staples; // what is stapled to which certificate
    int64_t clock_ahead;     // seconds that the clock is taken to be ahead, for tests
};

// A session lasts no longer than this from the handshake in full, however often it is used again.
#define SLUICE_SESSION_SECONDS (12 * 3600)

// How the names of one context are served.
struct sluice_policy {
    int minimum_tls13;
    int kernel;          // lets the kernel make records (kTLS)
    const char *ciphers; // for TLS 1.2; NULL: ours
    const char *suites;  // for TLS 1.3; NULL: ours
    const char *groups;  // NULL: ours
    int verify;          // client certificates: 0 not asked for, 1 asked for, 2 demanded
    X509 *const *authorities; // who may have signed them
    size_t authority_count;
    const unsigned char *revocations; // PEM; NULL: nobody asks whether a client's certificate was taken back
    size_t revocations_length;
    int no_tickets; // every connection shakes hands in full
};

// Sets callbacks and options of one context of a listener; `server` must outlive it. Returns NULL, or what of the
// policy OpenSSL does not accept.
const char *sluice_server_configure(SSL_CTX *ctx, struct sluice_server *server, const struct sluice_policy *policy);
// Seconds until the first of some revocation lists (PEM) is too old, INT64_MAX when none says. 0 when they cannot be read.
int sluice_revocations_until(const unsigned char *pem, size_t length, int64_t *until);
// Gives a session, from inside `choose`, another context with everything that belongs to it.
void sluice_server_switch(SSL *ssl, SSL_CTX *ctx);

// An OCSP response for a certificate, sent until it is too old.
struct sluice_staple {
    struct sluice_staple *next;
    X509 *leaf;
    int64_t until; // seconds since 1970
    int length;
    unsigned char der[];
};
// Adds a response. NULL, or what is wrong with it: it must be good, current and about this certificate. `old` is set when only its
// time is over.
const char *sluice_staple_add(struct sluice_server *server, X509 *leaf, X509 *issuer, const unsigned char *der, size_t length, int *old);
void sluice_staples_free(struct sluice_server *server);
// From when until when the first answer in a response is good, seconds since 1970. 0 when it does not say.
int sluice_staple_span(const unsigned char *der, size_t length, int64_t *from, int64_t *until);

// What the client's certificate says. Texts are empty when there is none; they are cut off at their room.
struct sluice_peer {
    int present;
    int verified; // signed by an authority of the context, and valid
    char subject[512], issuer[512], serial[64], fingerprint[65];
};
void sluice_peer_read(SSL *ssl, struct sluice_peer *peer);
// The alternative names of the client's certificate, each behind `DNS:`, `URI:` or `email:` and with a line feed at its end. Names with
// control characters are left out, so are those beyond `room`.
void sluice_peer_names(SSL *ssl, char *text, size_t room);

// 0 when the kernel can take over the records of a connection (kTLS), or the errno of the attempt.
int sluice_ktls_probe(void);
// Adds a certificate with its chain and key to a context: 1, or 0 with OpenSSL's error queue filled.
int sluice_use_certificate(SSL_CTX *ctx, X509 *leaf, X509 *const *chain, size_t chain_length, EVP_PKEY *key);

// MARK: Client contexts

// Called with a new session: 1 when the callee keeps it.
typedef int (*sluice_new_session)(SSL *ssl, SSL_SESSION *session);
void sluice_client_configure(SSL_CTX *ctx, int minimum_tls13, sluice_new_session new_session);
// Sets SNI (not for addresses) and, with `verify`, whom the certificate must name.
int sluice_client_name(SSL *ssl, const char *name, int verify);

void sluice_set_maximum_tls12(SSL_CTX *ctx);

// MARK: Certificates

// Reads one certificate or key from PEM; never asks for a pass phrase. NULL at the end or on error.
X509 *sluice_read_certificate(BIO *bio);
EVP_PKEY *sluice_read_key(BIO *bio);
// Calls `found` with each DNS name of the certificate; the common name when there is none.
void sluice_certificate_names(X509 *certificate, void (*found)(void *context, const char *name, size_t length), void *context);
// Seconds until the certificate ends (negative: it has), and until it begins.
void sluice_certificate_times(X509 *certificate, int64_t *until_end, int64_t *until_begin);
// From when until when the certificate is good, seconds since 1970. 0 when it cannot be told.
int sluice_certificate_span(X509 *certificate, int64_t *from, int64_t *until);

// For tests: TLS13-KDF (EVP_KDF-TLS13_KDF(7)) by our provider, or by the original.
struct sluice_derivation {
    int mode;
    const char *digest;
    const uint8_t *pieces[5]; // key, salt, prefix, label, data
    ptrdiff_t counts[5];      // -1: not given
};
int sluice_tls_derive(int original_one, const struct sluice_derivation *wish, uint8_t *out, size_t length);

// SHA-256, looked up once: EVP_sha256() is looked up at each use.
const EVP_MD *sluice_sha256(void);

int sluice_error_is_unexpected_eof(unsigned long code);
int sluice_error_is_http_request(unsigned long code);
int sluice_error_is_no_start_line(unsigned long code);
int sluice_error_is_pass_phrase(unsigned long code);

#endif
