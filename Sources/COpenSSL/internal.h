// Shared by the files of this target only.
#ifndef SLUICE_COPENSSL_INTERNAL_H
#define SLUICE_COPENSSL_INTERNAL_H

#include "COpenSSL.h"

// SSL_CTX_set_tlsext_status_cb(3).
int sluice_on_status(SSL *ssl, void *arg);

// SSL_CTX_set_session_ticket_cb(3): what a client's certificates say is good for a session as long as they are.
int sluice_on_ticket_made(SSL *ssl, void *arg);
SSL_TICKET_RETURN sluice_on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_length,
                                          SSL_TICKET_STATUS status, void *arg);

// What tickets are encrypted with.
const EVP_CIPHER *sluice_aes_256_cbc(void);

// Adds the revocation lists to a store: how many, or -1.
int sluice_take_revocations(X509_STORE *store, const unsigned char *pem, size_t length, int64_t *until);

// Controls of bio.h's list that have no public names: the keys, with 1 for sending; the type of the next record.
#define SLUICE_BIO_SET_KTLS 72
#define SLUICE_BIO_SET_KTLS_RECORD 74
// 1: the kernel makes the records of what is sent from now on. 0: it does not.
int sluice_ktls_begin(struct sluice_tls_io *io, const void *info, int sends);
// Sends a record that is no application data: its length, or -1 with `io->error`.
int sluice_ktls_control(struct sluice_tls_io *io, const void *bytes, size_t length);

// What OpenSSL tells of a connection's secrets, for records of our own (records.c).
#define SLUICE_SECRET_MOST 48
struct sluice_secret {
    unsigned char bytes[SLUICE_SECRET_MOST];
    size_t count;
    uint64_t records; // of its direction, since it is in use
    unsigned char key[32], iv[12]; // that follow from it, where both counts say so
    size_t key_count, iv_count;
};
struct sluice_secrets {
    struct sluice_secret ours, theirs;
};
void sluice_records_free(struct sluice_tls_io *io);

// Three full records with their overhead, under the size at which the allocator begins to give
// memory back to the system at each free.
#define SLUICE_READ_AHEAD (3 * (16384 + 256 + 5))

// One recv: a count, 0 at the end, -1 with `io->error` or, when nothing is there, with `io->drained`.
ssize_t sluice_tls_receive(struct sluice_tls_io *io, void *bytes, size_t length);
// Puts a record behind what was collected. 0 when memory is short.
int sluice_tls_collect(struct sluice_tls_io *io, const uint8_t *bytes, size_t length);
// Keeps received bytes for the next time, wherever they lie. 0 when memory is short.
int sluice_tls_hold(struct sluice_tls_io *io, const uint8_t *bytes, size_t length);

#endif
