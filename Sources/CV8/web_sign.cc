// What is done with key pairs: signatures, RSA encryption, agreement on a secret.
#include "web_key.h"

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <string.h>

namespace cv8 {

using PKeyContext = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using HashContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

/// The length of one number of an ECDSA signature; 0 for other keys.
static size_t ecdsa_size(EVP_PKEY *key) {
  return EVP_PKEY_is_a(key, "EC") ? static_cast<size_t>((EVP_PKEY_get_bits(key) + 7) / 8) : 0;
}

/// From ASN.1 to the two numbers side by side, as Web Crypto has it.
static bool to_plain(const std::string &der, size_t size, std::string *out) {
  const uint8_t *at = reinterpret_cast<const uint8_t *>(der.data());
  ECDSA_SIG *signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  if (signature == nullptr) return false;
  out->assign(2 * size, 0);
  uint8_t *bytes = reinterpret_cast<uint8_t *>(out->data());
  const bool fits = BN_bn2binpad(ECDSA_SIG_get0_r(signature), bytes, static_cast<int>(size)) >= 0 &&
                    BN_bn2binpad(ECDSA_SIG_get0_s(signature), bytes + size, static_cast<int>(size)) >= 0;
  ECDSA_SIG_free(signature);
  return fits;
}

static bool to_der(const Bytes &plain, size_t size, std::string *out) {
  if (plain.size() != 2 * size) return false;
  ECDSA_SIG *signature = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(plain.data(), static_cast<int>(size), nullptr);
  BIGNUM *s = BN_bin2bn(plain.data() + size, static_cast<int>(size), nullptr);
  if (signature == nullptr || r == nullptr || s == nullptr || ECDSA_SIG_set0(signature, r, s) != 1) {
    ECDSA_SIG_free(signature);
    BN_free(r);
    BN_free(s);
    return false;
  }
  uint8_t *der = nullptr;
  const int count = i2d_ECDSA_SIG(signature, &der);
  ECDSA_SIG_free(signature);
  if (count > 0) out->assign(reinterpret_cast<const char *>(der), static_cast<size_t>(count));
  OPENSSL_free(der);
  return count > 0;
}

/// Sets RSA padding: "PSS" with a salt of `salt` bytes, or PKCS1.
static bool pad(EVP_PKEY_CTX *context, EVP_PKEY *key, const std::string &padding, int32_t salt) {
  if (!EVP_PKEY_is_a(key, "RSA")) return true;
  if (padding != "PSS") return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt) == 1;
}

PairTask::~PairTask() {
  EVP_PKEY_free(key);
  OPENSSL_cleanse(input.data(), input.size());
}

using Step = int (*)(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);

/// Runs `step`, which says first how much room it wants.
static bool run_step(Step step, EVP_PKEY_CTX *context, const std::string &input, std::string *out) {
  const uint8_t *bytes = reinterpret_cast<const uint8_t *>(input.data());
  size_t count = 0;
  if (step(context, nullptr, &count, bytes, input.size()) != 1) return false;
  out->assign(count, 0);
  if (step(context, reinterpret_cast<uint8_t *>(out->data()), &count, bytes, input.size()) != 1) return false;
  out->resize(count);
  return true;
}

static bool set_oaep(EVP_PKEY_CTX *context, const PairTask &task) {
  if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 || EVP_PKEY_CTX_set_rsa_oaep_md(context, task.hash) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context, task.hash) != 1) {
    return false;
  }
  if (task.label.empty()) return true;
  void *copy = OPENSSL_memdup(task.label.data(), task.label.size());
  if (EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, static_cast<int>(task.label.size())) == 1) return true;
  OPENSSL_free(copy);
  return false;
}

bool PairTask::run(std::string *out) const {
  PKeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr), EVP_PKEY_CTX_free);
  if (context == nullptr) return false;
  const auto signs = [&] { return pad(context.get(), key, padding, salt) && EVP_PKEY_CTX_set_signature_md(context.get(), hash) == 1; };
  switch (kind) {
    case kSign: return EVP_PKEY_sign_init(context.get()) == 1 && signs() && run_step(EVP_PKEY_sign, context.get(), input, out);
    case kVerify:
      // One byte, so that what does not fit is told from what could not be done.
      out->assign(1, EVP_PKEY_verify_init(context.get()) == 1 && signs() &&
                         EVP_PKEY_verify(context.get(), reinterpret_cast<const uint8_t *>(signature.data()), signature.size(),
                                         reinterpret_cast<const uint8_t *>(input.data()), input.size()) == 1);
      return true;
    case kEncrypt: return EVP_PKEY_encrypt_init(context.get()) == 1 && set_oaep(context.get(), *this) && run_step(EVP_PKEY_encrypt, context.get(), input, out);
    case kDecrypt: return EVP_PKEY_decrypt_init(context.get()) == 1 && set_oaep(context.get(), *this) && run_step(EVP_PKEY_decrypt, context.get(), input, out);
  }
  return false;
}

/// What one block of RSA may be made of, and a label: more than any key takes.
constexpr size_t kMostInput = 4096, kMostLabel = 1 << 16;

std::unique_ptr<PairTask> pair_task(const Arguments &info, int first) {
  const int32_t kind = integer(info, first, -1);
  Key *key = key_argument(info, first + 1);
  const EVP_MD *hash = hash_named(text(info, first + 2));
  Bytes label(info, first + 5), bytes(info, first + 6), signature(info, first + 7);
  if (kind < PairTask::kSign || kind > PairTask::kDecrypt || key == nullptr || hash == nullptr || !bytes.ok()) return nullptr;
  const bool is_private = kind == PairTask::kSign || kind == PairTask::kDecrypt, digests = kind == PairTask::kSign || kind == PairTask::kVerify;
  if (is_private && !key->is_private) return nullptr;
  if (label.size() > kMostLabel || signature.size() > kMostInput || (!digests && bytes.size() > kMostInput)) return nullptr;
  auto task = std::make_unique<PairTask>();
  task->kind = static_cast<PairTask::Kind>(kind);
  task->hash = hash;
  task->padding = text(info, first + 3);
  task->salt = integer(info, first + 4);
  task->label.assign(reinterpret_cast<const char *>(label.data()), label.size());
  task->signature.assign(reinterpret_cast<const char *>(signature.data()), signature.size());
  if (digests) {
    unsigned count = 0;
    task->input.assign(EVP_MAX_MD_SIZE, 0);
    if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<uint8_t *>(task->input.data()), &count, hash, nullptr) != 1) return nullptr;
    task->input.resize(count);
  } else {
    task->input.assign(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  }
  if (EVP_PKEY_up_ref(key->key) == 1) task->key = key->key;
  return task->key != nullptr ? std::move(task) : nullptr;
}

/// pair(kind, key, hash, padding, salt, label, bytes, signature): an operation with an RSA key, at once. Null when OpenSSL refuses.
static void pair(const Arguments &info) {
  const auto task = pair_task(info, 0);
  std::string out;
  if (task == nullptr || !task->run(&out)) return info.GetReturnValue().SetNull();
  give_bytes(info, out);
  OPENSSL_cleanse(out.data(), out.size());
}

/// sign(key, hash, bytes) with a key of an elliptic curve: hash "" for Ed25519. Null when OpenSSL refuses.
static void sign(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const EVP_MD *hash = hash_named(text(info, 1));
  Bytes bytes(info, 2);
  HashContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  size_t count = 0;
  info.GetReturnValue().SetNull();
  if (key == nullptr || !key->is_private || !bytes.ok() || context == nullptr || EVP_PKEY_is_a(key->key, "RSA") ||
      EVP_DigestSignInit(context.get(), nullptr, hash, nullptr, key->key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &count, bytes.data(), bytes.size()) != 1) {
    return;
  }
  std::string out(count, 0), plain;
  if (EVP_DigestSign(context.get(), reinterpret_cast<uint8_t *>(out.data()), &count, bytes.data(), bytes.size()) != 1) return;
  out.resize(count);
  const size_t size = ecdsa_size(key->key);
  if (size == 0) return give_bytes(info, out);
  if (to_plain(out, size, &plain)) give_bytes(info, plain);
}

/// verify(key, hash, signature, bytes)
static void verify(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const EVP_MD *hash = hash_named(text(info, 1));
  Bytes signature(info, 2), bytes(info, 3);
  HashContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  info.GetReturnValue().Set(false);
  if (key == nullptr || !signature.ok() || !bytes.ok() || context == nullptr || EVP_PKEY_is_a(key->key, "RSA") ||
      EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key->key) != 1) {
    return;
  }
  std::string der;
  const uint8_t *at = signature.data();
  size_t count = signature.size();
  if (const size_t size = ecdsa_size(key->key); size > 0) {
    if (!to_der(signature, size, &der)) return;
    at = reinterpret_cast<const uint8_t *>(der.data());
    count = der.size();
  }
  info.GetReturnValue().Set(EVP_DigestVerify(context.get(), at, count, bytes.data(), bytes.size()) == 1);
}

/// agree(private, public): the shared secret of ECDH and X25519.
static void agree(const Arguments &info) {
  Key *mine = key_argument(info, 0), *theirs = key_argument(info, 1);
  info.GetReturnValue().SetNull();
  if (mine == nullptr || theirs == nullptr || !mine->is_private) return;
  PKeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, mine->key, nullptr), EVP_PKEY_CTX_free);
  size_t count = 0;
  if (context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 || EVP_PKEY_derive_set_peer(context.get(), theirs->key) != 1 ||
      EVP_PKEY_derive(context.get(), nullptr, &count) != 1) {
    return;
  }
  std::string out(count, 0);
  if (EVP_PKEY_derive(context.get(), reinterpret_cast<uint8_t *>(out.data()), &count) != 1) return;
  give_bytes(info, reinterpret_cast<const uint8_t *>(out.data()), count);
  OPENSSL_cleanse(out.data(), out.size());
}

const Builtin sign_builtins[] = {{"sign", sign}, {"verify", verify}, {"pair", pair}, {"agree", agree}, {nullptr, nullptr}};

}  // namespace cv8
