// Texts that come again and again: fields of heads that a script was given before are given as the strings they became then, and
// a call may bring one along. And what a call answers with, beside a number.
#include "builtins.h"

#include <string.h>

namespace cv8 {

static uint64_t word_at(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// Two lanes of eight bytes each, then what overlaps the end: a place is found in about half an instruction a byte. Who finds two texts
/// with one hash makes one of them be copied each time, as all are that come once.
static uint64_t hash_of(cv8_bytes text) {
  constexpr uint64_t kFirst = 0x9fb21c651e98df25, kSecond = 0xa0761d6478bd642f;
  uint64_t first = text.count * kFirst, second = 0;
  const uint8_t *bytes = text.bytes, *end = text.bytes + text.count;
  for (; end - bytes > 16; bytes += 16) {
    first = (first ^ word_at(bytes)) * kFirst;
    second = (second ^ word_at(bytes + 8)) * kSecond;
  }
  if (text.count >= 16) {
    first = (first ^ word_at(end - 16)) * kFirst;
    second = (second ^ word_at(end - 8)) * kSecond;
  } else {
    for (; bytes < end; bytes++) first = (first ^ *bytes) * kFirst;
  }
  uint64_t hash = first ^ (second >> 32 | second << 32);
  hash = (hash ^ hash >> 32) * kFirst;
  return hash ^ hash >> 32;
}

static bool fits(cv8_bytes text) { return text.count > 0 && text.count <= TextShelf::kLongest; }

bool TextShelf::Place::holds(cv8_bytes wanted) const {
  return wanted.count == count && memcmp(bytes.get(), wanted.bytes, count) == 0;
}

TextShelf::Place &TextShelf::place(uint64_t hash) { return places_[hash % kPlaces]; }

/// The string of a text that came before, or a new one. What comes the second time, and nothing else for its place meanwhile, stays.
static v8::MaybeLocal<v8::String> shelved(cv8_isolate *isolate, cv8_bytes text, bool *repeated) {
  if (isolate->texts == nullptr) isolate->texts = std::make_unique<TextShelf>();
  const uint64_t hash = hash_of(text);
  TextShelf::Place &place = isolate->texts->place(hash);
  *repeated = place.holds(text);
  if (*repeated) return lent(place.text);
  v8::Local<v8::String> made;
  if (!latin1_string(isolate->v8, text).ToLocal(&made)) return {};
  if (place.seen != hash || &place == isolate->texts->brought) {
    place.seen = hash;
    return made;
  }
  place.bytes.reset(new uint8_t[text.count]);
  memcpy(place.bytes.get(), text.bytes, text.count);
  place.count = text.count;
  place.text.Reset(isolate->v8, made);
  return made;
}

/// answerBox(): two numbers that the host reads behind a call (`cv8_call_answering`): what the text means that the call returned, and
/// whether the text that was brought along was wanted.
void answer_box(const Arguments &info) {
  cv8_isolate *isolate = owner(info.GetIsolate());
  if (isolate == nullptr) return;
  // The isolate outlives all that is in it.
  std::unique_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(
      isolate->box, sizeof isolate->box, [](void *, size_t, void *) {}, nullptr);
  info.GetReturnValue().Set(
      v8::Int32Array::New(v8::ArrayBuffer::New(info.GetIsolate(), std::move(store)), 0, sizeof isolate->box / sizeof isolate->box[0]));
}

/// A string leaves with its bytes.
static void take_answer(cv8_isolate *isolate, v8::Local<v8::Value> value, const TextShelf::Place *brought, cv8_answer *answer) {
  answer->kind = kind_of(value);
  if (answer->kind == CV8_INT) answer->integer = value.As<v8::Int32>()->Value();
  if (answer->kind != CV8_STRING) return;
  answer->integer = isolate->box[0];
  answer->is_brought = brought != nullptr && lent(brought->text) == value;
  if (answer->is_brought) {
    memcpy(isolate->answer, brought->bytes.get(), brought->count);
    isolate->answer_count = brought->count;
    return;
  }
  v8::Local<v8::String> text = value.As<v8::String>();
  const int length = text->Length();
  if (length > CV8_LONGEST_ANSWER || (!text->IsOneByte() && !text->ContainsOnlyOneByte())) {
    answer->kind = CV8_OTHER;
    return;
  }
  text->WriteOneByte(isolate->v8, isolate->answer, 0, length, v8::String::NO_NULL_TERMINATION);
  isolate->bytes_out += static_cast<uint64_t>(length);
  isolate->answer_count = static_cast<size_t>(length);
}

}  // namespace cv8

int32_t cv8_text_find(cv8_isolate *isolate, cv8_bytes text) {
  if (isolate->texts == nullptr || !cv8::fits(text)) return -1;
  const uint64_t hash = cv8::hash_of(text);
  return isolate->texts->place(hash).holds(text) ? static_cast<int32_t>(hash % cv8::TextShelf::kPlaces) : -1;
}

bool cv8_return_repeated(cv8_call *call, cv8_bytes text, bool *repeated) {
  *repeated = false;
  if (!cv8::fits(text)) return cv8_return_latin1(call, text);
  v8::Local<v8::String> value;
  if (!cv8::shelved(call->isolate, text, repeated).ToLocal(&value)) return cv8_return_latin1(call, text);
  call->info->GetReturnValue().Set(value);
  return true;
}

cv8_status cv8_call_answering(cv8_isolate *isolate, int32_t callee, const int32_t *integers, size_t count, int32_t text,
                              cv8_answer *answer, cv8_error **error) {
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  // V8 enters the context itself for a call, and for each microtask.
  cv8::IsolateEntry entry(isolate);
  v8::HandleScope scope(isolate->v8);
  v8::TryCatch caught(isolate->v8);
  const v8::Local<v8::Context> context = cv8::lent(isolate->context);
  v8::internal::Address words[8];
  v8::Local<v8::Value> values[8], value;
  count = count < 7 ? count : 7;
  for (size_t i = 0; i < count; i++) values[i] = cv8::integer_value(isolate->v8, integers[i], &words[i]);
  const cv8::TextShelf::Place *brought = nullptr;
  values[count] = v8::Null(isolate->v8);
  if (text >= 0 && isolate->texts != nullptr) {
    brought = &isolate->texts->place(static_cast<uint64_t>(text));
    isolate->texts->brought = brought;
    values[count] = cv8::lent(brought->text);
  }
  isolate->box[1] = 0;
  isolate->calls++;
  const v8::Local<v8::Value> function = cv8::lent(isolate->handles[static_cast<size_t>(callee)]);
  const bool returned = function.As<v8::Function>()
                            ->Call(context, v8::Undefined(isolate->v8), static_cast<int>(count) + 1, values)
                            .ToLocal(&value);
  cv8_status status = CV8_RETURNED;
  if (!returned || cv8::stopped(isolate)) {
    status = cv8::conclude(isolate, context, &caught, error);
  } else {
    cv8::take_answer(isolate, value, brought, answer);
  }
  if (brought != nullptr) isolate->texts->brought = nullptr;
  if (status == CV8_TERMINATED) return status;
  cv8::drain_microtasks(isolate);
  answer->was_wanted = isolate->box[1] != 0;
  if (!cv8::stopped(isolate) && !caught.HasTerminated()) return status;
  cv8_error_free(*error);
  return cv8::conclude(isolate, context, &caught, error);
}

int32_t cv8_answer_meaning(const cv8_isolate *isolate) { return isolate->box[0]; }

cv8_bytes cv8_answer_text(const cv8_isolate *isolate) { return {isolate->answer, isolate->answer_count}; }
