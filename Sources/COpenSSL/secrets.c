// Secrets of TLS 1.3 connections, and the keys that follow from them (RFC 8446 section 7), for records.c.
#include "records.h"

#include <pthread.h>
#include <string.h>

static EVP_CIPHER *ciphers[3];
static EVP_MD *digests[2];
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;

static void fetch_algorithms(void) {
    ciphers[0] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    ciphers[1] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    ciphers[2] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    digests[0] = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    digests[1] = EVP_MD_fetch(NULL, "SHA2-384", NULL);
}

// HMAC (RFC 2104) with a key that is no longer than a block. OpenSSL's own looks its algorithm up at each call.
static int hmac(struct sluice_records *records, const unsigned char *key, const unsigned char *text, size_t length, unsigned char *out) {
    unsigned char pad[128];
    unsigned int size;
    size_t block = (size_t)EVP_MD_get_block_size(records->digest);
    int fine = 1;
    for (int round = 0; round < 2 && fine; round++) {
        memset(pad, round == 0 ? 0x36 : 0x5c, block);
        for (size_t index = 0; index < records->secret_bytes; index++) pad[index] ^= key[index];
        fine = EVP_DigestInit_ex2(records->hash, records->digest, NULL) && EVP_DigestUpdate(records->hash, pad, block) &&
               (round == 0 ? EVP_DigestUpdate(records->hash, text, length) : EVP_DigestUpdate(records->hash, out, records->secret_bytes)) &&
               EVP_DigestFinal_ex(records->hash, out, &size);
    }
    OPENSSL_cleanse(pad, sizeof pad);
    return fine;
}

// HKDF-Expand-Label (RFC 8446 section 7.1) without a context. No output here is longer than one block of the hash.
static int expand(struct sluice_records *records, const unsigned char *secret, const char *label, unsigned char *out, size_t length) {
    unsigned char info[32] = {0, (unsigned char)length, (unsigned char)(6 + strlen(label)), 't', 'l', 's', '1', '3', ' '};
    unsigned char block[SLUICE_SECRET_MOST + 16];
    size_t count = 9 + strlen(label);
    memcpy(info + 9, label, strlen(label));
    info[count++] = 0;
    info[count++] = 1;
    if (length > records->secret_bytes || !hmac(records, secret, info, count, block)) return 0;
    memcpy(out, block, length);
    OPENSSL_cleanse(block, sizeof block);
    return 1;
}

// The keys that belong to a direction's secret.
static int set_keys(struct sluice_records *records, struct direction *way) {
    unsigned char key[32];
    way->sequence = 0;
    way->has_keys = 0;
    int fine = expand(records, way->secret, "key", key, records->key_bytes) && expand(records, way->secret, "iv", way->iv, NONCE) &&
               EVP_CipherInit_ex(way->cipher, NULL, NULL, key, NULL, -1);
    OPENSSL_cleanse(key, sizeof key);
    return way->has_keys = fine;
}

int sluice_next_keys(struct sluice_records *records, struct direction *way) {
    way->has_keys = 0;
    return expand(records, way->secret, "traffic upd", way->secret, records->secret_bytes) && set_keys(records, way);
}

static int begin_direction(struct sluice_records *records, struct direction *way, const EVP_CIPHER *cipher,
                           const struct sluice_secret *secret, int seals) {
    way->cipher = EVP_CIPHER_CTX_new();
    if (way->cipher == NULL || !EVP_CipherInit_ex(way->cipher, cipher, NULL, NULL, NULL, seals)) return 0;
    memcpy(way->secret, secret->bytes, records->secret_bytes);
    if (secret->key_count == records->key_bytes && secret->iv_count == NONCE) {
        memcpy(way->iv, secret->iv, NONCE);
        way->has_keys = EVP_CipherInit_ex(way->cipher, NULL, NULL, secret->key, NULL, -1);
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
    EVP_CIPHER_CTX_free(records->in.cipher);
    EVP_CIPHER_CTX_free(records->out.cipher);
    EVP_MD_CTX_free(records->hash);
    if (records->plain) OPENSSL_clear_free(records->plain, records->plain_offset + records->plain_count);
    OPENSSL_clear_free(records, sizeof *records);
}

// Which of the ciphers a session has; -1 for those that we leave to OpenSSL.
static int cipher_of(const SSL *ssl) {
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    switch (cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher)) {
    case 0x1301: return 0;
    case 0x1302: return 1;
    case 0x1303: return 2;
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
    if (records == NULL || ciphers[index] == NULL || digests[index == 1] == NULL) return 0;
    records->digest = digests[index == 1];
    records->secret_bytes = (size_t)EVP_MD_get_size(records->digest);
    records->key_bytes = (size_t)EVP_CIPHER_get_key_length(ciphers[index]);
    records->hash = EVP_MD_CTX_new();
    return records->hash && secrets->theirs.count == records->secret_bytes && secrets->ours.count == records->secret_bytes &&
           begin_direction(records, &records->in, ciphers[index], &secrets->theirs, 0) &&
           begin_direction(records, &records->out, ciphers[index], &secrets->ours, 1);
}

int sluice_records_begin(struct sluice_tls_io *io, SSL *ssl) {
    int index = is_possible(io, ssl) ? cipher_of(ssl) : -1;
    pthread_once(&algorithms_once, fetch_algorithms);
    int fine = index >= 0 && begin(io, index);
    if (!fine) sluice_records_free(io);
    // Nobody needs them any more, whatever came of it.
    OPENSSL_clear_free(io->secrets, sizeof *io->secrets);
    io->secrets = NULL;
    return fine;
}
