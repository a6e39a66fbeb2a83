// What concerns the other end's trust: OCSP responses for our certificates, certificates of clients.
#include "COpenSSL.h"
#include "internal.h"

#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *time) {
    struct tm fields;
    if (time == NULL || !ASN1_TIME_to_tm(time, &fields)) return INT64_MAX;
    return (int64_t)timegm(&fields);
}

// Finds the answer about `leaf`: NULL when it is there and good, and until when.
static const char *examine(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer, int64_t *until) {
    int status = -1, reason;
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, leaf, issuer);
    int found = id && OCSP_resp_find_status(basic, id, &status, &reason, NULL, &this_update, &next_update);
    OCSP_CERTID_free(id);
    if (!found) return "it is about another certificate";
    if (status != V_OCSP_CERTSTATUS_GOOD) return "it says that the certificate is not good";
    *until = seconds_of(next_update);
    return *until <= (int64_t)time(NULL) ? "it is too old: fetch a new one" : NULL;
}

int sluice_staple_span(const unsigned char *der, size_t length, int64_t *from, int64_t *until) {
    const unsigned char *at = der;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)length);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
    OCSP_SINGLERESP *first = basic ? OCSP_resp_get0(basic, 0) : NULL;
    int reason;
    ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
    if (first) OCSP_single_get0_status(first, &reason, &revoked, &this_update, &next_update);
    *from = seconds_of(this_update);
    *until = seconds_of(next_update);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return *from != INT64_MAX && *until != INT64_MAX;
}

const char *sluice_staple_add(struct sluice_server *server, X509 *leaf, X509 *issuer, const unsigned char *der, size_t length, int *old) {
    const unsigned char *at = der;
    int64_t until = 0;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)length);
    if (response == NULL) return "it is no OCSP response in DER form";
    OCSP_BASICRESP *basic = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response) : NULL;
    const char *wrong = basic ? examine(basic, leaf, issuer, &until) : "it carries no answer";
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    *old = wrong != NULL && until != 0;
    if (wrong) return wrong;
    struct sluice_staple *staple = malloc(sizeof *staple + length);
    if (staple == NULL) return "there is no memory for it";
    X509_up_ref(leaf);
    *staple = (struct sluice_staple){.next = server->staples, .leaf = leaf, .until = until, .length = (int)length};
    memcpy(staple->der, der, length);
    server->staples = staple;
    return NULL;
}

void sluice_staples_free(struct sluice_server *server) {
    while (server->staples) {
        struct sluice_staple *staple = server->staples;
        server->staples = staple->next;
        X509_free(staple->leaf);
        free(staple);
    }
}

int sluice_on_status(SSL *ssl, void *arg) {
    struct sluice_server *server = arg;
    X509 *leaf = SSL_get_certificate(ssl);
    for (struct sluice_staple *staple = server->staples; staple; staple = staple->next) {
        if (staple->leaf != leaf || staple->until <= (int64_t)time(NULL)) continue;
        unsigned char *copy = OPENSSL_memdup(staple->der, (size_t)staple->length);
        if (copy == NULL) break;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->length);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static void print_name(const X509_NAME *name, char *text, int room) {
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        int count = BIO_read(bio, text, room - 1);
        text[count > 0 ? count : 0] = 0;
    }
    BIO_free(bio);
}

static void print_hex(const unsigned char *bytes, size_t count, char *text, size_t room) {
    static const char digits[] = "0123456789abcdef";
    for (size_t index = 0; index < count && 2 * index + 2 < room; index++) {
        text[2 * index] = digits[bytes[index] >> 4];
        text[2 * index + 1] = digits[bytes[index] & 15];
        text[2 * index + 2] = 0;
    }
}

void sluice_peer_read(SSL *ssl, struct sluice_peer *peer) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    memset(peer, 0, sizeof *peer);
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == NULL) return;
    peer->present = 1;
    peer->verified = SSL_get_verify_result(ssl) == X509_V_OK;
    print_name(X509_get_subject_name(certificate), peer->subject, sizeof peer->subject);
    print_name(X509_get_issuer_name(certificate), peer->issuer, sizeof peer->issuer);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    print_hex(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial), peer->serial, sizeof peer->serial);
    if (X509_digest(certificate, sluice_sha256(), digest, NULL)) print_hex(digest, 32, peer->fingerprint, sizeof peer->fingerprint);
    ERR_clear_error();
}

static const char *prefix_of(int kind) {
    switch (kind) {
    case GEN_DNS: return "DNS:";
    case GEN_URI: return "URI:";
    case GEN_EMAIL: return "email:";
    default: return NULL;
    }
}

static int is_printable(const unsigned char *bytes, int count) {
    for (int index = 0; index < count; index++)
        if (bytes[index] < 0x20 || bytes[index] > 0x7e) return 0;
    return count > 0;
}

void sluice_peer_names(SSL *ssl, char *text, size_t room) {
    text[0] = 0;
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == NULL) return;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    for (int index = 0; names && index < sk_GENERAL_NAME_num(names); index++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
        const char *prefix = prefix_of(name->type);
        if (prefix == NULL) continue;
        const unsigned char *bytes = ASN1_STRING_get0_data(name->d.ia5);
        int count = ASN1_STRING_length(name->d.ia5);
        size_t before = strlen(prefix);
        if (!is_printable(bytes, count) || used + before + (size_t)count + 2 > room) continue;
        memcpy(text + used, prefix, before);
        memcpy(text + used + before, bytes, (size_t)count);
        used += before + (size_t)count;
        text[used++] = '\n';
        text[used] = 0;
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

int sluice_take_revocations(X509_STORE *store, const unsigned char *pem, size_t length, int64_t *until) {
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    int count = 0, fine = bio != NULL;
    X509_CRL *list;
    ERR_clear_error();
    while (fine && (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
        int days, seconds;
        if (until && next && ASN1_TIME_diff(&days, &seconds, NULL, next) && (int64_t)days * 86400 + seconds < *until)
            *until = (int64_t)days * 86400 + seconds;
        if (store) fine = X509_STORE_add_crl(store, list);
        X509_CRL_free(list);
        count++;
    }
    // A list in the middle that is damaged must not be taken for the end.
    if (fine && !sluice_error_is_no_start_line(ERR_peek_last_error())) fine = 0;
    ERR_clear_error();
    BIO_free(bio);
    return fine ? count : -1;
}

int sluice_revocations_until(const unsigned char *pem, size_t length, int64_t *until) {
    *until = INT64_MAX;
    return sluice_take_revocations(NULL, pem, length, until) > 0;
}
