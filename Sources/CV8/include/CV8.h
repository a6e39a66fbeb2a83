// V8 behind a plain C interface. Swift cannot import v8::Isolate, and V8's lifetime rules are kept here:
// no V8 handle, exception or C++ type crosses this line. No policy lives here; the room Isolates decides.
//
// Threads: one isolate is used by one thread at a time. Only the watchdog touches an isolate from outside,
// and only through v8::Isolate::TerminateExecution while a turn is armed.
#ifndef SLUICE_CV8_H
#define SLUICE_CV8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cv8_isolate cv8_isolate;
typedef struct cv8_call cv8_call;
typedef struct cv8_image cv8_image;
typedef struct cv8_work cv8_work;

// MARK: engine

const char *cv8_version(void);
/// Starts V8 and the watchdog thread, once per process. Later calls do nothing and return false.
/// `worker_threads` 0 asks for the single-threaded platform. `kill_after_ms` 0: never kill the process.
bool cv8_start(const char *flags, int32_t worker_threads, uint32_t kill_after_ms);
// From now on the wall clock of this process's JavaScript moves only between turns. After cv8_start.
void cv8_freeze_clock(void);
// Isolates made from now on may evaluate text as code. For tools that run nobody's hooks.
void cv8_allow_evaluation(void);
// On this thread the wall clock of JavaScript says this, in milliseconds since 1970, until it is set again; the real time
// when it is not a number. After cv8_start.
void cv8_set_clock(double milliseconds);

/// Exit codes of a process that V8 made impossible to continue.
enum { CV8_EXIT_FATAL = 86, CV8_EXIT_UNSTOPPABLE = 87 };

typedef struct {
  uint64_t live_isolates, isolates_made, images_made, watchdog_fired, watchdog_wakeups;
} cv8_engine_counters;
void cv8_engine_counters_read(cv8_engine_counters *out);

// MARK: errors

/// What a script threw. Strings are UTF-8, NUL-terminated, never null. Freed by cv8_error_free.
typedef struct {
  char *message, *file, *source_line, *stack;
  int32_t line, column;  // from 1; 0 when unknown
} cv8_error;
void cv8_error_free(cv8_error *error);

typedef enum { CV8_RETURNED = 0, CV8_THREW = 1, CV8_TERMINATED = 2 } cv8_status;
typedef enum {
  CV8_NOT_STOPPED = 0, CV8_STOP_CPU = 1, CV8_STOP_WALL = 2, CV8_STOP_HEAP = 3, CV8_STOP_REQUESTED = 4
} cv8_stop;

// MARK: image: a prelude, ready to start isolates from

typedef struct { const uint8_t *bytes; size_t count; } cv8_bytes;
typedef struct {
  cv8_bytes name, source;
  cv8_bytes rehearsal;          // may be empty; see Prelude.swift
  const cv8_bytes *operations;  // names of the methods of `native`; the index is the operation's number
  size_t operation_count;
  const cv8_bytes *entries;     // names of the functions that the prelude returns; the index is the handle
  size_t entry_count;
} cv8_prelude;

/// Copies everything. With `snapshot`, evaluates the prelude once and keeps the heap as a startup blob.
cv8_image *cv8_image_make(const cv8_prelude *prelude, bool snapshot, cv8_error **error);
size_t cv8_image_blob_size(const cv8_image *image);
/// What names a snapshot of this prelude in this build: V8's version, every name and text it was made from (SHA-256).
/// Needs no engine.
enum { CV8_KEY_BYTES = 32 };
void cv8_image_key(const cv8_prelude *prelude, uint8_t *key);
/// The snapshot for another process of this program: its key, a checksum, the blob. malloc'ed, freed by cv8_data_free.
uint8_t *cv8_image_export(const cv8_image *image, size_t *count);
/// An image of what cv8_image_export gave. Null, without an error, when it is not of this prelude and build or is damaged.
/// What is inside is trusted: V8 does not defend itself against a snapshot made to hurt.
cv8_image *cv8_image_import(const cv8_prelude *prelude, cv8_bytes exported);
/// Whether cv8_image_import would take it. Needs no engine.
bool cv8_image_is_sound(const cv8_prelude *prelude, cv8_bytes exported);
void cv8_data_free(uint8_t *data);
/// Every isolate made from the image must be gone: V8 reads the blob as long as they live.
void cv8_image_free(cv8_image *image);

// MARK: isolate

typedef struct {
  size_t heap_bytes, heap_headroom_bytes, young_bytes, external_bytes, stack_bytes;
  size_t wasm_bytes;  // WebAssembly memories together, looked at when a turn ends; 0: there is no WebAssembly
} cv8_limits;

typedef void (*cv8_perform)(void *operations, int32_t operation, cv8_call *call);
typedef void (*cv8_release)(void *operations);

/// `release` is called once with `operations`: when the isolate is gone, also when making it fails.
cv8_isolate *cv8_isolate_make(const cv8_image *image, cv8_bytes name, const cv8_limits *limits, cv8_perform perform,
                              cv8_release release, void *operations, cv8_error **error);
/// From inside one of the isolate's own native operations this only marks it; it goes when the outermost
/// call returns, and `perform` is not called again.
void cv8_isolate_free(cv8_isolate *isolate);
/// Gives an isolate that was made ahead to whom it will serve. The old operations are released.
void cv8_isolate_assign(cv8_isolate *isolate, cv8_bytes name, size_t external_bytes, void *operations);
// A world is a context with entries of its own in the same isolate: nothing that scripts of one leave behind is seen in
// another. An isolate is born with world 0 and is always in one; calls and kept values belong to the one it is in.
/// The number of a new world, from the snapshot; -1 with an error. The isolate stays in the world it was in.
int32_t cv8_world_make(cv8_isolate *isolate, cv8_error **error);
/// Not while a script runs.
void cv8_world_enter(cv8_isolate *isolate, int32_t world);
/// Lets go of a world that the isolate is not in, with all values kept of it.
void cv8_world_free(cv8_isolate *isolate, int32_t world);
size_t cv8_world_count(const cv8_isolate *isolate);
/// A dedicated thread stays inside the isolate it used last, which makes calls cheaper. Before such an isolate is
/// used on another thread, the dedicated one must call cv8_isolate_leave_thread.
void cv8_thread_dedicate(bool dedicated);
void cv8_isolate_leave_thread(cv8_isolate *isolate);

typedef struct {
  uint64_t used_heap, total_heap, physical_heap, heap_limit, external_bytes, external_peak, malloced;
  uint64_t calls, operations, terminations, handles, bytes_copied_in, bytes_copied_out;
  /// Contexts that V8 knows of, those whose last reference was given up and that are not collected, and bytes of global handles.
  uint64_t contexts, detached_contexts, handle_bytes;
  /// Bytes of empty caches that went back to the kernel when it was made.
  uint64_t given_back;
  bool must_be_discarded;
} cv8_isolate_stats;
void cv8_isolate_stats_read(cv8_isolate *isolate, cv8_isolate_stats *out);
bool cv8_isolate_must_be_discarded(const cv8_isolate *isolate);
void cv8_isolate_low_memory(cv8_isolate *isolate);
/// Gives V8 up to `milliseconds` for garbage collection; true when it has no more to do.
bool cv8_isolate_idle(cv8_isolate *isolate, uint32_t milliseconds);

// MARK: looking inside. Outside of turns.

/// Samples what the isolate's thread runs, every `interval_us`; false when it does already.
bool cv8_profile_start(cv8_isolate *isolate, int32_t interval_us);
/// The profile as DevTools reads it (`.cpuprofile`), malloc'ed, freed by cv8_data_free; null when none was started.
uint8_t *cv8_profile_stop(cv8_isolate *isolate, size_t *count);
/// The heap as DevTools reads it (`.heapsnapshot`); null beyond `limit` bytes.
uint8_t *cv8_heap_snapshot(cv8_isolate *isolate, size_t limit, size_t *count);

// MARK: debugging: the protocol of Chrome's DevTools, messages in JSON

typedef struct {
  void *context;
  void (*send)(void *context, int32_t session, cv8_bytes message);
  /// A script stands at a breakpoint: deliver some messages and return. Called again as long as it stands there.
  void (*pause)(void *context);
  void (*release)(void *context);  // the inspector is gone
} cv8_inspector_host;
/// Outside of turns. `base`: the folder of the files whose names are relative. False when there is one already.
bool cv8_inspector_open(cv8_isolate *isolate, cv8_bytes base, const cv8_inspector_host *host);
/// Outside of turns or in `pause`. False: too many, or the number is taken.
bool cv8_inspector_connect(cv8_isolate *isolate, int32_t session);
/// The last one to go lets a script that stands at a breakpoint go on.
void cv8_inspector_disconnect(cv8_isolate *isolate, int32_t session);
/// What it evaluates is watched as a turn of its own.
void cv8_inspector_dispatch(cv8_isolate *isolate, int32_t session, cv8_bytes message);
bool cv8_inspector_is_paused(const cv8_isolate *isolate);

// MARK: turns (watchdog)

typedef struct { uint64_t elapsed_ns, cpu_ns; int32_t stop; } cv8_turn;
/// Arms the watchdog for this thread. Turns of different isolates nest: the outer clock stands still.
void cv8_turn_begin(cv8_isolate *isolate, uint64_t cpu_ns, uint64_t wall_ns, uint64_t now_ns);
void cv8_turn_end(cv8_isolate *isolate, cv8_turn *out);
bool cv8_turn_is_open(const cv8_isolate *isolate);
/// Why scripts of this turn were stopped (cv8_stop); stays until the next turn, for heap for ever.
int32_t cv8_turn_stop(const cv8_isolate *isolate);
/// Stops the running script from its own thread.
void cv8_isolate_terminate(cv8_isolate *isolate);

// MARK: values and calls

typedef enum {
  CV8_UNDEFINED, CV8_NULL, CV8_BOOLEAN, CV8_INT, CV8_DOUBLE, CV8_STRING, CV8_BYTES, CV8_FUNCTION, CV8_OBJECT,
  CV8_PROMISE_PENDING, CV8_PROMISE_FULFILLED, CV8_PROMISE_REJECTED, CV8_OTHER,
  // arguments only:
  CV8_LATIN1, CV8_UTF8, CV8_JSON, CV8_HANDLE, CV8_NEW_BYTES
} cv8_kind;

typedef struct {
  int32_t kind;           // cv8_kind
  int32_t handle;         // CV8_HANDLE as argument; the kept result otherwise (-1: not kept)
  int32_t integer;        // CV8_INT, CV8_BOOLEAN
  double number;          // CV8_DOUBLE
  cv8_bytes bytes;        // CV8_LATIN1, CV8_UTF8, CV8_JSON, CV8_NEW_BYTES
} cv8_value;

/// Calls the function behind `callee` (an entry's index or a kept handle).
cv8_status cv8_call_function(cv8_isolate *isolate, int32_t callee, const cv8_value *arguments, size_t count,
                             bool keep_result, cv8_value *result, cv8_error **error);
/// The same with small integers only (at most 8), without building argument records.
cv8_status cv8_call_integers(cv8_isolate *isolate, int32_t callee, const int32_t *arguments, size_t count, cv8_value *result,
                             cv8_error **error);

/// What a call came to: a number, or a text of at most CV8_LONGEST_ANSWER bytes and a number that says what it means
/// (`native.answerBox`). A text is `cv8_answer_text`; `is_brought`: it is the one that the call brought along.
enum { CV8_LONGEST_ANSWER = 512 };
typedef struct {
  int32_t kind, integer;
  bool is_brought, was_wanted;
} cv8_answer;
/// Calls an entry with at most 7 integers and a text that the script was given before (`cv8_text_find`; null for -1), then runs the
/// microtasks; what they do can still turn the result into CV8_TERMINATED. `was_wanted`: the script asked for the text.
cv8_status cv8_call_answering(cv8_isolate *isolate, int32_t callee, const int32_t *integers, size_t count, int32_t text,
                              cv8_answer *answer, cv8_error **error);
/// The number in `native.answerBox` that says what a text means.
int32_t cv8_answer_meaning(const cv8_isolate *isolate);
/// Until the next call.
cv8_bytes cv8_answer_text(const cv8_isolate *isolate);
/// The number of a text that was returned by `cv8_return_repeated` more than once; -1 for any other.
int32_t cv8_text_find(cv8_isolate *isolate, cv8_bytes text);
/// Memory that a script gets as it is, for as long as it likes and at most as long as the isolate lives.
typedef struct {
  uint8_t *bytes;
  size_t count, charge;  // `charge`: bytes of the quota
  int32_t number;        // whatever the lender knows it by
  void *token;
  size_t (*end)(void *token);  // once, on the isolate's thread; bytes of the quota that are free again
} cv8_loan;
/// Calls with three integers and a Uint8Array over the loan. Where `*taken` is false the quota had no room: nothing was called, and
/// `end` is not.
cv8_status cv8_call_lending(cv8_isolate *isolate, int32_t callee, const int32_t *integers, const cv8_loan *loan, bool *taken,
                            cv8_value *result, cv8_error **error);
cv8_status cv8_get_property(cv8_isolate *isolate, int32_t object, cv8_bytes name, cv8_value *result, cv8_error **error);
/// kind of a kept value; CV8_OTHER when there is none
int32_t cv8_handle_kind(cv8_isolate *isolate, int32_t handle);
void cv8_handle_release(cv8_isolate *isolate, int32_t handle);
/// Bytes of a kept string as UTF-8, malloc'ed; null when it is no string. The caller frees with cv8_text_free.
char *cv8_handle_text(cv8_isolate *isolate, int32_t handle, size_t *count);
void cv8_text_free(char *text);

/// Runs microtasks, then what the platform queued for this isolate, until neither has more (bounded by the turn).
cv8_status cv8_run_microtasks(cv8_isolate *isolate);
/// The oldest promise that was rejected without a handler and is still so; null when there is none.
cv8_error *cv8_take_rejection(cv8_isolate *isolate, uint64_t *dropped);
bool cv8_has_rejections(const cv8_isolate *isolate);

// MARK: native operations. `index` may be out of range: that reads as undefined.

int32_t cv8_argument_count(const cv8_call *call);
int32_t cv8_argument_kind(cv8_call *call, int32_t index);
bool cv8_argument_int(cv8_call *call, int32_t index, int32_t *out);
typedef struct { int32_t first, second, third; } cv8_triple;
/// The first three arguments.
bool cv8_argument_triple(cv8_call *call, cv8_triple *out);
bool cv8_argument_pair(cv8_call *call, int32_t index, int32_t *first, int32_t *second);
bool cv8_argument_double(cv8_call *call, int32_t index, double *out);
bool cv8_argument_bool(cv8_call *call, int32_t index, bool *out);
typedef enum { CV8_TEXT_OK = 0, CV8_TEXT_NOT_STRING = 1, CV8_TEXT_NOT_LATIN1 = 2, CV8_TEXT_TOO_LONG = 3 } cv8_text_status;
/// Copies a primitive string into the operation's scratch memory, which lives until the operation ends.
cv8_text_status cv8_argument_latin1(cv8_call *call, int32_t index, cv8_bytes *out);
cv8_text_status cv8_argument_utf8(cv8_call *call, int32_t index, cv8_bytes *out);
/// The bytes behind a Uint8Array, DataView or ArrayBuffer, in place; valid until the operation ends, whatever the
/// script does meanwhile.
bool cv8_argument_bytes(cv8_call *call, int32_t index, cv8_bytes *out);
/// Whether a view lies over a loan: the loan, and the view's bytes; both valid while the operation lasts.
bool cv8_argument_loan(cv8_call *call, int32_t index, cv8_loan *loan, cv8_bytes *bytes);
/// Copies into a view or buffer; false when it is none or too small.
bool cv8_argument_write(cv8_call *call, int32_t index, size_t offset, cv8_bytes source);
/// Cuts an ArrayBuffer (or a view's buffer) loose: its length becomes 0 for the script.
bool cv8_argument_detach(cv8_call *call, int32_t index);
/// Keeps an argument beyond the operation; -1 when it is out of range.
int32_t cv8_argument_keep(cv8_call *call, int32_t index);
/// Describes an argument as an error: message, position and stack of an Error object, or its text.
cv8_error *cv8_argument_error(cv8_call *call, int32_t index);

void cv8_return_null(cv8_call *call);
void cv8_return_bool(cv8_call *call, bool value);
void cv8_return_int(cv8_call *call, int32_t value);
void cv8_return_double(cv8_call *call, double value);
bool cv8_return_latin1(cv8_call *call, cv8_bytes text);
/// The same, as the very string that it became before where it came before.
bool cv8_return_repeated(cv8_call *call, cv8_bytes text, bool *repeated);
bool cv8_return_utf8(cv8_call *call, cv8_bytes text);
/// A Uint8Array with its own copy; false (and a RangeError thrown) when the quota is used up.
bool cv8_return_bytes(cv8_call *call, cv8_bytes bytes);
bool cv8_return_json(cv8_call *call, cv8_bytes text);
void cv8_return_handle(cv8_call *call, int32_t handle);
/// An array as the result. Elements are appended one by one; it is made when the operation ends.
void cv8_array_begin(cv8_call *call);
bool cv8_array_latin1(cv8_call *call, cv8_bytes text);
bool cv8_array_utf8(cv8_call *call, cv8_bytes text);
void cv8_array_int(cv8_call *call, int32_t value);
void cv8_array_null(cv8_call *call);

typedef enum { CV8_ERROR, CV8_TYPE_ERROR, CV8_RANGE_ERROR } cv8_error_kind;
void cv8_throw(cv8_call *call, int32_t kind, cv8_bytes message);
cv8_isolate *cv8_call_isolate(cv8_call *call);

// MARK: modules. The loader in Swift walks the graph; modules are numbers from 0, per isolate.

/// Forgets the numbers given so far; modules that run stay alive by themselves.
void cv8_modules_reset(cv8_isolate *isolate);
/// `cache`: what cv8_module_cache gave for the same text, or empty. `*cache_used` says whether V8 took it.
int32_t cv8_module_compile(cv8_isolate *isolate, cv8_bytes name, cv8_bytes source, cv8_bytes cache, bool *cache_used,
                           cv8_error **error);
/// Whether what is compiled from now on is compiled whole, in the whole process; to be taken back at once.
void cv8_compile_eagerly(bool eagerly);
/// The module's bytecode as far as it is compiled by now, for `cv8_module_compile` of the same text in this process.
/// Null when there is none. malloc'ed, freed by cv8_data_free.
uint8_t *cv8_module_cache(cv8_isolate *isolate, int32_t module, size_t *count);
/// A module whose default export is the parsed JSON. Parsing happens here: an error inside V8's evaluation
/// callback would abort the process.
int32_t cv8_module_json(cv8_isolate *isolate, cv8_bytes name, cv8_bytes source, cv8_error **error);
/// A module whose default export is the compiled WebAssembly.Module.
int32_t cv8_module_wasm(cv8_isolate *isolate, cv8_bytes name, cv8_bytes binary, cv8_error **error);
typedef struct {
  char *specifier;         // UTF-8, freed by cv8_text_free
  size_t specifier_count;
  char *type;              // the import assertion `type`, empty when absent; freed by cv8_text_free
  size_t assertion_count;  // how many assertions there are
  int32_t line, column;    // from 1
} cv8_module_request;
size_t cv8_module_request_count(cv8_isolate *isolate, int32_t module);
void cv8_module_request_read(cv8_isolate *isolate, int32_t module, size_t index, cv8_module_request *out);
void cv8_module_link(cv8_isolate *isolate, int32_t module, size_t request, int32_t target);
/// Instantiates and evaluates; on success `*namespace_handle` keeps the namespace object. A top-level await that
/// has not settled after the microtasks ran is CV8_RETURNED with `*settled` false.
cv8_status cv8_module_run(cv8_isolate *isolate, int32_t module, int32_t *namespace_handle, bool *settled,
                          cv8_error **error);

// MARK: long work with keys, beside any isolate

/// An RSA key pair, as PKCS #8.
cv8_work *cv8_work_rsa(int32_t bits, uint32_t exponent);
/// PBKDF2, `count` bytes. NULL: no such hash, no iteration, or more than 64 KiB asked for.
cv8_work *cv8_work_pbkdf2(cv8_bytes hash, cv8_bytes password, cv8_bytes salt, uint32_t iterations, size_t count);
/// An operation with an RSA key, told by the arguments of an operation from `first` on (`pair` of web_sign.cc). Nothing stops it once it
/// has begun; the size of keys bounds it. NULL: the arguments are none of it.
cv8_work *cv8_work_pair(cv8_call *call, int32_t first);
typedef enum { CV8_WORK_DONE, CV8_WORK_FAILED, CV8_WORK_STOPPED, CV8_WORK_SPENT } cv8_work_end;
/// Does it, once, on any thread, with at most about `cpu_ns` of that thread's time (CV8_WORK_SPENT).
int32_t cv8_work_run(cv8_work *work, uint64_t cpu_ns);
/// From any thread: it ends soon (CV8_WORK_STOPPED).
void cv8_work_stop(cv8_work *work);
// After it ran: nanoseconds it took of its thread's time, and what came of it.
uint64_t cv8_work_cpu(const cv8_work *work);
cv8_bytes cv8_work_result(const cv8_work *work);
void cv8_work_free(cv8_work *work);

#ifdef __cplusplus
}
#endif
#endif
