// RE2 behind a plain C interface: regular expressions whose time is linear in the text.
#ifndef SLUICE_CRE2_H
#define SLUICE_CRE2_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sluice_re2 sluice_re2;

// Compiles `pattern` over bytes (Latin-1). Returns NULL and writes a zero-terminated message into
// `error` (always terminated when error_capacity > 0) if the pattern is not valid or too large.
sluice_re2 *_Nullable sluice_re2_compile(const uint8_t *_Nullable pattern, size_t count, int ignore_case,
                                         int64_t max_memory, char *_Nonnull error, size_t error_capacity);
void sluice_re2_free(sluice_re2 *_Nonnull re);

// Capturing groups, not counting the whole match.
int32_t sluice_re2_group_count(const sluice_re2 *_Nonnull re);

// The name of group `index` (1-based); empty when the group has none. Lives as long as `re`.
const char *_Nonnull sluice_re2_group_name(const sluice_re2 *_Nonnull re, int32_t index);

// Searches `text`. With groups == 0 only the answer is computed (the fastest form). Otherwise `ranges`
// has room for 2 * groups numbers: start and end of the whole match and of each group, -1 when unset.
int sluice_re2_match(const sluice_re2 *_Nonnull re, const uint8_t *_Nullable text, size_t count,
                     int32_t *_Nullable ranges, int32_t groups);

#ifdef __cplusplus
}
#endif
#endif
