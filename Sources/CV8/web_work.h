// What takes long with keys, and may be told to stop (web_work.cc).
#ifndef SLUICE_CV8_WEB_WORK_H
#define SLUICE_CV8_WEB_WORK_H

#include "CV8.h"

#include <functional>
#include <memory>
#include <string>

#include <openssl/evp.h>

namespace cv8 {

/// Asked now and then: whether the work may go on.
using Patience = std::function<bool()>;

/// PBKDF2 (RFC 8018 section 5.2) with a password and a salt, which it does not keep.
class KeyDerivation {
 public:
  virtual ~KeyDerivation() = default;
  /// Fills `out`. False: it was not to go on.
  virtual bool derive(uint32_t iterations, std::string *out, const Patience &patience) = 0;
};

/// nullptr: no such hash.
std::unique_ptr<KeyDerivation> key_derivation(const std::string &hash, const uint8_t *password, size_t password_size,
                                              const uint8_t *salt, size_t salt_size);

/// Bytes of one derivation at most.
constexpr size_t kMostDerived = 1 << 16;

/// A fresh key pair; nullptr when that failed or `work` (may be nullptr) was not to go on.
EVP_PKEY *make_rsa(int bits, uint32_t exponent, cv8_work *work);

}  // namespace cv8

#endif
