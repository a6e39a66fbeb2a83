// What the builtins share: functions of `native` written against V8 directly, because they need nothing but their
// arguments. They hold no policy: names, limits and messages for hooks are the prelude's. None of them runs hook code:
// only primitive values and buffers are read, anything else counts as missing.
#ifndef SLUICE_CV8_BUILTINS_H
#define SLUICE_CV8_BUILTINS_H

#include "internal.h"

#include <string>

namespace cv8 {

using Arguments = v8::FunctionCallbackInfo<v8::Value>;

/// The bytes of an ArrayBuffer or a view, alive as long as this object.
class Bytes {
 public:
  /// Empty (and not `ok`) when the value is no buffer.
  Bytes(const Arguments &info, int index);
  const uint8_t *data() const { return data_; }
  size_t size() const { return size_; }
  bool ok() const { return ok_; }

 private:
  const uint8_t *data_ = nullptr;
  size_t size_ = 0;
  bool ok_ = false;
  std::string copy_;                        // of a small view that lives in V8's heap
  std::shared_ptr<v8::BackingStore> store_;  // of any other
};

/// An argument as a number, text or truth; the fallback when it is something else.
int32_t integer(const Arguments &info, int index, int32_t fallback = 0);
std::string text(const Arguments &info, int index);

/// Results.
void give_bytes(const Arguments &info, const uint8_t *data, size_t size);
inline void give_bytes(const Arguments &info, const std::string &bytes) {
  give_bytes(info, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
}
void throw_type_error(v8::Isolate *isolate, const char *message);
void throw_range_error(v8::Isolate *isolate, const char *message);

/// Something native behind a JavaScript object: freed when the object is collected, at the latest with its isolate.
class Resource {
 public:
  virtual ~Resource();
  /// Gives `resource` to the caller of the builtin. Takes it over; nullptr becomes null.
  static void give(const Arguments &info, Resource *resource, int kind, size_t bytes);
  /// The resource behind an argument, when it is one of this kind.
  static Resource *find(const Arguments &info, int index, int kind);
  /// Frees what an isolate has left.
  static void free_all(cv8_isolate *isolate);

 private:
  void unlink();
  cv8_isolate *isolate_ = nullptr;
  Resource *next_ = nullptr;
  Resource **link_ = nullptr;
  size_t bytes_ = 0;
  v8::Global<v8::Object> object_;
};
// texts.cc
void answer_box(const Arguments &info);

enum { kDecoder = 1, kZip = 2, kKey = 3 };

// One list per file; `all` joins them.
extern const Builtin text_builtins[], zip_builtins[], digest_builtins[], cipher_builtins[], key_builtins[], sign_builtins[],
    clone_builtins[];

}  // namespace cv8

#endif
