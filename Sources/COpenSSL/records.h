// What records.c and secrets.c share.
#ifndef SLUICE_COPENSSL_RECORDS_H
#define SLUICE_COPENSSL_RECORDS_H

#include "aead.h"
#include "derive.h"

struct direction {
    void *cipher;
    int seals;
    int has_keys; // else nothing may be done: what they were set to halfway would see a nonce twice
    uint64_t sequence;
    unsigned char iv[SLUICE_AEAD_NONCE];
    unsigned char secret[SLUICE_SECRET_MOST];
};

struct sluice_records {
    struct direction in, out;
    const struct sluice_aead *aead;
    struct sluice_hash hash;
    int fate;      // what reading came to an end with, for ever
    int closed;    // close_notify was sent
    unsigned empty;
    unsigned char message[5]; // a KeyUpdate, as far as it is here
    size_t message_count;
    uint8_t *plain; // decrypted, and not taken yet
    size_t plain_offset, plain_count;
};

// New keys of a direction, by the secret that follows from the last one (RFC 8446 section 7.2). 0 when that fails.
int sluice_next_keys(struct sluice_records *records, struct direction *way);

#endif
