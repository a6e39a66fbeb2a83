"""Fields of the connection in rules."""


def test_the_round_trip_time_is_known_in_response_rules(start, protocol):
    gateway = start(response='- {when: client.rtt_us > 0, do: [{set_header: {X-Rtt: "${client.rtt_us}"}}]}')
    assert int(gateway.fetch(protocol, "GET", "/a").header("x-rtt") or 0) > 0


def test_the_fingerprint_of_the_handshake_is_known(start):
    gateway = start(request='- {when: tls.ja4 starts_with "t13d", do: [{set_header: {X-Ja4: "${tls.ja4}"}}]}', response="""\
        - do: [{set_header: {X-Ja4: "${tls.ja4}"}}]
        """)
    first, again = (gateway.fetch("http1-tls", "GET", "/a").header("x-ja4") for _ in range(2))
    assert first == again and len(first) == 36 and first[10:11] == "_" and first[8:10] == "h1"
    assert gateway.fetch("http2", "GET", "/a").header("x-ja4")[8:10] == "h2"
    assert gateway.fetch("http1", "GET", "/a").header("x-ja4") in (None, "")
