// A key pair, or the public half of one, behind a JavaScript object.
#ifndef SLUICE_CV8_WEB_KEY_H
#define SLUICE_CV8_WEB_KEY_H

#include "builtins.h"

#include <openssl/evp.h>

namespace cv8 {

class Key final : public Resource {
 public:
  Key(EVP_PKEY *key, bool is_private) : key(key), is_private(is_private) {}
  ~Key() override { EVP_PKEY_free(key); }
  EVP_PKEY *const key;
  const bool is_private;
};

Key *key_argument(const Arguments &info, int index);
const EVP_MD *hash_named(const std::string &name);

}  // namespace cv8

#endif
