"""Requests that have no single reading. Each is refused with a status of `expected`, and the connection is closed.

HEADS: the fault lies in the head, so not one byte may reach an origin. BODIES: the head is good and may have been
forwarded before the fault in the chunked body was seen; the origin must never see a complete request.
The rules are RFC 9112 and RFC 9110; the limits are those of docs/LIMITS.md.
"""
from dataclasses import dataclass

BAD = frozenset({400})
VERSION = frozenset({400, 505})
CODING = frozenset({400, 501})
TOO_LONG = frozenset({414})
TOO_LARGE = frozenset({431})
EXPECTATION = frozenset({417})


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    expected: frozenset[int] = BAD


def head(*lines: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n"


def get(*fields: bytes) -> bytes:
    return head(b"GET / HTTP/1.1", b"Host: localhost", *fields)


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return head(b"POST / HTTP/1.1", b"Host: localhost", *fields) + body


def request_lines() -> list[Case]:
    host = b"Host: localhost"
    lines = {
        "no target": b"GET HTTP/1.1", "no version": b"GET /", "no method": b" / HTTP/1.1", "only a method": b"GET",
        "two spaces before target": b"GET  / HTTP/1.1", "two spaces before version": b"GET /  HTTP/1.1",
        "space at the end": b"GET / HTTP/1.1 ", "space at the start": b" GET / HTTP/1.1", "tab at the start": b"\tGET / HTTP/1.1",
        "tab before target": b"GET\t/ HTTP/1.1", "tab before version": b"GET /\tHTTP/1.1",
        "form feed before version": b"GET /\x0cHTTP/1.1", "vertical tab before target": b"GET\x0b/ HTTP/1.1",
        "space in target": b"GET /a b HTTP/1.1", "a fourth word": b"GET / HTTP/1.1 x",
        "bare CR in the line": b"GET /\r HTTP/1.1", "CR CR LF": b"GET / HTTP/1.1\r", "NUL in method": b"G\0ET / HTTP/1.1",
        "NUL in target": b"GET /\0 HTTP/1.1", "NUL after version": b"GET / HTTP/1.1\0", "DEL in target": b"GET /\x7f HTTP/1.1",
        "bell in target": b"GET /\x07 HTTP/1.1", "escape in target": b"GET /\x1b[0m HTTP/1.1",
        "target without slash": b"GET index.html HTTP/1.1", "target is a question mark": b"GET ?a=b HTTP/1.1",
        "backslash target": b"GET \\index HTTP/1.1", "asterisk with GET": b"GET * HTTP/1.1",
        "authority form with GET": b"GET localhost:80 HTTP/1.1", "empty absolute target": b"GET http:// HTTP/1.1",
        "absolute target without host": b"GET http:///path HTTP/1.1",
        "colon in method": b"GE:T / HTTP/1.1", "slash in method": b"GET/ / HTTP/1.1", "at sign in method": b"GET@ / HTTP/1.1",
        "comma in method": b"GET, / HTTP/1.1", "brackets in method": b"[GET] / HTTP/1.1",
        "target with fragment": b"GET /a#b HTTP/1.1", "absolute target with fragment": b"GET http://localhost/#b HTTP/1.1",
        "absolute target with space in host": b"GET http://local host/ HTTP/1.1", "absolute target of another kind": b"GET ftp://localhost/ HTTP/1.1",
        "absolute target with one slash": b"GET http:/localhost/ HTTP/1.1", "absolute target without scheme": b"GET ://localhost/ HTTP/1.1",
        "byte above ASCII in target": b"GET /\xc3\xa9 HTTP/1.1", "angle brackets in target": b"GET /<x> HTTP/1.1",
        "no-break space before version": b"GET /\xc2\xa0HTTP/1.1",
        "quote in method": b"\"GET\" / HTTP/1.1", "byte above ASCII in method": b"G\xc3\x89T / HTTP/1.1",
    }
    versions = {
        "HTTP/2.0": b"GET / HTTP/2.0", "HTTP/3.0": b"GET / HTTP/3.0", "HTTP/0.9": b"GET / HTTP/0.9",
        "HTTP/1": b"GET / HTTP/1", "HTTP/1.": b"GET / HTTP/1.", "HTTP/.1": b"GET / HTTP/.1", "HTTP/11.1": b"GET / HTTP/11.1",
        "HTTP/1.10": b"GET / HTTP/1.10", "HTTP/01.1": b"GET / HTTP/01.1", "lower case": b"GET / http/1.1",
        "Http": b"GET / Http/1.1", "no slash": b"GET / HTTP1.1", "HTTPS": b"GET / HTTPS/1.1", "comma": b"GET / HTTP/1,1",
        "minus": b"GET / HTTP/-1.1", "letters": b"GET / HTTP/a.b", "space inside": b"GET / HTTP/ 1.1", "bare word": b"GET / FOO",
        "junk after": b"GET / HTTP/1.1x",
    }
    return ([Case(f"request line: {name}", head(line, host)) for name, line in lines.items()]
            + [Case(f"version: {name}", head(line, host), VERSION) for name, line in versions.items()]
            + [Case("request line: HTTP/0.9 request", b"GET /\r\n\r\n", VERSION),
               Case("request line: ended by bare LF", b"GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
               Case("request line: over 8 KiB", head(b"GET /" + b"a" * 9000 + b" HTTP/1.1", host), TOO_LONG),
               Case("request line: over 8 KiB of query", head(b"GET /?" + b"a" * 60000 + b" HTTP/1.1", host), TOO_LONG),
               Case("method: 9 KiB", head(b"A" * 9000 + b" / HTTP/1.1", host), frozenset({400, 414, 501}))])


def field_names() -> list[Case]:
    separators = [(f"{chr(byte)!r}", bytes([byte])) for byte in b"()<>@,;\\\"/[]?={}"]
    controls = [(f"0x{byte:02x}", bytes([byte])) for byte in [*range(0, 10), 11, 12, *range(14, 32), 127]]
    above = [(f"0x{byte:02x}", bytes([byte])) for byte in (0x80, 0xA0, 0xC3, 0xFF)]
    return ([Case(f"field name with {name}", get(b"X" + byte + b"Y: 1")) for name, byte in separators + controls + above]
            + [Case("field name: space before colon", get(b"X-A : 1")), Case("field name: tab before colon", get(b"X-A\t: 1")),
               Case("field name: Host with space before colon", head(b"GET / HTTP/1.1", b"Host : localhost")),
               Case("field name: Content-Length with space before colon", post(b"Content-Length : 5", body=b"hello")),
               Case("field name: Transfer-Encoding with space before colon",
                    post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
               Case("field name: empty", get(b": 1")), Case("field name: space", get(b" : 1")),
               Case("field line without colon", get(b"X-A")), Case("field line of one letter", get(b"x")),
               Case("leading space before the first field", head(b"GET / HTTP/1.1", b" Host: localhost", b"X: 1")),
               Case("leading tab before the first field", head(b"GET / HTTP/1.1", b"\tHost: localhost"))])


def field_values() -> list[Case]:
    controls = [*range(0, 9), 11, 12, *range(14, 32), 127]
    return ([Case(f"field value with 0x{byte:02x}", get(b"X-A: a" + bytes([byte]) + b"b")) for byte in controls]
            + [Case("field value: bare CR", get(b"X-A: a\rb")), Case("field value: CR at the end", get(b"X-A: a\r")),
               Case("field value: CR then field", get(b"X-A: a\rX-B: b")),
               Case("field value: bare LF then field", get(b"X-A: a\nX-B: b")),
               Case("field value: bare LF smuggles a request", get(b"X-A: a\n\nGET /evil HTTP/1.1\nHost: x")),
               Case("fields ended by LF LF", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\n\n"),
               Case("fields ended by CRLF LF", b"GET / HTTP/1.1\r\nHost: localhost\r\n\n"),
               Case("fields ended by LF CR LF", b"GET / HTTP/1.1\r\nHost: localhost\n\r\n"),
               Case("folded line with space", get(b"X-A: 1", b" 2")), Case("folded line with tab", get(b"X-A: 1", b"\t2")),
               Case("folded Host", head(b"GET / HTTP/1.1", b"Host:", b" localhost")),
               Case("folded Transfer-Encoding", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n")),
               Case("folded line that is empty", get(b"X-A: 1", b" "))])


def hosts() -> list[Case]:
    def with_host(*values: bytes) -> bytes:
        return head(b"GET / HTTP/1.1", *(b"Host: " + value for value in values), b"X-A: 1")

    values = {
        "empty": b"", "with a space": b"local host", "with a path": b"localhost/admin", "with user": b"user@localhost",
        "with user and password": b"a:b@localhost", "a list": b"localhost, localhost", "with a query": b"localhost?x",
        "with a fragment": b"localhost#x", "with scheme": b"http://localhost", "port of letters": b"localhost:http",
        "port with sign": b"localhost:+80", "port too big": b"localhost:99999", "port twice": b"localhost:80:80",
        "negative port": b"localhost:-1", "only a port": b":80", "open bracket": b"[::1", "close bracket": b"::1]",
        "bad address in brackets": b"[::zz]", "backslash": b"local\\host", "quotes": b"\"localhost\"",
        "angle brackets": b"<localhost>", "with a tab": b"local\thost", "with a caret": b"local^host",
        "with braces": b"{localhost}", "with a pipe": b"local|host", "with NUL": b"localhost\0", "above ASCII": b"localhost\xc3\xa9",
        "percent": b"local%68ost%zz", "colon and nothing and more": b"localhost:80:",
    }
    return ([Case(f"Host: {name}", with_host(value)) for name, value in values.items()]
            + [Case("Host: missing", head(b"GET / HTTP/1.1", b"X-A: 1")), Case("Host: twice the same", with_host(b"localhost", b"localhost")),
               Case("Host: two different", with_host(b"localhost", b"evil")),
               Case("Host: differs from absolute target", head(b"GET http://other/ HTTP/1.1", b"Host: localhost")),
               Case("Host: port differs from absolute target", head(b"GET http://localhost:81/ HTTP/1.1", b"Host: localhost:82")),
               Case("Host: missing with absolute target", head(b"GET http://localhost/ HTTP/1.1", b"X-A: 1")),
               Case("Host: empty with absolute target", head(b"GET http://localhost/ HTTP/1.1", b"Host:")),
               Case("Host: differs from absolute target by https", head(b"GET https://other/ HTTP/1.1", b"Host: localhost")),
               Case("Host: differs from absolute target of OPTIONS", head(b"OPTIONS http://other/ HTTP/1.1", b"Host: localhost")),
               Case("Host: good and in other case", head(b"GET / HTTP/1.1", b"Host: localhost", b"HOST: localhost")),
               Case("Host: good and underneath a fold", head(b"GET / HTTP/1.1", b"Host: localhost", b"X: 1", b"\tHost: evil")),
               Case("Host: user in absolute target", head(b"GET http://u@localhost/ HTTP/1.1", b"Host: localhost"))])


def lengths() -> list[Case]:
    values = {
        "plus sign": b"+5", "minus sign": b"-5", "minus zero": b"-0", "hexadecimal": b"0x5", "two words": b"5 5",
        "list of different": b"5, 6", "list with empty": b"5,", "list starting empty": b",5", "empty": b"",
        "decimal point": b"5.0", "exponent": b"5e0", "letters": b"five", "semicolon": b"5;", "quoted": b"\"5\"",
        "underscore": b"5_0", "Arabic digit": "٥".encode(), "2^63": b"9223372036854775808",
        "2^64": b"18446744073709551616", "2^64 + 5": b"18446744073709551621", "100 digits": b"5" * 100, "NUL": b"5\0",
        "vertical tab": b"\x0b5", "letter at the end": b"5a", "tab inside": b"5\t5", "equals sign": b"=5",
    }
    return ([Case(f"Content-Length: {name}", post(b"Content-Length: " + value, body=b"hello")) for name, value in values.items()]
            + [Case("Content-Length: two different", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!")),
               Case("Content-Length: two different, other case", post(b"Content-Length: 5", b"CONTENT-LENGTH: 0", body=b"hello")),
               Case("Content-Length: folded", post(b"Content-Length:", b" 5", body=b"hello")),
               Case("Content-Length: folded behind", post(b"Content-Length: 5", b" 0", body=b"hello")),
               Case("Content-Length: bare CR before", post(b"X: 1\rContent-Length: 5", body=b"hello")),
               Case("Content-Length: no-break space", post(b"Content-Length: \xa05", body=b"hello")),
               Case("Content-Length: 0 and 5", post(b"Content-Length: 0", b"Content-Length: 5", body=b"hello")),
               Case("Content-Length: zeros and 5", post(b"Content-Length: 00", b"Content-Length: 5", body=b"hello")),
               Case("Content-Length: good and bad", post(b"Content-Length: 5", b"Content-Length: x", body=b"hello")),
               Case("Content-Length: GET with a bad one", get(b"Content-Length: abc"))])


def codings() -> list[Case]:
    end = b"0\r\n\r\n"
    values = {
        "xchunked": b"xchunked", "chunkedx": b"chunkedx", "identity": b"identity", "gzip alone": b"gzip",
        "gzip then chunked": b"gzip, chunked", "chunked then gzip": b"chunked, gzip",
        "chunked then identity": b"chunked, identity", "identity then chunked": b"identity, chunked",
        "chunked twice": b"chunked, chunked", "starting comma": b", chunked", "empty": b"", "only a comma": b",",
        "parameter": b"chunked;q=1", "quoted": b"\"chunked\"", "vertical tab before": b"\x0bchunked",
        "vertical tab after": b"chunked\x0b", "NUL after": b"chunked\0", "two words": b"chunked chunked",
        "colon": b": chunked", "unknown": b"cow", "byte above ASCII": b"chunked\xff", "trailers": b"trailers",
    }
    return ([Case(f"Transfer-Encoding: {name}", post(b"Transfer-Encoding: " + value, body=end), CODING)
             for name, value in values.items()]
            + [Case("Transfer-Encoding after Content-Length", post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=end)),
               Case("Transfer-Encoding before Content-Length", post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=end)),
               Case("Transfer-Encoding with Content-Length: 0", post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=end)),
               Case("Transfer-Encoding: identity with Content-Length",
                    post(b"Transfer-Encoding: identity", b"Content-Length: 5", body=b"hello"), CODING),
               Case("Transfer-Encoding: two lines of chunked",
                    post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=end), CODING),
               Case("Transfer-Encoding: chunked and identity lines",
                    post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=end), CODING),
               Case("Transfer-Encoding: chunked, empty", post(b"Transfer-Encoding: chunked,", body=end), CODING),
               Case("Transfer-Encoding: chunked then cow", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow", body=end), CODING),
               Case("Transfer-Encoding: cow then chunked", post(b"Transfer-Encoding: cow", b"Transfer-Encoding: chunked", body=end), CODING),
               Case("Transfer-Encoding: line feed inside", post(b"Transfer-Encoding:\nchunked", body=end)),
               Case("Transfer-Encoding: bare LF before", post(b"X: 1\nTransfer-Encoding: chunked", body=end)),
               Case("Transfer-Encoding: bare CR before", post(b"X: 1\rTransfer-Encoding: chunked", body=end)),
               Case("Transfer-Encoding: behind a control byte", post(b"\x01Transfer-Encoding: chunked", body=end)),
               Case("Transfer-Encoding: folded", post(b"Transfer-Encoding:", b"\tchunked", body=end)),
               Case("Transfer-Encoding: folded behind", post(b"Transfer-Encoding: chunked", b" , identity", body=end)),
               Case("Transfer-Encoding: backspace inside", post(b"Transfer-Encoding: chun\x08ked", body=end), CODING),
               Case("Transfer-Encoding: with Content-Length: 0 and HTTP/1.0",
                    head(b"POST / HTTP/1.0", b"Host: localhost", b"Content-Length: 0", b"Transfer-Encoding: chunked") + end, CODING),
               Case("Transfer-Encoding: GET with gzip", get(b"Transfer-Encoding: gzip"), CODING),
               Case("Transfer-Encoding in HTTP/1.0",
                    head(b"POST / HTTP/1.0", b"Host: localhost", b"Transfer-Encoding: chunked") + end, CODING)])


def sizes_and_others() -> list[Case]:
    many = [b"X-%d: 1" % number for number in range(150)]
    long = [b"X-%d: " % number + b"v" * 4000 for number in range(30)]
    connect = frozenset({400, 403, 404, 405, 501})
    return [
        Case("header section: 150 fields", get(*many), TOO_LARGE),
        Case("header section: 120 KB", get(*long), TOO_LARGE),
        Case("header field: 9 KB", get(b"X-A: " + b"v" * 9000), TOO_LARGE),
        Case("header field: name of 9 KB", get(b"X" * 9000 + b": 1"), TOO_LARGE),
        Case("Expect: unknown", post(b"Expect: 200-ok", b"Content-Length: 0"), EXPECTATION),
        Case("Expect: prefixed", post(b"Expect: y 100-continue", b"Content-Length: 0"), EXPECTATION),
        Case("Expect: parameter", post(b"Expect: 100-continue;q=1", b"Content-Length: 0"), EXPECTATION),
        Case("Expect: folded", post(b"Expect:", b" 100-continue", b"Content-Length: 0"), BAD | EXPECTATION),
        Case("Expect: line feed", post(b"Expect:\n100-continue", b"Content-Length: 0")),
        Case("Expect: GET with another", get(b"Expect: 100-continue-not"), EXPECTATION),
        Case("Expect: two lines", post(b"Expect: 100-continue", b"Expect: other", b"Content-Length: 0"), EXPECTATION),
        Case("Expect: two", post(b"Expect: 100-continue, other", b"Content-Length: 0"), EXPECTATION),
        Case("CONNECT", head(b"CONNECT localhost:80 HTTP/1.1", b"Host: localhost:80"), connect),
        Case("CONNECT with a path", head(b"CONNECT / HTTP/1.1", b"Host: localhost"), connect),
        Case("HTTP/2 preface in clear text", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
        Case("TLS ClientHello in clear text", bytes.fromhex("160301007c010000780303") + bytes(100) + b"\r\n\r\n"),
        Case("SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Case("binary", bytes(range(128, 256)) + b"\r\n\r\n"),
        Case("NULs", bytes(64) + b"\r\n\r\n"), Case("JSON", b'{"method": "GET"}\r\n\r\n'),
        Case("only a colon", b":\r\n\r\n"), Case("field line first", b"Host: localhost\r\n\r\n"),
        Case("response instead of request", b"HTTP/1.1 200 OK\r\nHost: localhost\r\n\r\n"),
    ]


def bodies() -> list[Case]:
    def chunked(body: bytes, name: str, expected: frozenset[int] = BAD) -> Case:
        return Case(f"chunk: {name}", post(b"Transfer-Encoding: chunked", body=body), expected)

    tail = b"\r\nhello\r\n0\r\n\r\n"
    size_lines = {
        "plus sign": b"+5", "minus sign": b"-5", "0x": b"0x5", "space before": b" 5", "tab before": b"\t5", "space after": b"5 ",
        "tab after": b"5\t", "no size": b"", "letter g": b"g", "17 digits": b"0" * 16 + b"5", "overflow": b"1" + b"0" * 16,
        "2^64 - 1": b"f" * 16, "underscore": b"0_5", "comma": b"5,5", "NUL": b"5\0", "quote": b"\"5\"", "only extension": b";a=b",
        "bare CR in extension": b"5;a\rb", "NUL in extension": b"5;a\0b", "LF in extension": b"5;a\nb",
        "extension over 1 KiB": b"5;a=" + b"b" * 2000, "decimal point": b"5.0", "bare CR": b"5\r", "h suffix": b"5h",
    }
    return ([chunked(line + tail, name) for name, line in size_lines.items()]
            + [chunked(b"5;\nhello\r\n0\r\n\r\n", "LF in place of an extension"), chunked(b"5;\rhello\r\n0\r\n\r\n", "CR in place of an extension"),
               chunked(b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", "LF in a quoted extension"),
               chunked(b"5\r\nhello\r0\r\n\r\n", "CR alone after data"), chunked(b"5\r\nhello\n\r0\r\n\r\n", "LF CR after data"),
               chunked(b"5\r\nhelloab\r\n0\r\n\r\n", "two bytes in place of CRLF"), chunked(b"5\r\nhello\r\n0\r\r\n", "CR CR LF at the end"),
               chunked(b"5\r\nhello\r\n0\r\nX: 1\n\r\n", "LF after a trailer"), chunked(b"5\r\nhello\r\n0;\n\r\n", "LF after an extension at the end"),
               chunked(b"5\n\rhello\r\n0\r\n\r\n", "LF CR after size"), chunked(b"\r5\r\nhello\r\n0\r\n\r\n", "CR before size"),
               chunked(b"0\r\n\tX: 1\r\n\r\n", "first trailer folded"), chunked(b"0\r\nX\rY: 1\r\n\r\n", "CR in the name of a trailer"),
               chunked(b"5 ;a\r\nhello\r\n0\r\n\r\n", "space before an extension"),
               chunked(b"5\nhello\r\n0\r\n\r\n", "LF after size"), chunked(b"5\r\nhello\n0\r\n\r\n", "LF after data"),
               chunked(b"5\r\nhello0\r\n\r\n", "no CRLF after data"), chunked(b"5\r\nhelloXX0\r\n\r\n", "junk after data"),
               chunked(b"4\r\nhello\r\n0\r\n\r\n", "data longer than size"), chunked(b"5\r\nhello\r\n0\n\r\n", "LF after last chunk"),
               chunked(b"5\r\nhello\r\n0\r\n\n", "LF at the end"), chunked(b"5\r\nhello\r\r\n0\r\n\r\n", "CR CR LF after data"),
               chunked(b"5\r\nhello\r\n-0\r\n\r\n", "minus zero at the end"), chunked(b"\r\n5" + tail, "empty line first"),
               chunked(b"0\r\nX-A : 1\r\n\r\n", "trailer with space before colon"), chunked(b"0\r\nX-A\r\n\r\n", "trailer without colon"),
               chunked(b"0\r\nX-A: 1\r\n 2\r\n\r\n", "folded trailer"), chunked(b"0\r\nX-A: \x00\r\n\r\n", "NUL in a trailer"),
               chunked(b"0\r\nX-A: 1\nX-B: 2\r\n\r\n", "trailer ended by LF"), chunked(b"0\r\n: 1\r\n\r\n", "trailer without name"),
               chunked(b"0\r\nX-A: " + b"v" * 9000 + b"\r\n\r\n", "trailer of 9 KB", frozenset({400, 431})),
               chunked(b"0\r\n" + b"X: 1\r\n" * 50 + b"\r\n", "50 trailers", frozenset({400, 431}))])


HEADS = (request_lines() + field_names() + field_values() + hosts() + lengths() + codings() + sizes_and_others())
BODIES = bodies()
