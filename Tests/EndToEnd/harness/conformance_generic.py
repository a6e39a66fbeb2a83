"""What every HTTP/2 server must accept (the generic group), and HPACK in both directions (RFC 7541)."""
from .conformance import (WHOLE, Priority, answered, block_case, connection_error, data, end_of, get, literal, ping, ping_or_end,
                          post, priority, reset, settings, settings_acknowledged, simple, case, window)
from .http2 import (ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PRIORITY_FLAG,
                    SETTINGS, frame)

simple("generic 1", "client connection preface", settings((4, 65535)), settings_acknowledged())

simple("generic 2", "PRIORITY on an idle stream", priority(1, Priority()), ping())
simple("generic 2", "WINDOW_UPDATE on a half-closed (remote) stream",
       lambda client: settings((4, 0)) + get(client) + window(1, 1), data(1, 1))
simple("generic 2", "PRIORITY on a half-closed (remote) stream",
       lambda client: settings((4, 0)) + get(client) + priority(1, Priority()) + window(1, 1), data(1, 1))
simple("generic 2", "RST_STREAM on a half-closed (remote) stream", lambda client: get(client) + reset(1), ping_or_end())


@case("generic 2", "PRIORITY on a closed stream")
def _(client):
    client.send(get(client))
    end_of(client, 1)
    client.send(priority(1, Priority()))
    return ping()


simple("generic 3.1", "DATA", lambda client: post(client) + frame(DATA, END_STREAM, 1, b"test"), answered(1))
simple("generic 3.1", "several DATA",
       lambda client: post(client) + frame(DATA, 0, 1, b"test") + frame(DATA, END_STREAM, 1, b"test"), answered(1))
simple("generic 3.1", "DATA with padding",
       lambda client: post(client) + frame(DATA, END_STREAM | PADDED, 1, b"\x05test" + bytes(5)), answered(1))
simple("generic 3.2", "HEADERS", get, answered(1))
simple("generic 3.2", "HEADERS with padding",
       lambda client: frame(HEADERS, WHOLE | PADDED, 1, b"\x08" + client.fields() + bytes(8)), answered(1))
simple("generic 3.2", "HEADERS with priority",
       lambda client: frame(HEADERS, WHOLE | PRIORITY_FLAG, 1, Priority().payload + client.fields()), answered(1))
for name, stream, value in (("priority 1", 1, Priority(0, 0)), ("priority 256", 1, Priority(0, 255)),
                            ("stream dependency", 3, Priority(1, 0)), ("exclusive", 1, Priority(0, 0, True)),
                            ("an idle stream above the request's", 3, Priority(0, 255))):
    simple("generic 3.3", f"PRIORITY with {name}",
           lambda client, stream=stream, value=value: priority(stream, value) + get(client), answered(1))
simple("generic 3.4", "RST_STREAM", lambda client: get(client) + reset(1), ping_or_end())
simple("generic 3.5", "SETTINGS", settings((1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100)),
       settings_acknowledged())
simple("generic 3.7", "PING", b"", ping())
simple("generic 3.8", "GOAWAY", frame(GOAWAY, 0, 0, bytes(8) + b"tests"), ping_or_end())
simple("generic 3.9", "WINDOW_UPDATE on stream 0", window(0, 1), ping())
simple("generic 3.9", "WINDOW_UPDATE on stream 1", lambda client: get(client) + window(1, 1), answered(1))


def continued(client, *cuts: int) -> bytes:
    """A request head in one HEADERS and as many CONTINUATION frames as there are cuts."""
    block = client.fields("/bytes/100", extra=[("x-filler", "value of some length")])
    edges = [0, *cuts, len(block)]
    parts = [block[start:end] for start, end in zip(edges, edges[1:])]
    frames = frame(HEADERS, END_STREAM, 1, parts[0])
    for number, part in enumerate(parts[1:], 2):
        frames += frame(CONTINUATION, END_HEADERS if number == len(parts) else 0, 1, part)
    return frames


simple("generic 3.10", "CONTINUATION", lambda client: continued(client, 5), answered(1))
simple("generic 3.10", "several CONTINUATION", lambda client: continued(client, 5, 10), answered(1))

simple("generic 4", "GET", get, answered(1))
simple("generic 4", "HEAD", lambda client: frame(HEADERS, WHOLE, 1, client.fields(method="HEAD")), answered(1))
simple("generic 4", "POST", lambda client: post(client) + frame(DATA, END_STREAM, 1, b"test"), answered(1))
simple("generic 4", "POST with trailers", lambda client: post(client) + frame(DATA, 0, 1, b"test")
       + frame(HEADERS, WHOLE, 1, client.encoder.encode([("x-test", "ok")])), answered(1))

# Literal representations of `user-agent` and `x-test`, plain and Huffman-coded (RFC 7541 section 6.2).
AGENT, AGENT_HUFFMAN = b"\x0auser-agent\x06h2spec", b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4"
TEST, TEST_HUFFMAN = b"\x06x-test\x06h2spec", b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"
block_case("generic 5", "indexed field", b"\xba", answered(1))
for prefix, name in ((b"\x40", "with incremental indexing"), (b"\x00", "without indexing"), (b"\x10", "never indexed")):
    indexed = {b"\x40": b"\x7a", b"\x00": b"\x0f\x2b", b"\x10": b"\x1f\x2b"}[prefix]  # 58 is user-agent
    block_case("generic 5", f"literal {name}, indexed name", indexed + b"\x06h2spec", answered(1))
    block_case("generic 5", f"literal {name}, indexed name, Huffman", indexed + b"\x84\x9c\x48\xac\xa4", answered(1))
    block_case("generic 5", f"literal {name}, known name", prefix + AGENT, answered(1))
    block_case("generic 5", f"literal {name}, known name, Huffman", prefix + AGENT_HUFFMAN, answered(1))
    block_case("generic 5", f"literal {name}, new name", prefix + TEST, answered(1))
    block_case("generic 5", f"literal {name}, new name, Huffman", prefix + TEST_HUFFMAN, answered(1))
block_case("generic 5", "dynamic table size update", b"\x3f\xe1\x1f", answered(1), before=True)
block_case("generic 5", "two dynamic table size updates", b"\x3f\x61\x3f\xe1\x1f", answered(1), before=True)

# What a decoder must refuse.
REFUSED = connection_error(COMPRESSION_ERROR)
block_case("hpack 2.3.3", "indexed field beyond the tables", b"\xc6", REFUSED)
block_case("hpack 2.3.3", "literal with a name beyond the tables", b"\x7f\x07\x00", REFUSED)
block_case("hpack 4.2", "dynamic table size update at the end of a block", b"\x21", REFUSED)
block_case("hpack 5.2", "Huffman padding longer than 7 bits", b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff", REFUSED)
block_case("hpack 5.2", "Huffman padding of zeroes", b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90", REFUSED)
block_case("hpack 5.2", "Huffman string with the end symbol", b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f", REFUSED)
block_case("hpack 5.2", "string longer than the block", b"\x00\x7f\xff\x00", REFUSED)
block_case("hpack 5.1", "integer without end", b"\xff" + b"\xff" * 12, REFUSED)
block_case("hpack 6.1", "indexed field 0", b"\x80", REFUSED)
block_case("hpack 6.3", "dynamic table size update beyond SETTINGS_HEADER_TABLE_SIZE", b"\x3f\xe2\x1f", REFUSED, before=True)


@case("hpack 2.3.2", "an evicted entry is gone")
def _(client):
    """Two fields of 3 KiB: the second drives the first, and what stood before it, out of a table of 4 KiB."""
    client.send(frame(HEADERS, WHOLE, 1, client.fields("/bytes/1") + b"\x40\x01a\x7f\xb9\x16" + b"v" * 3000
                      + b"\x40\x01b\x7f\xb9\x16" + b"v" * 3000))
    end_of(client, 1)
    client.send(frame(HEADERS, WHOLE, 3, b"\x82\x87\x84" + b"\x41\x09localhost" + b"\xc0"))
    return REFUSED


@case("hpack 2.3.2", "entries stay over requests")
def _(client):
    client.send(frame(HEADERS, WHOLE, 1, client.fields("/bytes/1") + b"\x40" + TEST))
    end_of(client, 1)
    client.send(frame(HEADERS, WHOLE, 3, b"\x82\x87\x84\x41\x09localhost\xbf"))
    return answered(3)


@case("6.5.3", "acknowledged SETTINGS are not acknowledged again")
def _(client):
    client.send(frame(SETTINGS, ACK, 0))
    return ping()


simple("generic 3.10", "large field block", lambda client: frame(HEADERS, END_STREAM, 1, client.fields()) + frame(
    CONTINUATION, END_HEADERS, 1, literal(client, 5, 100)), answered(1))
