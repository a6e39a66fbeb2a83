// The memory that ICU takes for scripts: formatters, collators, word breakers. V8 counts none of it, and its limits do not see it:
// 20,000 objects of Intl.DateTimeFormat are a megabyte of its heap and gigabytes of ICU's.
#include "internal.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

namespace cv8 {
namespace {

/// V8 is told of every so many bytes that it grew by.
constexpr int64_t kStep = 2 << 20;

/// Of a script: what its buffers may have, twice. One that formats dates in twenty languages has a quarter of it.
int64_t limit_of(const cv8_isolate *isolate) { return 2 * static_cast<int64_t>(isolate->limits.external_bytes); }

void tell(cv8_isolate *isolate) {
  const int64_t growth = isolate->icu_bytes - isolate->icu_told;
  isolate->icu_told = isolate->icu_bytes;
  // May collect garbage.
  isolate->v8->AdjustAmountOfExternalAllocatedMemory(growth);
}

/// Between two steps of the script, when garbage may be collected.
void on_growth(v8::Isolate *v8_isolate, void *data) {
  auto *isolate = static_cast<cv8_isolate *>(data);
  isolate->icu_asked = false;
  tell(isolate);
  if (isolate->icu_bytes <= limit_of(isolate)) return;
  // This kind of collection frees what is behind the objects before it returns.
  v8_isolate->MemoryPressureNotification(v8::MemoryPressureLevel::kCritical);
  v8_isolate->MemoryPressureNotification(v8::MemoryPressureLevel::kNone);
  if (isolate->icu_bytes <= limit_of(isolate)) return;
  isolate->must_be_discarded = true;
  mark_stopped(isolate, CV8_STOP_HEAP);
  v8_isolate->TerminateExecution();
}

/// ICU allocates where no garbage may be collected, so that everything else waits for the script's next step.
void charge(int64_t bytes) {
  v8::Isolate *v8_isolate = v8::Isolate::TryGetCurrent();
  cv8_isolate *isolate = v8_isolate != nullptr ? owner(v8_isolate) : nullptr;
  if (isolate == nullptr) return;
  isolate->icu_bytes += bytes;
  const int64_t growth = isolate->icu_bytes - isolate->icu_told;
  if (growth < -kStep) return tell(isolate);
  if (growth < kStep || isolate->icu_asked) return;
  isolate->icu_asked = true;
  v8_isolate->RequestInterrupt(on_growth, isolate);
}

int64_t size_of(void *memory) { return memory != nullptr ? static_cast<int64_t>(malloc_usable_size(memory)) : 0; }

// What was allocated before these were set came from malloc as well.
void *take(const void *, size_t size) {
  void *memory = malloc(size);
  charge(size_of(memory));
  return memory;
}

void *change(const void *, void *memory, size_t size) {
  const int64_t before = size_of(memory);
  void *changed = realloc(memory, size);
  if (changed != nullptr) charge(size_of(changed) - before);
  return changed;
}

void give_back(const void *, void *memory) {
  charge(-size_of(memory));
  free(memory);
}

}  // namespace

void count_icu_memory() {
  using Set = void (*)(const void *, void *(*)(const void *, size_t), void *(*)(const void *, void *, size_t), void (*)(const void *, void *), int *);
  // The name carries the version, which is that of the library V8 was linked with. There is one in the process.
  void *found = dlsym(RTLD_DEFAULT, "u_setMemoryFunctions");
  for (int version = 50; found == nullptr && version < 120; version++) {
    char name[40];
    snprintf(name, sizeof name, "u_setMemoryFunctions_%d", version);
    found = dlsym(RTLD_DEFAULT, name);
  }
  int status = 0;
  if (found != nullptr) reinterpret_cast<Set>(found)(nullptr, take, change, give_back, &status);
}

}  // namespace cv8
