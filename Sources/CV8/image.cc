// A prelude ready to start isolates from: its source, or a startup snapshot of the heap it leaves.
#include "internal.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

namespace cv8 {

/// Every native function whose address may stand in a snapshot, the prelude's source, and a 0 at the end.
static void list_references(cv8_image *image) {
  image->references = {reinterpret_cast<intptr_t>(&native_operation), reinterpret_cast<intptr_t>(&image->text),
                       reinterpret_cast<intptr_t>(&lazy_value)};
  for (const Builtin *one = builtins(); one->name != nullptr; one++) {
    image->references.push_back(reinterpret_cast<intptr_t>(one->run));
  }
  image->references.push_back(0);
}

const intptr_t *external_references(const cv8_image *image) { return image->references.data(); }

/// Plain ASCII stays outside V8's heap.
static v8::MaybeLocal<v8::String> source_text(v8::Isolate *isolate, const cv8_image *image) {
  for (const char character : image->source) {
    if (static_cast<uint8_t>(character) > 127) {
      return utf8_string(isolate, {reinterpret_cast<const uint8_t *>(image->source.data()), image->source.size()});
    }
  }
  return v8::String::NewExternalOneByte(isolate, const_cast<SourceText *>(&image->text));
}

static bool add_function(v8::Isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Object> native,
                         v8::Local<v8::String> name, v8::FunctionCallback run, v8::Local<v8::Value> data) {
  v8::Local<v8::FunctionTemplate> shape = v8::FunctionTemplate::New(
      isolate, run, data, v8::Local<v8::Signature>(), 0, v8::ConstructorBehavior::kThrow);
  v8::Local<v8::Function> function;
  if (!shape->GetFunction(context).ToLocal(&function)) return false;
  function->SetName(name);
  return native->Set(context, name, function).IsJust();
}

/// The object `native`: one function for each operation, carrying its number, and the builtins.
static v8::MaybeLocal<v8::Object> native_object(v8::Isolate *isolate, v8::Local<v8::Context> context,
                                                const cv8_image *image) {
  v8::Local<v8::Object> native = v8::Object::New(isolate);
  for (size_t index = 0; index < image->operations.size(); index++) {
    const std::string &text = image->operations[index];
    v8::Local<v8::String> name;
    if (!utf8_string(isolate, {reinterpret_cast<const uint8_t *>(text.data()), text.size()}).ToLocal(&name) ||
        !add_function(isolate, context, native, name, native_operation,
                      v8::Int32::New(isolate, static_cast<int32_t>(index)))) {
      return {};
    }
  }
  for (const Builtin *one = builtins(); one->name != nullptr; one++) {
    v8::Local<v8::String> name;
    if (!v8::String::NewFromUtf8(isolate, one->name).ToLocal(&name) ||
        !add_function(isolate, context, native, name, one->run, v8::Undefined(isolate))) {
      return {};
    }
  }
  return native;
}

/// The prelude as a function of `native`, made anew by each call: the code is compiled once and shared, what it learns
/// about its callees is not.
static v8::MaybeLocal<v8::Function> prelude_function(v8::Local<v8::Context> context, v8::Local<v8::UnboundScript> script) {
  v8::Local<v8::Value> result;
  if (!script->BindToCurrentContext()->Run(context).ToLocal(&result)) return {};
  return result.As<v8::Function>();
}

static v8::MaybeLocal<v8::UnboundScript> compile_prelude(v8::Isolate *isolate, const cv8_image *image) {
  v8::Local<v8::String> name, source;
  if (!utf8_string(isolate, {reinterpret_cast<const uint8_t *>(image->name.data()), image->name.size()}).ToLocal(&name) ||
      !source_text(isolate, image).ToLocal(&source)) {
    return {};
  }
  v8::ScriptOrigin origin(isolate, name);
  v8::ScriptCompiler::Source compiled(source, origin);
  return v8::ScriptCompiler::CompileUnboundScript(isolate, &compiled);
}

static v8::MaybeLocal<v8::Object> run_prelude(v8::Isolate *isolate, v8::Local<v8::Context> context, const cv8_image *image,
                                              v8::Local<v8::UnboundScript> script) {
  v8::Local<v8::Object> native;
  v8::Local<v8::Function> function;
  v8::Local<v8::Value> result;
  if (!native_object(isolate, context, image).ToLocal(&native) || !prelude_function(context, script).ToLocal(&function)) return {};
  v8::Local<v8::Value> argument = native;
  if (!function->Call(context, v8::Undefined(isolate), 1, &argument).ToLocal(&result)) return {};
  if (result->IsObject()) return result.As<v8::Object>();
  isolate->ThrowException(v8::Exception::TypeError(
      v8::String::NewFromUtf8Literal(isolate, "the prelude must return an object with its entries")));
  return {};
}

v8::MaybeLocal<v8::Object> run_prelude(v8::Isolate *isolate, v8::Local<v8::Context> context, const cv8_image *image) {
  v8::Local<v8::UnboundScript> script;
  if (!compile_prelude(isolate, image).ToLocal(&script)) return {};
  return run_prelude(isolate, context, image, script);
}

/// Runs the rehearsal with a prelude of its own. Nothing of it stays but compiled code. False with the exception pending.
static bool rehearse(v8::Isolate *isolate, v8::Local<v8::Context> context, const cv8_image *image,
                     v8::Local<v8::UnboundScript> script) {
  if (image->rehearsal.empty()) return true;
  v8::HandleScope scope(isolate);
  v8::Local<v8::String> parameters[] = {v8::String::NewFromUtf8Literal(isolate, "prelude"),
                                        v8::String::NewFromUtf8Literal(isolate, "native")};
  v8::Local<v8::String> text;
  v8::Local<v8::Object> native;
  v8::Local<v8::Function> function, prelude;
  v8::Local<v8::Value> result;
  if (!utf8_string(isolate, {reinterpret_cast<const uint8_t *>(image->rehearsal.data()), image->rehearsal.size()}).ToLocal(&text) ||
      !native_object(isolate, context, image).ToLocal(&native) || !prelude_function(context, script).ToLocal(&prelude)) {
    return false;
  }
  v8::ScriptOrigin origin(isolate, v8::String::NewFromUtf8Literal(isolate, "sluice:rehearsal"));
  v8::ScriptCompiler::Source compiled(text, origin);
  v8::Local<v8::Value> arguments[] = {prelude, native};
  if (!v8::ScriptCompiler::CompileFunction(context, &compiled, 2, parameters).ToLocal(&function) ||
      !function->Call(context, v8::Undefined(isolate), 2, arguments).ToLocal(&result)) {
    return false;
  }
  isolate->PerformMicrotaskCheckpoint();
  return !result->IsFunction() ||
         !result.As<v8::Function>()->Call(context, v8::Undefined(isolate), 0, nullptr).IsEmpty();
}

/// Runs the prelude in the creator's isolate and attaches its entries to the default context.
static bool fill_snapshot(v8::SnapshotCreator *creator, cv8_isolate *temporary, const cv8_image *image,
                          cv8_error **error) {
  v8::Isolate *isolate = creator->GetIsolate();
  v8::HandleScope scope(isolate);
  v8::Local<v8::Context> context = v8::Context::New(isolate);
  v8::Context::Scope context_scope(context);
  v8::TryCatch caught(isolate);
  v8::Local<v8::UnboundScript> script;
  v8::Local<v8::Object> entries;
  const bool made = compile_prelude(isolate, image).ToLocal(&script) && rehearse(isolate, context, image, script) &&
                    run_prelude(isolate, context, image, script).ToLocal(&entries);
  isolate->PerformMicrotaskCheckpoint();
  if (made) {
    creator->SetDefaultContext(context);
    creator->AddData(context, entries);
    return true;
  }
  *error = describe(temporary, context, caught.Exception(), caught.Message());
  creator->SetDefaultContext(v8::Context::New(isolate));
  return false;
}

static bool make_snapshot(cv8_image *image, cv8_error **error) {
  cv8_isolate temporary;  // makes native operations answer that they are not available yet
  v8::SnapshotCreator creator(external_references(image));
  v8::Isolate *isolate = creator.GetIsolate();
  isolate->SetData(0, &temporary);
  isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
  temporary.v8 = isolate;
  temporary.allocator = std::make_shared<QuotaAllocator>(SIZE_MAX);
  const bool filled = fill_snapshot(&creator, &temporary, image, error);
  isolate->SetData(0, nullptr);
  // The destructor of a creator that made no blob aborts, so it makes one in any case.
  v8::StartupData blob = creator.CreateBlob(v8::SnapshotCreator::FunctionCodeHandling::kKeep);
  if (filled && blob.data != nullptr) {
    image->blob = blob;
    return true;
  }
  delete[] blob.data;
  if (*error == nullptr) *error = plain_error("V8 could not make a snapshot", image->name.c_str());
  return false;
}

}  // namespace cv8

static std::string text(cv8_bytes bytes) { return std::string(reinterpret_cast<const char *>(bytes.bytes), bytes.count); }

static std::unique_ptr<cv8_image> image_of(const cv8_prelude *prelude) {
  auto image = std::make_unique<cv8_image>();
  image->name = text(prelude->name);
  image->source = "(function (native) {" + text(prelude->source) + "\n})";
  image->rehearsal = text(prelude->rehearsal);
  for (size_t i = 0; i < prelude->operation_count; i++) image->operations.push_back(text(prelude->operations[i]));
  for (size_t i = 0; i < prelude->entry_count; i++) image->entries.push_back(text(prelude->entries[i]));
  cv8::list_references(image.get());
  return image;
}

cv8_image *cv8_image_make(const cv8_prelude *prelude, bool snapshot, cv8_error **error) {
  auto image = image_of(prelude);
  *error = nullptr;
  if (snapshot && !cv8::make_snapshot(image.get(), error)) return nullptr;
  cv8::images_made();
  return image.release();
}

size_t cv8_image_blob_size(const cv8_image *image) { return static_cast<size_t>(image->blob.raw_size); }

void cv8_image_free(cv8_image *image) {
  delete[] image->blob.data;
  delete image;
}

// MARK: from process to process

static_assert(CV8_KEY_BYTES == SHA256_DIGEST_LENGTH, "the key is a SHA-256");

static void image_key(const cv8_image *image, uint8_t *key) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  const auto add = [&hash](const std::string &part) {
    const uint64_t count = part.size();
    EVP_DigestUpdate(hash.get(), &count, sizeof count);
    EVP_DigestUpdate(hash.get(), part.data(), part.size());
  };
  add("sluice snapshot 3");
  add(v8::V8::GetVersion());
  add(image->name);
  add(image->source);
  add(image->rehearsal);
  for (const std::string &name : image->operations) add(name);
  add("");
  for (const std::string &name : image->entries) add(name);
  add("");
  // A snapshot names what is outside of V8 by its place in this list.
  for (const cv8::Builtin *one = cv8::builtins(); one->name != nullptr; one++) add(one->name);
  EVP_DigestFinal_ex(hash.get(), key, nullptr);
}

void cv8_image_key(const cv8_prelude *prelude, uint8_t *key) { image_key(image_of(prelude).get(), key); }

uint8_t *cv8_image_export(const cv8_image *image, size_t *count) {
  const auto size = static_cast<size_t>(image->blob.raw_size);
  *count = 2 * CV8_KEY_BYTES + size;
  auto *out = static_cast<uint8_t *>(malloc(*count));
  if (out == nullptr || size == 0) {
    free(out);
    return nullptr;
  }
  image_key(image, out);
  const auto *blob = reinterpret_cast<const uint8_t *>(image->blob.data);
  SHA256(blob, size, out + CV8_KEY_BYTES);
  memcpy(out + 2 * CV8_KEY_BYTES, blob, size);
  return out;
}

static bool is_sound(const cv8_image *image, cv8_bytes exported) {
  if (exported.count <= 2 * CV8_KEY_BYTES || exported.count > INT32_MAX) return false;
  uint8_t expected[CV8_KEY_BYTES];
  image_key(image, expected);
  if (memcmp(expected, exported.bytes, sizeof expected) != 0) return false;
  SHA256(exported.bytes + 2 * CV8_KEY_BYTES, exported.count - 2 * CV8_KEY_BYTES, expected);
  return memcmp(expected, exported.bytes + CV8_KEY_BYTES, sizeof expected) == 0;
}

bool cv8_image_is_sound(const cv8_prelude *prelude, cv8_bytes exported) { return is_sound(image_of(prelude).get(), exported); }

cv8_image *cv8_image_import(const cv8_prelude *prelude, cv8_bytes exported) {
  auto image = image_of(prelude);
  if (!is_sound(image.get(), exported)) return nullptr;
  const size_t size = exported.count - 2 * CV8_KEY_BYTES;
  auto *copy = new char[size];
  memcpy(copy, exported.bytes + 2 * CV8_KEY_BYTES, size);
  image->blob = {copy, static_cast<int>(size)};
  return image.release();
}

void cv8_data_free(uint8_t *data) { free(data); }
