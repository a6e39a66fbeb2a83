// How OpenSSL tells the secrets of a connection: it derives them by a key derivation function of ours, which is its own one and a look
// at what comes out. Its key log callback tells them too, but prints five of them in hexadecimal: a tenth of what a handshake costs.
#include "derive.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>

#define OURS "sluice"
// A property of our own to ask for: `provider` may be asked for by the operator's configuration, which this would replace.
#define TELLS "sluice.tells"

static EVP_KDF *original;

// The session that shakes hands on this thread, if its secrets are wanted.
static _Thread_local struct sluice_tls_io *current;
static _Thread_local int current_serves;
// The secret that was derived last: OpenSSL derives its key and its initialization vector right after it.
static _Thread_local struct sluice_secret *latest;

static int is(const OSSL_PARAM *label, const char *text) { return label->data_size == strlen(text) && memcmp(label->data, text, strlen(text)) == 0; }

// The keys of the latest secret: deriving them again costs 42,000 instructions, of 2.8 million for a handshake.
static int note_keys(const unsigned char *bytes, size_t length, const OSSL_PARAM *label) {
    if (latest != NULL && is(label, "key") && length <= sizeof latest->key) {
        memcpy(latest->key, bytes, latest->key_count = length);
        return 1;
    }
    if (latest != NULL && is(label, "iv") && length == sizeof latest->iv) memcpy(latest->iv, bytes, latest->iv_count = length);
    // Whatever is derived now, the next keys are others'.
    latest = NULL;
    return 0;
}

// A secret of application data is noted where the labels of RFC 8446 section 7.1 say that it is one.
static void note(const unsigned char *secret, size_t length, const OSSL_PARAM *params) {
    struct sluice_tls_io *io = current;
    const OSSL_PARAM *label = params == NULL ? NULL : OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_LABEL);
    if (io == NULL || label == NULL || note_keys(secret, length, label)) return;
    if (label->data_size != 12 || length > SLUICE_SECRET_MOST) return;
    const char *text = label->data;
    if ((text[0] != 's' && text[0] != 'c') || memcmp(text + 1, " ap traffic", 11) != 0) return;
    if (io->secrets == NULL) io->secrets = OPENSSL_zalloc(sizeof *io->secrets);
    if (io->secrets == NULL) return;
    struct sluice_secret *noted = (text[0] == 's') == current_serves ? &io->secrets->ours : &io->secrets->theirs;
    memcpy(noted->bytes, secret, length);
    noted->count = length;
    // From here on records of this direction are made with it.
    noted->records = 0;
    noted->key_count = noted->iv_count = 0;
    latest = noted;
}

// MARK: Deriving

static _Thread_local struct sluice_hash hash;

// What is asked for, where it is what a handshake asks for.
struct wish {
    int mode;
    const EVP_MD *digest;
    struct sluice_bytes key, salt, prefix, label, data;
};

static int takes(const OSSL_PARAM *param, const char *name, struct sluice_bytes *into) {
    if (strcmp(param->key, name) != 0 || param->data_type != OSSL_PARAM_OCTET_STRING) return 0;
    *into = (struct sluice_bytes){param->data, param->data_size};
    return 1;
}

static int takes_digest(const OSSL_PARAM *param, struct wish *wish) {
    if (strcmp(param->key, OSSL_KDF_PARAM_DIGEST) != 0 || param->data_type != OSSL_PARAM_UTF8_STRING) return 0;
    if (is(param, "SHA2-256") || is(param, "SHA256")) wish->digest = sluice_digest(0);
    if (is(param, "SHA2-384") || is(param, "SHA384")) wish->digest = sluice_digest(1);
    return 1;
}

static int takes_mode(const OSSL_PARAM *param, struct wish *wish) {
    if (strcmp(param->key, OSSL_KDF_PARAM_MODE) != 0 || param->data_type != OSSL_PARAM_INTEGER || param->data_size != sizeof wish->mode) return 0;
    memcpy(&wish->mode, param->data, sizeof wish->mode);
    return 1;
}

// 0: it is left to the original.
static int read_wish(const OSSL_PARAM *param, struct wish *wish) {
    for (; param != NULL && param->key != NULL; param++) {
        if (!takes(param, OSSL_KDF_PARAM_KEY, &wish->key) && !takes(param, OSSL_KDF_PARAM_SALT, &wish->salt) &&
            !takes(param, OSSL_KDF_PARAM_PREFIX, &wish->prefix) && !takes(param, OSSL_KDF_PARAM_LABEL, &wish->label) &&
            !takes(param, OSSL_KDF_PARAM_DATA, &wish->data) && !takes_digest(param, wish) && !takes_mode(param, wish)) return 0;
    }
    return wish->digest != NULL && wish->label.count > 0 && wish->prefix.count == 6 && memcmp(wish->prefix.bytes, "tls13 ", 6) == 0;
}

// 0: it was left to the original.
static int derive_here(unsigned char *out, size_t length, const OSSL_PARAM params[]) {
    struct wish wish = {.mode = -1};
    if (!read_wish(params, &wish) || !sluice_hash_begin(&hash, wish.digest)) return 0;
    if (wish.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY) {
        return wish.key.count > 0 && sluice_expand_label(&hash, wish.key, wish.label, wish.data, out, length);
    }
    if (wish.mode != EVP_KDF_HKDF_MODE_EXTRACT_ONLY || length != hash.size) return 0;
    if (wish.key.bytes != NULL && wish.key.count == 0) return 0;
    return (wish.salt.bytes == NULL || wish.salt.count == hash.size) && sluice_next_stage(&hash, wish.salt, wish.label, wish.key, out);
}

// MARK: The function, as provider-kdf(7) wants it

// What was set before it is derived, the original knows; nothing was, while there is none.
struct context {
    EVP_KDF_CTX *original;
};

static EVP_KDF_CTX *original_of(struct context *context) {
    if (context->original == NULL) context->original = EVP_KDF_CTX_new(original);
    return context->original;
}

static void *new_context(void *provider) {
    (void)provider;
    return OPENSSL_zalloc(sizeof(struct context));
}

static void free_context(void *bytes) {
    struct context *context = bytes;
    if (context != NULL) EVP_KDF_CTX_free(context->original);
    OPENSSL_free(context);
}

static void *copy_context(void *bytes) {
    struct context *from = bytes, *context = new_context(NULL);
    if (context == NULL || from->original == NULL) return context;
    context->original = EVP_KDF_CTX_dup(from->original);
    if (context->original != NULL) return context;
    OPENSSL_free(context);
    return NULL;
}

static void reset_context(void *bytes) {
    struct context *context = bytes;
    if (context->original != NULL) EVP_KDF_CTX_reset(context->original);
}

static int derive(void *bytes, unsigned char *key, size_t length, const OSSL_PARAM params[]) {
    struct context *context = bytes;
    int result = context->original == NULL && derive_here(key, length, params);
    // Outside of a handshake it is not known when the next one comes.
    if (current == NULL) sluice_hash_rest(&hash);
    if (!result) result = original_of(context) != NULL && EVP_KDF_derive(context->original, key, length, params) > 0;
    if (result) note(key, length, params);
    return result;
}

static int set_parameters(void *bytes, const OSSL_PARAM params[]) {
    struct context *context = bytes;
    if (params == NULL || params->key == NULL) return 1;
    return original_of(context) != NULL && EVP_KDF_CTX_set_params(context->original, params);
}

static int get_parameters(void *bytes, OSSL_PARAM params[]) {
    struct context *context = bytes;
    return original_of(context) != NULL && EVP_KDF_CTX_get_params(context->original, params);
}

static const OSSL_PARAM *settable_parameters(void *context, void *provider) {
    (void)context, (void)provider;
    return EVP_KDF_settable_ctx_params(original);
}

static const OSSL_PARAM *gettable_parameters(void *context, void *provider) {
    (void)context, (void)provider;
    return EVP_KDF_gettable_ctx_params(original);
}

static const OSSL_DISPATCH function[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))new_context},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void))free_context},
    {OSSL_FUNC_KDF_DUPCTX, (void (*)(void))copy_context},
    {OSSL_FUNC_KDF_RESET, (void (*)(void))reset_context},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive},
    {OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))set_parameters},
    {OSSL_FUNC_KDF_GET_CTX_PARAMS, (void (*)(void))get_parameters},
    {OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))settable_parameters},
    {OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, (void (*)(void))gettable_parameters},
    {0, NULL},
};

static const OSSL_ALGORITHM functions[] = {
    {"TLS13-KDF", "provider=" OURS "," TELLS "=yes", function, "TLS 1.3 key derivation that tells secrets of application data"},
    {NULL, NULL, NULL, NULL},
};

// MARK: The provider

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache) {
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? functions : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
    {0, NULL},
};

static int begin_provider(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provider) {
    (void)core, (void)in;
    *out = provider_functions;
    *provider = (void *)functions;
    return 1;
}

static int is_loaded;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static void load(void) {
    original = EVP_KDF_fetch(NULL, "TLS13-KDF", "provider=default");
    // Those that OpenSSL loads by itself stay.
    is_loaded = original != NULL && OSSL_PROVIDER_add_builtin(NULL, OURS, begin_provider) && OSSL_PROVIDER_try_load(NULL, OURS, 1) != NULL;
}

SSL_CTX *sluice_context_new(int serves) {
    pthread_once(&load_once, load);
    return SSL_CTX_new_ex(NULL, is_loaded ? "?" TELLS "=yes" : NULL, serves ? TLS_server_method() : TLS_client_method());
}

int sluice_tls_derive(int original_one, const struct sluice_derivation *wish, uint8_t *out, size_t length) {
    static const char *const names[] = {OSSL_KDF_PARAM_KEY, OSSL_KDF_PARAM_SALT, OSSL_KDF_PARAM_PREFIX, OSSL_KDF_PARAM_LABEL, OSSL_KDF_PARAM_DATA};
    OSSL_PARAM params[8], *next = params;
    int mode = wish->mode;
    pthread_once(&load_once, load);
    *next++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)wish->digest, 0);
    for (int index = 0; index < 5; index++) {
        if (wish->counts[index] < 0) continue;
        *next++ = OSSL_PARAM_construct_octet_string(names[index], (void *)wish->pieces[index], (size_t)wish->counts[index]);
    }
    *next = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", original_one ? "provider=default" : TELLS "=yes");
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int fine = context != NULL && EVP_KDF_derive(context, out, length, params) > 0;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return fine;
}

int sluice_tls_handshake(SSL *ssl, struct sluice_tls_io *io) {
    current = io->whole && !io->ktls ? io : NULL;
    current_serves = SSL_is_server(ssl);
    latest = NULL;
    int result = SSL_do_handshake(ssl);
    current = NULL;
    latest = NULL;
    // It has seen secrets.
    sluice_hash_rest(&hash);
    return result;
}
