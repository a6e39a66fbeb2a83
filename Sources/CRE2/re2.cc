#include "CRE2.h"

#include <cstdio>
#include <map>
#include <new>
#include <string>

#include <re2/re2.h>

struct sluice_re2 {
    re2::RE2 expression;
    sluice_re2(const re2::StringPiece &pattern, const re2::RE2::Options &options)
        : expression(pattern, options) {}
};

namespace {
// More groups than any rule names; a pattern with more is refused by the caller.
constexpr int32_t most_groups = 33;
}

sluice_re2 *sluice_re2_compile(const uint8_t *pattern, size_t count, int ignore_case, int64_t max_memory,
                               char *error, size_t error_capacity) {
    re2::RE2::Options options(re2::RE2::Latin1);
    options.set_log_errors(false);
    options.set_case_sensitive(!ignore_case);
    options.set_max_mem(max_memory);
    re2::StringPiece text(reinterpret_cast<const char *>(pattern), count);
    auto *re = new (std::nothrow) sluice_re2(text, options);
    if (re != nullptr && re->expression.ok()) return re;
    const char *reason = re == nullptr ? "out of memory" : re->expression.error().c_str();
    if (error_capacity > 0) std::snprintf(error, error_capacity, "%s", reason);
    delete re;
    return nullptr;
}

void sluice_re2_free(sluice_re2 *re) { delete re; }

int32_t sluice_re2_group_count(const sluice_re2 *re) { return re->expression.NumberOfCapturingGroups(); }

const char *sluice_re2_group_name(const sluice_re2 *re, int32_t index) {
    const std::map<int, std::string> &names = re->expression.CapturingGroupNames();
    auto found = names.find(index);
    return found == names.end() ? "" : found->second.c_str();
}

int sluice_re2_match(const sluice_re2 *re, const uint8_t *text, size_t count, int32_t *ranges, int32_t groups) {
    // An empty span may come with a null pointer; RE2 tells unset groups by null data.
    const char *start = text == nullptr ? "" : reinterpret_cast<const char *>(text);
    re2::StringPiece subject(start, count);
    if (groups <= 0) {
        return re->expression.Match(subject, 0, count, re2::RE2::UNANCHORED, nullptr, 0);
    }
    re2::StringPiece found[most_groups];
    if (groups > most_groups) groups = most_groups;
    if (!re->expression.Match(subject, 0, count, re2::RE2::UNANCHORED, found, groups)) return 0;
    for (int32_t i = 0; i < groups; i++) {
        bool set = found[i].data() != nullptr;
        ranges[2 * i] = set ? static_cast<int32_t>(found[i].data() - start) : -1;
        ranges[2 * i + 1] = set ? static_cast<int32_t>(found[i].data() - start + found[i].size()) : -1;
    }
    return 1;
}
