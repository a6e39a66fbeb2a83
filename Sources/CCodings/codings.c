#include "CCodings.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

// Windows: what a stream may make us keep. 256 KiB for brotli and 512 KiB for zstd cost little of the ratio of web
// pages; RFC 8878 asks decoders for 8 MiB, and a brotli stream may always use 16 MiB.
enum { BROTLI_WINDOW = 18, ZSTD_WINDOW = 19, ZSTD_DECODE_WINDOW = 23 };

struct sluice_coder {
    int coding;
    int decodes;
    int level;
    // Between two members of a gzip stream.
    int between;
    z_stream zlib;
    BrotliEncoderState *brotli_out;
    BrotliDecoderState *brotli_in;
    ZSTD_CCtx *zstd_out;
    ZSTD_DCtx *zstd_in;
};

static BrotliEncoderState *brotli_encoder(int level) {
    BrotliEncoderState *state = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    if (!state) return NULL;
    BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, (uint32_t)level);
    BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
    return state;
}

static int start_encoder(sluice_coder *coder) {
    switch (coder->coding) {
    case SLUICE_CODING_GZIP:
        return deflateInit2(&coder->zlib, coder->level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    case SLUICE_CODING_BROTLI:
        coder->brotli_out = brotli_encoder(coder->level);
        return coder->brotli_out != NULL;
    case SLUICE_CODING_ZSTD:
        coder->zstd_out = ZSTD_createCCtx();
        if (!coder->zstd_out) return 0;
        return !ZSTD_isError(ZSTD_CCtx_setParameter(coder->zstd_out, ZSTD_c_compressionLevel, coder->level)) &&
               !ZSTD_isError(ZSTD_CCtx_setParameter(coder->zstd_out, ZSTD_c_windowLog, ZSTD_WINDOW));
    default:
        return 0;
    }
}

static int start_decoder(sluice_coder *coder) {
    switch (coder->coding) {
    case SLUICE_CODING_GZIP:
    case SLUICE_CODING_DEFLATE:
        // 32: gzip and zlib headers are told apart by themselves.
        return inflateInit2(&coder->zlib, 15 + 32) == Z_OK;
    case SLUICE_CODING_BROTLI:
        coder->brotli_in = BrotliDecoderCreateInstance(NULL, NULL, NULL);
        return coder->brotli_in != NULL;
    case SLUICE_CODING_ZSTD:
        coder->zstd_in = ZSTD_createDCtx();
        return coder->zstd_in &&
               !ZSTD_isError(ZSTD_DCtx_setParameter(coder->zstd_in, ZSTD_d_windowLogMax, ZSTD_DECODE_WINDOW));
    default:
        return 0;
    }
}

static sluice_coder *start(int coding, int decodes, int level) {
    sluice_coder *coder = calloc(1, sizeof *coder);
    if (!coder) return NULL;
    coder->coding = coding;
    coder->decodes = decodes;
    coder->level = level;
    if (decodes ? start_decoder(coder) : start_encoder(coder)) return coder;
    sluice_coder_free(coder);
    return NULL;
}

sluice_coder *sluice_encoder_new(int coding, int level) { return start(coding, 0, level); }
sluice_coder *sluice_decoder_new(int coding) { return start(coding, 1, 0); }

int sluice_coder_reset(sluice_coder *coder) {
    coder->between = 0;
    switch (coder->coding) {
    case SLUICE_CODING_GZIP:
    case SLUICE_CODING_DEFLATE:
        return (coder->decodes ? inflateReset2(&coder->zlib, 15 + 32) : deflateReset(&coder->zlib)) == Z_OK;
    case SLUICE_CODING_ZSTD:
        return !ZSTD_isError(coder->decodes ? ZSTD_DCtx_reset(coder->zstd_in, ZSTD_reset_session_only)
                                            : ZSTD_CCtx_reset(coder->zstd_out, ZSTD_reset_session_only));
    default:
        return 0;
    }
}

void sluice_coder_free(sluice_coder *coder) {
    switch (coder->coding) {
    case SLUICE_CODING_GZIP:
    case SLUICE_CODING_DEFLATE:
        if (coder->decodes) inflateEnd(&coder->zlib); else deflateEnd(&coder->zlib);
        break;
    case SLUICE_CODING_BROTLI:
        if (coder->brotli_out) BrotliEncoderDestroyInstance(coder->brotli_out);
        if (coder->brotli_in) BrotliDecoderDestroyInstance(coder->brotli_in);
        break;
    case SLUICE_CODING_ZSTD:
        ZSTD_freeCCtx(coder->zstd_out);
        ZSTD_freeDCtx(coder->zstd_in);
        break;
    }
    free(coder);
}

static uInt narrow(size_t count) { return count > UINT_MAX ? UINT_MAX : (uInt)count; }

static int zlib_step(sluice_coder *coder, int mode, const uint8_t *in, size_t in_count, size_t *consumed, uint8_t *out,
                     size_t out_count, size_t *produced) {
    z_stream *z = &coder->zlib;
    // A second member may follow the first (RFC 1952 section 2.2).
    if (coder->between && in_count > 0) {
        if (inflateReset(z) != Z_OK) return SLUICE_STEP_FAILED;
        coder->between = 0;
    }
    z->next_in = (Bytef *)in;
    z->avail_in = narrow(in_count);
    z->next_out = out;
    z->avail_out = narrow(out_count);
    uInt had_in = z->avail_in, had_out = z->avail_out;
    static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    int result = coder->between  ? Z_STREAM_END
                 : coder->decodes ? inflate(z, Z_NO_FLUSH)
                                  : deflate(z, flushes[mode]);
    *consumed = had_in - z->avail_in;
    *produced = had_out - z->avail_out;
    if (result == Z_STREAM_END) {
        if (coder->decodes && coder->coding == SLUICE_CODING_GZIP && (z->avail_in > 0 || mode != SLUICE_MODE_FINISH)) {
            coder->between = 1;
            return z->avail_in > 0 ? SLUICE_STEP_WANTS_ROOM : SLUICE_STEP_WANTS_INPUT;
        }
        return SLUICE_STEP_ENDED;
    }
    if (result != Z_OK && result != Z_BUF_ERROR) return SLUICE_STEP_FAILED;
    if (z->avail_out == 0) return SLUICE_STEP_WANTS_ROOM;
    // Nothing more will come, and the stream is not complete.
    if (coder->decodes && mode == SLUICE_MODE_FINISH && z->avail_in == 0) return SLUICE_STEP_FAILED;
    return SLUICE_STEP_WANTS_INPUT;
}

static int brotli_encode(sluice_coder *coder, int mode, size_t *left, const uint8_t **in, size_t *room, uint8_t **out) {
    static const BrotliEncoderOperation operations[] = {
        BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH};
    if (!BrotliEncoderCompressStream(coder->brotli_out, operations[mode], left, in, room, out, NULL)) return SLUICE_STEP_FAILED;
    if (BrotliEncoderIsFinished(coder->brotli_out)) return SLUICE_STEP_ENDED;
    return *left > 0 || BrotliEncoderHasMoreOutput(coder->brotli_out) ? SLUICE_STEP_WANTS_ROOM : SLUICE_STEP_WANTS_INPUT;
}

static int brotli_decode(sluice_coder *coder, int mode, size_t *left, const uint8_t **in, size_t *room, uint8_t **out) {
    // Its end is waited for, as with the others: what follows it is wrong in whatever pieces it comes.
    if (!coder->between) {
        switch (BrotliDecoderDecompressStream(coder->brotli_in, left, in, room, out, NULL)) {
        case BROTLI_DECODER_RESULT_SUCCESS: coder->between = 1; break;
        case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: return SLUICE_STEP_WANTS_ROOM;
        case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: return mode == SLUICE_MODE_FINISH ? SLUICE_STEP_FAILED : SLUICE_STEP_WANTS_INPUT;
        default: return SLUICE_STEP_FAILED;
        }
    }
    if (*left > 0) return SLUICE_STEP_FAILED;
    return mode == SLUICE_MODE_FINISH ? SLUICE_STEP_ENDED : SLUICE_STEP_WANTS_INPUT;
}

static int zstd_encode(sluice_coder *coder, int mode, ZSTD_inBuffer *in, ZSTD_outBuffer *out) {
    static const ZSTD_EndDirective directives[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    size_t left = ZSTD_compressStream2(coder->zstd_out, out, in, directives[mode]);
    if (ZSTD_isError(left)) return SLUICE_STEP_FAILED;
    if (mode == SLUICE_MODE_RUN) return in->pos < in->size ? SLUICE_STEP_WANTS_ROOM : SLUICE_STEP_WANTS_INPUT;
    if (left > 0 || in->pos < in->size) return SLUICE_STEP_WANTS_ROOM;
    return mode == SLUICE_MODE_FINISH ? SLUICE_STEP_ENDED : SLUICE_STEP_WANTS_INPUT;
}

static int zstd_decode(sluice_coder *coder, int mode, ZSTD_inBuffer *in, ZSTD_outBuffer *out) {
    size_t left = in->pos < in->size || !coder->between ? ZSTD_decompressStream(coder->zstd_in, out, in) : 0;
    if (ZSTD_isError(left)) return SLUICE_STEP_FAILED;
    // 0 is the end of a frame; others may follow.
    coder->between = left == 0;
    if (out->pos == out->size && left != 0) return SLUICE_STEP_WANTS_ROOM;
    if (in->pos < in->size) return SLUICE_STEP_WANTS_ROOM;
    if (mode != SLUICE_MODE_FINISH) return SLUICE_STEP_WANTS_INPUT;
    return left == 0 ? SLUICE_STEP_ENDED : SLUICE_STEP_FAILED;
}

int sluice_coder_step(sluice_coder *coder, int mode, const uint8_t *in, size_t in_count, size_t *consumed, uint8_t *out,
                      size_t out_count, size_t *produced) {
    static const uint8_t nothing[1];
    if (!in) in = nothing;
    int result;
    if (coder->coding == SLUICE_CODING_ZSTD) {
        ZSTD_inBuffer input = {in, in_count, 0};
        ZSTD_outBuffer output = {out, out_count, 0};
        result = coder->decodes ? zstd_decode(coder, mode, &input, &output) : zstd_encode(coder, mode, &input, &output);
        *consumed = input.pos;
        *produced = output.pos;
    } else if (coder->coding == SLUICE_CODING_BROTLI) {
        size_t left = in_count, room = out_count;
        result = coder->decodes ? brotli_decode(coder, mode, &left, &in, &room, &out)
                                : brotli_encode(coder, mode, &left, &in, &room, &out);
        *consumed = in_count - left;
        *produced = out_count - room;
    } else {
        result = zlib_step(coder, mode, in, in_count, consumed, out, out_count, produced);
    }
    return result;
}
