"""What RFC 9113 demands of a server, by section (numbers of RFC 7540, as h2spec has them)."""
import struct

from .conformance import (ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, WHOLE, Priority, answered, case, connection_error, data,
                          end_of, get, literal, ping, ping_or_end, post, priority, reset, settings, settings_acknowledged,
                          simple, stream_error, window)
from .http2 import (ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
                    GOAWAY, HEADERS, PADDED, PING, PRIORITY, PRIORITY_FLAG, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM,
                    RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, frame)

PROTOCOL, CLOSED = connection_error(PROTOCOL_ERROR), (STREAM_CLOSED,)
LIVE = "/slow/400"  # a stream that is still open on our side when the next frame comes

simple("3.5", "client connection preface", settings((INITIAL_WINDOW_SIZE, 65535)), settings_acknowledged())

simple("4.1", "unknown frame type", frame(0x16, 0, 0, bytes(8)), ping())
simple("4.1", "undefined flags", frame(PING, 0x16, 0, bytes(8)), ping())
simple("4.1", "reserved bit", b"\x00\x00\x08\x06\x16\x80\x00\x00\x00" + bytes(8), ping())
simple("4.2", "DATA of 2^14", lambda client: post(client) + frame(DATA, END_STREAM, 1, bytes(16384)), answered(1))
simple("4.2", "DATA beyond SETTINGS_MAX_FRAME_SIZE",
       lambda client: post(client) + frame(DATA, END_STREAM, 1, bytes(16385)), stream_error(1, FRAME_SIZE_ERROR))
simple("4.2", "HEADERS beyond SETTINGS_MAX_FRAME_SIZE",
       lambda client: frame(HEADERS, WHOLE, 1, client.fields() + literal(client, 5, 16385)), connection_error(FRAME_SIZE_ERROR))
simple("4.3", "damaged field block", frame(HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff"), connection_error(COMPRESSION_ERROR))


def cut_head(client, stream: int = 1) -> bytes:
    """HEADERS without END_HEADERS: a field block has begun."""
    return frame(HEADERS, END_STREAM, stream, client.fields())


def rest(client, stream: int = 1) -> bytes:
    return frame(CONTINUATION, END_HEADERS, stream, literal(client))


for section in ("4.3", "6.2"):
    simple(section, "PRIORITY inside a field block",
           lambda client: cut_head(client) + priority(1, Priority()) + rest(client), PROTOCOL)
    simple(section, "HEADERS of another stream inside a field block",
           lambda client: cut_head(client) + get(client, 3) + rest(client), PROTOCOL)

simple("5.1", "idle: DATA", frame(DATA, END_STREAM, 1, b"test"), connection_error(PROTOCOL_ERROR, STREAM_CLOSED))
simple("5.1", "idle: RST_STREAM", reset(1), PROTOCOL)
simple("5.1", "idle: WINDOW_UPDATE", window(1, 100), PROTOCOL)
simple("5.1", "idle: CONTINUATION", lambda client: rest(client), PROTOCOL)
simple("5.1", "half closed (remote): DATA",
       lambda client: get(client, 1, LIVE) + frame(DATA, END_STREAM, 1, b"test"), stream_error(1, *CLOSED))
simple("5.1", "half closed (remote): HEADERS", lambda client: get(client, 1, LIVE) + get(client, 1), stream_error(1, *CLOSED))
simple("5.1", "half closed (remote): CONTINUATION",
       lambda client: get(client, 1, LIVE) + rest(client), stream_error(1, STREAM_CLOSED, PROTOCOL_ERROR))
# The client reset the stream itself: what follows on it is its own fault.
simple("5.1", "closed by RST_STREAM: DATA",
       lambda client: post(client) + reset(1) + frame(DATA, END_STREAM, 1, b"test"), stream_error(1, *CLOSED))
simple("5.1", "closed by RST_STREAM: HEADERS", lambda client: post(client) + reset(1) + get(client), stream_error(1, *CLOSED))
simple("5.1", "closed by RST_STREAM: CONTINUATION",
       lambda client: post(client) + reset(1) + rest(client), stream_error(1, STREAM_CLOSED, PROTOCOL_ERROR))


def after_the_end(frames) -> object:
    def run(client):
        client.send(get(client))
        end_of(client, 1)
        client.send(frames(client))
        return connection_error(STREAM_CLOSED, PROTOCOL_ERROR) if frames is rest else connection_error(STREAM_CLOSED)
    return run


case("5.1", "closed: DATA")(after_the_end(lambda client: frame(DATA, END_STREAM, 1, b"test")))
case("5.1", "closed: HEADERS")(after_the_end(lambda client: get(client)))
case("5.1", "closed: CONTINUATION")(after_the_end(rest))

simple("5.1.1", "even stream number", lambda client: get(client, 2), PROTOCOL)
simple("5.1.1", "stream number that goes back", lambda client: get(client, 5) + get(client, 3), PROTOCOL)
simple("5.1.2", "more streams than SETTINGS_MAX_CONCURRENT_STREAMS",
       lambda client: settings((INITIAL_WINDOW_SIZE, 0)) + b"".join(get(client, 1 + 2 * number, LIVE) for number in range(101)),
       stream_error(201, PROTOCOL_ERROR, REFUSED_STREAM))
# RFC 9113 section 5.3 lets a server ignore priorities altogether; a stream cannot depend on itself in those that do not.
simple("5.3.1", "HEADERS that depend on their own stream", lambda client: frame(
    HEADERS, WHOLE | PRIORITY_FLAG, 1, Priority(1).payload + client.fields()), stream_error(1, PROTOCOL_ERROR))
simple("5.3.1", "PRIORITY that depends on its own stream",
       lambda client: get(client, 1, LIVE) + priority(1, Priority(1)), stream_error(1, PROTOCOL_ERROR))
simple("5.4.1", "after an error the connection closes", frame(PING, 0, 3, bytes(8)), PROTOCOL)
simple("5.4.1", "GOAWAY names the error", frame(PING, 0, 3, bytes(8)), PROTOCOL)
simple("5.5", "unknown extension frame", frame(0x16, 0, 0, bytes(8)), ping())
simple("5.5", "unknown extension frame inside a field block",
       lambda client: cut_head(client) + frame(0x16, 0, 0, bytes(8)) + rest(client), PROTOCOL)

simple("6.1", "DATA on stream 0", frame(DATA, END_STREAM, 0, b"test"), PROTOCOL)
simple("6.1", "DATA on a stream that is not open",
       lambda client: frame(HEADERS, WHOLE, 1, client.fields(LIVE, "POST")) + frame(DATA, END_STREAM, 1, b"test"),
       stream_error(1, *CLOSED))
simple("6.1", "DATA with a bad pad length", lambda client: post(client) + frame(DATA, END_STREAM | PADDED, 1, b"\x06test"), PROTOCOL)
simple("6.2", "HEADERS on stream 0", lambda client: get(client, 0), PROTOCOL)
simple("6.2", "HEADERS with a bad pad length", frame(HEADERS, WHOLE | PADDED, 1, b"\x01"), PROTOCOL)
simple("6.3", "PRIORITY on stream 0", priority(0, Priority()), PROTOCOL)
simple("6.3", "PRIORITY of 4 bytes",
       lambda client: get(client, 1, LIVE) + frame(PRIORITY, 0, 1, bytes(4)), stream_error(1, FRAME_SIZE_ERROR))
simple("6.4", "RST_STREAM on stream 0", reset(0), PROTOCOL)
simple("6.4", "RST_STREAM on an idle stream", reset(1), PROTOCOL)
simple("6.4", "RST_STREAM of 3 bytes",
       lambda client: get(client, 1, LIVE) + frame(RST_STREAM, 0, 1, bytes(3)), connection_error(FRAME_SIZE_ERROR))

simple("6.5", "SETTINGS ACK with payload", frame(SETTINGS, ACK, 0, b"\0"), connection_error(FRAME_SIZE_ERROR))
simple("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, b"\x00\x03\x00\x00\x00\x64"), PROTOCOL)
simple("6.5", "SETTINGS of 3 bytes", frame(SETTINGS, 0, 0, bytes(3)), connection_error(FRAME_SIZE_ERROR))
simple("6.5.2", "SETTINGS_ENABLE_PUSH of 2", settings((ENABLE_PUSH, 2)), PROTOCOL)
simple("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE of 2^31", settings((INITIAL_WINDOW_SIZE, 1 << 31)),
       connection_error(FLOW_CONTROL_ERROR))
simple("6.5.2", "SETTINGS_MAX_FRAME_SIZE below its first value", settings((MAX_FRAME_SIZE, 16383)), PROTOCOL)
simple("6.5.2", "SETTINGS_MAX_FRAME_SIZE of 2^24", settings((MAX_FRAME_SIZE, 1 << 24)), PROTOCOL)
simple("6.5.2", "unknown setting", settings((0xff, 1)), ping())
simple("6.5.3", "several values of SETTINGS_INITIAL_WINDOW_SIZE",
       lambda client: settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)) + get(client), data(1, 1))
simple("6.5.3", "SETTINGS are acknowledged", settings((ENABLE_PUSH, 0)), settings_acknowledged())

simple("6.7", "PING", b"", ping())
simple("6.7", "PING with ACK is not answered", frame(PING, ACK, 0, b"not this"), ping())
simple("6.7", "PING on a stream", frame(PING, 0, 1, bytes(8)), PROTOCOL)
simple("6.7", "PING of 6 bytes", frame(PING, 0, 0, bytes(6)), connection_error(FRAME_SIZE_ERROR))
simple("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL)

simple("6.9", "WINDOW_UPDATE of 0", window(0, 0), PROTOCOL)
simple("6.9", "WINDOW_UPDATE of 0 on a stream", lambda client: get(client, 1, LIVE) + window(1, 0), stream_error(1, PROTOCOL_ERROR))
simple("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, bytes(3)), connection_error(FRAME_SIZE_ERROR))
simple("6.9.1", "window of 1 byte", lambda client: settings((INITIAL_WINDOW_SIZE, 1)) + get(client), data(1, 1))
simple("6.9.1", "window beyond 2^31-1", window(0, 0x7FFFFFFF) * 2, connection_error(FLOW_CONTROL_ERROR))
simple("6.9.1", "window beyond 2^31-1 on a stream",
       lambda client: get(client, 1, LIVE) + window(1, 0x7FFFFFFF) * 2, stream_error(1, FLOW_CONTROL_ERROR))
simple("6.9.2", "SETTINGS_INITIAL_WINDOW_SIZE changes behind HEADERS",
       lambda client: settings((INITIAL_WINDOW_SIZE, 0)) + get(client) + settings((INITIAL_WINDOW_SIZE, 1)), data(1, 1))


@case("6.9.2", "a window that becomes negative")
def _(client):
    client.send(settings((INITIAL_WINDOW_SIZE, 3)), get(client))
    data(1, 3)(client)
    client.send(settings((INITIAL_WINDOW_SIZE, 2)), window(1, 2))
    return data(1, 1)


simple("6.9.2", "SETTINGS_INITIAL_WINDOW_SIZE beyond the largest window", settings((INITIAL_WINDOW_SIZE, 1 << 31)),
       connection_error(FLOW_CONTROL_ERROR))


def with_data_between(client) -> bytes:
    return post(client) + frame(DATA, END_STREAM, 1, b"test")


simple("6.10", "CONTINUATION frames behind HEADERS", lambda client: cut_head(client) + frame(
    CONTINUATION, 0, 1, literal(client)) + rest(client), answered(1))
simple("6.10", "CONTINUATION, then another frame", lambda client: frame(HEADERS, 0, 1, client.fields("/up", "POST")) + frame(
    CONTINUATION, 0, 1, literal(client)) + frame(DATA, END_STREAM, 1, b"test"), PROTOCOL)
simple("6.10", "CONTINUATION on stream 0", lambda client: cut_head(client) + rest(client, 0), PROTOCOL)
simple("6.10", "CONTINUATION behind END_HEADERS", lambda client: get(client) + rest(client), PROTOCOL)
simple("6.10", "CONTINUATION behind a CONTINUATION with END_HEADERS",
       lambda client: cut_head(client) + rest(client) + rest(client), PROTOCOL)
simple("6.10", "CONTINUATION behind DATA", lambda client: with_data_between(client) + rest(client), PROTOCOL)

simple("7", "GOAWAY with an unknown code", frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xff)), ping_or_end())
simple("7", "RST_STREAM with an unknown code", lambda client: post(client) + reset(1, 0xff), ping_or_end())


# Section 8: messages. `fields` are the request's, in order; the answer is a stream error.

METHOD, SCHEME, PATH, AUTHORITY = (":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")
GOOD = [METHOD, SCHEME, PATH, AUTHORITY]
MALFORMED = stream_error(1, PROTOCOL_ERROR)


def message(section: str, name: str, *fields: tuple[str, str]) -> None:
    simple(section, name, lambda client: frame(HEADERS, WHOLE, 1, client.encoder.encode(list(fields))), MALFORMED)


simple("8.1", "second HEADERS without END_STREAM", lambda client: post(client) + frame(DATA, 0, 1, b"test") + frame(
    HEADERS, END_HEADERS, 1, client.encoder.encode([("x-test", "ok")])), MALFORMED)
message("8.1.2", "name in upper case", *GOOD, ("X-TEST", "ok"))
message("8.1.2.1", "unknown pseudo-field", *GOOD, (":test", "ok"))
message("8.1.2.1", "pseudo-field of responses", *GOOD, (":status", "200"))
simple("8.1.2.1", "pseudo-field in trailers", lambda client: post(client) + frame(DATA, 0, 1, b"test") + frame(
    HEADERS, WHOLE, 1, client.encoder.encode([(":method", "POST")])), MALFORMED)
message("8.1.2.1", "pseudo-field behind a field", METHOD, SCHEME, AUTHORITY, ("x-test", "ok"), PATH)
message("8.1.2.2", "connection-specific field", *GOOD, ("connection", "keep-alive"))
message("8.1.2.2", "TE other than trailers", *GOOD, ("trailers", "test"), ("te", "trailers, deflate"))
message("8.1.2.3", "empty :path", METHOD, SCHEME, (":path", ""), AUTHORITY)
message("8.1.2.3", "no :method", SCHEME, PATH, AUTHORITY)
message("8.1.2.3", "no :scheme", METHOD, PATH, AUTHORITY)
message("8.1.2.3", "no :path", METHOD, SCHEME, AUTHORITY)
message("8.1.2.3", "two :method", *GOOD, METHOD)
message("8.1.2.3", "two :scheme", *GOOD, SCHEME)
message("8.1.2.3", "two :path", *GOOD, PATH)
simple("8.1.2.6", "content-length other than the DATA", lambda client: post(client, 1, [("content-length", "1")]) + frame(
    DATA, END_STREAM, 1, b"test"), MALFORMED)
simple("8.1.2.6", "content-length other than all DATA", lambda client: post(client, 1, [("content-length", "1")]) + frame(
    DATA, 0, 1, b"test") + frame(DATA, END_STREAM, 1, b"test"), MALFORMED)
simple("8.2", "PUSH_PROMISE of a client",
       lambda client: frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 3) + client.fields()), PROTOCOL)
