// Key pairs by OpenSSL: made, read and written.
#include "web_key.h"
#include "web_work.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace cv8 {

Key::Key(EVP_PKEY *key, bool is_private)
    : key(key), is_private(is_private), private_cost(is_private ? pair_cost(key, true) : 0), public_cost(pair_cost(key, false)) {}

Key *key_argument(const Arguments &info, int index) { return static_cast<Key *>(Resource::find(info, index, kKey)); }

/// Bits of an RSA key. With a private one nothing stops OpenSSL once it has begun, which with 16,384 bits takes seconds.
constexpr int kMostPrivateBits = 8192, kMostPublicBits = 16384;

static int bits_of(EVP_PKEY *key, const char *name) {
  BIGNUM *number = nullptr;
  const int bits = EVP_PKEY_get_bn_param(key, name, &number) == 1 ? BN_num_bits(number) : 0;
  BN_clear_free(number);
  return bits;
}

/// OpenSSL's own for public operations (OPENSSL_RSA_SMALL_MODULUS_BITS, OPENSSL_RSA_MAX_PUBEXP_BITS).
static int most_exponent_bits(int modulus) { return modulus > OPENSSL_RSA_SMALL_MODULUS_BITS ? OPENSSL_RSA_MAX_PUBEXP_BITS : modulus; }

uint64_t pair_cost(EVP_PKEY *key, bool is_private) {
  if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS")) return 0;
  const auto power = [](uint64_t modulus, uint64_t exponent) { return modulus * modulus * exponent; };
  const uint64_t bits = static_cast<uint64_t>(EVP_PKEY_get_bits(key)), e = static_cast<uint64_t>(bits_of(key, OSSL_PKEY_PARAM_RSA_E));
  if (!is_private) return power(bits, e);
  const uint64_t p = static_cast<uint64_t>(bits_of(key, OSSL_PKEY_PARAM_RSA_FACTOR1)), q = static_cast<uint64_t>(bits_of(key, OSSL_PKEY_PARAM_RSA_FACTOR2));
  const uint64_t d = static_cast<uint64_t>(bits_of(key, OSSL_PKEY_PARAM_RSA_D));
  if (p == 0 || q == 0) return power(bits, d);
  const uint64_t dp = static_cast<uint64_t>(bits_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT1)), dq = static_cast<uint64_t>(bits_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT2));
  // What it made is checked with e.
  return power(p, dp) + power(q, dq) + power(bits, e);
}

static bool is_too_large(EVP_PKEY *key, bool is_private) {
  if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS")) return false;
  const int most = is_private ? kMostPrivateBits : kMostPublicBits;
  if (EVP_PKEY_get_bits(key) > most) return true;
  if (!is_private) return false;
  // Numbers that somebody made up: OpenSSL works with them whatever their length, and with the exponent as a whole besides. It checks
  // what it made with the public one, for which it has the rule of `most_exponent_bits` only elsewhere.
  const int bits = EVP_PKEY_get_bits(key), p = bits_of(key, OSSL_PKEY_PARAM_RSA_FACTOR1), q = bits_of(key, OSSL_PKEY_PARAM_RSA_FACTOR2);
  if (bits_of(key, OSSL_PKEY_PARAM_RSA_E) > most_exponent_bits(bits) || bits_of(key, OSSL_PKEY_PARAM_RSA_FACTOR3) > 0) return true;
  return bits_of(key, OSSL_PKEY_PARAM_RSA_D) > bits || p + q > bits + 1 || bits_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT1) > p ||
         bits_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT2) > q;
}

static void give_key(const Arguments &info, EVP_PKEY *key, bool is_private) {
  if (key != nullptr && is_too_large(key, is_private)) {
    EVP_PKEY_free(key);
    key = nullptr;
  }
  if (key == nullptr) return info.GetReturnValue().SetNull();
  // An RSA key has up to nine numbers of its length, and what OpenSSL works out beforehand.
  Resource::give(info, new Key(key, is_private), kKey, 4096 + static_cast<size_t>(EVP_PKEY_get_bits(key)));
}

static const char *group_named(const std::string &curve) {
  return curve == "P-256" ? "prime256v1" : curve == "P-384" ? "secp384r1" : curve == "P-521" ? "secp521r1" : nullptr;
}

// MARK: reading

/// keyRead(format, bytes): "pkcs8" or "spki".
static void key_read(const Arguments &info) {
  const bool is_private = text(info, 0) == "pkcs8";
  Bytes bytes(info, 1);
  const uint8_t *at = bytes.data();
  EVP_PKEY *key = nullptr;
  if (is_private) {
    PKCS8_PRIV_KEY_INFO *raw = d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(bytes.size()));
    if (raw != nullptr) key = EVP_PKCS82PKEY(raw);
    PKCS8_PRIV_KEY_INFO_free(raw);
  } else {
    key = d2i_PUBKEY(nullptr, &at, static_cast<long>(bytes.size()));
  }
  if (key != nullptr && at != bytes.data() + bytes.size()) {
    EVP_PKEY_free(key);
    key = nullptr;
  }
  // However a point came, it goes out uncompressed (Web Cryptography API, section 23.7).
  if (key != nullptr && EVP_PKEY_is_a(key, "EC")) {
    EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed");
  }
  give_key(info, key, is_private);
}

using Builder = std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)>;
using Numbers = std::vector<std::unique_ptr<BIGNUM, decltype(&BN_clear_free)>>;

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM_BLD *builder, bool is_private) {
  OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr);
  EVP_PKEY *key = nullptr;
  if (parameters != nullptr && context != nullptr && EVP_PKEY_fromdata_init(context) == 1) {
    EVP_PKEY_fromdata(context, &key, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, parameters);
  }
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(parameters);
  return key;
}

static bool push_number(const Arguments &info, int index, const char *name, OSSL_PARAM_BLD *builder, Numbers *numbers) {
  Bytes bytes(info, index);
  if (!bytes.ok() || bytes.size() == 0 || bytes.size() > 4096) return false;
  numbers->emplace_back(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr), BN_clear_free);
  return numbers->back() != nullptr && OSSL_PARAM_BLD_push_BN(builder, name, numbers->back().get()) == 1;
}

/// keyRSA(n, e [, d, p, q, dp, dq, qi])
static void key_rsa(const Arguments &info) {
  static const char *const kNames[] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
                                       OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                       OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
  const bool is_private = info.Length() > 2;
  Builder builder(OSSL_PARAM_BLD_new(), OSSL_PARAM_BLD_free);
  Numbers numbers;
  for (int i = 0; i < (is_private ? 8 : 2); i++) {
    if (builder == nullptr || !push_number(info, i, kNames[i], builder.get(), &numbers)) return info.GetReturnValue().SetNull();
  }
  EVP_PKEY *key = from_parameters("RSA", builder.get(), is_private);
  give_key(info, key, is_private);
}

static bool is_sound(EVP_PKEY *key, bool is_private) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr);
  const bool sound = context != nullptr && (is_private ? EVP_PKEY_pairwise_check(context) : EVP_PKEY_public_check(context)) == 1;
  EVP_PKEY_CTX_free(context);
  return sound;
}

/// keyEC(curve, point [, d]): the point uncompressed or compressed. Null when it is not on the curve.
static void key_ec(const Arguments &info) {
  const char *group = group_named(text(info, 0));
  Bytes point(info, 1);
  const bool is_private = info.Length() > 2;
  Builder builder(OSSL_PARAM_BLD_new(), OSSL_PARAM_BLD_free);
  Numbers numbers;
  if (group == nullptr || builder == nullptr || point.size() < 2 || point.size() > 133 ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1 ||
      (is_private && !push_number(info, 2, OSSL_PKEY_PARAM_PRIV_KEY, builder.get(), &numbers))) {
    return info.GetReturnValue().SetNull();
  }
  EVP_PKEY *key = from_parameters("EC", builder.get(), is_private);
  if (key != nullptr && !is_sound(key, is_private)) {
    EVP_PKEY_free(key);
    key = nullptr;
  }
  give_key(info, key, is_private);
}

/// The curves whose keys are plain bytes (RFC 7748, RFC 8032), and how many.
struct PlainCurve {
  const char *name;
  int type;
  size_t size;
};
static const PlainCurve kPlainCurves[] = {
    {"Ed25519", EVP_PKEY_ED25519, 32}, {"X25519", EVP_PKEY_X25519, 32}, {"Ed448", EVP_PKEY_ED448, 57}, {"X448", EVP_PKEY_X448, 56}};

static const PlainCurve *plain_curve(const std::string &name) {
  for (const PlainCurve &one : kPlainCurves) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

/// keyRawCurve(name, bytes, isPrivate)
static void key_raw_curve(const Arguments &info) {
  const PlainCurve *curve = plain_curve(text(info, 0));
  Bytes bytes(info, 1);
  const bool is_private = info[2]->IsTrue();
  if (curve == nullptr || bytes.size() != curve->size) return info.GetReturnValue().SetNull();
  auto make = is_private ? EVP_PKEY_new_raw_private_key : EVP_PKEY_new_raw_public_key;
  give_key(info, make(curve->type, nullptr, bytes.data(), bytes.size()), is_private);
}

// MARK: making

/// keyMake(type, bits, exponent) for RSA, which the prelude bounds: nothing stops it here; keyMake(curve or name)
static void key_make(const Arguments &info) {
  const std::string type = text(info, 0);
  if (const char *group = group_named(type)) return give_key(info, EVP_EC_gen(group), true);
  if (plain_curve(type) != nullptr) return give_key(info, EVP_PKEY_Q_keygen(nullptr, nullptr, type.c_str()), true);
  if (type != "RSA") return info.GetReturnValue().SetNull();
  give_key(info, make_rsa(integer(info, 1), static_cast<uint32_t>(integer(info, 2, 65537)), nullptr), true);
}

/// keyPublic(key): the public half of a private key.
static void key_public(const Arguments &info) {
  Key *key = key_argument(info, 0);
  uint8_t *der = nullptr;
  const int size = key != nullptr ? i2d_PUBKEY(key->key, &der) : -1;
  if (size <= 0) return info.GetReturnValue().SetNull();
  const uint8_t *at = der;
  EVP_PKEY *half = d2i_PUBKEY(nullptr, &at, size);
  OPENSSL_free(der);
  give_key(info, half, false);
}

// MARK: writing

/// keyWrite(key, format): "pkcs8", "spki", or "raw" (the point of EC, the bytes of the plain curves).
static void key_write(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const std::string format = text(info, 1);
  info.GetReturnValue().SetNull();
  if (key == nullptr) return;
  uint8_t *der = nullptr;
  uint8_t plain[57];
  size_t plain_size = sizeof plain;
  if (format == "raw" && EVP_PKEY_get_raw_public_key(key->key, plain, &plain_size) == 1) {
    return give_bytes(info, plain, plain_size);
  }
  if (format == "raw") {
    size_t count = EVP_PKEY_get1_encoded_public_key(key->key, &der);
    if (count > 0) give_bytes(info, der, count);
    return OPENSSL_free(der);
  }
  int size = -1;
  if (format == "pkcs8" && key->is_private) {
    PKCS8_PRIV_KEY_INFO *raw = EVP_PKEY2PKCS8(key->key);
    if (raw != nullptr) size = i2d_PKCS8_PRIV_KEY_INFO(raw, &der);
    PKCS8_PRIV_KEY_INFO_free(raw);
  } else if (format == "spki") {
    size = i2d_PUBKEY(key->key, &der);
  }
  if (size > 0) give_bytes(info, der, static_cast<size_t>(size));
  OPENSSL_clear_free(der, size > 0 ? static_cast<size_t>(size) : 0);
}

/// keyNumber(key, name, count): one number of a key, big-endian, filled up to `count` bytes; null when it has none.
static void key_number(const Arguments &info) {
  Key *key = key_argument(info, 0);
  BIGNUM *number = nullptr;
  info.GetReturnValue().SetNull();
  if (key == nullptr || EVP_PKEY_get_bn_param(key->key, text(info, 1).c_str(), &number) != 1) return;
  std::string out(static_cast<size_t>(std::max(BN_num_bytes(number), std::min(integer(info, 2), 4096))), 0);
  if (BN_bn2binpad(number, reinterpret_cast<uint8_t *>(out.data()), static_cast<int>(out.size())) >= 0) give_bytes(info, out);
  BN_clear_free(number);
}

/// keySecret(key): the private bytes of the plain curves.
static void key_secret(const Arguments &info) {
  Key *key = key_argument(info, 0);
  uint8_t bytes[64];
  size_t count = sizeof bytes;
  if (key == nullptr || !key->is_private || EVP_PKEY_get_raw_private_key(key->key, bytes, &count) != 1) {
    return info.GetReturnValue().SetNull();
  }
  give_bytes(info, bytes, count);
  OPENSSL_cleanse(bytes, sizeof bytes);
}

/// keyEffort(key, isPrivate): 0 for what is done at once, 1 for what takes long, 2 for what takes too long for a module that loads.
static void key_effort(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const uint64_t cost = key != nullptr ? info[1]->IsTrue() ? key->private_cost : key->public_cost : 0;
  info.GetReturnValue().Set(cost < kLongPair ? 0 : cost <= kMostPairAtLoad ? 1 : 2);
}

/// keyType(key): "RSA", "P-256", "P-384", "P-521", a plain curve, or another name of OpenSSL's.
static void key_type(const Arguments &info) {
  Key *key = key_argument(info, 0);
  const char *type = key == nullptr ? "" : EVP_PKEY_get0_type_name(key->key);
  std::string name = type != nullptr ? type : "";
  if (name.rfind("ED", 0) == 0) name[1] = 'd';
  char group[64];
  size_t count = 0;
  if (name == "EC" && EVP_PKEY_get_utf8_string_param(key->key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &count) == 1) {
    const std::string found(group, count);
    name = found == "prime256v1" ? "P-256" : found == "secp384r1" ? "P-384" : found == "secp521r1" ? "P-521" : found;
  }
  v8::Local<v8::String> result;
  if (utf8_string(info.GetIsolate(), {reinterpret_cast<const uint8_t *>(name.data()), name.size()}).ToLocal(&result)) {
    info.GetReturnValue().Set(result);
  }
}

const Builtin key_builtins[] = {
    {"keyRead", key_read},     {"keyRSA", key_rsa},       {"keyEC", key_ec},         {"keyRawCurve", key_raw_curve},
    {"keyMake", key_make},     {"keyPublic", key_public}, {"keyWrite", key_write},   {"keyNumber", key_number},
    {"keySecret", key_secret}, {"keyType", key_type},     {"keyEffort", key_effort},
    {nullptr, nullptr},
};

}  // namespace cv8
