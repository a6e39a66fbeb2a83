// HKDF with the labels of TLS 1.3 (RFC 5869; RFC 8446 section 7.1). OpenSSL's own looks its algorithms up and makes contexts at each
// call, and a handshake makes 21 of them.
#include "derive.h"

#include <pthread.h>
#include <string.h>

#define BLOCK_MOST 128

static EVP_MD *digests[2];
static EVP_CIPHER *ticket_cipher;
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;

static void fetch_algorithms(void) {
    digests[0] = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    digests[1] = EVP_MD_fetch(NULL, "SHA2-384", NULL);
    ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
}

const EVP_MD *sluice_digest(int long_one) {
    pthread_once(&algorithms_once, fetch_algorithms);
    return digests[long_one != 0];
}

const EVP_MD *sluice_sha256(void) { return sluice_digest(0) ? sluice_digest(0) : EVP_sha256(); }

const EVP_CIPHER *sluice_aes_256_cbc(void) {
    pthread_once(&algorithms_once, fetch_algorithms);
    return ticket_cipher ? ticket_cipher : EVP_aes_256_cbc();
}

int sluice_hash_begin(struct sluice_hash *hash, const EVP_MD *digest) {
    if (digest == NULL) return 0;
    hash->digest = digest;
    hash->size = (size_t)EVP_MD_get_size(digest);
    hash->block = (size_t)EVP_MD_get_block_size(digest);
    return hash->size <= SLUICE_SECRET_MOST && hash->block <= BLOCK_MOST;
}

void sluice_hash_rest(struct sluice_hash *hash) {
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
}

static int start(struct sluice_hash *hash) {
    if (hash->context == NULL) hash->context = EVP_MD_CTX_new();
    return hash->context != NULL && EVP_DigestInit_ex2(hash->context, hash->digest, NULL);
}

// HMAC (RFC 2104) with a key that is no longer than a block.
static int hmac(struct sluice_hash *hash, struct sluice_bytes key, struct sluice_bytes text, unsigned char *out) {
    unsigned char pad[BLOCK_MOST];
    unsigned int size;
    int fine = key.count <= hash->block;
    for (int round = 0; round < 2 && fine; round++) {
        unsigned char fill = round == 0 ? 0x36 : 0x5c;
        for (size_t index = 0; index < hash->block; index++) pad[index] = index < key.count ? key.bytes[index] ^ fill : fill;
        struct sluice_bytes inner = round == 0 ? text : (struct sluice_bytes){out, hash->size};
        fine = start(hash) && EVP_DigestUpdate(hash->context, pad, hash->block) &&
               EVP_DigestUpdate(hash->context, inner.bytes, inner.count) && EVP_DigestFinal_ex(hash->context, out, &size);
    }
    OPENSSL_cleanse(pad, sizeof pad);
    return fine;
}

int sluice_expand_label(struct sluice_hash *hash, struct sluice_bytes secret, struct sluice_bytes label, struct sluice_bytes context,
                        unsigned char *out, size_t length) {
    // HkdfLabel, and the number of the only block behind it.
    unsigned char info[2 + 1 + 255 + 1 + EVP_MAX_MD_SIZE + 1], block[SLUICE_SECRET_MOST];
    size_t count = 9 + label.count;
    if (length > hash->size || label.count > 249 || context.count > EVP_MAX_MD_SIZE) return 0;
    info[0] = 0;
    info[1] = (unsigned char)length;
    info[2] = (unsigned char)(6 + label.count);
    memcpy(info + 3, "tls13 ", 6);
    if (label.count > 0) memcpy(info + 9, label.bytes, label.count);
    info[count++] = (unsigned char)context.count;
    if (context.count > 0) memcpy(info + count, context.bytes, context.count);
    count += context.count;
    info[count++] = 1;
    int fine = hmac(hash, secret, (struct sluice_bytes){info, count}, block);
    if (fine) memcpy(out, block, length);
    OPENSSL_cleanse(block, sizeof block);
    return fine;
}

int sluice_next_stage(struct sluice_hash *hash, struct sluice_bytes stage, struct sluice_bytes label, struct sluice_bytes input,
                      unsigned char *out) {
    static const unsigned char zeros[SLUICE_SECRET_MOST];
    unsigned char nothing[SLUICE_SECRET_MOST], salt[SLUICE_SECRET_MOST];
    unsigned int size;
    struct sluice_bytes key = {salt, 0};
    if (stage.bytes != NULL) {
        // What the stage before is derived with: the hash of no messages.
        if (!start(hash) || !EVP_DigestFinal_ex(hash->context, nothing, &size) ||
            !sluice_expand_label(hash, stage, label, (struct sluice_bytes){nothing, hash->size}, salt, hash->size)) return 0;
        key.count = hash->size;
    }
    if (input.bytes == NULL) input = (struct sluice_bytes){zeros, hash->size};
    int fine = hmac(hash, key, input, out);
    OPENSSL_cleanse(salt, sizeof salt);
    return fine;
}
