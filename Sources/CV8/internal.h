// What the files of the shim share. Not visible to Swift.
#ifndef SLUICE_CV8_INTERNAL_H
#define SLUICE_CV8_INTERNAL_H

#include "CV8.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <libplatform/libplatform.h>
#include <v8-profiler.h>
#include <v8.h>

namespace cv8 {

/// Counts the bytes of all ArrayBuffers of one isolate and refuses beyond the quota. V8 frees on helper threads too.
class QuotaAllocator final : public v8::ArrayBuffer::Allocator {
 public:
  explicit QuotaAllocator(size_t quota) : quota_(quota) {}
  void *Allocate(size_t length) override;
  void *AllocateUninitialized(size_t length) override;
  void Free(void *data, size_t length) override;
  /// For memory that is filled at once, `zeroed` may be false.
  void *obtain(size_t length, bool zeroed);
  /// Before anybody uses the isolate.
  void set_quota(size_t quota) { quota_ = quota; }
  /// Counts memory that is somebody else's; false when the quota has no room.
  bool charge(size_t length) { return take(length); }
  void discharge(size_t length) { used_.fetch_sub(length, std::memory_order_relaxed); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  bool take(size_t length);
  size_t quota_;
  std::atomic<size_t> used_{0}, peak_{0};
};

/// Memory for the strings an operation asks for: a bump buffer, and malloc for what does not fit. One for each thread, because
/// operations nest and end as calls do: an isolate that nobody uses has none.
struct Scratch {
  static constexpr size_t kSize = 16 * 1024;
  size_t top = 0;
  uint8_t bytes[kSize];
};

struct ModuleRecord {
  v8::Global<v8::Module> module;
  v8::Global<v8::Value> json;  // set for JSON and WebAssembly modules
  std::vector<int32_t> links;  // by request index
};

/// What belongs to a world that the isolate is not in.
struct World {
  bool exists = false;
  v8::Global<v8::Context> context;
  std::vector<v8::Global<v8::Value>> handles;
  std::vector<int32_t> free_handles;
};

/// Strings of texts that came more than once (texts.cc), each where its hash says.
class TextShelf {
 public:
  static constexpr size_t kPlaces = 64, kLongest = 256;
  struct Place {
    uint64_t seen = 0;  // the hash of what came last and was not here
    size_t count = 0;
    std::unique_ptr<uint8_t[]> bytes;
    v8::Global<v8::String> text;
    bool holds(cv8_bytes wanted) const;
  };
  Place &place(uint64_t hash);
  /// Keeps its text: a call has it under way.
  const Place *brought = nullptr;

 private:
  Place places_[kPlaces];
};

struct Rejection {
  v8::Global<v8::Promise> promise;
  v8::Global<v8::Value> reason;
};

/// V8's view of the platform: the same, with a clock that can stand still.
v8::Platform *with_our_clock(v8::Platform *inner);
/// A frozen clock moves on.
void turn_begins();

class Inspector;
class LoanBook;

/// The times of the turn that is open, in nanoseconds.
struct Turn {
  bool open = false;
  uint64_t cpu_budget = 0, deadline = 0;  // deadline on CLOCK_MONOTONIC
  uint64_t resumed_at = 0, sequence = 0;  // of the stretch under way
  uint64_t elapsed = 0, cpu = 0;          // of the stretches that are over
  uint64_t held_at = 0;                   // when a breakpoint stopped its clocks
  cv8_isolate *outer = nullptr;
};

}  // namespace cv8

namespace cv8 {
class Resource;
}

namespace cv8 {

/// The prelude's source as V8 sees it: outside its heap, once for all isolates, and not in the snapshot.
class SourceText final : public v8::String::ExternalOneByteStringResource {
 public:
  explicit SourceText(const std::string *text) : text_(text) {}
  const char *data() const override { return text_->data(); }
  size_t length() const override { return text_->size(); }
  void Dispose() override {}  // the image owns it

 private:
  const std::string *const text_;
};

}  // namespace cv8

struct cv8_image {
  std::string name, source, rehearsal;  // the source as a function expression
  cv8::SourceText text{&source};
  std::vector<intptr_t> references;  // what the snapshot refers to outside of V8, and a 0
  std::vector<std::string> operations, entries;
  v8::StartupData blob{nullptr, 0};
};

struct cv8_isolate {
  v8::Isolate *v8 = nullptr;
  v8::Global<v8::Context> context;
  const cv8_image *image = nullptr;
  std::shared_ptr<cv8::QuotaAllocator> allocator;
  cv8_perform perform = nullptr;
  cv8_release release = nullptr;
  void *operations = nullptr;
  cv8_limits limits{};
  char name[96] = {0};

  // The entries come first, then what Swift keeps. `free_handles` are holes.
  std::vector<v8::Global<v8::Value>> handles;
  std::vector<int32_t> free_handles;
  // What calls answer with, beside a number, and the strings of texts that scripts were given more than once (texts.cc).
  int32_t box[2] = {0, 0};
  uint8_t answer[CV8_LONGEST_ANSWER];
  size_t answer_count = 0;
  std::unique_ptr<cv8::TextShelf> texts;
  // By number; the one the isolate is in stands empty here.
  std::vector<cv8::World> worlds;
  int32_t world = 0;
  std::vector<cv8::ModuleRecord> modules;
  std::vector<cv8::Rejection> rejections;
  uint64_t rejections_dropped = 0;
  std::vector<cv8::Rejection> handled_late;  // handled after they were told of

  std::atomic<int32_t> stop{CV8_NOT_STOPPED};
  bool must_be_discarded = false, doomed = false;
  int depth = 0;
  uint64_t thread = 0;    // the id of the one that used it last
  bool resident = false;  // some thread stays inside it
  cv8::Turn turn;
  uint64_t calls = 0, drains = 0, operation_count = 0, terminations = 0, bytes_in = 0, bytes_out = 0;
  // Native objects that JavaScript holds (builtins.h).
  cv8::Resource *resources = nullptr;
  v8::Global<v8::ObjectTemplate> resource_shape;
  int64_t resource_bytes = 0;
  // What ICU has allocated for it, as much of that as V8 was told of, and whether it will look soon (icu.cc).
  int64_t icu_bytes = 0, icu_told = 0;
  bool icu_asked = false;
  int resource_count = 0;
  // The stretch of a turn in which collecting all garbage made no room: not again in the same one, which would be the processor's
  // time for nothing with each attempt.
  uint64_t fruitless = UINT64_MAX;
  v8::CpuProfiler *profiler = nullptr;  // while a profile is taken
  cv8::Inspector *inspector = nullptr;  // when it may be debugged
  // What is lent to scripts, from the first loan on (loans.cc).
  std::shared_ptr<cv8::LoanBook> loans;
  uint64_t scavenges = 0;
  size_t young_bytes = 0;  // of buffers for chunks since the last scavenge
  size_t given_back = 0;   // of caches that were empty when it was made (frugal.cc)
};

struct cv8_call {
  const v8::FunctionCallbackInfo<v8::Value> *info;
  cv8_isolate *isolate;
  size_t scratch_mark;
  void *overflow = nullptr;  // linked list of malloc'ed blocks
  bool is_array = false;
  std::vector<v8::Local<v8::Value>> items;
  // The memory behind the spans that Swift was given, should the script lose it before the operation ends.
  std::vector<std::shared_ptr<v8::BackingStore>> stores;
};

namespace cv8 {

/// From now on what ICU allocates counts as that of the isolate it is allocated in.
void count_icu_memory();

/// What a thread remembers. V8's Enter and Exit take a lock and a table look-up each, so a thread that is dedicated
/// to JavaScript stays in the isolate it used last (`resident`) and changes only when another one is used.
struct Thread {
  const uint64_t id;       // never reused, unlike addresses
  bool dedicated = false;
  int calls = 0;  // calls from Swift under way on this thread, in any isolate
  cv8_isolate *resident = nullptr;
  uintptr_t stack_end = 0;
};
Thread *this_thread();

/// Makes an isolate V8's current one as long as this object lives.
class IsolateEntry {
 public:
  explicit IsolateEntry(cv8_isolate *isolate);
  ~IsolateEntry();

 private:
  cv8_isolate *isolate_;
  Thread *thread_;
  bool must_exit_ = false;
};

/// Enters isolate and handle scope for one call from Swift; right with many isolates and nested calls.
class EnteredIsolate {
 public:
  explicit EnteredIsolate(cv8_isolate *isolate)
      : entry_(isolate), handle_scope_(isolate->v8), context(isolate->context.Get(isolate->v8)) {}

 private:
  IsolateEntry entry_;
  v8::HandleScope handle_scope_;

 public:
  const v8::Local<v8::Context> context;
};

/// The context as well.
class Entered : public EnteredIsolate {
 public:
  explicit Entered(cv8_isolate *isolate) : EnteredIsolate(isolate), context_scope_(context) {}

 private:
  v8::Context::Scope context_scope_;
};

/// Declared before an Entered: frees an isolate whose owner let go of it during the call.
struct Reaper {
  cv8_isolate *isolate;
  ~Reaper();
};

inline cv8_isolate *owner(v8::Isolate *isolate) { return static_cast<cv8_isolate *>(isolate->GetData(0)); }
inline bool stopped(const cv8_isolate *isolate) { return isolate->stop.load(std::memory_order_acquire) != 0; }

v8::Platform *platform();
uint64_t monotonic_ns();
void isolates_changed(int64_t by);
void images_made();
[[noreturn]] void die(int code, const char *what, const char *detail, const char *isolate_name);

// watchdog.cc
void start_watchdog(uint32_t kill_after_ms);
uint64_t watchdog_fired();
uint64_t watchdog_wakeups();
/// Marks why the script is stopped; the first reason wins.
void mark_stopped(cv8_isolate *isolate, int32_t reason);
/// The clocks of the turn that is open stand still from here on, and go on.
void hold_turn(cv8_isolate *isolate);
void release_turn(cv8_isolate *isolate);
/// A stretch with limits of its own while the turn is held; what was stopped in it is no matter of the turn.
Turn begin_aside(cv8_isolate *isolate, uint64_t cpu_ns, uint64_t wall_ns);
void end_aside(cv8_isolate *isolate, const Turn &held);

// isolate.cc
void configure(v8::Isolate *isolate);
/// A context with its entries becomes the isolate's own; null when all went well.
cv8_error *boot(cv8_isolate *isolate);
void set_stack_limit(cv8_isolate *isolate, cv8::Thread *thread);
/// WebAssembly memories beyond the limit doom the isolate.
void check_wasm_memory(cv8_isolate *isolate);
/// Takes the isolate out of the thread it stays entered on.
void leave_thread(cv8_isolate *isolate);

// frugal.cc
/// Notes large blocks that this thread takes while it exists: those of an isolate that is being made.
class LargeBlocks {
 public:
  LargeBlocks();
  ~LargeBlocks();
  LargeBlocks(const LargeBlocks &) = delete;
  LargeBlocks &operator=(const LargeBlocks &) = delete;
  void taken(void *block, size_t size);
  void freed(void *block);
  /// To be called as soon as the isolate is made. Bytes that went back.
  size_t give_back_empty_caches() const;

 private:
  static constexpr size_t kMost = 16;
  struct Block {
    void *start;
    size_t size;
  };
  LargeBlocks *outer_;
  Block blocks_[kMost];
  size_t count_ = 0;
};

// profile.cc
void stop_profiler(cv8_isolate *isolate);

// inspector.cc: what it has to know of, when there is one
void inspector_context_made(cv8_isolate *isolate, v8::Local<v8::Context> context);
void inspector_context_gone(cv8_isolate *isolate, v8::Local<v8::Context> context);
/// What a turn may use more when somebody debugs: telling a client of a pause costs time that is not the script's.
void inspector_allowance(const cv8_isolate *isolate, uint64_t *cpu_ns, uint64_t *wall_ns);
void close_inspector(cv8_isolate *isolate);

// image.cc
const intptr_t *external_references(const cv8_image *image);
/// Runs the prelude in the current context; the object it returns, or empty with the exception pending.
v8::MaybeLocal<v8::Object> run_prelude(v8::Isolate *isolate, v8::Local<v8::Context> context, const cv8_image *image);

// native.cc
void native_operation(const v8::FunctionCallbackInfo<v8::Value> &info);

// builtins.cc: functions of `native` that need nothing but their arguments, so that no call to Swift is made
struct Builtin {
  const char *name;  // null ends the list
  v8::FunctionCallback run;
};
const Builtin *builtins();
/// What stands in the place of a value that `native.lazyGlobal` was told to make later.
void lazy_value(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value> &info);

// values.cc
v8::MaybeLocal<v8::String> utf8_string(v8::Isolate *isolate, cv8_bytes bytes);
v8::MaybeLocal<v8::String> latin1_string(v8::Isolate *isolate, cv8_bytes bytes);
/// A Uint8Array with a copy; empty (nothing thrown) when the quota is used up.
v8::MaybeLocal<v8::Uint8Array> copied_bytes(cv8_isolate *isolate, cv8_bytes bytes);
int32_t kind_of(v8::Local<v8::Value> value);
int32_t keep(cv8_isolate *isolate, v8::Local<v8::Value> value);
/// A small integer is its own value, and a handle is the place of a value: one of the caller's serves, and V8 is not asked for one.
inline v8::Local<v8::Value> integer_value(v8::Isolate *isolate, int32_t integer, v8::internal::Address *word) {
  using v8::internal::Internals;
  if (!Internals::IsValidSmi(integer)) return v8::Int32::New(isolate, integer);
  *word = Internals::IntToSmi(integer);
  v8::Local<v8::Value> value;
  static_assert(sizeof value == sizeof word, "a handle is one address");
  memcpy(&value, &word, sizeof value);
  return value;
}
cv8_status invoke(cv8_isolate *isolate, v8::Local<v8::Context> context, int32_t callee, v8::Local<v8::Value> *arguments,
                  size_t count, bool keep_it, cv8_value *result, v8::TryCatch *caught, cv8_error **error);
char *to_text(v8::Isolate *isolate, v8::Local<v8::String> string, size_t limit, size_t *count);

// loans.cc
/// Ends the loans that V8 let go of. On the isolate's thread.
void end_loans(cv8_isolate *isolate);
/// Has the young generation collected when chunks lie in it that nobody holds any more.
void note_young_bytes(cv8_isolate *isolate, size_t count);

// errors.cc
cv8_error *plain_error(const char *message, const char *file);
cv8_error *describe(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Value> exception,
                    v8::Local<v8::Message> message);
/// How a call ended that ran JavaScript: looks at the stop flag first, because a stopped script can look successful.
cv8_status conclude(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::TryCatch *caught, cv8_error **error);
void on_promise_reject(v8::PromiseRejectMessage message);
bool forget_rejection(cv8_isolate *isolate, v8::Local<v8::Promise> promise);

/// Microtasks and platform tasks until there are no more or the turn was stopped.
void drain_microtasks(cv8_isolate *isolate);

/// Empties the microtask queue after a stop, so that the script's continuations do not run in another turn.
void drop_microtasks(cv8_isolate *isolate);

/// A handle is the place of a value, and what is kept has one: V8 need not be asked for another. Not beyond what is kept.
template <class T>
v8::Local<T> lent(const v8::Global<T> &kept) {
  v8::Local<T> local;
  static_assert(sizeof local == sizeof kept, "both are one address");
  memcpy(static_cast<void *>(&local), static_cast<const void *>(&kept), sizeof local);
  return local;
}

inline bool is_string(v8::Local<v8::Value> value) { return !value.IsEmpty() && value->IsString(); }

}  // namespace cv8

#endif
