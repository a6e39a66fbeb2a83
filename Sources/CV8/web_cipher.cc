// AES by OpenSSL: GCM, CBC, CTR and key wrap.
#include "builtins.h"

#include <openssl/evp.h>
#include <string.h>

namespace cv8 {

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

static const EVP_CIPHER *cipher_named(const std::string &mode, size_t key_size) {
  const int index = key_size == 16 ? 0 : key_size == 24 ? 1 : key_size == 32 ? 2 : -1;
  if (index < 0) return nullptr;
  const EVP_CIPHER *gcm[] = {EVP_aes_128_gcm(), EVP_aes_192_gcm(), EVP_aes_256_gcm()};
  const EVP_CIPHER *cbc[] = {EVP_aes_128_cbc(), EVP_aes_192_cbc(), EVP_aes_256_cbc()};
  const EVP_CIPHER *ctr[] = {EVP_aes_128_ctr(), EVP_aes_192_ctr(), EVP_aes_256_ctr()};
  const EVP_CIPHER *wrap[] = {EVP_aes_128_wrap(), EVP_aes_192_wrap(), EVP_aes_256_wrap()};
  if (mode == "GCM") return gcm[index];
  if (mode == "CBC") return cbc[index];
  if (mode == "CTR") return ctr[index];
  return mode == "KW" ? wrap[index] : nullptr;
}

/// Bytes of a key that AES-KW wraps: no key that is one has more.
constexpr size_t kMostWrapped = 256 << 10;

static uint8_t *bytes_of(std::string *text) { return reinterpret_cast<uint8_t *>(text->data()); }

/// aes(mode, encrypts, key, iv, bytes): CBC with padding, or KW; null when OpenSSL refuses, for instance a bad padding.
static void aes(const Arguments &info) {
  Bytes key(info, 2), iv(info, 3), bytes(info, 4);
  const std::string mode = text(info, 0);
  const EVP_CIPHER *cipher = cipher_named(mode, key.size());
  const bool encrypts = info[1]->IsTrue();
  info.GetReturnValue().SetNull();
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  const bool wraps = mode == "KW";
  if (cipher == nullptr || context == nullptr || (mode != "CBC" && !wraps) || bytes.size() > INT32_MAX - 64) return;
  if (!wraps && iv.size() != 16) return;
  // RFC 3394 goes over all of it six times, block by block.
  if (wraps && (bytes.size() < (encrypts ? 16 : 24) || bytes.size() > kMostWrapped)) return;
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  std::string out(bytes.size() + 32, 0);
  int first = 0, rest = 0;
  if (EVP_CipherInit_ex(context.get(), cipher, nullptr, key.data(), wraps ? nullptr : iv.data(), encrypts) != 1 ||
      EVP_CipherUpdate(context.get(), bytes_of(&out), &first, bytes.data(), static_cast<int>(bytes.size())) != 1 ||
      EVP_CipherFinal_ex(context.get(), bytes_of(&out) + first, &rest) != 1) {
    return;
  }
  give_bytes(info, bytes_of(&out), static_cast<size_t>(first + rest));
}

/// aesGCM(encrypts, key, iv, bytes, additional, tagBytes): the tag stands behind the text; null when it is wrong.
static void aes_gcm(const Arguments &info) {
  Bytes key(info, 1), iv(info, 2), bytes(info, 3), additional(info, 4);
  const EVP_CIPHER *cipher = cipher_named("GCM", key.size());
  const bool encrypts = info[0]->IsTrue();
  const int32_t tag = integer(info, 5);
  info.GetReturnValue().SetNull();
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  if (cipher == nullptr || context == nullptr || iv.size() == 0 || iv.size() > 1 << 20 || tag < 4 || tag > 16) return;
  if (bytes.size() > INT32_MAX - 64 || additional.size() > INT32_MAX || (!encrypts && bytes.size() < static_cast<size_t>(tag))) return;
  const size_t count = encrypts ? bytes.size() : bytes.size() - static_cast<size_t>(tag);
  std::string out(count + 32, 0);
  int made = 0, ignored = 0;
  EVP_CIPHER_CTX *raw = context.get();
  if (EVP_CipherInit_ex(raw, cipher, nullptr, nullptr, nullptr, encrypts) != 1 ||
      EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_SET_IVLEN, static_cast<int>(iv.size()), nullptr) != 1 ||
      EVP_CipherInit_ex(raw, nullptr, nullptr, key.data(), iv.data(), encrypts) != 1) {
    return;
  }
  if (!encrypts && EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_SET_TAG, tag, const_cast<uint8_t *>(bytes.data() + count)) != 1) return;
  if (additional.size() > 0 &&
      EVP_CipherUpdate(raw, nullptr, &ignored, additional.data(), static_cast<int>(additional.size())) != 1) {
    return;
  }
  if (count > 0 && EVP_CipherUpdate(raw, bytes_of(&out), &made, bytes.data(), static_cast<int>(count)) != 1) return;
  if (EVP_CipherFinal_ex(raw, bytes_of(&out) + made, &ignored) != 1) return;
  if (encrypts && EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_GET_TAG, tag, bytes_of(&out) + count) != 1) return;
  give_bytes(info, bytes_of(&out), encrypts ? count + static_cast<size_t>(tag) : count);
}

static bool ctr_run(const EVP_CIPHER *cipher, const Bytes &key, const uint8_t *counter, const uint8_t *in, size_t count, uint8_t *out) {
  if (count == 0) return true;
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int made = 0;
  return context != nullptr && EVP_EncryptInit_ex(context.get(), cipher, nullptr, key.data(), counter) == 1 &&
         EVP_EncryptUpdate(context.get(), out, &made, in, static_cast<int>(count)) == 1;
}

/// Blocks until the last `bits` bits of a counter come round to 0, or `most` when that is later.
static uint64_t blocks_until_zero(const uint8_t *counter, int bits, uint64_t most) {
  // The distance is 2^bits minus the counter's value; both beyond 64 bits are further away than any text is long.
  unsigned __int128 value = 0;
  for (int i = 0; i < 16; i++) value = value << 8 | counter[i];
  if (bits < 128) value &= (static_cast<unsigned __int128>(1) << bits) - 1;
  const unsigned __int128 distance = bits < 128 ? (static_cast<unsigned __int128>(1) << bits) - value : 0 - value;
  return distance != 0 && distance < most ? static_cast<uint64_t>(distance) : most;
}

/// aesCTR(key, counter, bits, bytes): only the last `bits` bits of the counter count, so OpenSSL runs it in two parts
/// when they come round. Null when the text is longer than the counter allows.
static void aes_ctr(const Arguments &info) {
  Bytes key(info, 0), counter(info, 1), bytes(info, 3);
  const EVP_CIPHER *cipher = cipher_named("CTR", key.size());
  const int32_t bits = integer(info, 2);
  info.GetReturnValue().SetNull();
  if (cipher == nullptr || counter.size() != 16 || bits < 1 || bits > 128 || bytes.size() > INT32_MAX - 64) return;
  const uint64_t blocks = (bytes.size() + 15) / 16;
  if (bits < 64 && blocks > uint64_t{1} << bits) return;
  const size_t first = std::min<size_t>(bytes.size(), blocks_until_zero(counter.data(), bits, blocks) * 16);
  std::string out(bytes.size(), 0);
  uint8_t zeroed[16];
  memcpy(zeroed, counter.data(), 16);
  for (int bit = 0; bit < bits; bit++) zeroed[15 - bit / 8] &= static_cast<uint8_t>(~(1 << bit % 8));
  if (ctr_run(cipher, key, counter.data(), bytes.data(), first, bytes_of(&out)) &&
      ctr_run(cipher, key, zeroed, bytes.data() + first, bytes.size() - first, bytes_of(&out) + first)) {
    give_bytes(info, out);
  }
}

const Builtin cipher_builtins[] = {{"aes", aes}, {"aesGCM", aes_gcm}, {"aesCTR", aes_ctr}, {nullptr, nullptr}};

}  // namespace cv8
