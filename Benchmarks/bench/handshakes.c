// A client that only shakes hands: connections one after the other on each of some threads, with a small request on each so that
// both sides know that it is done (and, with TLS 1.3, so that the tickets have come).
//
//   handshakes PORT SECONDS THREADS full|resumed ecdsa|rsa [tls12]      prints: connections, of them resumed, seconds
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static int port, resumes, tls12;
static double seconds, begun;
static _Atomic long done, resumed;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "handshakes: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int open_socket(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("no connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

// Reads until the server's end, with which it has sent everything, tickets too.
static void read_answer(SSL *ssl) {
    char bytes[4096];
    int count = SSL_read(ssl, bytes, sizeof bytes);
    if (count < 15 || memcmp(bytes, "HTTP/1.1 200", 12) != 0) fail("a wrong answer");
    while (SSL_read(ssl, bytes, sizeof bytes) > 0) {}
    ERR_clear_error();
}

static SSL_SESSION *shake(SSL_CTX *context, SSL_SESSION *session) {
    int fd = open_socket();
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "localhost");
    if (session) SSL_set_session(ssl, session);
    if (SSL_connect(ssl) != 1) fail("no handshake");
    if (SSL_write(ssl, REQUEST, sizeof REQUEST - 1) <= 0) fail("the request was not taken");
    read_answer(ssl);
    if (SSL_session_reused(ssl)) resumed++;
    SSL_SESSION *next = resumes ? SSL_get1_session(ssl) : NULL;
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    close(fd);
    return next;
}

static void *work(void *context) {
    SSL_SESSION *session = resumes ? shake(context, NULL) : NULL;
    while (now() < begun + seconds) {
        SSL_SESSION *next = shake(context, session);
        SSL_SESSION_free(session);
        session = next;
        done++;
    }
    SSL_SESSION_free(session);
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 6) fail("usage: handshakes PORT SECONDS THREADS full|resumed ecdsa|rsa [tls12]");
    signal(SIGPIPE, SIG_IGN);
    port = atoi(arguments[1]);
    seconds = atof(arguments[2]);
    int threads = atoi(arguments[3]);
    resumes = strcmp(arguments[4], "resumed") == 0;
    tls12 = count > 6;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    // The server shows the certificate that the client can check.
    const char *signatures = strcmp(arguments[5], "rsa") == 0 ? "rsa_pss_rsae_sha256:RSA+SHA256" : "ECDSA+SHA256";
    if (!SSL_CTX_set1_sigalgs_list(context, signatures)) fail("no such signatures");
    if (tls12) SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    begun = now();
    pthread_t *list = calloc((size_t)threads, sizeof *list);
    for (int index = 0; index < threads; index++) pthread_create(&list[index], NULL, work, context);
    for (int index = 0; index < threads; index++) pthread_join(list[index], NULL);
    printf("%ld %ld %f\n", done, resumed, now() - begun);
    return 0;
}
