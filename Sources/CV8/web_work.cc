// Work on keys that takes too long for the thread that requests are served on: RSA keys are found and PBKDF2 is run here,
// on any thread, with a bound on its processor time, and both stop soon when told to. None of it touches V8.
#define OPENSSL_SUPPRESS_DEPRECATED  // the plain hashes: HMAC by EVP costs five times as much for one block
#include "web_work.h"
#include "web_key.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <atomic>
#include <memory>
#include <string.h>
#include <time.h>

namespace cv8 {
namespace {

/// Iterations between two looks at the clock: about a tenth of a millisecond.
constexpr uint32_t kBetweenLooks = 512;

/// HMAC (RFC 2104) whose two keyed states are kept, so that one more block costs two compressions and two copies.
template <typename State, int (*Init)(State *), int (*Update)(State *, const void *, size_t), int (*Final)(unsigned char *, State *),
          size_t kBlock, size_t kSize>
class Derivation final : public KeyDerivation {
 public:
  Derivation(const uint8_t *password, size_t password_size, const uint8_t *salt, size_t salt_size) {
    uint8_t key[kBlock] = {0};
    if (password_size > kBlock) {
      State state;
      Init(&state);
      Update(&state, password, password_size);
      Final(key, &state);
      OPENSSL_cleanse(&state, sizeof state);
    } else if (password_size > 0) {
      memcpy(key, password, password_size);
    }
    begin(&inner_, key, 0x36);
    begin(&outer_, key, 0x5c);
    OPENSSL_cleanse(key, sizeof key);
    salted_ = inner_;
    if (salt_size > 0) Update(&salted_, salt, salt_size);
  }
  ~Derivation() override {
    OPENSSL_cleanse(&inner_, sizeof inner_);
    OPENSSL_cleanse(&outer_, sizeof outer_);
    OPENSSL_cleanse(&salted_, sizeof salted_);
  }

  bool derive(uint32_t iterations, std::string *out, const Patience &patience) override {
    uint32_t until_look = kBetweenLooks;
    for (size_t done = 0, number = 1; done < out->size(); done += kSize, number++) {
      uint8_t sum[kSize], step[kSize];
      const uint8_t index[4] = {static_cast<uint8_t>(number >> 24), static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
                                static_cast<uint8_t>(number)};
      finish(salted_, index, sizeof index, step);
      memcpy(sum, step, kSize);
      for (uint32_t i = 1; i < iterations; i++) {
        finish(inner_, step, kSize, step);
        for (size_t at = 0; at < kSize; at++) sum[at] ^= step[at];
        if (--until_look > 0) continue;
        until_look = kBetweenLooks;
        if (!patience()) return false;
      }
      const size_t part = kSize < out->size() - done ? kSize : out->size() - done;
      memcpy(&(*out)[done], sum, part);
      OPENSSL_cleanse(sum, kSize);
      OPENSSL_cleanse(step, kSize);
    }
    return true;
  }

 private:
  static void begin(State *state, const uint8_t *key, uint8_t mask) {
    uint8_t pad[kBlock];
    for (size_t at = 0; at < kBlock; at++) pad[at] = key[at] ^ mask;
    Init(state);
    Update(state, pad, kBlock);
    OPENSSL_cleanse(pad, kBlock);
  }
  void finish(const State &begun, const uint8_t *data, size_t size, uint8_t *out) const {
    State state = begun;
    Update(&state, data, size);
    Final(out, &state);
    state = outer_;
    Update(&state, out, kSize);
    Final(out, &state);
  }
  State inner_, outer_, salted_;
};

uint64_t thread_cpu_ns() {
  struct timespec now;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) return 0;
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

std::unique_ptr<KeyDerivation> key_derivation(const std::string &hash, const uint8_t *password, size_t password_size,
                                              const uint8_t *salt, size_t salt_size) {
  using One = Derivation<SHA_CTX, SHA1_Init, SHA1_Update, SHA1_Final, SHA_CBLOCK, SHA_DIGEST_LENGTH>;
  using Two = Derivation<SHA256_CTX, SHA256_Init, SHA256_Update, SHA256_Final, SHA256_CBLOCK, SHA256_DIGEST_LENGTH>;
  using Three = Derivation<SHA512_CTX, SHA384_Init, SHA384_Update, SHA384_Final, SHA512_CBLOCK, SHA384_DIGEST_LENGTH>;
  using Five = Derivation<SHA512_CTX, SHA512_Init, SHA512_Update, SHA512_Final, SHA512_CBLOCK, SHA512_DIGEST_LENGTH>;
  if (hash == "SHA-1") return std::make_unique<One>(password, password_size, salt, salt_size);
  if (hash == "SHA-256") return std::make_unique<Two>(password, password_size, salt, salt_size);
  if (hash == "SHA-384") return std::make_unique<Three>(password, password_size, salt, salt_size);
  if (hash == "SHA-512") return std::make_unique<Five>(password, password_size, salt, salt_size);
  return nullptr;
}

}  // namespace cv8

struct cv8_work {
  std::unique_ptr<cv8::KeyDerivation> derivation;  // PBKDF2
  std::unique_ptr<cv8::PairTask> pair;             // an operation with a key; without either an RSA key is made
  uint32_t iterations = 0;
  int32_t bits = 0;
  uint32_t exponent = 0;
  std::string out;
  std::atomic<bool> stopped{false};
  bool spent = false;
  uint64_t began = 0, budget = 0, used = 0;

  ~cv8_work() { OPENSSL_cleanse(out.data(), out.size()); }

  /// Whether it may go on.
  bool goes_on() {
    if (stopped.load(std::memory_order_relaxed)) return false;
    spent = cv8::thread_cpu_ns() - began > budget;
    return !spent;
  }
};

namespace cv8 {

static int key_progress(EVP_PKEY_CTX *context) { return static_cast<cv8_work *>(EVP_PKEY_CTX_get_app_data(context))->goes_on() ? 1 : 0; }

EVP_PKEY *make_rsa(int bits, uint32_t exponent, cv8_work *work) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY *key = nullptr;
  BIGNUM *number = BN_new();
  if (context != nullptr && number != nullptr && EVP_PKEY_keygen_init(context) == 1 && BN_set_word(number, exponent) == 1 &&
      EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1 && EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, number) == 1) {
    if (work != nullptr) {
      EVP_PKEY_CTX_set_app_data(context, work);
      EVP_PKEY_CTX_set_cb(context, key_progress);
    }
    EVP_PKEY_generate(context, &key);
  }
  BN_free(number);
  EVP_PKEY_CTX_free(context);
  return key;
}

/// A fresh key as PKCS #8.
static bool run_rsa(cv8_work *work) {
  EVP_PKEY *key = make_rsa(work->bits, work->exponent, work);
  PKCS8_PRIV_KEY_INFO *raw = key != nullptr ? EVP_PKEY2PKCS8(key) : nullptr;
  uint8_t *der = nullptr;
  const int size = raw != nullptr ? i2d_PKCS8_PRIV_KEY_INFO(raw, &der) : -1;
  if (size > 0) work->out.assign(reinterpret_cast<const char *>(der), static_cast<size_t>(size));
  OPENSSL_clear_free(der, size > 0 ? static_cast<size_t>(size) : 0);
  PKCS8_PRIV_KEY_INFO_free(raw);
  EVP_PKEY_free(key);
  return size > 0;
}

}  // namespace cv8

cv8_work *cv8_work_rsa(int32_t bits, uint32_t exponent) {
  cv8_work *work = new cv8_work();
  work->bits = bits;
  work->exponent = exponent;
  return work;
}

cv8_work *cv8_work_pbkdf2(cv8_bytes hash, cv8_bytes password, cv8_bytes salt, uint32_t iterations, size_t count) {
  const std::string name(reinterpret_cast<const char *>(hash.bytes), hash.count);
  auto derivation = cv8::key_derivation(name, password.bytes, password.count, salt.bytes, salt.count);
  if (derivation == nullptr || iterations == 0 || count > cv8::kMostDerived) return nullptr;
  cv8_work *work = new cv8_work();
  work->derivation = std::move(derivation);
  work->iterations = iterations;
  work->out.resize(count);
  return work;
}

cv8_work *cv8_work_pair(cv8_call *call, int32_t first) {
  auto task = cv8::pair_task(*call->info, first);
  if (task == nullptr) return nullptr;
  cv8_work *work = new cv8_work();
  work->pair = std::move(task);
  return work;
}

int32_t cv8_work_run(cv8_work *work, uint64_t cpu_ns) {
  work->began = cv8::thread_cpu_ns();
  work->budget = cpu_ns;
  bool done = false;
  if (work->goes_on()) {
    done = work->derivation != nullptr ? work->derivation->derive(work->iterations, &work->out, [work] { return work->goes_on(); })
           : work->pair != nullptr     ? work->pair->run(&work->out)
                                       : cv8::run_rsa(work);
  }
  work->used = cv8::thread_cpu_ns() - work->began;
  if (done) return CV8_WORK_DONE;
  return work->stopped.load() ? CV8_WORK_STOPPED : work->spent ? CV8_WORK_SPENT : CV8_WORK_FAILED;
}

void cv8_work_stop(cv8_work *work) { work->stopped.store(true, std::memory_order_relaxed); }
uint64_t cv8_work_cpu(const cv8_work *work) { return work->used; }
cv8_bytes cv8_work_result(const cv8_work *work) { return {reinterpret_cast<const uint8_t *>(work->out.data()), work->out.size()}; }
void cv8_work_free(cv8_work *work) { delete work; }
