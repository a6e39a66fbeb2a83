#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct sluice_tls_room *sluice_tls_room_new(size_t capacity) {
    struct sluice_tls_room *room = calloc(1, sizeof *room);
    if (room == NULL) return NULL;
    room->bytes = malloc(capacity);
    room->capacity = capacity;
    room->incoming = malloc(SLUICE_READ_AHEAD);
    // A record's inside with its type, and the block that ends one.
    room->spill = malloc(16384 + 1 + 64);
    if (room->bytes && room->incoming && room->spill) return room;
    sluice_tls_room_free(room);
    return NULL;
}

void sluice_tls_room_free(struct sluice_tls_room *room) {
    if (room == NULL) return;
    free(room->bytes);
    free(room->incoming);
    free(room->spill);
    free(room);
}

// Appends to the kept records. 0 when memory is short.
static int keep(struct sluice_tls_io *io, const uint8_t *bytes, size_t length) {
    if (io->kept_count == 0) io->kept_offset = 0;
    size_t needed = io->kept_offset + io->kept_count + length;
    if (needed > io->kept_capacity) {
        uint8_t *larger = realloc(io->kept, needed);
        if (larger == NULL) return 0;
        io->kept = larger;
        io->kept_capacity = needed;
    }
    memcpy(io->kept + io->kept_offset + io->kept_count, bytes, length);
    io->kept_count += length;
    return 1;
}

// Moves what the room holds to the kept records, so that the room is empty between calls.
static int empty_room(struct sluice_tls_io *io, size_t offset) {
    struct sluice_tls_room *room = io->room;
    int kept = room->collected == offset || keep(io, room->bytes + offset, room->collected - offset);
    room->collected = 0;
    return kept;
}

int sluice_tls_collect(struct sluice_tls_io *io, const uint8_t *bytes, size_t length) {
    struct sluice_tls_room *room = io->room;
    if (io->kept_count == 0 && room->capacity - room->collected >= length) {
        memcpy(room->bytes + room->collected, bytes, length);
        room->collected += length;
        return 1;
    }
    if (empty_room(io, 0) && keep(io, bytes, length)) return 1;
    io->error = ENOMEM;
    return 0;
}

// Takes every record at once: how much may be written is decided before encrypting, so that a
// session never waits in the middle of a record.
static int bio_write(BIO *bio, const char *data, int length) {
    struct sluice_tls_io *io = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (length <= 0) return 0;
    if (io->record_type != 0) return sluice_ktls_control(io, data, (size_t)length);
    return sluice_tls_collect(io, (const uint8_t *)data, (size_t)length) ? length : -1;
}

ssize_t sluice_tls_receive(struct sluice_tls_io *io, void *bytes, size_t length) {
    if (io->receive_limit != 0 && io->received > io->receive_limit) {
        io->error = EMSGSIZE;
        return -1;
    }
    ssize_t count;
    do {
        io->receives++;
        count = recv(io->fd, bytes, length, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        io->received += (size_t)count;
        if ((size_t)count < length) io->drained = 1;
        return count;
    }
    if (count == 0) {
        io->ended = 1;
        return 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        io->drained = 1;
    } else {
        io->error = errno;
    }
    return -1;
}

int sluice_tls_hold(struct sluice_tls_io *io, const uint8_t *bytes, size_t length) {
    if (length > 0 && io->in != NULL && bytes >= io->in && bytes + length == io->in + io->in_offset + io->in_count) {
        io->in_offset += io->in_count - length;
        io->in_count = length;
        return 1;
    }
    uint8_t *held = length == 0 ? NULL : malloc(length);
    if (held != NULL) memcpy(held, bytes, length);
    free(io->in);
    io->in = held;
    io->in_offset = 0;
    io->in_count = held == NULL ? 0 : length;
    return held != NULL || length == 0;
}

// How many of the bytes in hand belong to the record that is being given; a new one begins with its header.
static size_t of_this_record(struct sluice_tls_io *io) {
    const uint8_t *bytes = io->in + io->in_offset;
    if (!io->whole) return io->in_count;
    if (io->record_left == 0 && io->in_count >= 5) io->record_left = 5 + ((size_t)bytes[3] << 8 | bytes[4]);
    return io->in_count < io->record_left ? io->in_count : io->record_left;
}

// Gives what was received before. 0: there is nothing.
static size_t give(struct sluice_tls_io *io, char *data, size_t length) {
    size_t count = io->in_count == 0 ? 0 : of_this_record(io);
    if (count > length) count = length;
    if (count == 0) return 0;
    memcpy(data, io->in + io->in_offset, count);
    if (io->whole) io->record_left -= count;
    sluice_tls_hold(io, io->in + io->in_offset + count, io->in_count - count);
    return count;
}

// Receives behind what is there, without a record's end in sight.
static ssize_t receive_for_handshake(struct sluice_tls_io *io) {
    uint8_t bytes[8192];
    size_t before = io->in_count;
    if (before > 0) memcpy(bytes, io->in + io->in_offset, before);
    ssize_t count = sluice_tls_receive(io, bytes + before, sizeof bytes - before);
    if (count <= 0 || sluice_tls_hold(io, bytes, before + (size_t)count)) return count;
    io->error = ENOMEM;
    return -1;
}

static int bio_read(BIO *bio, char *data, int length) {
    struct sluice_tls_io *io = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (length <= 0) return 0;
    ssize_t count = (ssize_t)give(io, data, (size_t)length);
    while (count == 0 && !io->ended && !io->drained) {
        count = io->whole ? receive_for_handshake(io) : sluice_tls_receive(io, data, (size_t)length);
        if (count < 0) break;
        if (io->whole) count = (ssize_t)give(io, data, (size_t)length);
    }
    if (count > 0) return (int)count;
    if (io->ended) return 0;
    if (io->error == 0) BIO_set_retry_read(bio);
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    struct sluice_tls_io *io = BIO_get_data(bio);
    switch (command) {
    case SLUICE_BIO_SET_KTLS:
        return io != NULL && sluice_ktls_begin(io, pointer, (int)number);
    case BIO_CTRL_GET_KTLS_SEND:
        return io != NULL && io->ktls;
    case SLUICE_BIO_SET_KTLS_RECORD:
        if (io != NULL) io->record_type = (int)number;
        return 0;
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP:
        return 1;
    case BIO_CTRL_EOF:
        return io != NULL && io->ended;
    default:
        return 0;
    }
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void) {
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice socket");
    if (method == NULL) return;
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

static void count_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl, void *arg) {
    struct sluice_tls_io *io = arg;
    (void)version;
    (void)ssl;
    if (type == SSL3_RT_HEADER && io->secrets != NULL) (sent ? &io->secrets->ours : &io->secrets->theirs)->records++;
    if (sent || type != SSL3_RT_HANDSHAKE) return;
    io->messages++;
    if (length > 0 && ((const uint8_t *)bytes)[0] == SSL3_MT_CLIENT_HELLO) io->hello_length = length;
    // The first ClientHello is kept whole: its fingerprint needs what OpenSSL does not tell.
    if (io->hello != NULL || length == 0 || ((const uint8_t *)bytes)[0] != SSL3_MT_CLIENT_HELLO) return;
    io->hello = malloc(length);
    if (io->hello == NULL) return;
    memcpy(io->hello, bytes, length);
    io->hello_count = length;
}

void sluice_tls_forget_hello(struct sluice_tls_io *io) {
    free(io->hello);
    io->hello = NULL;
    io->hello_count = 0;
}

struct sluice_tls_io *sluice_tls_attach(SSL *ssl, int fd, struct sluice_tls_room *room) {
    pthread_once(&method_once, make_method);
    struct sluice_tls_io *io = calloc(1, sizeof *io);
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    if (io == NULL || bio == NULL) {
        free(io);
        BIO_free(bio);
        return NULL;
    }
    io->fd = fd;
    io->room = room;
    BIO_set_data(bio, io);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_msg_callback(ssl, count_message);
    SSL_set_msg_callback_arg(ssl, io);
    return io;
}

void sluice_tls_release(SSL *ssl) {
    // A session freed without close_notify from both sides would count as broken and never resume,
    // but closing the socket at once is the usual end of a connection.
    if (SSL_is_init_finished(ssl)) SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
}

void sluice_tls_detach(SSL *ssl, struct sluice_tls_io *io) {
    if (ssl != NULL) sluice_tls_release(ssl);
    if (io == NULL) return;
    free(io->kept);
    free(io->hello);
    free(io->in);
    sluice_records_free(io);
    free(io);
}

// Sends once: bytes gone, or a negative errno.
static ssize_t send_once(struct sluice_tls_io *io, const uint8_t *bytes, size_t length) {
    ssize_t count;
    do {
        io->sends++;
        count = send(io->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL | (io->more ? MSG_MORE : 0));
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

static int flush_kept(struct sluice_tls_io *io) {
    ssize_t sent = send_once(io, io->kept + io->kept_offset, io->kept_count);
    if (sent == -EAGAIN) return 1;
    if (sent < 0) return (int)sent;
    io->kept_offset += sent;
    io->kept_count -= sent;
    if (io->kept_count > 0) return 1;
    free(io->kept);
    io->kept = NULL;
    io->kept_offset = io->kept_capacity = 0;
    return 0;
}

int sluice_tls_flush(struct sluice_tls_io *io) {
    struct sluice_tls_room *room = io->room;
    if (io->kept_count > 0) {
        if (!empty_room(io, 0)) return -ENOMEM;
        int result = flush_kept(io);
        if (result < 0) io->error = -result;
        return result;
    }
    if (room->collected == 0) return 0;
    ssize_t sent = send_once(io, room->bytes, room->collected);
    if (sent == -EAGAIN) sent = 0;
    if (sent < 0) {
        room->collected = 0;
        io->error = (int)-sent;
        return (int)sent;
    }
    if (!empty_room(io, sent)) return -ENOMEM;
    return io->kept_count > 0;
}

int sluice_tls_shutdown_write(struct sluice_tls_io *io) {
    return shutdown(io->fd, SHUT_WR) == 0 ? 0 : -errno;
}
