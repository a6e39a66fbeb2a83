#include "codes.h"

#include "COpenSSL.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

int sluice_hmac_sha256(const uint8_t *key, size_t key_length, const uint8_t *text, size_t length, uint8_t code[32]) {
    unsigned int written = 0;
    return HMAC(sluice_sha256(), key, (int)key_length, text, length, code, &written) != NULL && written == 32;
}

int sluice_equal_codes(const uint8_t *a, const uint8_t *b, size_t length) { return CRYPTO_memcmp(a, b, length) == 0; }
