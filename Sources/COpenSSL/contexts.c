#include "COpenSSL.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

// Three full records with their overhead, under the size at which the allocator begins to give
// memory back to the system at each free.
#define READ_AHEAD_BYTES (3 * (16384 + 256 + 5))

// X25519 first; P-384 for clients that insist. Server's order for TLS 1.2, AES-128 before AES-256:
// the shorter key is not the weak part and costs less per byte.
#define GROUPS "X25519:P-256:P-384"
#define CIPHERS                                                                                                      \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                       \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static void configure_both(SSL_CTX *ctx, int minimum_tls13) {
    SSL_CTX_set_min_proto_version(ctx, minimum_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD_BYTES);
    SSL_CTX_set1_groups_list(ctx, GROUPS);
    SSL_CTX_set_cipher_list(ctx, CIPHERS);
    SSL_CTX_set_ciphersuites(ctx, SUITES);
}

static int on_server_name(SSL *ssl, int *alert, void *arg) {
    struct sluice_server *server = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == NULL) return SSL_TLSEXT_ERR_NOACK;
    if (server->choose(server->owner, ssl, name)) return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
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
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + 16, iv, seal) == 1 && EVP_MAC_CTX_set_params(mac, digest) == 1;
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

void sluice_server_configure(SSL_CTX *ctx, struct sluice_server *server, int minimum_tls13) {
    static const unsigned char session_context[] = "sluice";
    configure_both(ctx, minimum_tls13);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, 12 * 3600);
    SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1);
    SSL_CTX_set_app_data(ctx, server);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, server);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, server);
    if (server->ticket_keys > 0) SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
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
    configure_both(ctx, minimum_tls13);
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
