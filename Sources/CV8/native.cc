// Operations of `native`: V8 calls in, Swift reads arguments and sets a result. Nothing here converts objects, so
// no hook code runs.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

namespace cv8 {

constexpr int kLongestText = 64 << 20;

static void finish_array(cv8_call *call) {
  if (!call->is_array) return;
  call->info->GetReturnValue().Set(v8::Array::New(call->isolate->v8, call->items.data(), call->items.size()));
}

static thread_local Scratch thread_scratch;

static void release_scratch(cv8_call *call) {
  thread_scratch.top = call->scratch_mark;
  while (call->overflow != nullptr) {
    void *next = *static_cast<void **>(call->overflow);
    free(call->overflow);
    call->overflow = next;
  }
}

void native_operation(const v8::FunctionCallbackInfo<v8::Value> &info) {
  v8::Isolate *v8_isolate = info.GetIsolate();
  cv8_isolate *isolate = owner(v8_isolate);
  if (isolate == nullptr || isolate->perform == nullptr) {
    v8_isolate->ThrowException(v8::Exception::Error(
        v8::String::NewFromUtf8Literal(v8_isolate, "native operations are not available at this time")));
    return;
  }
  isolate->operation_count++;
  cv8_call call{&info, isolate, thread_scratch.top};
  isolate->perform(isolate->operations, info.Data().As<v8::Int32>()->Value(), &call);
  finish_array(&call);
  release_scratch(&call);
}

/// Memory until the operation ends.
static uint8_t *scratch(cv8_call *call, size_t count) {
  Scratch &buffer = thread_scratch;
  if (count <= Scratch::kSize - buffer.top) {
    uint8_t *bytes = buffer.bytes + buffer.top;
    buffer.top += count;
    return bytes;
  }
  void **block = static_cast<void **>(malloc(sizeof(void *) + count));
  *block = call->overflow;
  call->overflow = block;
  return reinterpret_cast<uint8_t *>(block + 1);
}

static v8::Local<v8::Value> argument(cv8_call *call, int32_t index) { return (*call->info)[index]; }

/// The memory of a view or buffer. A small on-heap view gets a buffer here.
static bool locate(cv8_call *call, v8::Local<v8::Value> value, uint8_t **bytes, size_t *count) {
  v8::Local<v8::ArrayBuffer> buffer;
  size_t offset = 0;
  if (value->IsArrayBufferView()) {
    v8::Local<v8::ArrayBufferView> view = value.As<v8::ArrayBufferView>();
    buffer = view->Buffer();
    offset = view->ByteOffset();
    *count = view->ByteLength();
  } else if (value->IsArrayBuffer()) {
    buffer = value.As<v8::ArrayBuffer>();
    *count = buffer->ByteLength();
  } else {
    return false;
  }
  *bytes = nullptr;
  if (*count == 0) return true;
  call->stores.push_back(buffer->GetBackingStore());
  *bytes = static_cast<uint8_t *>(call->stores.back()->Data()) + offset;
  return true;
}

static bool set_string(cv8_call *call, v8::MaybeLocal<v8::String> maybe, bool element) {
  v8::Local<v8::String> text;
  if (!maybe.ToLocal(&text)) {
    cv8_throw(call, CV8_RANGE_ERROR, {reinterpret_cast<const uint8_t *>("the string is too long"), 22});
    return false;
  }
  if (element) {
    call->items.push_back(text);
  } else {
    call->info->GetReturnValue().Set(text);
  }
  return true;
}

}  // namespace cv8

using cv8::argument;

int32_t cv8_argument_count(const cv8_call *call) { return call->info->Length(); }
int32_t cv8_argument_kind(cv8_call *call, int32_t index) { return cv8::kind_of(argument(call, index)); }

/// Small integers are in the word itself: no need to ask V8.
static bool small_integer(v8::Local<v8::Value> value, int32_t *out) {
  using v8::internal::Internals;
  const v8::internal::Address word = *reinterpret_cast<const v8::internal::Address *>(*value);
  if (Internals::HasHeapObjectTag(word)) return false;
  *out = Internals::SmiValue(word);
  return true;
}

bool cv8_argument_triple(cv8_call *call, cv8_triple *out) {
  if (small_integer(argument(call, 0), &out->first) && small_integer(argument(call, 1), &out->second) &&
      small_integer(argument(call, 2), &out->third)) {
    return true;
  }
  return cv8_argument_int(call, 0, &out->first) && cv8_argument_int(call, 1, &out->second) &&
         cv8_argument_int(call, 2, &out->third);
}

bool cv8_argument_int(cv8_call *call, int32_t index, int32_t *out) {
  v8::Local<v8::Value> value = argument(call, index);
  if (small_integer(value, out)) return true;
  if (!value->IsInt32()) return false;
  *out = value.As<v8::Int32>()->Value();
  return true;
}

bool cv8_argument_pair(cv8_call *call, int32_t index, int32_t *first, int32_t *second) {
  return cv8_argument_int(call, index, first) && cv8_argument_int(call, index + 1, second);
}

bool cv8_argument_double(cv8_call *call, int32_t index, double *out) {
  v8::Local<v8::Value> value = argument(call, index);
  if (!value->IsNumber()) return false;
  *out = value.As<v8::Number>()->Value();
  return true;
}

bool cv8_argument_bool(cv8_call *call, int32_t index, bool *out) {
  v8::Local<v8::Value> value = argument(call, index);
  if (!value->IsBoolean()) return false;
  *out = value->IsTrue();
  return true;
}

cv8_text_status cv8_argument_latin1(cv8_call *call, int32_t index, cv8_bytes *out) {
  v8::Local<v8::Value> value = argument(call, index);
  if (!value->IsString()) return CV8_TEXT_NOT_STRING;
  v8::Local<v8::String> text = value.As<v8::String>();
  const int length = text->Length();
  if (length > cv8::kLongestText) return CV8_TEXT_TOO_LONG;
  if (!text->IsOneByte() && !text->ContainsOnlyOneByte()) return CV8_TEXT_NOT_LATIN1;
  uint8_t *bytes = cv8::scratch(call, static_cast<size_t>(length));
  text->WriteOneByte(call->isolate->v8, bytes, 0, length, v8::String::NO_NULL_TERMINATION);
  call->isolate->bytes_out += static_cast<uint64_t>(length);
  *out = {bytes, static_cast<size_t>(length)};
  return CV8_TEXT_OK;
}

cv8_text_status cv8_argument_utf8(cv8_call *call, int32_t index, cv8_bytes *out) {
  v8::Local<v8::Value> value = argument(call, index);
  if (!value->IsString()) return CV8_TEXT_NOT_STRING;
  v8::Local<v8::String> text = value.As<v8::String>();
  if (text->Length() > cv8::kLongestText) return CV8_TEXT_TOO_LONG;
  const int length = text->Utf8Length(call->isolate->v8);
  uint8_t *bytes = cv8::scratch(call, static_cast<size_t>(length));
  const int options = v8::String::NO_NULL_TERMINATION | v8::String::REPLACE_INVALID_UTF8;
  const int written = text->WriteUtf8(call->isolate->v8, reinterpret_cast<char *>(bytes), length, nullptr, options);
  call->isolate->bytes_out += static_cast<uint64_t>(written);
  *out = {bytes, static_cast<size_t>(written)};
  return CV8_TEXT_OK;
}

bool cv8_argument_bytes(cv8_call *call, int32_t index, cv8_bytes *out) {
  v8::Local<v8::Value> value = argument(call, index);
  if (value->IsArrayBufferView() && !value.As<v8::ArrayBufferView>()->HasBuffer()) {
    // A small view keeps its bytes in V8's heap, where they move; copying them is cheaper than a buffer.
    v8::Local<v8::ArrayBufferView> view = value.As<v8::ArrayBufferView>();
    const size_t count = view->ByteLength();
    uint8_t *bytes = cv8::scratch(call, count);
    *out = {bytes, view->CopyContents(bytes, count)};
    return true;
  }
  uint8_t *bytes = nullptr;
  size_t count = 0;
  if (!cv8::locate(call, value, &bytes, &count)) return false;
  *out = {bytes, count};
  return true;
}

bool cv8_argument_write(cv8_call *call, int32_t index, size_t offset, cv8_bytes source) {
  uint8_t *bytes = nullptr;
  size_t count = 0;
  if (!cv8::locate(call, argument(call, index), &bytes, &count)) return false;
  if (offset > count || source.count > count - offset) return false;
  if (source.count > 0) memmove(bytes + offset, source.bytes, source.count);
  call->isolate->bytes_in += source.count;
  return true;
}

bool cv8_argument_detach(cv8_call *call, int32_t index) {
  v8::Local<v8::Value> value = argument(call, index);
  v8::Local<v8::ArrayBuffer> buffer;
  if (value->IsArrayBufferView()) {
    buffer = value.As<v8::ArrayBufferView>()->Buffer();
  } else if (value->IsArrayBuffer()) {
    buffer = value.As<v8::ArrayBuffer>();
  } else {
    return false;
  }
  if (!buffer->IsDetachable()) return false;
  buffer->Detach();
  return true;
}

int32_t cv8_argument_keep(cv8_call *call, int32_t index) {
  if (index < 0 || index >= call->info->Length()) return -1;
  return cv8::keep(call->isolate, argument(call, index));
}

cv8_error *cv8_argument_error(cv8_call *call, int32_t index) {
  v8::Isolate *isolate = call->isolate->v8;
  v8::Local<v8::Value> value = argument(call, index);
  v8::Local<v8::Message> message = v8::Exception::CreateMessage(isolate, value);
  return cv8::describe(call->isolate, isolate->GetCurrentContext(), value, message);
}

void cv8_return_null(cv8_call *call) { call->info->GetReturnValue().SetNull(); }
void cv8_return_bool(cv8_call *call, bool value) { call->info->GetReturnValue().Set(value); }
void cv8_return_int(cv8_call *call, int32_t value) { call->info->GetReturnValue().Set(value); }
void cv8_return_double(cv8_call *call, double value) { call->info->GetReturnValue().Set(value); }

bool cv8_return_latin1(cv8_call *call, cv8_bytes text) {
  return cv8::set_string(call, cv8::latin1_string(call->isolate->v8, text), false);
}

bool cv8_return_utf8(cv8_call *call, cv8_bytes text) {
  return cv8::set_string(call, cv8::utf8_string(call->isolate->v8, text), false);
}

bool cv8_return_bytes(cv8_call *call, cv8_bytes bytes) {
  v8::Local<v8::Uint8Array> array;
  if (!cv8::copied_bytes(call->isolate, bytes).ToLocal(&array)) {
    static const char message[] = "Array buffer allocation failed: the isolate's buffers are full";
    cv8_throw(call, CV8_RANGE_ERROR, {reinterpret_cast<const uint8_t *>(message), sizeof message - 1});
    return false;
  }
  call->info->GetReturnValue().Set(array);
  return true;
}

bool cv8_return_json(cv8_call *call, cv8_bytes text) {
  v8::Isolate *isolate = call->isolate->v8;
  v8::Local<v8::String> source;
  v8::Local<v8::Value> value;
  if (!cv8::utf8_string(isolate, text).ToLocal(&source)) return cv8::set_string(call, {}, false);
  if (!v8::JSON::Parse(isolate->GetCurrentContext(), source).ToLocal(&value)) return false;
  call->info->GetReturnValue().Set(value);
  return true;
}

void cv8_return_handle(cv8_call *call, int32_t handle) {
  const auto &handles = call->isolate->handles;
  if (handle < 0 || static_cast<size_t>(handle) >= handles.size()) return;
  if (!handles[static_cast<size_t>(handle)].IsEmpty()) {
    call->info->GetReturnValue().Set(handles[static_cast<size_t>(handle)].Get(call->isolate->v8));
  }
}

void cv8_array_begin(cv8_call *call) { call->is_array = true; }

bool cv8_array_latin1(cv8_call *call, cv8_bytes text) {
  return cv8::set_string(call, cv8::latin1_string(call->isolate->v8, text), true);
}

bool cv8_array_utf8(cv8_call *call, cv8_bytes text) {
  return cv8::set_string(call, cv8::utf8_string(call->isolate->v8, text), true);
}

void cv8_array_int(cv8_call *call, int32_t value) {
  call->items.push_back(v8::Int32::New(call->isolate->v8, value));
}

void cv8_array_null(cv8_call *call) { call->items.push_back(v8::Null(call->isolate->v8)); }

void cv8_throw(cv8_call *call, int32_t kind, cv8_bytes message) {
  v8::Isolate *isolate = call->isolate->v8;
  v8::Local<v8::String> text;
  if (!cv8::utf8_string(isolate, message).ToLocal(&text)) text = v8::String::Empty(isolate);
  switch (kind) {
    case CV8_TYPE_ERROR: isolate->ThrowException(v8::Exception::TypeError(text)); break;
    case CV8_RANGE_ERROR: isolate->ThrowException(v8::Exception::RangeError(text)); break;
    default: isolate->ThrowException(v8::Exception::Error(text));
  }
}

cv8_isolate *cv8_call_isolate(cv8_call *call) { return call->isolate; }
