// What structured cloning has to know of a value and no script can tell for sure: which internal slots it has.
#include "builtins.h"

namespace cv8 {

/// The prelude's `clone.js` has the same list.
enum CloneKind : int32_t {
  kOrdinary, kArray, kDate, kRegExp, kMap, kSet, kBuffer, kView, kError, kWrapper, kRefused, kDetached,
};

static CloneKind clone_kind(v8::Local<v8::Value> value) {
  if (value->IsArray()) return kArray;
  if (value->IsProxy() || value->IsFunction() || value->IsSharedArrayBuffer()) return kRefused;
  if (value->IsArrayBufferView()) return kView;
  if (value->IsArrayBuffer()) return value.As<v8::ArrayBuffer>()->WasDetached() ? kDetached : kBuffer;
  if (value->IsDate()) return kDate;
  if (value->IsRegExp()) return kRegExp;
  if (value->IsMap()) return kMap;
  if (value->IsSet()) return kSet;
  if (value->IsNativeError()) return kError;
  if (value->IsNumberObject() || value->IsStringObject() || value->IsBooleanObject() || value->IsBigIntObject()) return kWrapper;
  const bool other = value->IsSymbolObject() || value->IsPromise() || value->IsWeakMap() || value->IsWeakSet() ||
                     value->IsGeneratorObject() || value->IsModuleNamespaceObject() || value->IsExternal() ||
                     value->IsMapIterator() || value->IsSetIterator() || value->IsWasmMemoryObject() || value->IsWasmModuleObject();
  return other ? kRefused : kOrdinary;
}

/// kindOf(object): a CloneKind. Runs no hook code, whatever the object is.
static void give_kind(const Arguments &info) { info.GetReturnValue().Set(static_cast<int32_t>(clone_kind(info[0]))); }

const Builtin clone_builtins[] = {{"kindOf", give_kind}, {nullptr, nullptr}};

}  // namespace cv8
