// Memory of a new isolate that nothing is in yet, given back to the kernel.
//
// V8 allocates some large blocks for each isolate and fills them at once. What it writes into 52 KiB of them are zeros. And it has two
// caches for property accesses of many shapes, 60 KiB each, in which it writes "nothing here" 2,560 times: the empty string for
// a name, a code that is never right, and no map. An entry of zeros says the same, because zero is nobody's name. So those
// pages go back to the kernel, which gives zeros when one is first used, and an isolate that does nothing does without 164 KiB.
//
// V8 tells nobody where these blocks are. They are found by what they hold, never by where they should be: behind a pointer in the
// isolate, a block of malloc's; in it whole pages of zeros, or 2,560 times the same three words, the last of which is 0. What does
// not look like that (another V8, another malloc) stays as it is, and costs memory alone.
#include "internal.h"

#include <algorithm>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cv8 {

constexpr size_t kEntries = 2048 + 512, kWordsOfEntry = 3, kCacheWords = kEntries * kWordsOfEntry;
/// Smaller blocks hold no whole page that is worth a system call; larger ones are none of the isolate's own.
constexpr size_t kSmallest = 16 * 1024, kLargest = 128 * 1024;

static uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return size;
}

static bool is_mapped(uintptr_t begin, uintptr_t end) {
  unsigned char seen[64];
  const uintptr_t page = page_size(), first = begin & ~(page - 1), pages = (end - first + page - 1) / page;
  return pages <= sizeof seen && mincore(reinterpret_cast<void *>(first), pages * page, seen) == 0;
}

/// The size of a block of malloc's: it stands before it, with three flags in it.
static size_t block_size(uintptr_t block) { return reinterpret_cast<const size_t *>(block)[-1] & ~size_t{7}; }

/// Where in an isolate pointers to large blocks stand.
static std::vector<size_t> find_blocks(const uintptr_t *isolate, size_t words) {
  std::vector<size_t> found;
  for (size_t i = 0; i < words; i++) {
    const uintptr_t at = isolate[i];
    if (at % 16 != 0 || at < page_size() || !is_mapped(at - sizeof(size_t), at)) continue;
    const size_t size = block_size(at);
    if (size < kSmallest || size > kLargest || !is_mapped(at, at + size)) continue;
    const bool known = std::any_of(found.begin(), found.end(), [&](size_t place) { return isolate[place] == at; });
    if (!known) found.push_back(i);
  }
  return found;
}

static bool is_empty_cache(const uintptr_t *words, size_t count) {
  if (count < kCacheWords || words[0] == 0 || words[1] == 0 || words[2] != 0) return false;
  return std::equal(words + kWordsOfEntry, words + kCacheWords, words);
}

static void give_back(uintptr_t begin, uintptr_t end) {
  const uintptr_t page = page_size();
  begin = (begin + page - 1) & ~(page - 1);
  end &= ~(page - 1);
  if (begin < end) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
}

/// Gives back the whole pages of zeros of a block.
static void give_back_zeros(uintptr_t begin, uintptr_t end) {
  const uintptr_t page = page_size();
  uintptr_t zeros = begin;
  for (uintptr_t at = (begin + page - 1) & ~(page - 1); at + page <= end; at += page) {
    const auto *words = reinterpret_cast<const uintptr_t *>(at);
    const bool is_zero = std::all_of(words, words + page / sizeof(uintptr_t), [](uintptr_t word) { return word == 0; });
    if (is_zero) continue;
    give_back(zeros, at);
    zeros = at + page;
  }
  give_back(zeros, end);
}

void give_back_empty_memory(v8::Isolate *v8_isolate) {
  const auto *isolate = reinterpret_cast<const uintptr_t *>(v8_isolate);
  static const std::vector<size_t> places = find_blocks(isolate, malloc_usable_size(v8_isolate) / sizeof(uintptr_t));
  for (const size_t place : places) {
    const uintptr_t at = isolate[place];
    if (at == 0) continue;
    const size_t bytes = block_size(at) - sizeof(size_t);
    const auto *words = reinterpret_cast<const uintptr_t *>(at);
    if (is_empty_cache(words, bytes / sizeof(uintptr_t))) give_back(at, at + kCacheWords * sizeof(uintptr_t));
    else give_back_zeros(at, at + bytes);
  }
}

}  // namespace cv8
