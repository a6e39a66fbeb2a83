// The list of builtins, what they share, and those about V8's own values.
#include "builtins.h"

#include <openssl/crypto.h>
#include <stdlib.h>

namespace cv8 {

Bytes::Bytes(const Arguments &info, int index) {
  v8::Local<v8::Value> value = info[index];
  v8::Local<v8::ArrayBuffer> buffer;
  size_t offset = 0;
  if (value->IsArrayBufferView()) {
    v8::Local<v8::ArrayBufferView> view = value.As<v8::ArrayBufferView>();
    size_ = view->ByteLength();
    if (!view->HasBuffer()) {
      copy_.resize(size_);
      view->CopyContents(copy_.data(), size_);
      data_ = reinterpret_cast<const uint8_t *>(copy_.data());
      ok_ = true;
      return;
    }
    buffer = view->Buffer();
    offset = view->ByteOffset();
  } else if (value->IsArrayBuffer()) {
    buffer = value.As<v8::ArrayBuffer>();
    size_ = buffer->ByteLength();
  } else {
    return;
  }
  ok_ = true;
  if (size_ == 0) return;
  store_ = buffer->GetBackingStore();
  data_ = static_cast<const uint8_t *>(store_->Data()) + offset;
}

int32_t integer(const Arguments &info, int index, int32_t fallback) {
  return info[index]->IsInt32() ? info[index].As<v8::Int32>()->Value() : fallback;
}

std::string text(const Arguments &info, int index) {
  if (!info[index]->IsString()) return {};
  size_t count = 0;
  char *bytes = to_text(info.GetIsolate(), info[index].As<v8::String>(), 1 << 20, &count);
  std::string result(bytes, count);
  free(bytes);
  return result;
}

void give_bytes(const Arguments &info, const uint8_t *data, size_t size) {
  v8::Local<v8::Uint8Array> array;
  if (copied_bytes(owner(info.GetIsolate()), {data, size}).ToLocal(&array)) {
    info.GetReturnValue().Set(array);
  } else {
    throw_range_error(info.GetIsolate(), "Array buffer allocation failed: the isolate's buffers are full");
  }
}

void throw_type_error(v8::Isolate *isolate, const char *message) {
  v8::Local<v8::String> text;
  if (v8::String::NewFromUtf8(isolate, message).ToLocal(&text)) isolate->ThrowException(v8::Exception::TypeError(text));
}

void throw_range_error(v8::Isolate *isolate, const char *message) {
  v8::Local<v8::String> text;
  if (v8::String::NewFromUtf8(isolate, message).ToLocal(&text)) isolate->ThrowException(v8::Exception::RangeError(text));
}

// MARK: resources

void Resource::unlink() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
}

Resource::~Resource() {
  unlink();
  object_.Reset();
}

/// At most this many native objects per isolate: each may hold memory that no heap limit sees.
constexpr int kMostResources = 4096;

void Resource::give(const Arguments &info, Resource *resource, int kind, size_t bytes) {
  if (resource == nullptr) return info.GetReturnValue().SetNull();
  v8::Isolate *v8_isolate = info.GetIsolate();
  cv8_isolate *isolate = owner(v8_isolate);
  resource->bytes_ = bytes;
  isolate->resource_bytes += static_cast<int64_t>(bytes);
  const auto is_full = [isolate] {
    return isolate->resource_bytes > static_cast<int64_t>(isolate->limits.external_bytes) || isolate->resource_count >= kMostResources;
  };
  if (is_full() && isolate->fruitless != isolate->turn.sequence) v8_isolate->LowMemoryNotification();
  if (is_full()) {
    isolate->fruitless = isolate->turn.sequence;
    isolate->resource_bytes -= static_cast<int64_t>(bytes);
    delete resource;
    return throw_range_error(v8_isolate, "the isolate's limit of native memory is reached");
  }
  if (isolate->resource_shape.IsEmpty()) {
    v8::Local<v8::ObjectTemplate> shape = v8::ObjectTemplate::New(v8_isolate);
    shape->SetInternalFieldCount(2);
    isolate->resource_shape.Reset(v8_isolate, shape);
  }
  v8::Local<v8::Object> object;
  if (!isolate->resource_shape.Get(v8_isolate)->NewInstance(v8_isolate->GetCurrentContext()).ToLocal(&object)) {
    isolate->resource_bytes -= static_cast<int64_t>(bytes);
    delete resource;
    return;
  }
  object->SetInternalField(0, v8::External::New(v8_isolate, resource));
  object->SetInternalField(1, v8::Int32::New(v8_isolate, kind));
  resource->isolate_ = isolate;
  resource->next_ = isolate->resources;
  resource->link_ = &isolate->resources;
  if (resource->next_ != nullptr) resource->next_->link_ = &resource->next_;
  isolate->resources = resource;
  isolate->resource_count++;
  v8_isolate->AdjustAmountOfExternalAllocatedMemory(static_cast<int64_t>(bytes));
  resource->object_.Reset(v8_isolate, object);
  resource->object_.SetWeak(resource, [](const v8::WeakCallbackInfo<Resource> &data) {
    Resource *gone = data.GetParameter();
    gone->object_.Reset();
    gone->isolate_->resource_bytes -= static_cast<int64_t>(gone->bytes_);
    gone->isolate_->resource_count--;
    data.GetIsolate()->AdjustAmountOfExternalAllocatedMemory(-static_cast<int64_t>(gone->bytes_));
    delete gone;
  }, v8::WeakCallbackType::kParameter);
  info.GetReturnValue().Set(object);
}

Resource *Resource::find(const Arguments &info, int index, int kind) {
  if (!info[index]->IsObject()) return nullptr;
  v8::Local<v8::Object> object = info[index].As<v8::Object>();
  // Only objects made by `give` have two internal fields with an External and a kind.
  if (object->InternalFieldCount() != 2) return nullptr;
  v8::Local<v8::Value> pointer = object->GetInternalField(0), number = object->GetInternalField(1);
  if (!pointer->IsExternal() || !number->IsInt32() || number.As<v8::Int32>()->Value() != kind) return nullptr;
  return static_cast<Resource *>(pointer.As<v8::External>()->Value());
}

void Resource::free_all(cv8_isolate *isolate) {
  while (isolate->resources != nullptr) delete isolate->resources;
  isolate->resource_shape.Reset();
}

// MARK: about V8's own values

/// transfer(buffer): a new ArrayBuffer over the same memory; the old one is detached. TypeError when it cannot be.
static void transfer(const Arguments &info) {
  if (!info[0]->IsArrayBuffer() || !info[0].As<v8::ArrayBuffer>()->IsDetachable()) {
    return throw_type_error(info.GetIsolate(), "this ArrayBuffer cannot be transferred");
  }
  v8::Local<v8::ArrayBuffer> buffer = info[0].As<v8::ArrayBuffer>();
  std::shared_ptr<v8::BackingStore> store = buffer->GetBackingStore();
  buffer->Detach();
  info.GetReturnValue().Set(v8::ArrayBuffer::New(info.GetIsolate(), std::move(store)));
}

/// sameBytes(a, b): whether two buffers of one length are equal, in a time that does not tell where they differ.
static void same_bytes(const Arguments &info) {
  Bytes a(info, 0), b(info, 1);
  const bool same = a.ok() && b.ok() && a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
  info.GetReturnValue().Set(same);
}

/// takeRejections(late): pairs [promise, reason] of promises rejected without a handler since the last time, or
/// (late) of those that got one after they were told of.
static void take_rejections(const Arguments &info) {
  cv8_isolate *isolate = owner(info.GetIsolate());
  std::vector<Rejection> &list = info[0]->IsTrue() ? isolate->handled_late : isolate->rejections;
  std::vector<v8::Local<v8::Value>> pairs;
  for (const Rejection &one : list) {
    v8::Local<v8::Value> pair[] = {one.promise.Get(info.GetIsolate()), one.reason.Get(info.GetIsolate())};
    pairs.push_back(v8::Array::New(info.GetIsolate(), pair, 2));
  }
  list.clear();
  info.GetReturnValue().Set(v8::Array::New(info.GetIsolate(), pairs.data(), pairs.size()));
}

/// Where a context keeps the function that makes its lazy properties. Not with the property: V8 puts what a property says about
/// itself into the part of a snapshot that all contexts share, and a second copy of whatever that refers to.
constexpr int kMakerIndex = 1;

void lazy_value(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value> &info) {
  v8::Local<v8::Context> context = info.GetIsolate()->GetCurrentContext();
  v8::Local<v8::Value> maker = context->GetEmbedderData(kMakerIndex), argument = name, value;
  if (maker->IsFunction() && maker.As<v8::Function>()->Call(context, v8::Undefined(info.GetIsolate()), 1, &argument).ToLocal(&value)) {
    info.GetReturnValue().Set(value);
  }
}

/// lazyGlobal(name, make): to scripts an ordinary property of the global object, writable and not enumerable, whose value is
/// `make(name)` when it is first asked for. The last `make` serves all of them.
static void lazy_global(const Arguments &info) {
  if (!info[0]->IsString() || !info[1]->IsFunction()) return;
  v8::Local<v8::Context> context = info.GetIsolate()->GetCurrentContext();
  context->SetEmbedderData(kMakerIndex, info[1]);
  (void)context->Global()
      ->SetLazyDataProperty(context, info[0].As<v8::String>(), lazy_value, v8::Local<v8::Value>(), v8::DontEnum)
      .FromMaybe(false);
}

static const Builtin own_builtins[] = {
    {"answerBox", answer_box},
    {"lazyGlobal", lazy_global},
    {"takeRejections", take_rejections},
    {"transfer", transfer},
    {"sameBytes", same_bytes},
    {nullptr, nullptr},
};

const Builtin *builtins() {
  static const std::vector<Builtin> all = [] {
    std::vector<Builtin> list;
    for (const Builtin *part : {own_builtins, text_builtins, zip_builtins, digest_builtins, cipher_builtins,
                                key_builtins, sign_builtins, clone_builtins}) {
      for (; part->name != nullptr; part++) list.push_back(*part);
    }
    list.push_back({nullptr, nullptr});
    return list;
  }();
  return all.data();
}

}  // namespace cv8
