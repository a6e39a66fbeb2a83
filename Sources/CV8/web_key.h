// A key pair, or the public half of one, behind a JavaScript object.
#ifndef SLUICE_CV8_WEB_KEY_H
#define SLUICE_CV8_WEB_KEY_H

#include "builtins.h"

#include <openssl/evp.h>

namespace cv8 {

class Key final : public Resource {
 public:
  Key(EVP_PKEY *key, bool is_private);
  ~Key() override { EVP_PKEY_free(key); }
  EVP_PKEY *const key;
  const bool is_private;
  const uint64_t private_cost, public_cost;
};

/// About how long one operation with a key takes, in products of numbers of one bit: what 4 * 10^9 of them take is a millisecond or
/// less on the machines of today (an RSA key of 2,048 bits that was made as keys are needs half as many, one of 3,072 bits 7).
uint64_t pair_cost(EVP_PKEY *key, bool is_private);
/// From here on an operation is not for the thread that requests are served on.
constexpr uint64_t kLongPair = 4'000'000'000;
/// What a module may do while it loads, when there is nobody to wait: an RSA key of 4,096 bits, and not much more.
constexpr uint64_t kMostPairAtLoad = 20'000'000'000;

/// One operation with a key pair, apart from V8: made on the thread that has the arguments, run on any.
struct PairTask {
  enum Kind { kSign, kVerify, kEncrypt, kDecrypt };
  PairTask() = default;
  PairTask(const PairTask &) = delete;
  ~PairTask();
  Kind kind = kSign;
  EVP_PKEY *key = nullptr;
  const EVP_MD *hash = nullptr;
  std::string padding;   // "PSS", or PKCS1
  int32_t salt = 0;
  std::string label;     // OAEP
  std::string input;     // the digest of what is signed; what is encrypted or decrypted
  std::string signature;
  bool run(std::string *out) const;
};
/// From `first` on: kind, key, hash, padding, salt, label, bytes, signature. nullptr: something of it is missing.
std::unique_ptr<PairTask> pair_task(const Arguments &info, int first);

Key *key_argument(const Arguments &info, int index);
const EVP_MD *hash_named(const std::string &name);

}  // namespace cv8

#endif
