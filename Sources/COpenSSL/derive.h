// What is derived from secrets of TLS 1.3, for telling.c and secrets.c.
#ifndef SLUICE_COPENSSL_DERIVE_H
#define SLUICE_COPENSSL_DERIVE_H

#include "internal.h"

struct sluice_bytes {
    const unsigned char *bytes;
    size_t count;
};

// A hash to work with.
struct sluice_hash {
    EVP_MD_CTX *context; // made when it is needed
    const EVP_MD *digest;
    size_t size, block;
};

// SHA-384 or SHA-256; NULL where OpenSSL has none.
const EVP_MD *sluice_digest(int long_one);

// 0 for none, or for one that is too long.
int sluice_hash_begin(struct sluice_hash *hash, const EVP_MD *digest);
// Holds no memory and nothing of a secret until it is used again.
void sluice_hash_rest(struct sluice_hash *hash);

// HKDF-Expand-Label of the label behind "tls13 ", at most one hash long. 0 when that fails.
int sluice_expand_label(struct sluice_hash *hash, struct sluice_bytes secret, struct sluice_bytes label, struct sluice_bytes context,
                        unsigned char *out, size_t length);

// The secret of the next stage of the key schedule: HKDF-Extract of the input, salted with what follows from the stage before.
// NULL for the first stage's salt and for no input.
int sluice_next_stage(struct sluice_hash *hash, struct sluice_bytes stage, struct sluice_bytes label, struct sluice_bytes input,
                      unsigned char *out);

#endif
