#include "COpenSSL.h"
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

// X25519 first; P-384 for clients that insist. Server's order for TLS 1.2, AES-128 before AES-256:
// the shorter key is not the weak part and costs less per byte.
#define GROUPS "X25519:P-256:P-384"
#define CIPHERS                                                                                                      \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                       \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static const char *configure_both(SSL_CTX *ctx, int minimum_tls13, const char *ciphers, const char *suites, const char *groups) {
    SSL_CTX_set_min_proto_version(ctx, minimum_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, SLUICE_READ_AHEAD);
    if (!SSL_CTX_set1_groups_list(ctx, groups ? groups : GROUPS)) return "curves";
    if (!SSL_CTX_set_cipher_list(ctx, ciphers ? ciphers : CIPHERS)) return "ciphers";
    if (!SSL_CTX_set_ciphersuites(ctx, suites ? suites : SUITES)) return "suites";
    return NULL;
}

// The context was chosen already; this only acknowledges the name.
static int on_server_name(SSL *ssl, int *alert, void *arg) {
    (void)alert;
    (void)arg;
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) == NULL ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

// The first host name of the server_name extension (RFC 6066 section 3) as a C string of at most 255 bytes.
static int server_name(SSL *ssl, char name[256]) {
    const unsigned char *bytes;
    size_t length;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &length)) return 0;
    if (length < 5 || bytes[2] != TLSEXT_NAMETYPE_host_name) return 0;
    size_t count = (size_t)bytes[3] << 8 | bytes[4];
    if (count == 0 || count > 255 || count > length - 5 || memchr(bytes + 5, 0, count)) return 0;
    memcpy(name, bytes + 5, count);
    name[count] = 0;
    return 1;
}

// Runs before OpenSSL looks at versions, tickets and everything else. In the usual callback for server names a
// TLS 1.3 session would already have been resumed, also one that another name with other demands on clients gave.
static int on_client_hello(SSL *ssl, int *alert, void *arg) {
    struct sluice_server *server = arg;
    char name[256];
    // How much was read says little: one read may bring the whole of a message that is too long, and more.
    struct sluice_tls_io *io = BIO_get_data(SSL_get_rbio(ssl));
    if (io->hello_limit != 0 && io->hello_length > io->hello_limit) {
        io->error = EMSGSIZE;
        *alert = SSL_AD_DECODE_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (!server_name(ssl, name) || server->choose(server->owner, ssl, name)) return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
}

static int context_index = -1;

static void free_context(void *parent, void *bytes, CRYPTO_EX_DATA *data, int index, long number, void *pointer) {
    (void)parent, (void)data, (void)index, (void)number, (void)pointer;
    OPENSSL_free(bytes);
}

static void make_context_index(void) { context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_context); }

// Where a context keeps its session id context, which OpenSSL does not give out.
static int session_context_index(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_context_index);
    return context_index;
}

// SSL_set_SSL_CTX takes the certificates over and leaves the rest as it was.
void sluice_server_switch(SSL *ssl, SSL_CTX *ctx) {
    SSL_set_SSL_CTX(ssl, ctx);
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_callback(ctx));
    SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(ctx));
    unsigned char *context = SSL_CTX_get_ex_data(ctx, session_context_index());
    if (context) SSL_set_session_id_context(ssl, context, 32);
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
                   unsigned int in_length, void *arg) {
    struct sluice_server *server = arg;
    unsigned char *chosen = NULL;
    (void)ssl;
    if (server->alpn_length == 0) return SSL_TLSEXT_ERR_NOACK;
    int result = SSL_select_next_proto(&chosen, out_length, server->alpn, (unsigned int)server->alpn_length, in, in_length);
    if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

// A key is name (16), AES-256 key (32), HMAC key (32).
static int arm(const unsigned char *key, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal) {
    OSSL_PARAM digest[3];
    digest[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + 48), 32);
    digest[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"sha256", 0);
    digest[2] = OSSL_PARAM_construct_end();
    return EVP_CipherInit_ex(cipher, sluice_aes_256_cbc(), NULL, key + 16, iv, seal) == 1 && EVP_MAC_CTX_set_params(mac, digest) == 1;
}

// SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 go on, 2 go on and renew, 0 no such key, -1 error.
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal) {
    struct sluice_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (server == NULL || server->ticket_keys == 0) return seal ? -1 : 0;
    if (seal) {
        if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1) return -1;
        memcpy(name, server->tickets[0], 16);
        return arm(server->tickets[0], iv, cipher, mac, 1) ? 1 : -1;
    }
    for (int index = 0; index < server->ticket_keys; index++) {
        if (memcmp(name, server->tickets[index], 16) != 0) continue;
        if (!arm(server->tickets[index], iv, cipher, mac, 0)) return -1;
        return index == 0 ? 1 : 2;
    }
    return 0;
}

// A certificate that was asked for and is not good is no reason to end the handshake: rules see that it is not verified.
static int take_any(int good, X509_STORE_CTX *store) {
    (void)good;
    (void)store;
    return 1;
}

static int trust(SSL_CTX *ctx, const struct sluice_policy *policy) {
    X509_STORE *store = X509_STORE_new();
    if (store == NULL) return 0;
    int fine = 1;
    for (size_t index = 0; index < policy->authority_count && fine; index++) {
        fine = X509_STORE_add_cert(store, policy->authorities[index]) && SSL_CTX_add_client_CA(ctx, policy->authorities[index]);
    }
    SSL_CTX_set_cert_store(ctx, store);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (!fine || policy->revocations == NULL) return fine;
    // All of the chain: an authority below the first may have been taken back too.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return sluice_take_revocations(store, policy->revocations, policy->revocations_length, NULL) > 0;
}

// Names with the same demands on clients share sessions; others must not: what a ticket was given for is part of it.
static int set_session_context(SSL_CTX *ctx, const struct sluice_policy *policy) {
    unsigned char digest[EVP_MAX_MD_SIZE], *context = OPENSSL_zalloc(32);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char mode = (unsigned char)policy->verify;
    int fine = context && hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) && EVP_DigestUpdate(hash, "sluice", 6) &&
               EVP_DigestUpdate(hash, &mode, 1);
    for (size_t index = 0; index < policy->authority_count && fine; index++) {
        fine = X509_digest(policy->authorities[index], EVP_sha256(), digest, NULL) && EVP_DigestUpdate(hash, digest, 32);
    }
    // Whoever is on a new list has to show its certificate again, and with it all others.
    if (policy->revocations) fine = fine && EVP_DigestUpdate(hash, policy->revocations, policy->revocations_length);
    fine = fine && EVP_DigestFinal_ex(hash, digest, NULL);
    EVP_MD_CTX_free(hash);
    if (!fine) {
        OPENSSL_free(context);
        return 0;
    }
    memcpy(context, digest, 32);
    SSL_CTX_set_session_id_context(ctx, context, 32);
    return SSL_CTX_set_ex_data(ctx, session_context_index(), context);
}

const char *sluice_server_configure(SSL_CTX *ctx, struct sluice_server *server, const struct sluice_policy *policy) {
    if (policy->kernel) SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
    const char *refused = configure_both(ctx, policy->minimum_tls13, policy->ciphers, policy->suites, policy->groups);
    if (refused) return refused;
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, SLUICE_SESSION_SECONDS);
    if (policy->no_tickets) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    }
    if (!set_session_context(ctx, policy)) return "session context";
    SSL_CTX_set_app_data(ctx, server);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, server);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, server);
    SSL_CTX_set_tlsext_status_cb(ctx, sluice_on_status);
    SSL_CTX_set_tlsext_status_arg(ctx, server);
    if (server->ticket_keys > 0) SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    // On each of them: OpenSSL asks the context that the session began with, whichever name was chosen later.
    SSL_CTX_set_session_ticket_cb(ctx, sluice_on_ticket_made, sluice_on_ticket_opened, server);
    if (policy->verify == 0) return NULL;
    if (!trust(ctx, policy)) return "client authorities";
    if (policy->verify == 1) SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, take_any);
    else SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return NULL;
}

int sluice_use_certificate(SSL_CTX *ctx, X509 *leaf, X509 *const *chain, size_t chain_length, EVP_PKEY *key) {
    STACK_OF(X509) *stack = sk_X509_new_null();
    if (stack == NULL) return 0;
    int result = 1;
    for (size_t index = 0; index < chain_length && result; index++) result = sk_X509_push(stack, chain[index]) > 0;
    result = result && SSL_CTX_use_cert_and_key(ctx, leaf, key, stack, 1);
    sk_X509_free(stack);
    return result;
}

void sluice_client_configure(SSL_CTX *ctx, int minimum_tls13, sluice_new_session new_session) {
    configure_both(ctx, minimum_tls13, NULL, NULL, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, new_session);
}

static int is_address(const char *name) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

int sluice_client_name(SSL *ssl, const char *name, int verify) {
    int address = is_address(name);
    if (!address && SSL_set_tlsext_host_name(ssl, name) != 1) return 0;
    if (!verify) return 1;
    if (address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name);
}

void sluice_set_maximum_tls12(SSL_CTX *ctx) { SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION); }
