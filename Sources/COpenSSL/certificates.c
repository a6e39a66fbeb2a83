#include "COpenSSL.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

static int no_pass_phrase(char *buffer, int size, int writing, void *arg) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

X509 *sluice_read_certificate(BIO *bio) { return PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL); }

EVP_PKEY *sluice_read_key(BIO *bio) { return PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL); }

// Addresses are names too, in the spelling of a URL's host.
static void found_address(const ASN1_OCTET_STRING *address, void (*found)(void *, const char *, size_t), void *context) {
    char text[INET6_ADDRSTRLEN + 2];
    int length = ASN1_STRING_length(address);
    int is_v6 = length == 16;
    if (length != 4 && !is_v6) return;
    text[0] = '[';
    if (!inet_ntop(is_v6 ? AF_INET6 : AF_INET, ASN1_STRING_get0_data(address), text + is_v6, INET6_ADDRSTRLEN)) return;
    size_t count = strlen(text + is_v6);
    if (is_v6) text[1 + count] = ']';
    found(context, text, is_v6 ? count + 2 : count);
}

void sluice_certificate_names(X509 *certificate, void (*found)(void *context, const char *name, size_t length), void *context) {
    int any = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int index = 0; index < sk_GENERAL_NAME_num(names); index++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
        if (name->type == GEN_IPADD) found_address(name->d.iPAddress, found, context);
        if (name->type != GEN_DNS) continue;
        const ASN1_IA5STRING *text = name->d.dNSName;
        found(context, (const char *)ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
        any = 1;
    }
    GENERAL_NAMES_free(names);
    if (any) return;
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return;
    unsigned char *utf8 = NULL;
    int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (length > 0) found(context, (const char *)utf8, length);
    OPENSSL_free(utf8);
}

static int64_t seconds_until(const ASN1_TIME *time) {
    int days = 0, seconds = 0;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, time)) return INT64_MIN;
    return (int64_t)days * 86400 + seconds;
}

void sluice_certificate_times(X509 *certificate, int64_t *until_end, int64_t *until_begin) {
    *until_end = seconds_until(X509_get0_notAfter(certificate));
    *until_begin = seconds_until(X509_get0_notBefore(certificate));
}

static int seconds_of(const ASN1_TIME *time, int64_t *seconds) {
    struct tm fields;
    if (!ASN1_TIME_to_tm(time, &fields)) return 0;
    *seconds = (int64_t)timegm(&fields);
    return 1;
}

int sluice_certificate_span(X509 *certificate, int64_t *from, int64_t *until) {
    return seconds_of(X509_get0_notBefore(certificate), from) && seconds_of(X509_get0_notAfter(certificate), until);
}

int sluice_error_is_unexpected_eof(unsigned long code) {
    return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

int sluice_error_is_http_request(unsigned long code) {
    return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST;
}

int sluice_error_is_no_start_line(unsigned long code) {
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

int sluice_error_is_pass_phrase(unsigned long code) {
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_BAD_PASSWORD_READ;
}
