// zlib, brotli and zstd behind one plain C interface: content codings as streams.
#ifndef SLUICE_CCODINGS_H
#define SLUICE_CCODINGS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SLUICE_CODING_GZIP = 0, SLUICE_CODING_BROTLI = 1, SLUICE_CODING_ZSTD = 2, SLUICE_CODING_DEFLATE = 3 };
enum { SLUICE_MODE_RUN = 0, SLUICE_MODE_FLUSH = 1, SLUICE_MODE_FINISH = 2 };
enum {
    SLUICE_STEP_WANTS_INPUT = 0,   // everything given is consumed, everything asked for is written
    SLUICE_STEP_WANTS_ROOM = 1,    // call again with more room and what is left of the input
    SLUICE_STEP_ENDED = 2,         // the stream is complete
    SLUICE_STEP_FAILED = -1,
};

typedef struct sluice_coder sluice_coder;

// NULL when memory is short or the library does not know the coding. Deflate can be decoded only.
sluice_coder *sluice_encoder_new(int coding, int level);
sluice_coder *sluice_decoder_new(int coding);
// Makes the coder ready for another stream; 0 when the library cannot, then it has to be freed.
int sluice_coder_reset(sluice_coder *coder);
void sluice_coder_free(sluice_coder *coder);

// Takes up to `in_count` bytes of input and writes up to `out_count` bytes of output.
int sluice_coder_step(sluice_coder *coder, int mode, const uint8_t *in, size_t in_count, size_t *consumed, uint8_t *out,
                      size_t out_count, size_t *produced);

#ifdef __cplusplus
}
#endif
#endif
