// The AEAD ciphers of TLS 1.3 as OpenSSL's provider has them (provider-cipher(7)), for records.c and secrets.c.
#ifndef SLUICE_COPENSSL_AEAD_H
#define SLUICE_COPENSSL_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define SLUICE_AEAD_NONCE 12
#define SLUICE_AEAD_TAG 16
#define SLUICE_AEAD_KEY_MOST 32

struct sluice_aead;
enum { SLUICE_AES_128_GCM, SLUICE_AES_256_GCM, SLUICE_CHACHA20_POLY1305, SLUICE_AEADS };
// NULL where OpenSSL has no such cipher.
const struct sluice_aead *sluice_aead(int which);
size_t sluice_aead_key_bytes(const struct sluice_aead *aead);

// A cipher for one direction; it has no key yet. NULL when memory is short.
void *sluice_aead_new(const struct sluice_aead *aead);
void sluice_aead_free(const struct sluice_aead *aead, void *cipher);

// The following answer 0 when they fail. A message is: begin, any number of add, seal_end or open_end.
int sluice_aead_key(const struct sluice_aead *aead, void *cipher, const uint8_t *key, int seals);
int sluice_aead_begin(const struct sluice_aead *aead, void *cipher, const uint8_t nonce[SLUICE_AEAD_NONCE], int seals,
                      const uint8_t *header, size_t length);
int sluice_aead_add(const struct sluice_aead *aead, void *cipher, uint8_t *to, const uint8_t *from, size_t length);
int sluice_aead_seal_end(const struct sluice_aead *aead, void *cipher, uint8_t tag[SLUICE_AEAD_TAG]);
// 0 also when the tag is another one.
int sluice_aead_open_end(const struct sluice_aead *aead, void *cipher, const uint8_t tag[SLUICE_AEAD_TAG]);

#endif
