// Secrets of TLS 1.3 connections, and the keys that follow from them (RFC 8446 section 7), for records.c.
#include "records.h"

#include <string.h>

static int expand(struct sluice_records *records, struct direction *way, const char *label, unsigned char *out, size_t length) {
    struct sluice_bytes secret = {way->secret, records->hash.size}, name = {(const unsigned char *)label, strlen(label)};
    return sluice_expand_label(&records->hash, secret, name, (struct sluice_bytes){NULL, 0}, out, length);
}

// The keys that belong to a direction's secret.
static int set_keys(struct sluice_records *records, struct direction *way) {
    unsigned char key[SLUICE_AEAD_KEY_MOST];
    way->sequence = 0;
    way->has_keys = 0;
    int fine = expand(records, way, "key", key, sluice_aead_key_bytes(records->aead)) && expand(records, way, "iv", way->iv, SLUICE_AEAD_NONCE) &&
               sluice_aead_key(records->aead, way->cipher, key, way->seals);
    OPENSSL_cleanse(key, sizeof key);
    return way->has_keys = fine;
}

int sluice_next_keys(struct sluice_records *records, struct direction *way) {
    way->has_keys = 0;
    int fine = expand(records, way, "traffic upd", way->secret, records->hash.size) && set_keys(records, way);
    sluice_hash_rest(&records->hash);
    return fine;
}

static int begin_direction(struct sluice_records *records, struct direction *way, const struct sluice_secret *secret, int seals) {
    way->cipher = sluice_aead_new(records->aead);
    way->seals = seals;
    if (way->cipher == NULL) return 0;
    memcpy(way->secret, secret->bytes, records->hash.size);
    if (secret->key_count == sluice_aead_key_bytes(records->aead) && secret->iv_count == SLUICE_AEAD_NONCE) {
        memcpy(way->iv, secret->iv, SLUICE_AEAD_NONCE);
        way->has_keys = sluice_aead_key(records->aead, way->cipher, secret->key, seals);
    }
    if (!way->has_keys && !set_keys(records, way)) return 0;
    // Tickets went out with these keys already.
    way->sequence = secret->records;
    return 1;
}

void sluice_records_free(struct sluice_tls_io *io) {
    struct sluice_records *records = io->records;
    if (io->secrets) OPENSSL_clear_free(io->secrets, sizeof *io->secrets);
    io->secrets = NULL;
    io->records = NULL;
    if (records == NULL) return;
    sluice_aead_free(records->aead, records->in.cipher);
    sluice_aead_free(records->aead, records->out.cipher);
    sluice_hash_rest(&records->hash);
    if (records->plain) OPENSSL_clear_free(records->plain, records->plain_offset + records->plain_count);
    OPENSSL_clear_free(records, sizeof *records);
}

// Which of the ciphers a session has; -1 for those that we leave to OpenSSL.
static int cipher_of(const SSL *ssl) {
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    switch (cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher)) {
    case 0x1301: return SLUICE_AES_128_GCM;
    case 0x1302: return SLUICE_AES_256_GCM;
    case 0x1303: return SLUICE_CHACHA20_POLY1305;
    default: return -1;
    }
}

// Whether OpenSSL stands where records of ours can go on.
static int is_possible(const struct sluice_tls_io *io, SSL *ssl) {
    // A client that wants short records (RFC 6066 section 4) gets them from OpenSSL.
    const SSL_SESSION *session = SSL_get_session(ssl);
    if (session == NULL || SSL_SESSION_get_max_fragment_length(session) != TLSEXT_max_fragment_length_DISABLED) return 0;
    // Something that OpenSSL has read is something that we would never see.
    return SSL_version(ssl) == TLS1_3_VERSION && !io->ktls && io->secrets != NULL && io->record_left == 0 && !SSL_has_pending(ssl);
}

// 1 when all of it is there; what is not, sluice_records_free takes away.
static int begin(struct sluice_tls_io *io, int index) {
    struct sluice_secrets *secrets = io->secrets;
    struct sluice_records *records = io->records = OPENSSL_zalloc(sizeof *records);
    if (records == NULL || !sluice_hash_begin(&records->hash, sluice_digest(index == SLUICE_AES_256_GCM))) return 0;
    records->aead = sluice_aead(index);
    return records->aead != NULL && secrets->theirs.count == records->hash.size && secrets->ours.count == records->hash.size &&
           begin_direction(records, &records->in, &secrets->theirs, 0) &&
           begin_direction(records, &records->out, &secrets->ours, 1);
}

int sluice_records_begin(struct sluice_tls_io *io, SSL *ssl) {
    int index = is_possible(io, ssl) ? cipher_of(ssl) : -1;
    int fine = index >= 0 && begin(io, index);
    if (fine) sluice_hash_rest(&io->records->hash); else sluice_records_free(io);
    // Nobody needs them any more, whatever came of it.
    OPENSSL_clear_free(io->secrets, sizeof *io->secrets);
    io->secrets = NULL;
    return fine;
}
