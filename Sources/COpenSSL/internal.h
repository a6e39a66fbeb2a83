// Shared by the files of this target only.
#ifndef SLUICE_COPENSSL_INTERNAL_H
#define SLUICE_COPENSSL_INTERNAL_H

#include "COpenSSL.h"

// SSL_CTX_set_tlsext_status_cb(3).
int sluice_on_status(SSL *ssl, void *arg);

#endif
