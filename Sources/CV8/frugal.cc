// Memory of a new isolate that nothing is in yet, given back to the kernel.
//
// V8 has three caches in each isolate in which it writes "nothing here" when the isolate is made: two for property accesses of many
// shapes, 60 KiB each, 2,560 times the empty string for a name, a code that is never right, and no map; and one for the frames of
// stacks, 56 KiB of zeros. An entry of zeros says the same in all of them, because zero is nobody's name and nobody's address. So
// their pages go back to the kernel, which gives zeros when one is first used: an isolate that does nothing does without 164 KiB.
//
// V8 tells nobody where they are, but it asks for them by `operator new`, which is ours: while an isolate is made, blocks of
// the two sizes are noted, and looked at afterwards. What does not hold exactly that stays as it is (another V8) and costs memory alone.
#include "internal.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace cv8 {

constexpr size_t kWord = sizeof(uintptr_t);
// Entries of three words, and the isolate; and the isolate, with entries of seven.
constexpr size_t kWordsOfEntry = 3, kAccessWords = (2048 + 512) * kWordsOfEntry, kFrameWords = 1 + 1024 * 7;
constexpr size_t kAccessBytes = (kAccessWords + 1) * kWord, kFrameBytes = kFrameWords * kWord;

static thread_local LargeBlocks *noting = nullptr;

LargeBlocks::LargeBlocks() : outer_(noting) { noting = this; }
LargeBlocks::~LargeBlocks() { noting = outer_; }

void LargeBlocks::taken(void *block, size_t size) {
  if ((size != kAccessBytes && size != kFrameBytes) || count_ == kMost) return;
  blocks_[count_++] = {block, size};
}

void LargeBlocks::freed(void *block) {
  auto *end = blocks_ + count_;
  count_ = static_cast<size_t>(std::remove_if(blocks_, end, [&](const Block &each) { return each.start == block; }) - blocks_);
}

/// The cache for property accesses: the same entry throughout, without a map.
static bool is_empty_access_cache(const uintptr_t *words) {
  return words[0] != 0 && words[1] != 0 && words[2] == 0 && std::equal(words + kWordsOfEntry, words + kAccessWords, words);
}

/// The cache for frames: the isolate it belongs to, and zeros.
static bool is_empty_frame_cache(const uintptr_t *words) {
  return words[0] != 0 && std::all_of(words + 1, words + kFrameWords, [](uintptr_t word) { return word == 0; });
}

/// The whole pages between two addresses, and nothing beside them.
static size_t give_back(const uintptr_t *first, const uintptr_t *after) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(first) + page - 1) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(after) & ~(page - 1);
  return begin < end && madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED) == 0 ? end - begin : 0;
}

size_t LargeBlocks::give_back_empty_caches() const {
  size_t bytes = 0;
  for (size_t i = 0; i < count_; i++) {
    const auto *words = static_cast<const uintptr_t *>(blocks_[i].start);
    // The last word of the one and the first of the other is the isolate, and stays.
    if (blocks_[i].size == kAccessBytes && is_empty_access_cache(words)) bytes += give_back(words, words + kAccessWords);
    if (blocks_[i].size == kFrameBytes && is_empty_frame_cache(words)) bytes += give_back(words + 1, words + kFrameWords);
  }
  return bytes;
}

}  // namespace cv8

// The sanitizers have their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

static void *take(size_t size) {
  void *block = malloc(size != 0 ? size : 1);
  if (block != nullptr && cv8::noting != nullptr) cv8::noting->taken(block, size);
  return block;
}

void *operator new(size_t size) {
  void *block = take(size);
  // Nothing here is compiled to throw, and no caller is made to be thrown at: as with an exception that nobody catches.
  if (block == nullptr) abort();
  return block;
}

// V8 asks so where it can do with less. The library's own would come to the one above.
void *operator new(size_t size, const std::nothrow_t &) noexcept { return take(size); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return take(size); }

void operator delete(void *block) noexcept {
  if (cv8::noting != nullptr) cv8::noting->freed(block);
  free(block);
}

void operator delete(void *block, size_t) noexcept { operator delete(block); }

#endif
