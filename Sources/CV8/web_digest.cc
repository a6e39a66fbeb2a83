// Hashes, HMAC and key derivation by OpenSSL.
#include "builtins.h"
#include "web_work.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

namespace cv8 {

/// The hash of a name as Web Crypto writes it; nullptr when unknown. MD5 is for old protocols, as on other platforms.
const EVP_MD *hash_named(const std::string &name) {
  if (name == "SHA-256") return EVP_sha256();
  if (name == "SHA-384") return EVP_sha384();
  if (name == "SHA-512") return EVP_sha512();
  if (name == "SHA-1") return EVP_sha1();
  if (name == "MD5") return EVP_md5();
  return nullptr;
}

/// digest(hash, bytes)
static void digest(const Arguments &info) {
  const EVP_MD *hash = hash_named(text(info, 0));
  Bytes bytes(info, 1);
  uint8_t out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (hash == nullptr || !bytes.ok() || EVP_Digest(bytes.data(), bytes.size(), out, &size, hash, nullptr) != 1) {
    return info.GetReturnValue().SetNull();
  }
  give_bytes(info, out, size);
}

/// hmac(hash, key, bytes)
static void hmac(const Arguments &info) {
  const EVP_MD *hash = hash_named(text(info, 0));
  Bytes key(info, 1), bytes(info, 2);
  uint8_t out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  static const uint8_t none[1] = {0};
  if (hash == nullptr || !key.ok() || !bytes.ok() || key.size() > INT32_MAX ||
      HMAC(hash, key.size() > 0 ? key.data() : none, static_cast<int>(key.size()), bytes.data(), bytes.size(), out, &size) == nullptr) {
    return info.GetReturnValue().SetNull();
  }
  give_bytes(info, out, size);
}

/// pbkdf2(hash, password, salt, iterations, count). The prelude bounds the iterations: nothing stops this on the way.
static void pbkdf2(const Arguments &info) {
  Bytes password(info, 1), salt(info, 2);
  const int32_t iterations = integer(info, 3), count = integer(info, 4);
  info.GetReturnValue().SetNull();
  if (!password.ok() || !salt.ok() || iterations <= 0 || count < 0 || count > static_cast<int32_t>(kMostDerived)) return;
  auto derivation = key_derivation(text(info, 0), password.data(), password.size(), salt.data(), salt.size());
  std::string out(static_cast<size_t>(count), 0);
  if (derivation == nullptr || !derivation->derive(static_cast<uint32_t>(iterations), &out, [] { return true; })) return;
  give_bytes(info, out);
}

/// HKDF by its two steps (RFC 5869), because OpenSSL's refuses an empty key.
static bool expand(const EVP_MD *hash, const uint8_t *key, size_t key_size, const Bytes &context, std::string *out) {
  const size_t step = static_cast<size_t>(EVP_MD_get_size(hash));
  std::string block;
  size_t done = 0;
  for (uint8_t number = 1; done < out->size(); number++) {
    block.append(reinterpret_cast<const char *>(context.data()), context.size());
    block.push_back(static_cast<char>(number));
    uint8_t made[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (HMAC(hash, key, static_cast<int>(key_size), reinterpret_cast<const uint8_t *>(block.data()), block.size(), made, &size) == nullptr) {
      return false;
    }
    const size_t part = std::min(step, out->size() - done);
    out->replace(done, part, reinterpret_cast<const char *>(made), part);
    done += part;
    block.assign(reinterpret_cast<const char *>(made), size);
  }
  return true;
}

/// Bytes of context that all steps of one HKDF hash together: some hundredths of a second.
constexpr size_t kMostExpanded = 16 << 20;

/// hkdf(hash, key, salt, context, count)
static void hkdf(const Arguments &info) {
  const EVP_MD *hash = hash_named(text(info, 0));
  Bytes key(info, 1), salt(info, 2), context(info, 3);
  const int32_t count = integer(info, 4);
  info.GetReturnValue().SetNull();
  if (hash == nullptr || !key.ok() || !salt.ok() || !context.ok() || count < 0 || salt.size() > INT32_MAX) return;
  const int size = EVP_MD_get_size(hash);
  // Each step hashes all of the context, and nothing stops it on the way.
  const size_t steps = static_cast<size_t>((count + size - 1) / size);
  if (count > 255 * size || context.size() * steps > kMostExpanded) return;
  uint8_t extracted[EVP_MAX_MD_SIZE];
  unsigned extracted_size = 0;
  static const uint8_t zeros[EVP_MAX_MD_SIZE] = {0};
  const bool salted = salt.size() > 0;
  if (HMAC(hash, salted ? salt.data() : zeros, salted ? static_cast<int>(salt.size()) : size, key.data(), key.size(), extracted,
           &extracted_size) == nullptr) {
    return;
  }
  std::string out(static_cast<size_t>(count), 0);
  if (expand(hash, extracted, extracted_size, context, &out)) give_bytes(info, out);
}

const Builtin digest_builtins[] = {{"digest", digest}, {"hmac", hmac}, {"pbkdf2", pbkdf2}, {"hkdf", hkdf}, {nullptr, nullptr}};

}  // namespace cv8
