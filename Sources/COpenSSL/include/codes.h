#ifndef SLUICE_CODES_H
#define SLUICE_CODES_H

#include <stddef.h>
#include <stdint.h>

// HMAC-SHA-256 of `text`: 32 bytes into `code`. Returns 1, or 0 when OpenSSL refuses.
int sluice_hmac_sha256(const uint8_t *key, size_t key_length, const uint8_t *text, size_t length, uint8_t code[32]);

// 1 when both are equal; takes as long whatever they hold.
int sluice_equal_codes(const uint8_t *a, const uint8_t *b, size_t length);

#endif
