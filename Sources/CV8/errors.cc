// What scripts throw, as text with a position; how calls end; promises nobody handled.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

namespace cv8 {

constexpr size_t kMessageLimit = 4096, kLineLimit = 400, kStackLimit = 16 * 1024, kRejectionLimit = 32;
constexpr uint64_t kDrainsPerPump = 64;

static char *copy(const char *text) { return strdup(text); }

cv8_error *plain_error(const char *message, const char *file) {
  auto *error = static_cast<cv8_error *>(calloc(1, sizeof(cv8_error)));
  error->message = copy(message);
  error->file = copy(file);
  error->source_line = copy("");
  error->stack = copy("");
  return error;
}

static void replace(char **field, char *text) {
  free(*field);
  *field = text;
}

/// `stack` of an Error object. A hook can define Error.prepareStackTrace, so this may run its code.
static void add_stack(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Value> exception,
                      cv8_error *error) {
  if (exception.IsEmpty() || !exception->IsNativeError()) return;
  v8::TryCatch ignored(isolate->v8);
  v8::Local<v8::Value> stack;
  v8::Local<v8::String> key = v8::String::NewFromUtf8Literal(isolate->v8, "stack");
  if (exception.As<v8::Object>()->Get(context, key).ToLocal(&stack) && stack->IsString()) {
    replace(&error->stack, to_text(isolate->v8, stack.As<v8::String>(), kStackLimit, nullptr));
  }
}

static void add_position(v8::Isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Message> message,
                         cv8_error *error) {
  v8::Local<v8::Value> file = message->GetScriptResourceName();
  if (is_string(file)) replace(&error->file, to_text(isolate, file.As<v8::String>(), kLineLimit, nullptr));
  error->line = message->GetLineNumber(context).FromMaybe(0);
  error->column = error->line > 0 ? message->GetStartColumn(context).FromMaybe(-1) + 1 : 0;
  v8::Local<v8::String> line;
  if (message->GetSourceLine(context).ToLocal(&line)) {
    replace(&error->source_line, to_text(isolate, line, kLineLimit, nullptr));
  }
}

cv8_error *describe(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Value> exception,
                    v8::Local<v8::Message> message) {
  cv8_error *error = plain_error("the script failed", "");
  if (message.IsEmpty()) return error;
  char *text = to_text(isolate->v8, message->Get(), kMessageLimit, nullptr);
  static const char prefix[] = "Uncaught ";
  if (strncmp(text, prefix, sizeof prefix - 1) == 0) memmove(text, text + sizeof prefix - 1, strlen(text) - sizeof prefix + 2);
  replace(&error->message, text);
  add_position(isolate->v8, context, message, error);
  add_stack(isolate, context, exception, error);
  return error;
}

cv8_status conclude(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::TryCatch *caught, cv8_error **error) {
  v8::Context::Scope scope(context);
  if (!stopped(isolate) && caught->HasTerminated()) mark_stopped(isolate, CV8_STOP_REQUESTED);
  if (!stopped(isolate)) {
    *error = caught->HasCaught() ? describe(isolate, context, caught->Exception(), caught->Message())
                                 : plain_error("the value is too large for V8", "");
  }
  if (!stopped(isolate)) return CV8_THREW;
  cv8_error_free(*error);  // stopped while the error was described
  *error = nullptr;
  // A TryCatch swallows the termination; scripts further out on the stack have to end too.
  if (isolate->depth > 1) isolate->v8->TerminateExecution();
  return CV8_TERMINATED;
}

void on_promise_reject(v8::PromiseRejectMessage message) {
  v8::Isolate *v8_isolate = v8::Isolate::GetCurrent();
  cv8_isolate *isolate = owner(v8_isolate);
  if (isolate == nullptr) return;
  if (message.GetEvent() == v8::kPromiseHandlerAddedAfterReject) {
    if (!forget_rejection(isolate, message.GetPromise()) && isolate->handled_late.size() < kRejectionLimit) {
      v8::Local<v8::Promise> promise = message.GetPromise();
      isolate->handled_late.push_back({{v8_isolate, promise}, {v8_isolate, promise->Result()}});
    }
  } else if (message.GetEvent() == v8::kPromiseRejectWithNoHandler) {
    if (isolate->rejections.size() >= kRejectionLimit) {
      isolate->rejections_dropped++;
      return;
    }
    v8::Local<v8::Value> reason = message.GetValue();
    if (reason.IsEmpty()) reason = v8::Undefined(v8_isolate);
    isolate->rejections.push_back({{v8_isolate, message.GetPromise()}, {v8_isolate, reason}});
  }
}

bool forget_rejection(cv8_isolate *isolate, v8::Local<v8::Promise> promise) {
  for (size_t i = 0; i < isolate->rejections.size(); i++) {
    if (!(isolate->rejections[i].promise == promise)) continue;
    isolate->rejections.erase(isolate->rejections.begin() + static_cast<ptrdiff_t>(i));
    return true;
  }
  return false;
}

void drain_microtasks(cv8_isolate *isolate) {
  isolate->v8->PerformMicrotaskCheckpoint();
  // The platform's tasks are garbage collection and finalizers: asking each time would cost a lock per request.
  if (++isolate->drains % kDrainsPerPump != 0) return;
  while (!stopped(isolate) && v8::platform::PumpMessageLoop(platform(), isolate->v8)) {
    isolate->v8->PerformMicrotaskCheckpoint();
  }
}

void drop_microtasks(cv8_isolate *isolate) {
  if (isolate->must_be_discarded || isolate->depth > 0) return;
  Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  // The first microtask meets the termination, and V8 then forgets the rest.
  isolate->v8->TerminateExecution();
  isolate->v8->PerformMicrotaskCheckpoint();
}

}  // namespace cv8

void cv8_error_free(cv8_error *error) {
  if (error == nullptr) return;
  free(error->message);
  free(error->file);
  free(error->source_line);
  free(error->stack);
  free(error);
}

cv8_status cv8_run_microtasks(cv8_isolate *isolate) {
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  cv8::drain_microtasks(isolate);
  if (caught.HasTerminated()) cv8::mark_stopped(isolate, CV8_STOP_REQUESTED);
  return cv8::stopped(isolate) ? CV8_TERMINATED : CV8_RETURNED;
}

bool cv8_has_rejections(const cv8_isolate *isolate) {
  return !isolate->rejections.empty() || isolate->rejections_dropped > 0 || !isolate->handled_late.empty();
}

cv8_error *cv8_take_rejection(cv8_isolate *isolate, uint64_t *dropped) {
  *dropped += isolate->rejections_dropped;
  isolate->rejections_dropped = 0;
  if (isolate->rejections.empty()) return nullptr;
  cv8::Entered entered(isolate);
  v8::Local<v8::Value> reason = isolate->rejections.front().reason.Get(isolate->v8);
  isolate->rejections.erase(isolate->rejections.begin());
  return cv8::describe(isolate, entered.context, reason, v8::Exception::CreateMessage(isolate->v8, reason));
}
