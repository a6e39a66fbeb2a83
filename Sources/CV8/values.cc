// Values between Swift and V8: strings, bytes, kept handles, calls.
#include "internal.h"

#include <algorithm>
#include <stdlib.h>
#include <string.h>

namespace cv8 {

static int length_of(cv8_bytes bytes) {
  return bytes.count > static_cast<size_t>(v8::String::kMaxLength) ? -2 : static_cast<int>(bytes.count);
}

v8::MaybeLocal<v8::String> utf8_string(v8::Isolate *isolate, cv8_bytes bytes) {
  const int length = length_of(bytes);
  if (length == 0) return v8::String::Empty(isolate);
  if (length < 0) return {};
  return v8::String::NewFromUtf8(isolate, reinterpret_cast<const char *>(bytes.bytes), v8::NewStringType::kNormal, length);
}

v8::MaybeLocal<v8::String> latin1_string(v8::Isolate *isolate, cv8_bytes bytes) {
  const int length = length_of(bytes);
  if (length == 0) return v8::String::Empty(isolate);
  if (length < 0) return {};
  return v8::String::NewFromOneByte(isolate, bytes.bytes, v8::NewStringType::kNormal, length);
}

static void give_back(void *data, size_t length, void *allocator) {
  static_cast<QuotaAllocator *>(allocator)->Free(data, length);
}

v8::MaybeLocal<v8::Uint8Array> copied_bytes(cv8_isolate *isolate, cv8_bytes bytes) {
  if (bytes.count == 0) return v8::Uint8Array::New(v8::ArrayBuffer::New(isolate->v8, 0), 0, 0);
  if (bytes.count >= 4096) note_young_bytes(isolate, bytes.count);
  void *data = isolate->allocator->obtain(bytes.count, false);
  if (data == nullptr && isolate->fruitless != isolate->turn.sequence) {
    // Garbage may hold the quota. V8 does the same before it refuses `new ArrayBuffer`.
    isolate->v8->LowMemoryNotification();
    data = isolate->allocator->obtain(bytes.count, false);
    if (data == nullptr) isolate->fruitless = isolate->turn.sequence;
  }
  if (data == nullptr) return {};
  memcpy(data, bytes.bytes, bytes.count);
  isolate->bytes_in += bytes.count;
  // The allocator outlives every store: the isolate holds it, and disposing the isolate frees the stores first.
  std::unique_ptr<v8::BackingStore> store =
      v8::ArrayBuffer::NewBackingStore(data, bytes.count, give_back, isolate->allocator.get());
  return v8::Uint8Array::New(v8::ArrayBuffer::New(isolate->v8, std::move(store)), 0, bytes.count);
}

int32_t kind_of(v8::Local<v8::Value> value) {
  if (value->IsUndefined()) return CV8_UNDEFINED;
  if (value->IsString()) return CV8_STRING;
  if (value->IsInt32()) return CV8_INT;
  if (value->IsNull()) return CV8_NULL;
  if (value->IsBoolean()) return CV8_BOOLEAN;
  if (value->IsNumber()) return CV8_DOUBLE;
  if (value->IsFunction()) return CV8_FUNCTION;
  if (value->IsPromise()) {
    switch (value.As<v8::Promise>()->State()) {
      case v8::Promise::kPending: return CV8_PROMISE_PENDING;
      case v8::Promise::kFulfilled: return CV8_PROMISE_FULFILLED;
      case v8::Promise::kRejected: return CV8_PROMISE_REJECTED;
    }
  }
  if (value->IsArrayBufferView() || value->IsArrayBuffer()) return CV8_BYTES;
  return value->IsObject() ? CV8_OBJECT : CV8_OTHER;
}

int32_t keep(cv8_isolate *isolate, v8::Local<v8::Value> value) {
  if (!isolate->free_handles.empty()) {
    const int32_t handle = isolate->free_handles.back();
    isolate->free_handles.pop_back();
    isolate->handles[static_cast<size_t>(handle)].Reset(isolate->v8, value);
    return handle;
  }
  isolate->handles.emplace_back(isolate->v8, value);
  return static_cast<int32_t>(isolate->handles.size() - 1);
}

char *to_text(v8::Isolate *isolate, v8::Local<v8::String> string, size_t limit, size_t *count) {
  // At most three bytes for each UTF-16 unit, so short strings need no second pass for their length.
  size_t capacity = std::min(limit, static_cast<size_t>(string->Length()) * 3);
  char *text = static_cast<char *>(malloc(capacity + 1));
  const int options = v8::String::NO_NULL_TERMINATION | v8::String::REPLACE_INVALID_UTF8;
  const int written = string->WriteUtf8(isolate, text, static_cast<int>(capacity), nullptr, options);
  text[written] = 0;
  if (count != nullptr) *count = static_cast<size_t>(written);
  return text;
}

static v8::Local<v8::Value> handle_value(cv8_isolate *isolate, int32_t handle) {
  const bool known = handle >= 0 && static_cast<size_t>(handle) < isolate->handles.size() &&
                     !isolate->handles[static_cast<size_t>(handle)].IsEmpty();
  if (!known) return v8::Undefined(isolate->v8);
  return isolate->handles[static_cast<size_t>(handle)].Get(isolate->v8);
}

static v8::MaybeLocal<v8::Value> argument_value(cv8_isolate *isolate, v8::Local<v8::Context> context,
                                                const cv8_value &argument) {
  v8::Local<v8::String> text;
  v8::Local<v8::Uint8Array> array;
  switch (argument.kind) {
    case CV8_NULL: return v8::Null(isolate->v8);
    case CV8_BOOLEAN: return v8::Boolean::New(isolate->v8, argument.integer != 0);
    case CV8_INT: return v8::Int32::New(isolate->v8, argument.integer);
    case CV8_DOUBLE: return v8::Number::New(isolate->v8, argument.number);
    case CV8_HANDLE: return handle_value(isolate, argument.handle);
    case CV8_LATIN1: return latin1_string(isolate->v8, argument.bytes).FromMaybe(text);
    case CV8_UTF8: return utf8_string(isolate->v8, argument.bytes).FromMaybe(text);
    case CV8_JSON:
      if (!utf8_string(isolate->v8, argument.bytes).ToLocal(&text)) return {};
      return v8::JSON::Parse(context, text);
    case CV8_NEW_BYTES:
      if (copied_bytes(isolate, argument.bytes).ToLocal(&array)) return array;
      isolate->v8->ThrowException(
          v8::Exception::RangeError(v8::String::NewFromUtf8Literal(isolate->v8, "out of buffer memory")));
      return {};
    default: return v8::Undefined(isolate->v8);
  }
}

static void classify(cv8_isolate *isolate, v8::Local<v8::Value> value, bool keep_it, cv8_value *result) {
  result->kind = kind_of(value);
  if (result->kind == CV8_INT) result->integer = value.As<v8::Int32>()->Value();
  if (result->kind == CV8_BOOLEAN) result->integer = value->IsTrue();
  if (result->kind == CV8_DOUBLE) result->number = value.As<v8::Number>()->Value();
  result->handle = keep_it ? keep(isolate, value) : -1;
}

cv8_status invoke(cv8_isolate *isolate, v8::Local<v8::Context> context, int32_t callee, v8::Local<v8::Value> *arguments,
                  size_t count, bool keep_it, cv8_value *result, v8::TryCatch *caught, cv8_error **error) {
  v8::Local<v8::Value> function = handle_value(isolate, callee), value;
  if (!function->IsFunction()) {
    *error = plain_error("what Swift wants to call is not a function", "");
    return CV8_THREW;
  }
  isolate->calls++;
  const bool returned = function.As<v8::Function>()
                            ->Call(context, v8::Undefined(isolate->v8), static_cast<int>(count), arguments)
                            .ToLocal(&value);
  if (!returned || stopped(isolate)) return conclude(isolate, context, caught, error);
  classify(isolate, value, keep_it, result);
  return CV8_RETURNED;
}

}  // namespace cv8

cv8_status cv8_call_function(cv8_isolate *isolate, int32_t callee, const cv8_value *arguments, size_t count,
                             bool keep_result, cv8_value *result, cv8_error **error) {
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  std::vector<v8::Local<v8::Value>> values(count);
  for (size_t i = 0; i < count; i++) {
    if (!cv8::argument_value(isolate, entered.context, arguments[i]).ToLocal(&values[i])) {
      return cv8::conclude(isolate, entered.context, &caught, error);
    }
  }
  return cv8::invoke(isolate, entered.context, callee, values.data(), count, keep_result, result, &caught, error);
}

cv8_status cv8_call_integers(cv8_isolate *isolate, int32_t callee, const int32_t *arguments, size_t count, cv8_value *result,
                             cv8_error **error) {
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  // V8 enters the context itself for a call.
  cv8::EnteredIsolate entered(isolate);
  v8::TryCatch caught(isolate->v8);
  v8::internal::Address words[8];
  v8::Local<v8::Value> values[8];
  count = std::min<size_t>(count, 8);
  for (size_t i = 0; i < count; i++) values[i] = cv8::integer_value(isolate->v8, arguments[i], &words[i]);
  return cv8::invoke(isolate, entered.context, callee, values, count, false, result, &caught, error);
}

cv8_status cv8_get_property(cv8_isolate *isolate, int32_t object, cv8_bytes name, cv8_value *result, cv8_error **error) {
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  v8::Local<v8::Value> holder = cv8::handle_value(isolate, object), value = v8::Undefined(isolate->v8);
  v8::Local<v8::String> key;
  if (holder->IsObject() && (!cv8::utf8_string(isolate->v8, name).ToLocal(&key) ||
                             !holder.As<v8::Object>()->Get(entered.context, key).ToLocal(&value))) {
    return cv8::conclude(isolate, entered.context, &caught, error);
  }
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::classify(isolate, value, true, result);
  return CV8_RETURNED;
}

int32_t cv8_handle_kind(cv8_isolate *isolate, int32_t handle) {
  cv8::Entered entered(isolate);
  return cv8::kind_of(cv8::handle_value(isolate, handle));
}

void cv8_handle_release(cv8_isolate *isolate, int32_t handle) {
  if (handle < 0 || static_cast<size_t>(handle) >= isolate->handles.size()) return;
  isolate->handles[static_cast<size_t>(handle)].Reset();
  isolate->free_handles.push_back(handle);
}

char *cv8_handle_text(cv8_isolate *isolate, int32_t handle, size_t *count) {
  cv8::Entered entered(isolate);
  v8::Local<v8::Value> value = cv8::handle_value(isolate, handle);
  if (!value->IsString()) return nullptr;
  return cv8::to_text(isolate->v8, value.As<v8::String>(), INT32_MAX, count);
}

void cv8_text_free(char *text) { free(text); }
