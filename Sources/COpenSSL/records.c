// Records of TLS 1.3 by us, once OpenSSL has shaken hands as a server (docs/decisions/0012-records-of-our-own.md).
//
// Keys and ciphers are OpenSSL's; what is done here is RFC 8446 section 5 (records) and 4.6.3 (KeyUpdate), and no more:
// after its Finished a client may send application data, alerts and KeyUpdates, anything else ends the connection.
#include "records.h"

#include <errno.h>
#include <string.h>

#define HEADER 5
#define TAG SLUICE_AEAD_TAG
#define PLAIN_MOST 16384
#define CIPHER_MOST (PLAIN_MOST + 256)
// What alerts and KeyUpdates need at most.
#define SHORT_MOST 8
// A full record, and a KeyUpdate before it.
#define MOST_OF_A_TURN (HEADER + PLAIN_MOST + 1 + TAG + HEADER + SHORT_MOST + 1 + TAG)
// Pieces from here on are encrypted where they lie; shorter ones are copied next to one another first.
#define DIRECT 2048
// AES-GCM is good for 2^24.5 full records of one key (RFC 8446 section 5.5).
#define RECORDS_OF_A_KEY (1ull << 23)
// Records without a byte cost us and not the client: at most so many in a row (OpenSSL's own bound).
#define EMPTY_MOST 32
// Messages in one read: more would keep the other connections waiting, before anybody counts them over time.
#define MESSAGES_AT_ONCE 64

enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22, APPLICATION_DATA = 23 };
enum { KEY_UPDATE = 24 };
enum {
    CLOSE_NOTIFY = 0, UNEXPECTED_MESSAGE = 10, BAD_RECORD_MAC = 20, RECORD_OVERFLOW = 22, ILLEGAL_PARAMETER = 47,
    DECODE_ERROR = 50, INTERNAL_ERROR = 80, USER_CANCELED = 90,
};

// MARK: One record

// The nonce of the next record, and its header as what is authenticated besides (RFC 8446 section 5.2 and 5.3).
static int begin_record(const struct sluice_records *records, struct direction *way, const uint8_t *header) {
    uint8_t nonce[SLUICE_AEAD_NONCE];
    if (!way->has_keys) return 0;
    memcpy(nonce, way->iv, sizeof nonce);
    for (int index = 0; index < 8; index++) nonce[4 + index] ^= (unsigned char)(way->sequence >> (56 - 8 * index));
    way->sequence++;
    return sluice_aead_begin(records->aead, way->cipher, nonce, way->seals, header, HEADER);
}

static int crypt(const struct sluice_records *records, const struct direction *way, uint8_t *to, const uint8_t *from, size_t length) {
    return sluice_aead_add(records->aead, way->cipher, to, from, length);
}

static void write_header(uint8_t *at, size_t length) {
    at[0] = APPLICATION_DATA;
    at[1] = 3;
    at[2] = 3;
    at[3] = (uint8_t)(length >> 8);
    at[4] = (uint8_t)length;
}

static int end_sealing(const struct sluice_records *records, uint8_t *tag) {
    return sluice_aead_seal_end(records->aead, records->out.cipher, tag);
}

// Puts a short record that is no application data behind what was collected. Behind close_notify nobody waits for one.
static int put(struct sluice_tls_io *io, uint8_t type, const uint8_t *bytes, size_t length) {
    uint8_t record[HEADER + SHORT_MOST + 1 + TAG];
    struct sluice_records *records = io->records;
    struct direction *way = &records->out;
    if (io->records->closed) return 1;
    write_header(record, length + 1 + TAG);
    memcpy(record + HEADER, bytes, length);
    record[HEADER + length] = type;
    return begin_record(records, way, record) && crypt(records, way, record + HEADER, record + HEADER, length + 1) &&
           end_sealing(records, record + HEADER + length + 1) && sluice_tls_collect(io, record, HEADER + length + 1 + TAG);
}

static int put_key_update(struct sluice_tls_io *io) {
    static const uint8_t message[5] = {KEY_UPDATE, 0, 0, 1, 0};
    return put(io, HANDSHAKE, message, sizeof message) && sluice_next_keys(io->records, &io->records->out);
}

// Ends the connection for a fault of the client, and says which.
static int refuse(struct sluice_tls_io *io, uint8_t alert, const char *note) {
    uint8_t bytes[2] = {2, alert};
    put(io, ALERT, bytes, sizeof bytes);
    io->note = note;
    io->error = EPROTO;
    return io->records->fate = SLUICE_RECORDS_BROKEN;
}

// MARK: Sending

// One record of the `length` bytes at the cursor.
static int seal(struct sluice_tls_io *io, const struct iovec **vector, size_t *offset, size_t length) {
    struct sluice_records *records = io->records;
    struct direction *way = &records->out;
    uint8_t *record = io->room->bytes + io->room->collected, *body = record + HEADER;
    size_t filled = 0, sealed = 0;
    write_header(record, length + 1 + TAG);
    if (!begin_record(records, way, record)) return 0;
    while (filled < length) {
        size_t piece = (*vector)->iov_len - *offset;
        if (piece > length - filled) piece = length - filled;
        const uint8_t *from = (const uint8_t *)(*vector)->iov_base + *offset;
        if (piece >= DIRECT) {
            if (!crypt(records, way, body + sealed, body + sealed, filled - sealed) || !crypt(records, way, body + filled, from, piece)) return 0;
            sealed = filled + piece;
        } else if (piece > 0) {
            memcpy(body + filled, from, piece);
        }
        filled += piece;
        *offset += piece;
        if (*offset == (*vector)->iov_len) {
            (*vector)++;
            *offset = 0;
        }
    }
    body[filled++] = APPLICATION_DATA;
    if (!crypt(records, way, body + sealed, body + sealed, filled - sealed) || !end_sealing(records, body + filled)) return 0;
    io->room->collected += HEADER + filled + TAG;
    return 1;
}

ptrdiff_t sluice_records_write(struct sluice_tls_io *io, const struct iovec *vectors, int count, size_t most) {
    struct sluice_tls_room *room = io->room;
    size_t offered = 0, done = 0, offset = 0, before = room->collected;
    // Nothing follows an alert that ends the connection, nor close_notify.
    if (io->records->fate == SLUICE_RECORDS_BROKEN || io->records->closed) return -1;
    for (int index = 0; index < count && offered < most; index++) offered += vectors[index].iov_len;
    if (offered > most) offered = most;
    while (done < offered) {
        size_t length = offered - done < PLAIN_MOST ? offered - done : PLAIN_MOST;
        if (room->capacity - room->collected < MOST_OF_A_TURN) break;
        int fine = io->records->out.sequence < RECORDS_OF_A_KEY || put_key_update(io);
        if (!fine || !seal(io, &vectors, &offset, length)) {
            // The room is everybody's: what is not going to be sent must not stay there.
            room->collected = before;
            io->records->fate = SLUICE_RECORDS_BROKEN;
            return -1;
        }
        done += length;
    }
    return (ptrdiff_t)done;
}

int sluice_records_close(struct sluice_tls_io *io) {
    static const uint8_t bytes[2] = {1, CLOSE_NOTIFY};
    int fine = io->records->fate == SLUICE_RECORDS_BROKEN || put(io, ALERT, bytes, sizeof bytes);
    io->records->closed = 1;
    return fine;
}

int sluice_records_update(struct sluice_tls_io *io) { return put_key_update(io); }

int sluice_records_forge(struct sluice_tls_io *io, int type, const uint8_t *bytes, size_t length, size_t padding) {
    struct sluice_records *records = io->records;
    struct direction *way = &records->out;
    size_t inner = length + 1 + padding;
    uint8_t *record = inner + TAG > 0xffff ? NULL : OPENSSL_zalloc(HEADER + inner + TAG);
    if (record == NULL) return 0;
    uint8_t *body = record + HEADER;
    write_header(record, inner + TAG);
    if (length > 0) memcpy(body, bytes, length);
    body[length] = (uint8_t)type;
    int fine = begin_record(records, way, record) && crypt(records, way, body, body, inner) && end_sealing(records, body + inner) &&
               sluice_tls_collect(io, record, HEADER + inner + TAG);
    OPENSSL_free(record);
    return fine;
}

int sluice_records_forge_keys(struct sluice_tls_io *io) { return sluice_next_keys(io->records, &io->records->out); }

uint64_t *sluice_records_sequence(struct sluice_tls_io *io, int sends) {
    return sends ? &io->records->out.sequence : &io->records->in.sequence;
}

// MARK: Receiving

// Byte `index` of a record's inside, of which the first `split` are at `out` and the others in the spill.
static uint8_t inside(const struct sluice_tls_io *io, const uint8_t *out, size_t split, size_t index) {
    return index < split ? out[index] : io->room->spill[index - split];
}

static int take_alert(struct sluice_tls_io *io, const uint8_t bytes[2]) {
    if (bytes[1] == CLOSE_NOTIFY) return io->records->fate = SLUICE_RECORDS_ENDED;
    // Closing follows; a client that goes on saying so is bounded as other messages are.
    if (bytes[1] == USER_CANCELED) {
        io->messages++;
        return SLUICE_RECORDS_FULL;
    }
    io->note = "the client sent an alert";
    io->error = EPROTO;
    return io->records->fate = SLUICE_RECORDS_BROKEN;
}

// A byte of a handshake message: KeyUpdate is the only one that a client may send now.
static int take_message(struct sluice_tls_io *io, uint8_t byte) {
    struct sluice_records *records = io->records;
    records->message[records->message_count++] = byte;
    if (records->message[0] != KEY_UPDATE) return refuse(io, UNEXPECTED_MESSAGE, "a handshake message that is no KeyUpdate");
    if (records->message_count == 4 && (records->message[1] != 0 || records->message[2] != 0 || records->message[3] != 1)) {
        return refuse(io, DECODE_ERROR, "a KeyUpdate of another length");
    }
    if (records->message_count < 5) return SLUICE_RECORDS_FULL;
    if (byte > 1) return refuse(io, ILLEGAL_PARAMETER, "a KeyUpdate that asks for something unknown");
    records->message_count = 0;
    io->messages++;
    if (!sluice_next_keys(records, &records->in)) return refuse(io, INTERNAL_ERROR, "no new keys");
    if (byte == 1 && !put_key_update(io)) return refuse(io, INTERNAL_ERROR, "no new keys");
    return SLUICE_RECORDS_FULL;
}

// What is no application data.
static int take_control(struct sluice_tls_io *io, uint8_t type, const uint8_t *out, size_t split, size_t length) {
    struct sluice_records *records = io->records;
    if (type == ALERT && records->message_count == 0) {
        uint8_t bytes[2] = {0, 0};
        if (length != 2) return refuse(io, DECODE_ERROR, "an alert of another length");
        for (size_t index = 0; index < 2; index++) bytes[index] = inside(io, out, split, index);
        return take_alert(io, bytes);
    }
    if (type != HANDSHAKE || length == 0) return refuse(io, UNEXPECTED_MESSAGE, "a record of a kind that has no place here");
    for (size_t index = 0; index < length; index++) {
        int result = take_message(io, inside(io, out, split, index));
        if (result != SLUICE_RECORDS_FULL) return result;
        // Nothing may follow under the old keys in the record that announces new ones.
        if (records->message_count == 0 && index + 1 < length) return refuse(io, UNEXPECTED_MESSAGE, "bytes behind a KeyUpdate");
    }
    return SLUICE_RECORDS_FULL;
}

// Keeps what had no place at the caller's.
static int keep_plain(struct sluice_tls_io *io, size_t length) {
    struct sluice_records *records = io->records;
    records->plain = OPENSSL_malloc(length);
    if (records->plain == NULL) return 0;
    memcpy(records->plain, io->room->spill, length);
    records->plain_offset = 0;
    records->plain_count = length;
    return 1;
}

// Opens a whole record into `room` bytes at `out`. SLUICE_RECORDS_FULL: go on.
static int open_record(struct sluice_tls_io *io, const uint8_t *record, size_t length, uint8_t *out, size_t room, size_t *count) {
    struct sluice_records *records = io->records;
    struct direction *way = &records->in;
    if (length < 1 + TAG) return refuse(io, BAD_RECORD_MAC, "a record that is too short");
    size_t inner = length - TAG, split = inner < room ? inner : room;
    const uint8_t *body = record + HEADER;
    if (inner > PLAIN_MOST + 1) return refuse(io, RECORD_OVERFLOW, "a record that holds too much");
    int fine = begin_record(records, way, record) && crypt(records, way, out, body, split) && crypt(records, way, io->room->spill, body + split, inner - split) &&
               sluice_aead_open_end(records->aead, way->cipher, body + inner);
    if (!fine) {
        // What was written there nobody vouches for.
        OPENSSL_cleanse(out, split);
        return refuse(io, BAD_RECORD_MAC, "bad record mac");
    }
    while (inner > 0 && inside(io, out, split, inner - 1) == 0) inner--;
    if (inner == 0) return refuse(io, UNEXPECTED_MESSAGE, "a record without a type");
    uint8_t type = inside(io, out, split, --inner);
    if (type != APPLICATION_DATA) return take_control(io, type, out, split, inner);
    if (records->message_count != 0) return refuse(io, UNEXPECTED_MESSAGE, "data in the middle of a KeyUpdate");
    records->empty = inner == 0 ? records->empty + 1 : 0;
    if (records->empty > EMPTY_MOST) return refuse(io, UNEXPECTED_MESSAGE, "too many empty records");
    if (inner > split && !keep_plain(io, inner - split)) return refuse(io, INTERNAL_ERROR, "no memory");
    *count += inner < split ? inner : split;
    return SLUICE_RECORDS_FULL;
}

// Gives out what was decrypted before.
static size_t take_plain(struct sluice_records *records, uint8_t *out, size_t room) {
    size_t count = records->plain_count < room ? records->plain_count : room;
    if (count == 0) return 0;
    memcpy(out, records->plain + records->plain_offset, count);
    records->plain_offset += count;
    records->plain_count -= count;
    if (records->plain_count == 0) {
        OPENSSL_clear_free(records->plain, records->plain_offset);
        records->plain = NULL;
    }
    return count;
}

// The length of the record that `bytes` begin with, header not counted: -1 when it is not all here, -2 when it is none.
static ptrdiff_t whole_record(const uint8_t *bytes, size_t count) {
    if (count < HEADER) return -1;
    size_t length = (size_t)bytes[3] << 8 | bytes[4];
    if (bytes[0] != APPLICATION_DATA || bytes[1] != 3 || length > CIPHER_MOST) return -2;
    return count - HEADER < length ? -1 : (ptrdiff_t)length;
}

static int refuse_header(struct sluice_tls_io *io, const uint8_t *bytes) {
    if (bytes[0] != APPLICATION_DATA) return refuse(io, UNEXPECTED_MESSAGE, "a record that is not encrypted");
    if (bytes[1] != 3) return refuse(io, DECODE_ERROR, "bytes that are no record of TLS");
    return refuse(io, RECORD_OVERFLOW, "a record longer than any may be");
}

// One recv behind what is here. SLUICE_RECORDS_FULL: something came.
static int receive_more(struct sluice_tls_io *io, uint8_t *at, size_t room, size_t *count) {
    if (io->drained) return SLUICE_RECORDS_DRAINED;
    ssize_t result = sluice_tls_receive(io, at, room);
    if (result > 0) {
        *count += (size_t)result;
        return SLUICE_RECORDS_FULL;
    }
    if (result < 0 && io->error == 0) return SLUICE_RECORDS_DRAINED;
    // An end without close_notify may be somebody else's.
    if (result == 0) io->note = "the peer ended without close_notify";
    if (io->error == 0) io->error = ECONNRESET;
    return io->records->fate = SLUICE_RECORDS_BROKEN;
}

int sluice_records_read(struct sluice_tls_io *io, uint8_t *out, size_t room, size_t *count) {
    struct sluice_records *records = io->records;
    uint8_t *fresh = io->room->incoming, *bytes = io->in_count > 0 ? io->in + io->in_offset : fresh;
    size_t have = io->in_count;
    uint32_t messages = io->messages;
    int result = SLUICE_RECORDS_FULL;
    *count = take_plain(records, out, room);
    if (records->fate) return *count > 0 ? SLUICE_RECORDS_FULL : records->fate;
    while (result == SLUICE_RECORDS_FULL && *count < room) {
        ptrdiff_t length = whole_record(bytes, have);
        if (io->messages - messages > MESSAGES_AT_ONCE) {
            result = refuse(io, UNEXPECTED_MESSAGE, "too many handshake messages at once");
        } else if (length >= 0) {
            result = open_record(io, bytes, (size_t)length, out + *count, room - *count, count);
            bytes += HEADER + length;
            have -= HEADER + (size_t)length;
        } else if (length == -2) {
            result = refuse_header(io, bytes);
        } else {
            // A part of a record goes to the front, and what is received follows it.
            if (have > 0 && bytes != fresh) memmove(fresh, bytes, have);
            bytes = fresh;
            result = receive_more(io, fresh + have, SLUICE_READ_AHEAD - have, &have);
        }
    }
    if (!sluice_tls_hold(io, bytes, have)) {
        io->error = ENOMEM;
        return records->fate = SLUICE_RECORDS_BROKEN;
    }
    return result;
}
