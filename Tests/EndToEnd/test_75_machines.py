"""Several machines that serve the same names: what they share without speaking to each other."""
import os
import socket
import ssl
import subprocess

from harness.gateway import binary
from harness.waiting import BOUND


def session(gateway, before: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession, bool]:
    context = session.context = getattr(session, "context", None) or ssl.create_default_context(cafile=str(gateway.authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", gateway.ports.secure)) as plain, \
            context.wrap_socket(plain, server_hostname="localhost", session=before) as secure:
        return secure.session, secure.session_reused


def test_a_tls_session_of_one_machine_goes_on_at_the_other(start, tmp_path):
    secret = tmp_path / "tickets"
    secret.write_bytes(os.urandom(80))
    first, second = (start(arguments=["--ticket-secret", str(secret)]) for _ in range(2))
    stranger = start()
    known, reused = session(first)
    assert not reused
    assert session(second, known)[1], "the other machine opens the ticket"
    assert not session(stranger, known)[1]
    second.upgrade()
    assert session(second, known)[1], "and does so after an upgrade"


def test_a_secret_that_can_be_guessed_is_refused(tmp_path):
    secret = tmp_path / "tickets"
    secret.write_bytes(b"short")
    for path, said in ((secret, "fewer than 32 bytes"), (tmp_path / "none", "cannot be read")):
        done = subprocess.run([binary(), "run", "--config", "x.yaml", "--ticket-secret", str(path)], capture_output=True, text=True, timeout=BOUND)
        assert done.returncode == 1 and said in done.stderr and "urandom" in done.stderr
