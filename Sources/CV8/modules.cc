// ES modules. Swift walks the graph; this compiles, links what it was told, and evaluates.
#include "internal.h"

#include <shared_mutex>
#include <stdlib.h>
#include <string.h>

namespace cv8 {

static int32_t index_of(cv8_isolate *isolate, v8::Local<v8::Module> module) {
  for (size_t i = 0; i < isolate->modules.size(); i++) {
    if (isolate->modules[i].module == module) return static_cast<int32_t>(i);
  }
  return -1;
}

static v8::Local<v8::ModuleRequest> request_at(v8::Local<v8::Context> context, v8::Local<v8::Module> module, size_t index) {
  return module->GetModuleRequests()->Get(context, static_cast<int>(index)).As<v8::ModuleRequest>();
}

static v8::MaybeLocal<v8::Module> resolve(v8::Local<v8::Context> context, v8::Local<v8::String> specifier,
                                          v8::Local<v8::FixedArray>, v8::Local<v8::Module> referrer) {
  cv8_isolate *isolate = owner(context->GetIsolate());
  const int32_t from = index_of(isolate, referrer);
  if (from >= 0) {
    const std::vector<int32_t> &links = isolate->modules[static_cast<size_t>(from)].links;
    for (size_t i = 0; i < links.size(); i++) {
      const bool match = links[i] >= 0 && request_at(context, referrer, i)->GetSpecifier()->StringEquals(specifier);
      if (match) return isolate->modules[static_cast<size_t>(links[i])].module.Get(isolate->v8);
    }
  }
  isolate->v8->ThrowException(
      v8::Exception::Error(v8::String::NewFromUtf8Literal(isolate->v8, "the import was not linked")));
  return {};
}

/// Runs when a JSON or WebAssembly module is evaluated. The value was made before: throwing here would abort the process.
static v8::MaybeLocal<v8::Value> evaluate_json(v8::Local<v8::Context> context, v8::Local<v8::Module> module) {
  cv8_isolate *isolate = owner(context->GetIsolate());
  const int32_t index = index_of(isolate, module);
  v8::Local<v8::Value> value = v8::Undefined(isolate->v8);
  if (index >= 0) value = isolate->modules[static_cast<size_t>(index)].json.Get(isolate->v8);
  v8::Local<v8::String> name = v8::String::NewFromUtf8Literal(isolate->v8, "default");
  v8::Local<v8::Promise::Resolver> resolver;
  if (module->SetSyntheticModuleExport(isolate->v8, name, value).IsNothing() ||
      !v8::Promise::Resolver::New(context).ToLocal(&resolver) ||
      resolver->Resolve(context, v8::Undefined(isolate->v8)).IsNothing()) {
    return {};
  }
  return resolver->GetPromise();
}

static int32_t remember(cv8_isolate *isolate, v8::Local<v8::Module> module, size_t requests) {
  ModuleRecord record;
  record.module.Reset(isolate->v8, module);
  record.links.assign(requests, -1);
  isolate->modules.push_back(std::move(record));
  return static_cast<int32_t>(isolate->modules.size() - 1);
}

/// A module whose default export is a value that is there already.
static int32_t remember_value(cv8_isolate *isolate, v8::Local<v8::String> file, v8::Local<v8::Value> value) {
  std::vector<v8::Local<v8::String>> exports = {v8::String::NewFromUtf8Literal(isolate->v8, "default")};
  v8::Local<v8::Module> module = v8::Module::CreateSyntheticModule(isolate->v8, file, exports, evaluate_json);
  const int32_t index = remember(isolate, module, 0);
  isolate->modules.back().json.Reset(isolate->v8, value);
  return index;
}

/// Evaluates and settles. A rejection is taken as this load's error, not as an unhandled one.
static cv8_status evaluate(cv8_isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Module> module,
                           v8::TryCatch *caught, bool *settled, cv8_error **error) {
  v8::Local<v8::Value> result;
  if (!module->Evaluate(context).ToLocal(&result) || stopped(isolate)) return conclude(isolate, context, caught, error);
  v8::Local<v8::Promise> promise = result.As<v8::Promise>();
  promise->MarkAsHandled();
  forget_rejection(isolate, promise);
  drain_microtasks(isolate);
  if (stopped(isolate) || caught->HasTerminated()) return conclude(isolate, context, caught, error);
  *settled = promise->State() != v8::Promise::kPending;
  if (promise->State() != v8::Promise::kRejected) return CV8_RETURNED;
  v8::Local<v8::Value> reason = promise->Result();
  *error = describe(isolate, context, reason, v8::Exception::CreateMessage(isolate->v8, reason));
  return stopped(isolate) ? conclude(isolate, context, caught, error) : CV8_THREW;
}

}  // namespace cv8

namespace cv8 {

/// The flags are the process's and part of what names a cache: who changes them is alone, who goes by them is not disturbed.
static std::shared_mutex flags_lock;
static thread_local bool holds_flags = false;

/// Held while a cache is made or used; nothing where this thread has the flags for itself.
class SteadyFlags {
 public:
  SteadyFlags() : locked_(!holds_flags) {
    if (locked_) flags_lock.lock_shared();
  }
  ~SteadyFlags() {
    if (locked_) flags_lock.unlock_shared();
  }
  SteadyFlags(const SteadyFlags &) = delete;
  SteadyFlags &operator=(const SteadyFlags &) = delete;

 private:
  const bool locked_;
};

}  // namespace cv8

void cv8_modules_reset(cv8_isolate *isolate) { isolate->modules.clear(); }

int32_t cv8_module_compile(cv8_isolate *isolate, cv8_bytes name, cv8_bytes source, cv8_bytes cache, bool *cache_used,
                           cv8_error **error) {
  *cache_used = false;
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  cv8::SteadyFlags steady;
  v8::TryCatch caught(isolate->v8);
  v8::Local<v8::String> file, text;
  v8::Local<v8::Module> module;
  if (cv8::utf8_string(isolate->v8, name).ToLocal(&file) && cv8::utf8_string(isolate->v8, source).ToLocal(&text)) {
    v8::ScriptOrigin origin(isolate->v8, file, 0, 0, false, -1, v8::Local<v8::Value>(), false, false, true);
    // The source owns what it is given here, and the bytes stay the caller's.
    auto *cached = cache.count == 0 || cache.count > INT32_MAX
                       ? nullptr
                       : new v8::ScriptCompiler::CachedData(cache.bytes, static_cast<int>(cache.count));
    v8::ScriptCompiler::Source compiled(text, origin, cached);
    const auto options = cached != nullptr ? v8::ScriptCompiler::kConsumeCodeCache : v8::ScriptCompiler::kNoCompileOptions;
    if (v8::ScriptCompiler::CompileModule(isolate->v8, &compiled, options).ToLocal(&module)) {
      *cache_used = cached != nullptr && !cached->rejected;
      return cv8::remember(isolate, module, static_cast<size_t>(module->GetModuleRequests()->Length()));
    }
  }
  cv8::conclude(isolate, entered.context, &caught, error);
  return -1;
}

void cv8_compile_eagerly(bool eagerly) {
  // V8 refuses to be told so for one module. The flag is back before a cache is made or used.
  if (eagerly == cv8::holds_flags) return;
  if (eagerly) cv8::flags_lock.lock();
  const char *flag = eagerly ? "--no-lazy" : "--lazy";
  v8::V8::SetFlagsFromString(flag, strlen(flag));
  cv8::holds_flags = eagerly;
  if (!eagerly) cv8::flags_lock.unlock();
}

uint8_t *cv8_module_cache(cv8_isolate *isolate, int32_t module, size_t *count) {
  *count = 0;
  if (module < 0 || static_cast<size_t>(module) >= isolate->modules.size()) return nullptr;
  cv8::Entered entered(isolate);
  cv8::SteadyFlags steady;
  v8::Local<v8::Module> one = isolate->modules[static_cast<size_t>(module)].module.Get(isolate->v8);
  if (!one->IsSourceTextModule() || one->GetStatus() == v8::Module::kErrored) return nullptr;
  std::unique_ptr<v8::ScriptCompiler::CachedData> made(v8::ScriptCompiler::CreateCodeCache(one->GetUnboundModuleScript()));
  if (!made || made->length <= 0) return nullptr;
  auto *out = static_cast<uint8_t *>(malloc(static_cast<size_t>(made->length)));
  if (out == nullptr) return nullptr;
  memcpy(out, made->data, static_cast<size_t>(made->length));
  *count = static_cast<size_t>(made->length);
  return out;
}

int32_t cv8_module_json(cv8_isolate *isolate, cv8_bytes name, cv8_bytes source, cv8_error **error) {
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  v8::Local<v8::String> file, text;
  v8::Local<v8::Value> value;
  if (!cv8::utf8_string(isolate->v8, name).ToLocal(&file) || !cv8::utf8_string(isolate->v8, source).ToLocal(&text) ||
      !v8::JSON::Parse(entered.context, text).ToLocal(&value)) {
    cv8::conclude(isolate, entered.context, &caught, error);
    if (*error != nullptr && !file.IsEmpty()) {
      free((*error)->file);
      (*error)->file = cv8::to_text(isolate->v8, file, 400, nullptr);
    }
    return -1;
  }
  return cv8::remember_value(isolate, file, value);
}

int32_t cv8_module_wasm(cv8_isolate *isolate, cv8_bytes name, cv8_bytes binary, cv8_error **error) {
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  v8::Local<v8::String> file;
  v8::Local<v8::WasmModuleObject> compiled;
  if (!cv8::utf8_string(isolate->v8, name).ToLocal(&file) ||
      !v8::WasmModuleObject::Compile(isolate->v8, v8::MemorySpan<const uint8_t>(binary.bytes, binary.count)).ToLocal(&compiled)) {
    cv8::conclude(isolate, entered.context, &caught, error);
    return -1;
  }
  return cv8::remember_value(isolate, file, compiled);
}

size_t cv8_module_request_count(cv8_isolate *isolate, int32_t module) {
  return isolate->modules[static_cast<size_t>(module)].links.size();
}

void cv8_module_request_read(cv8_isolate *isolate, int32_t module, size_t index, cv8_module_request *out) {
  cv8::Entered entered(isolate);
  v8::Local<v8::Module> from = isolate->modules[static_cast<size_t>(module)].module.Get(isolate->v8);
  v8::Local<v8::ModuleRequest> request = cv8::request_at(entered.context, from, index);
  out->specifier = cv8::to_text(isolate->v8, request->GetSpecifier(), 4096, &out->specifier_count);
  const v8::Location place = from->SourceOffsetToLocation(request->GetSourceOffset());
  v8::Location where = place;
  out->line = where.GetLineNumber() + 1;
  out->column = where.GetColumnNumber() + 1;
  // Triples of key, value and source offset.
  v8::Local<v8::FixedArray> assertions = request->GetImportAssertions();
  out->assertion_count = static_cast<size_t>(assertions->Length() / 3);
  out->type = nullptr;
  for (int i = 0; i + 1 < assertions->Length(); i += 3) {
    v8::Local<v8::String> key = assertions->Get(entered.context, i).As<v8::String>();
    if (!key->StringEquals(v8::String::NewFromUtf8Literal(isolate->v8, "type"))) continue;
    out->type = cv8::to_text(isolate->v8, assertions->Get(entered.context, i + 1).As<v8::String>(), 64, nullptr);
  }
  if (out->type == nullptr) out->type = static_cast<char *>(calloc(1, 1));
}

void cv8_module_link(cv8_isolate *isolate, int32_t module, size_t request, int32_t target) {
  isolate->modules[static_cast<size_t>(module)].links[request] = target;
}

cv8_status cv8_module_run(cv8_isolate *isolate, int32_t module, int32_t *namespace_handle, bool *settled,
                          cv8_error **error) {
  if (cv8::stopped(isolate)) return CV8_TERMINATED;
  cv8::Reaper reaper{isolate};
  cv8::Entered entered(isolate);
  v8::TryCatch caught(isolate->v8);
  v8::Local<v8::Module> root = isolate->modules[static_cast<size_t>(module)].module.Get(isolate->v8);
  if (!root->InstantiateModule(entered.context, cv8::resolve).FromMaybe(false)) {
    return cv8::conclude(isolate, entered.context, &caught, error);
  }
  const cv8_status status = cv8::evaluate(isolate, entered.context, root, &caught, settled, error);
  if (status == CV8_RETURNED) *namespace_handle = cv8::keep(isolate, root->GetModuleNamespace());
  return status;
}
