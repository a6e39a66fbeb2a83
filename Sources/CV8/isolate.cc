// Isolates: made from an image, limited, counted, freed.
#include "builtins.h"

#include <algorithm>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

namespace cv8 {

bool QuotaAllocator::take(size_t length) {
  size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (length > quota_ || used > quota_ - length) return false;
  } while (!used_.compare_exchange_weak(used, used + length, std::memory_order_relaxed));
  size_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < used + length && !peak_.compare_exchange_weak(peak, used + length, std::memory_order_relaxed)) {
  }
  return true;
}

void *QuotaAllocator::Allocate(size_t length) { return obtain(length, true); }

void *QuotaAllocator::obtain(size_t length, bool zeroed) {
  if (!take(length)) return nullptr;
  void *data = zeroed ? calloc(length, 1) : malloc(length);
  if (data == nullptr) used_.fetch_sub(length, std::memory_order_relaxed);
  return data;
}

void *QuotaAllocator::AllocateUninitialized(size_t length) {
  // Zeroed all the same: what another tenant left in freed memory must not show.
  return Allocate(length);
}

void QuotaAllocator::Free(void *data, size_t length) {
  free(data);
  used_.fetch_sub(length, std::memory_order_relaxed);
}

static void on_fatal(const char *location, const char *message) {
  v8::Isolate *isolate = v8::Isolate::TryGetCurrent();
  cv8_isolate *known = isolate != nullptr ? owner(isolate) : nullptr;
  die(CV8_EXIT_FATAL, message != nullptr ? message : "V8 failed", location != nullptr ? location : "V8",
      known != nullptr ? known->name : "");
}

static void on_out_of_memory(const char *location, bool is_heap) {
  on_fatal(location, is_heap ? "JavaScript ran out of heap" : "V8 ran out of memory");
}

/// Dooms the isolate and makes room for the allocation under way, so that the script ends and not the process.
static size_t on_near_heap_limit(void *data, size_t current, size_t initial) {
  auto *isolate = static_cast<cv8_isolate *>(data);
  isolate->must_be_discarded = true;
  mark_stopped(isolate, CV8_STOP_HEAP);
  isolate->v8->TerminateExecution();
  return std::max(current, initial + isolate->limits.heap_headroom_bytes);
}

static void on_scavenge(v8::Isolate *, v8::GCType, v8::GCCallbackFlags, void *data) {
  auto *isolate = static_cast<cv8_isolate *>(data);
  isolate->scavenges++;
  isolate->young_bytes = 0;
}

static bool may_compile_wasm(v8::Local<v8::Context> context, v8::Local<v8::String>) {
  const cv8_isolate *isolate = owner(context->GetIsolate());
  return isolate != nullptr && isolate->limits.wasm_bytes != 0;
}

static bool exceeds_wasm_limit(cv8_isolate *isolate) {
  v8::HeapStatistics heap;
  isolate->v8->GetHeapStatistics(&heap);
  return heap.external_memory() > isolate->limits.wasm_bytes + isolate->limits.external_bytes;
}

void check_wasm_memory(cv8_isolate *isolate) {
  if (isolate->limits.wasm_bytes == 0 || isolate->must_be_discarded || !exceeds_wasm_limit(isolate)) return;
  // V8 collects what nobody holds when it likes; what is left then is the script's.
  IsolateEntry entry(isolate);
  isolate->v8->LowMemoryNotification();
  if (!exceeds_wasm_limit(isolate)) return;
  isolate->must_be_discarded = true;
  mark_stopped(isolate, CV8_STOP_HEAP);
}

void configure(v8::Isolate *isolate) {
  isolate->SetFatalErrorHandler(on_fatal);
  isolate->SetOOMErrorHandler(on_out_of_memory);
  isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
  isolate->SetAllowAtomicsWait(false);
  isolate->SetPromiseRejectCallback(on_promise_reject);
  isolate->SetAllowWasmCodeGenerationCallback(may_compile_wasm);
}

Thread *this_thread() {
  static std::atomic<uint64_t> next{1};
  static thread_local Thread thread{next.fetch_add(1, std::memory_order_relaxed)};
  return &thread;
}

/// V8's limit is an address: some bytes below this frame, but never into the last 128 KiB of the thread's stack.
void set_stack_limit(cv8_isolate *isolate, Thread *thread) {
  if (thread->stack_end == 0) {
    pthread_attr_t attributes;
    void *address = nullptr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &address, &size);
      pthread_attr_destroy(&attributes);
    }
    thread->stack_end = reinterpret_cast<uintptr_t>(address) + 128 * 1024;
  }
  const uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t wanted = here - std::min<uintptr_t>(isolate->limits.stack_bytes, here);
  isolate->v8->SetStackLimit(std::max(thread->stack_end, wanted));
  isolate->thread = thread->id;
}

void leave_thread(cv8_isolate *isolate) {
  Thread *thread = this_thread();
  if (!isolate->resident) return;
  if (thread->resident != isolate) {
    die(CV8_EXIT_FATAL, "an isolate was used outside the thread dedicated to it", "cv8", isolate->name);
  }
  isolate->v8->Exit();
  isolate->resident = false;
  thread->resident = nullptr;
}

IsolateEntry::IsolateEntry(cv8_isolate *isolate) : isolate_(isolate), thread_(this_thread()) {
  if (v8::Isolate::TryGetCurrent() != isolate->v8) {
    if (isolate->thread != thread_->id) {
      leave_thread(isolate);
      set_stack_limit(isolate, thread_);
    }
    const bool stay = thread_->dedicated && thread_->calls == 0;
    if (stay && thread_->resident != nullptr) leave_thread(thread_->resident);
    isolate->v8->Enter();
    if (stay) {
      thread_->resident = isolate;
      isolate->resident = true;
    }
    must_exit_ = !stay;
  }
  isolate->depth++;
  thread_->calls++;
}

IsolateEntry::~IsolateEntry() {
  thread_->calls--;
  isolate_->depth--;
  if (must_exit_) isolate_->v8->Exit();
}

Reaper::~Reaper() {
  if (isolate->doomed && isolate->depth == 0) cv8_isolate_free(isolate);
}

/// Semi-spaces begin with two pages of 256 KiB and grow with what survives. Each collection looks at some 20,000 roots first, which takes
/// fifty microseconds and is done half as often as with one page; a second one costs 8 KiB where nothing runs, and 512 KiB where
/// calls come often.
constexpr size_t kFirstYoungBytes = 3 * 512 * 1024;

static v8::Isolate *new_v8_isolate(const cv8_image *image, cv8_isolate *isolate) {
  v8::Isolate::CreateParams parameters;
  parameters.array_buffer_allocator_shared = isolate->allocator;
  parameters.constraints.set_max_old_generation_size_in_bytes(isolate->limits.heap_bytes);
  parameters.constraints.set_max_young_generation_size_in_bytes(isolate->limits.young_bytes);
  parameters.constraints.set_initial_young_generation_size_in_bytes(std::min(isolate->limits.young_bytes, kFirstYoungBytes));
  parameters.external_references = external_references(image);
  if (image->blob.data != nullptr) parameters.snapshot_blob = const_cast<v8::StartupData *>(&image->blob);
  LargeBlocks blocks;
  v8::Isolate *made = v8::Isolate::New(parameters);
  isolate->given_back = blocks.give_back_empty_caches();
  return made;
}

/// The prelude's entries become the first handles, in the order the image names them.
static cv8_error *collect_entries(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Object> entries) {
  for (const std::string &name : isolate->image->entries) {
    v8::Local<v8::Value> value;
    v8::Local<v8::String> key;
    if (!utf8_string(isolate->v8, {reinterpret_cast<const uint8_t *>(name.data()), name.size()}).ToLocal(&key) ||
        !entries->Get(context, key).ToLocal(&value) || !value->IsFunction()) {
      return plain_error(("the prelude returns no function '" + name + "'").c_str(), isolate->image->name.c_str());
    }
    isolate->handles.emplace_back(isolate->v8, value);
  }
  return nullptr;
}

/// Whether scripts may make code of text: never where hooks of users run.
static std::atomic<bool> evaluates{false};

cv8_error *boot(cv8_isolate *isolate) {
  IsolateEntry entry(isolate);
  v8::HandleScope scope(isolate->v8);
  v8::Local<v8::Context> context = v8::Context::New(isolate->v8);
  context->AllowCodeGenerationFromStrings(evaluates.load(std::memory_order_relaxed));
  isolate->context.Reset(isolate->v8, context);
  v8::Context::Scope context_scope(context);
  inspector_context_made(isolate, context);
  if (isolate->limits.wasm_bytes == 0) {
    (void)context->Global()->Delete(context, v8::String::NewFromUtf8Literal(isolate->v8, "WebAssembly"));
  }
  v8::TryCatch caught(isolate->v8);
  v8::Local<v8::Object> entries;
  const bool booted = isolate->image->blob.data != nullptr
                          ? context->GetDataFromSnapshotOnce<v8::Object>(0).ToLocal(&entries)
                          : run_prelude(isolate->v8, context, isolate->image).ToLocal(&entries);
  if (!booted) {
    if (!caught.HasCaught()) return plain_error("the snapshot holds no entries", isolate->image->name.c_str());
    return describe(isolate, context, caught.Exception(), caught.Message());
  }
  return collect_entries(isolate, context, entries);
}

}  // namespace cv8

cv8_isolate *cv8_isolate_make(const cv8_image *image, cv8_bytes name, const cv8_limits *limits, cv8_perform perform,
                              cv8_release release, void *operations, cv8_error **error) {
  auto *isolate = new cv8_isolate;
  isolate->image = image;
  isolate->limits = *limits;
  isolate->perform = perform;
  isolate->release = release;
  isolate->operations = operations;
  memcpy(isolate->name, name.bytes, std::min(name.count, sizeof isolate->name - 1));
  isolate->allocator = std::make_shared<cv8::QuotaAllocator>(limits->external_bytes);
  isolate->v8 = cv8::new_v8_isolate(image, isolate);
  isolate->v8->SetData(0, isolate);
  cv8::isolates_changed(1);
  cv8::configure(isolate->v8);
  isolate->v8->AddNearHeapLimitCallback(cv8::on_near_heap_limit, isolate);
  isolate->v8->AddGCEpilogueCallback(cv8::on_scavenge, isolate, v8::kGCTypeScavenge);
  *error = cv8::boot(isolate);
  if (*error == nullptr) return isolate;
  cv8_isolate_free(isolate);
  return nullptr;
}

void cv8_isolate_assign(cv8_isolate *isolate, cv8_bytes name, size_t external_bytes, void *operations) {
  memset(isolate->name, 0, sizeof isolate->name);
  memcpy(isolate->name, name.bytes, std::min(name.count, sizeof isolate->name - 1));
  isolate->limits.external_bytes = external_bytes;
  isolate->allocator->set_quota(external_bytes);
  isolate->release(isolate->operations);
  isolate->operations = operations;
}

void cv8_isolate_free(cv8_isolate *isolate) {
  isolate->perform = nullptr;
  if (isolate->depth > 0) {
    isolate->doomed = true;
    return;
  }
  cv8_turn turn;
  if (isolate->turn.open) cv8_turn_end(isolate, &turn);
  cv8::leave_thread(isolate);
  {
    v8::Isolate::Scope scope(isolate->v8);
    v8::HandleScope handles(isolate->v8);
    cv8::close_inspector(isolate);
    cv8::stop_profiler(isolate);
    isolate->handles.clear();
    isolate->texts.reset();
    isolate->modules.clear();
    isolate->worlds.clear();
    isolate->rejections.clear();
    isolate->handled_late.clear();
    cv8::Resource::free_all(isolate);
    isolate->context.Reset();
  }
  v8::platform::NotifyIsolateShutdown(cv8::platform(), isolate->v8);
  isolate->v8->Dispose();
  cv8::end_loans(isolate);
  cv8::isolates_changed(-1);
  isolate->release(isolate->operations);
  delete isolate;
}

void cv8_isolate_leave_thread(cv8_isolate *isolate) { cv8::leave_thread(isolate); }

void cv8_thread_dedicate(bool dedicated) {
  cv8::Thread *thread = cv8::this_thread();
  if (thread->resident != nullptr && !dedicated) cv8::leave_thread(thread->resident);
  thread->dedicated = dedicated;
}

bool cv8_isolate_must_be_discarded(const cv8_isolate *isolate) { return isolate->must_be_discarded; }

void cv8_isolate_stats_read(cv8_isolate *isolate, cv8_isolate_stats *out) {
  v8::HeapStatistics heap;
  isolate->v8->GetHeapStatistics(&heap);
  out->used_heap = heap.used_heap_size();
  out->total_heap = heap.total_heap_size();
  out->physical_heap = heap.total_physical_size();
  out->heap_limit = heap.heap_size_limit();
  out->malloced = heap.malloced_memory();
  out->given_back = isolate->given_back;
  out->contexts = heap.number_of_native_contexts();
  out->detached_contexts = heap.number_of_detached_contexts();
  out->handle_bytes = heap.used_global_handles_size();
  out->external_bytes = isolate->allocator->used() + static_cast<uint64_t>(std::max<int64_t>(isolate->icu_bytes, 0));
  out->external_peak = isolate->allocator->peak();
  out->calls = isolate->calls;
  out->operations = isolate->operation_count;
  out->terminations = isolate->terminations;
  out->handles = isolate->handles.size() - isolate->free_handles.size() - isolate->image->entries.size();
  out->bytes_copied_in = isolate->bytes_in;
  out->bytes_copied_out = isolate->bytes_out;
  out->must_be_discarded = isolate->must_be_discarded;
}

void cv8_isolate_low_memory(cv8_isolate *isolate) {
  if (isolate->depth == 0) isolate->texts.reset();
  cv8::IsolateEntry entry(isolate);
  isolate->v8->LowMemoryNotification();
  cv8::end_loans(isolate);
}

bool cv8_isolate_idle(cv8_isolate *isolate, uint32_t milliseconds) {
  cv8::IsolateEntry entry(isolate);
  while (!cv8::stopped(isolate) && v8::platform::PumpMessageLoop(cv8::platform(), isolate->v8)) {
  }
  const double now = cv8::platform()->MonotonicallyIncreasingTime();
  return isolate->v8->IdleNotificationDeadline(now + milliseconds / 1000.0);
}

void cv8_allow_evaluation(void) { cv8::evaluates.store(true, std::memory_order_relaxed); }
