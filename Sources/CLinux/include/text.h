// Questions about text, sixteen bytes at a time where the processor can (SSE2 is part of x86-64; NEON machines take the
// plain loop that the compiler makes of the rest).
#ifndef SLUICE_TEXT_H
#define SLUICE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// The offset of the first byte below 0x20 or equal to 0x7f, or `count`.
static inline size_t sluice_first_control(const uint8_t *bytes, size_t count) {
    size_t at = 0;
#if defined(__SSE2__)
    const __m128i last = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
    for (; count - at >= 16; at += 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, last), block);
        const unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(block, del)));
        if (hits) return at + (size_t)__builtin_ctz(hits);
    }
    // What is left of a long text is looked at as part of its last sixteen bytes, of which the first are good.
    if (count >= 16) {
        if (at == count) return count;
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + count - 16));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, last), block);
        const unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(block, del)));
        return hits ? count - 16 + (size_t)__builtin_ctz(hits) : count;
    }
#endif
    while (at < count && bytes[at] >= 0x20 && bytes[at] != 0x7f) at++;
    return at;
}

// The offset of the first byte that is no ASCII letter, digit or '-', or `count`.
static inline size_t sluice_end_of_name(const uint8_t *bytes, size_t count) {
    size_t at = 0;
#if defined(__SSE2__)
    // x - first, unsigned, is at most `width` exactly for the bytes of a range.
    const __m128i lower = _mm_set1_epi8(0x20), a = _mm_set1_epi8(0x61), zero = _mm_set1_epi8(0x30);
    const __m128i letters = _mm_set1_epi8(25), digits = _mm_set1_epi8(9), dash = _mm_set1_epi8(0x2d);
    for (; count - at >= 16; at += 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
        const __m128i letter = _mm_sub_epi8(_mm_or_si128(block, lower), a), digit = _mm_sub_epi8(block, zero);
        const __m128i good = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, letters), letter), _mm_cmpeq_epi8(_mm_min_epu8(digit, digits), digit)),
            _mm_cmpeq_epi8(block, dash));
        const unsigned bad = ~(unsigned)_mm_movemask_epi8(good) & 0xffffu;
        if (bad) return at + (size_t)__builtin_ctz(bad);
    }
#endif
    for (; at < count; at++) {
        const uint8_t byte = bytes[at];
        if (!((uint8_t)((byte | 0x20) - 0x61) < 26 || (uint8_t)(byte - 0x30) < 10 || byte == 0x2d)) return at;
    }
    return at;
}

// Where the parts of a field line lie: its colon, its text, the CR behind it.
typedef struct {
    size_t colon, value, end;
} sluice_field_line;

// A line as nearly all peers write them: a name of letters, digits and '-', ": ", text that neither begins nor ends with a blank, CRLF. Zeros
// for anything else, which may be good as well, or not whole, and deserves a closer look.
static inline sluice_field_line sluice_usual_line(const uint8_t *bytes, size_t count, size_t start) {
    const sluice_field_line unusual = {0, 0, 0};
    const size_t colon = start + sluice_end_of_name(bytes + start, count - start);
    if (colon == start || count - colon < 5 || bytes[colon] != ':' || bytes[colon + 1] != ' ') return unusual;
    const size_t value = colon + 2, end = value + sluice_first_control(bytes + value, count - value);
    if (end == value || count - end < 2 || bytes[end] != '\r' || bytes[end + 1] != '\n') return unusual;
    if (bytes[value] == ' ' || bytes[end - 1] == ' ') return unusual;
    return (sluice_field_line){colon, value, end};
}

#endif
