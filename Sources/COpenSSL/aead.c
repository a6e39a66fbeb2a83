// EVP_CIPHER asks the provider for the length of the nonce at each message and packs what it passes on: of 3,400 instructions for a record
// of 266 bytes, 1,000 are its own. So the provider's functions are called as EVP calls them (provider-cipher(7)), one layer below.
#include "aead.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

struct sluice_aead {
    void *provider;
    size_t key_bytes;
    OSSL_FUNC_cipher_newctx_fn *new_cipher;
    OSSL_FUNC_cipher_freectx_fn *free_cipher;
    OSSL_FUNC_cipher_encrypt_init_fn *begin_sealing;
    OSSL_FUNC_cipher_decrypt_init_fn *begin_opening;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *end;
    OSSL_FUNC_cipher_get_ctx_params_fn *get;
    OSSL_FUNC_cipher_set_ctx_params_fn *set;
};

static struct sluice_aead aeads[SLUICE_AEADS];
static pthread_once_t aeads_once = PTHREAD_ONCE_INIT;

// Whether `name` is one of a list with colons between.
static int is_among(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ':')) {
        if (*at == ':') at++;
        if (strncasecmp(at, name, length) == 0 && (at[length] == 0 || at[length] == ':')) return 1;
    }
    return 0;
}

static void take(struct sluice_aead *aead, const OSSL_DISPATCH *functions) {
    for (; functions->function_id != 0; functions++) {
        switch (functions->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX: aead->new_cipher = OSSL_FUNC_cipher_newctx(functions); break;
        case OSSL_FUNC_CIPHER_FREECTX: aead->free_cipher = OSSL_FUNC_cipher_freectx(functions); break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT: aead->begin_sealing = OSSL_FUNC_cipher_encrypt_init(functions); break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT: aead->begin_opening = OSSL_FUNC_cipher_decrypt_init(functions); break;
        case OSSL_FUNC_CIPHER_UPDATE: aead->update = OSSL_FUNC_cipher_update(functions); break;
        case OSSL_FUNC_CIPHER_FINAL: aead->end = OSSL_FUNC_cipher_final(functions); break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS: aead->get = OSSL_FUNC_cipher_get_ctx_params(functions); break;
        case OSSL_FUNC_CIPHER_SET_CTX_PARAMS: aead->set = OSSL_FUNC_cipher_set_ctx_params(functions); break;
        }
    }
}

static int is_whole(const struct sluice_aead *aead) {
    return aead->new_cipher && aead->free_cipher && aead->begin_sealing && aead->begin_opening && aead->update && aead->end && aead->get &&
           aead->set && aead->key_bytes <= SLUICE_AEAD_KEY_MOST;
}

// The cipher is kept: it keeps its provider.
static void find(struct sluice_aead *aead, const char *name) {
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    const OSSL_PROVIDER *provider = cipher ? EVP_CIPHER_get0_provider(cipher) : NULL;
    int keeps_not;
    if (provider == NULL || EVP_CIPHER_get_iv_length(cipher) != SLUICE_AEAD_NONCE) return;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &keeps_not);
    for (const OSSL_ALGORITHM *one = all; one != NULL && one->algorithm_names != NULL; one++) {
        if (!is_among(one->algorithm_names, name)) continue;
        take(aead, one->implementation);
        break;
    }
    OSSL_PROVIDER_unquery_operation(provider, OSSL_OP_CIPHER, all);
    aead->provider = OSSL_PROVIDER_get0_provider_ctx(provider);
    aead->key_bytes = (size_t)EVP_CIPHER_get_key_length(cipher);
}

static void find_all(void) {
    find(&aeads[SLUICE_AES_128_GCM], "AES-128-GCM");
    find(&aeads[SLUICE_AES_256_GCM], "AES-256-GCM");
    find(&aeads[SLUICE_CHACHA20_POLY1305], "ChaCha20-Poly1305");
}

const struct sluice_aead *sluice_aead(int which) {
    pthread_once(&aeads_once, find_all);
    return which >= 0 && which < SLUICE_AEADS && is_whole(&aeads[which]) ? &aeads[which] : NULL;
}

size_t sluice_aead_key_bytes(const struct sluice_aead *aead) { return aead->key_bytes; }

void *sluice_aead_new(const struct sluice_aead *aead) { return aead->new_cipher(aead->provider); }

void sluice_aead_free(const struct sluice_aead *aead, void *cipher) {
    if (cipher != NULL) aead->free_cipher(cipher);
}

int sluice_aead_key(const struct sluice_aead *aead, void *cipher, const uint8_t *key, int seals) {
    return seals ? aead->begin_sealing(cipher, key, aead->key_bytes, NULL, 0, NULL) : aead->begin_opening(cipher, key, aead->key_bytes, NULL, 0, NULL);
}

int sluice_aead_begin(const struct sluice_aead *aead, void *cipher, const uint8_t nonce[SLUICE_AEAD_NONCE], int seals,
                      const uint8_t *header, size_t length) {
    size_t count;
    int fine = seals ? aead->begin_sealing(cipher, NULL, 0, nonce, SLUICE_AEAD_NONCE, NULL)
                     : aead->begin_opening(cipher, NULL, 0, nonce, SLUICE_AEAD_NONCE, NULL);
    return fine && aead->update(cipher, NULL, &count, length, header, length);
}

int sluice_aead_add(const struct sluice_aead *aead, void *cipher, uint8_t *to, const uint8_t *from, size_t length) {
    size_t count = 0;
    return length == 0 || (aead->update(cipher, to, &count, length, from, length) && count == length);
}

int sluice_aead_seal_end(const struct sluice_aead *aead, void *cipher, uint8_t tag[SLUICE_AEAD_TAG]) {
    size_t count;
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SLUICE_AEAD_TAG), OSSL_PARAM_construct_end()};
    return aead->end(cipher, tag, &count, SLUICE_AEAD_TAG) && aead->get(cipher, params);
}

int sluice_aead_open_end(const struct sluice_aead *aead, void *cipher, const uint8_t tag[SLUICE_AEAD_TAG]) {
    size_t count;
    uint8_t nothing[SLUICE_AEAD_TAG];
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)tag, SLUICE_AEAD_TAG), OSSL_PARAM_construct_end()};
    return aead->set(cipher, params) && aead->end(cipher, nothing, &count, sizeof nothing);
}
