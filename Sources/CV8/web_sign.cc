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

/// sign(key, hash, padding, salt, bytes): hash "" for Ed25519. Null when OpenSSL refuses.
static void sign(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const EVP_MD *hash = hash_named(text(info, 1));
  Bytes bytes(info, 4);
  HashContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_PKEY_CTX *parameters = nullptr;
  size_t count = 0;
  info.GetReturnValue().SetNull();
  if (key == nullptr || !key->is_private || !bytes.ok() || context == nullptr ||
      EVP_DigestSignInit(context.get(), &parameters, hash, nullptr, key->key) != 1 ||
      !pad(parameters, key->key, text(info, 2), integer(info, 3)) ||
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

/// verify(key, hash, padding, salt, signature, bytes)
static void verify(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const EVP_MD *hash = hash_named(text(info, 1));
  Bytes signature(info, 4), bytes(info, 5);
  HashContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_PKEY_CTX *parameters = nullptr;
  info.GetReturnValue().Set(false);
  if (key == nullptr || !signature.ok() || !bytes.ok() || context == nullptr ||
      EVP_DigestVerifyInit(context.get(), &parameters, hash, nullptr, key->key) != 1 ||
      !pad(parameters, key->key, text(info, 2), integer(info, 3))) {
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

/// rsaCrypt(key, encrypts, hash, label, bytes): OAEP. Null when OpenSSL refuses.
static void rsa_crypt(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const bool encrypts = info[1]->IsTrue();
  const EVP_MD *hash = hash_named(text(info, 2));
  Bytes label(info, 3), bytes(info, 4);
  info.GetReturnValue().SetNull();
  if (key == nullptr || hash == nullptr || !bytes.ok() || label.size() > 1 << 16 || (!encrypts && !key->is_private)) return;
  PKeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key->key, nullptr), EVP_PKEY_CTX_free);
  if (context == nullptr || (encrypts ? EVP_PKEY_encrypt_init(context.get()) : EVP_PKEY_decrypt_init(context.get())) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) != 1 || EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) != 1) {
    return;
  }
  if (label.size() > 0) {
    void *copy = OPENSSL_memdup(label.data(), label.size());
    if (EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(label.size())) != 1) return OPENSSL_free(copy);
  }
  auto run = encrypts ? EVP_PKEY_encrypt : EVP_PKEY_decrypt;
  size_t count = 0;
  if (run(context.get(), nullptr, &count, bytes.data(), bytes.size()) != 1) return;
  std::string out(count, 0);
  if (run(context.get(), reinterpret_cast<uint8_t *>(out.data()), &count, bytes.data(), bytes.size()) != 1) return;
  give_bytes(info, reinterpret_cast<const uint8_t *>(out.data()), count);
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

const Builtin sign_builtins[] = {{"sign", sign}, {"verify", verify}, {"rsaCrypt", rsa_crypt}, {"agree", agree}, {nullptr, nullptr}};

}  // namespace cv8
