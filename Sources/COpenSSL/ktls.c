// Sending by the kernel (kTLS): after the handshake it gets the keys, and what is sent from then on is plain.
//
// OpenSSL asks its BIO for it with controls that bio.h names as reserved for this use. Where anything is not as expected the
// answer is no, and records are made in user space as before.
#include "internal.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

// What OpenSSL passes begins with one of the kernel's structures; its size goes by the cipher.
static socklen_t crypto_size(const void *info) {
    struct tls_crypto_info head;
    memcpy(&head, info, sizeof head);
    switch (head.cipher_type) {
    case TLS_CIPHER_AES_GCM_128: return sizeof(struct tls12_crypto_info_aes_gcm_128);
    case TLS_CIPHER_AES_GCM_256: return sizeof(struct tls12_crypto_info_aes_gcm_256);
    case TLS_CIPHER_CHACHA20_POLY1305: return sizeof(struct tls12_crypto_info_chacha20_poly1305);
    default: return 0;
    }
}

int sluice_ktls_begin(struct sluice_tls_io *io, const void *info, int sends) {
    socklen_t size = crypto_size(info);
    // Records of before go out first: whatever follows them in the socket, the kernel encrypts.
    if (!sends || io->ktls || size == 0 || sluice_tls_flush(io) != 0) return 0;
    if (setsockopt(io->fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") != 0) return 0;
    if (setsockopt(io->fd, SOL_TLS, TLS_TX, info, size) != 0) return 0;
    io->ktls = 1;
    return 1;
}

int sluice_ktls_control(struct sluice_tls_io *io, const void *bytes, size_t length) {
    char room[CMSG_SPACE(1)] = {0};
    unsigned char type = (unsigned char)io->record_type;
    io->record_type = 0;
    // Behind bytes that the socket does not take there is no room either: an alert is for nobody then.
    int pending = sluice_tls_flush(io);
    if (pending > 0 && type == SSL3_RT_ALERT) return (int)length;
    if (pending != 0) {
        io->error = pending < 0 ? -pending : EAGAIN;
        return -1;
    }
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_TLS;
    control->cmsg_type = TLS_SET_RECORD_TYPE;
    control->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(control) = type;
    ssize_t sent;
    do {
        io->sends++;
        sent = sendmsg(io->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)length || type == SSL3_RT_ALERT) return (int)length;
    io->error = sent < 0 ? errno : EAGAIN;
    return -1;
}

int sluice_ktls_probe(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int result = EIO;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener >= 0 && client >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&address, &size) == 0 && connect(client, (struct sockaddr *)&address, size) == 0) {
        result = setsockopt(client, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 ? 0 : errno;
    }
    if (listener >= 0) close(listener);
    if (client >= 0) close(client);
    return result;
}
