// Memory of a new isolate that nothing is in yet, given back to the kernel.
//
// V8 has three caches in each isolate in which it writes "nothing here" when the isolate is made: two for property accesses of many
// shapes, 60 KiB each, 2,560 times the empty string for a name, a code that is never right, and no map; and one for the frames of
// stacks, 56 KiB of zeros. An entry of zeros says the same in all of them, because zero is nobody's name and nobody's address. So
// their pages go back to the kernel, which gives zeros when one is first used: an isolate that does nothing does without 164 KiB.
//
// V8 tells nobody where they are. They are found by what they hold, once, in the first isolate of the process: behind a
// pointer in it, a block of malloc's of the right size with the right content. What does not look like that (another V8,
// another malloc) stays as it is and costs memory alone; in later isolates the content is looked at again.
#include "internal.h"

#include <algorithm>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cv8 {

constexpr size_t kWord = sizeof(uintptr_t);
constexpr size_t kWordsOfEntry = 3, kAccessWords = (2048 + 512) * kWordsOfEntry;
constexpr size_t kFrameWords = 1 + 1024 * 7;

static bool is_mapped(uintptr_t begin, uintptr_t end, uintptr_t page) {
  unsigned char seen[64];
  const uintptr_t first = begin & ~(page - 1), pages = (end - first + page - 1) / page;
  return pages <= sizeof seen && mincore(reinterpret_cast<void *>(first), pages * page, seen) == 0;
}

/// The cache for property accesses: the same entry throughout, without a map.
static bool is_empty_access_cache(const uintptr_t *words) {
  return words[0] != 0 && words[1] != 0 && words[2] == 0 && std::equal(words + kWordsOfEntry, words + kAccessWords, words);
}

/// The cache for frames: the isolate it belongs to, and zeros.
static bool is_empty_frame_cache(const uintptr_t *words, const uintptr_t *isolate) {
  return words[0] == reinterpret_cast<uintptr_t>(isolate) &&
         std::all_of(words + 1, words + kFrameWords, [](uintptr_t word) { return word == 0; });
}

namespace {
/// Where in an isolate the pointers stand.
struct Places {
  std::vector<size_t> access, frames;
};
}  // namespace

static Places find_places(const uintptr_t *isolate, size_t words, uintptr_t page) {
  Places places;
  std::vector<uintptr_t> known;
  for (size_t i = 0; i < words; i++) {
    const uintptr_t at = isolate[i];
    if (at % 16 != 0 || at < page || std::find(known.begin(), known.end(), at) != known.end()) continue;
    if (!is_mapped(at - kWord, at, page)) continue;
    // malloc has the size of a block before it, with three flags in it.
    const size_t size = reinterpret_cast<const size_t *>(at)[-1] & ~size_t{7};
    const auto *content = reinterpret_cast<const uintptr_t *>(at);
    const auto fits = [&](size_t wanted) { return size > wanted * kWord && size <= wanted * kWord + 32 && is_mapped(at, at + wanted * kWord, page); };
    if (fits(kAccessWords) && is_empty_access_cache(content)) places.access.push_back(i);
    else if (fits(kFrameWords) && is_empty_frame_cache(content, isolate)) places.frames.push_back(i);
    else continue;
    known.push_back(at);
  }
  return places;
}

/// The whole pages between two addresses, and nothing beside them.
static void give_back(const uintptr_t *first, const uintptr_t *after, uintptr_t page) {
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(first) + page - 1) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(after) & ~(page - 1);
  if (begin < end) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
}

void give_back_empty_caches(v8::Isolate *v8_isolate) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto *isolate = reinterpret_cast<const uintptr_t *>(v8_isolate);
  static const Places places = find_places(isolate, malloc_usable_size(v8_isolate) / kWord, page);
  for (const size_t place : places.access) {
    const auto *words = reinterpret_cast<const uintptr_t *>(isolate[place]);
    if (words != nullptr && is_empty_access_cache(words)) give_back(words, words + kAccessWords, page);
  }
  for (const size_t place : places.frames) {
    const auto *words = reinterpret_cast<const uintptr_t *>(isolate[place]);
    // The first word is no entry: a cache that begins with a page keeps that one.
    if (words != nullptr && is_empty_frame_cache(words, isolate)) give_back(words + 1, words + kFrameWords, page);
  }
}

}  // namespace cv8
