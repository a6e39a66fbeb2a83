// How OpenSSL tells the secrets of a connection: it derives them by a key derivation function of ours, which is its own one and a look
// at what comes out. Its key log callback tells them too, but prints five of them in hexadecimal: a tenth of what a handshake costs.
#include "internal.h"

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

// MARK: The function, as provider-kdf(7) wants it. A context of ours is one of the original's.

static void *new_context(void *provider) {
    (void)provider;
    return EVP_KDF_CTX_new(original);
}

static void free_context(void *context) { EVP_KDF_CTX_free(context); }
static void *copy_context(void *context) { return EVP_KDF_CTX_dup(context); }
static void reset_context(void *context) { EVP_KDF_CTX_reset(context); }

static int derive(void *context, unsigned char *key, size_t length, const OSSL_PARAM params[]) {
    int result = EVP_KDF_derive(context, key, length, params);
    if (result > 0) note(key, length, params);
    return result;
}

static int set_parameters(void *context, const OSSL_PARAM params[]) { return EVP_KDF_CTX_set_params(context, params); }
static int get_parameters(void *context, OSSL_PARAM params[]) { return EVP_KDF_CTX_get_params(context, params); }

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

int sluice_tls_handshake(SSL *ssl, struct sluice_tls_io *io) {
    current = io->whole && !io->ktls ? io : NULL;
    current_serves = SSL_is_server(ssl);
    latest = NULL;
    int result = SSL_do_handshake(ssl);
    current = NULL;
    latest = NULL;
    return result;
}
