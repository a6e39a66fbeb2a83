"""The admin address over TLS: who has which certificate may ask for what, and the log says who it was."""
import json
import os
import socket
import ssl
import subprocess
import time

import pytest

from harness import http1
from harness.authority import Authority
from harness.gateway import binary, rule_file
from harness.waiting import BOUND, wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ops"), "ops")


@pytest.fixture(scope="module")
def people(authority):
    """Certificates by name."""
    made = {name: authority.issue(name) for name in ("alice", "bob", "carol", "nobody")}
    made["old"] = authority.issue("old", days=-1, subject="/CN=alice")
    made["robot"] = authority.issue("robot", names=["URI:spiffe://example.com/robot", "DNS:robot.example.com"])
    return made


def fingerprint(certificate):
    done = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", certificate], capture_output=True, text=True, check=True)
    return done.stdout.split("=")[1].strip()


def with_certificates(certificates, origin, authority, people, verify="required", more="", crl=None):
    clients = [f'{{name: alice, role: admin, subject: "CN=alice"}}', f'{{name: bob, role: operate, fingerprint: "{fingerprint(people["bob"][0])}"}}',
               '{name: carol, role: read, subject: "CN=carol"}', '{name: robot, role: operate, san: "URI:spiffe://example.com/robot"}']
    lists = f', crl: "{crl}"' if crl else ""

    def rules(ports):
        return rule_file(ports, certificates, origin.port).replace(
            f'admin: {{address: "127.0.0.1:{ports.admin}"}}',
            f'admin: {{address: "127.0.0.1:{ports.admin}", clients: [{", ".join(clients)}], tls: {{cert: "{certificates}/server.crt", '
            f'key: "{certificates}/server.key", client: {{ca: "{authority.file}", verify: {verify}{lists}}}}}{more}}}')
    return rules


def ask(gateway, pair, method="GET", path="/v1/overview", headers=(), host="localhost", version=None):
    context = ssl.create_default_context(cafile=str(gateway.authority))
    if version:
        context.maximum_version = version
    if pair:
        context.load_cert_chain(*pair)
    with http1.Connection(gateway.ports.admin) as client:
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        return client.request(method, path, list(headers), b"", host)


def detail(answer):
    return json.loads(answer.body)["detail"]


@pytest.fixture
def gateway(start, certificates, origin, authority, people):
    return start(rules=with_certificates(certificates, origin, authority, people))


def test_the_right_certificate_has_its_role_and_no_more(gateway, people):
    assert ask(gateway, people["carol"]).status == 200
    refused = ask(gateway, people["carol"], "POST", "/v1/reload")
    assert refused.status == 403 and "carol" in detail(refused) and "has the role read; this needs operate" in detail(refused)
    assert ask(gateway, people["bob"], "POST", "/v1/reload").status == 200
    assert ask(gateway, people["bob"], "POST", "/v1/tokens").status == 403
    assert ask(gateway, people["robot"], "POST", "/v1/logs/reopen").status == 200
    assert ask(gateway, people["alice"], "POST", "/v1/tokens?role=read").status == 200


def test_the_log_names_the_certificate(gateway, people):
    ask(gateway, people["bob"], "POST", "/v1/logs/reopen")
    short = fingerprint(people["bob"][0]).replace(":", "").lower()[:16]
    gateway.wait_log(rf"bob by certificate CN=bob \(sha256 {short}\) asks for /v1/logs/reopen")


def test_a_good_certificate_that_nobody_named_is_a_stranger(gateway, people):
    assert ask(gateway, people["nobody"], path="/metrics").status == 200
    refused = ask(gateway, people["nobody"])
    assert refused.status == 401 and "CN=nobody" in detail(refused) and "which no entry of `admin: {clients:}` fits" in detail(refused)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", ["none", "wrong authority", "expired"])
def test_without_a_good_certificate_there_is_no_connection(gateway, people, tmp_path, who, version):
    pair = {"none": None, "wrong authority": Authority(tmp_path, "ops").issue("alice"), "expired": people["old"]}[who]
    with pytest.raises((ssl.SSLError, ConnectionError, http1.EndOfStream)):
        ask(gateway, pair, path="/metrics", version=version)
    gateway.wait_log("a TLS connection to the admin address failed: ")
    assert ask(gateway, people["alice"], path="/healthz").status == 200


def test_plain_http_gets_no_answer_there(gateway):
    with http1.Connection(gateway.ports.admin) as client, pytest.raises(http1.EndOfStream) as end:
        client.request("GET", "/metrics", host="127.0.0.1")
    assert b"sluice_" not in end.value.received
    gateway.wait_log("plain HTTP was sent to a TLS port")


def test_where_certificates_are_optional_a_bad_one_is_a_stranger_and_tokens_count(start, certificates, origin, authority, people, tmp_path):
    gateway = start(rules=with_certificates(certificates, origin, authority, people, "optional"))
    token = gateway.command("token", "--role", "operate", "--name", "ci").stdout.strip()
    bearer = [("Authorization", f"Bearer {token}")]
    for pair in (None, Authority(tmp_path, "ops").issue("alice"), people["old"]):
        assert ask(gateway, pair, path="/metrics").status == 200
        refused = ask(gateway, pair)
        assert refused.status == 401 and ("which is not good" in detail(refused)) == bool(pair)
        assert ask(gateway, pair, "POST", "/v1/logs/reopen", bearer).status == 200
    gateway.wait_log("token ci asks for /v1/logs/reopen")
    assert ask(gateway, people["alice"], "POST", "/v1/tokens?role=read").status == 200


@pytest.mark.parametrize("headers,host", [
    ([("Origin", "https://evil.example")], "localhost"), ([("Origin", "null")], "localhost"), ([("Sec-Fetch-Site", "cross-site")], "localhost"),
    ([("Sec-Fetch-Site", "same-site")], "localhost"), ([], "evil.example"),
], ids=["origin", "null-origin", "cross-site", "same-site", "rebound-name"])
@pytest.mark.parametrize("method,path", [("GET", "/metrics"), ("GET", "/v1/overview"), ("POST", "/v1/reload"), ("POST", "/v1/drain")])
def test_a_foreign_page_cannot_use_the_certificate_of_a_browser(gateway, people, method, path, headers, host):
    assert ask(gateway, people["alice"], method, path, headers, host).status == 403


def test_names_of_the_certificate_are_names_of_the_admin_address(gateway, people):
    assert ask(gateway, people["carol"], host=f"ops.localhost:{gateway.ports.admin}").status == 200
    assert ask(gateway, people["carol"], headers=[("Origin", "https://localhost"), ("Sec-Fetch-Site", "same-origin")]).status == 200


def test_a_reload_takes_roles_authorities_and_certificates_over(gateway, people, tmp_path, certificates, origin):
    assert ask(gateway, people["carol"], "POST", "/v1/logs/reopen").status == 403
    gateway.file.write_text(gateway.file.read_text().replace("{name: carol, role: read", "{name: carol, role: operate"))
    assert "changed the roles of certificates" in gateway.command("reload").stdout
    assert ask(gateway, people["carol"], "POST", "/v1/logs/reopen").status == 200
    other = Authority(tmp_path, "other")
    gateway.reload(with_certificates(certificates, origin, other, people)(gateway.ports))
    with pytest.raises((ssl.SSLError, ConnectionError, http1.EndOfStream)):
        ask(gateway, people["carol"], path="/metrics")
    assert ask(gateway, other.issue("alice"), "POST", "/v1/tokens?role=read").status == 200
    gateway.reload(rule_file(gateway.ports, certificates, origin.port))
    with http1.Connection(gateway.ports.admin) as client:
        assert client.request("GET", "/metrics", host="127.0.0.1").status == 200


def test_a_key_that_does_not_fit_is_told_with_its_place_and_changes_nothing(gateway, people, authority):
    before = gateway.file.read_text()
    gateway.file.write_text(before.replace(f'/server.key", client', '/ca.key", client'))
    done = gateway.command("reload")
    assert done.returncode == 1 and "the admin address: " in done.stderr and "ca.key" in done.stderr and f"{gateway.file.name}:" in done.stderr
    assert ask(gateway, people["carol"]).status == 200


@pytest.mark.parametrize("admin,said", [
    ('{address: "127.0.0.1:0", clients: [{name: a, role: read, subject: "CN=a"}]}', "needs certificates to look at"),
    ('{address: "127.0.0.1:0", tls: {cert: c.crt, key: c.key, client: {ca: c.crt}}, clients: [{name: a, role: read}]}', "does not say which certificate it is"),
    ('{address: "127.0.0.1:0", tls: {cert: c.crt, key: c.key, client: {ca: c.crt}}, clients: [{name: a, role: read, san: "ops.example"}]}', "says its kind"),
    ('{address: "127.0.0.1:0", tls: {cert: c.crt, key: c.key, client: {ca: c.crt}}, clients: [{name: a, role: read, fingerprint: "ab:cd"}]}', "64 hexadecimal digits"),
    ('{address: "unix:/run/x", tls: {cert: c.crt, key: c.key}}', "a Unix socket has no TLS"),
])
def test_mistakes_are_told_with_their_place(tmp_path, certificates, admin, said):
    for name, source in (("c.crt", "server.crt"), ("c.key", "server.key")):
        (tmp_path / name).write_bytes((certificates / source).read_bytes())
    file = tmp_path / "sluice.yaml"
    file.write_text(f'sluice: 1\nlisteners: [{{name: a, address: "127.0.0.1:0"}}]\nadmin: {admin}\n'
                    'sites: [{name: a, hosts: ["*"], request: [{name: a, do: [{respond: {status: 200}}]}]}]\n')
    done = subprocess.run([binary(), "check", file], capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 1 and said in done.stdout + done.stderr and "sluice.yaml:3:" in done.stdout + done.stderr


def test_workers_do_not_get_the_key_of_the_admin_address(start, certificates, origin, authority, people, tmp_path):
    secret, key = authority.issue("admin", ["localhost"])
    rules = with_certificates(certificates, origin, authority, people)
    gateway = start(rules=lambda ports: rules(ports).replace(f'cert: "{certificates}/server.crt", key: "{certificates}/server.key", client', f'cert: "{secret}", key: "{key}", client'))
    middle = key.read_text().splitlines()[2].encode()

    def holds(pid):
        for link in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{link}")
            if "sluice-configuration" in target:
                with open(f"/proc/{pid}/fd/{link}", "rb") as memory:
                    return middle in memory.read()
        return None

    assert holds(gateway.pid) is False, "what is handed to workers does not hold the key"


def test_a_stranger_that_does_not_shake_hands_is_let_go(gateway, people):
    with socket.create_connection(("127.0.0.1", gateway.ports.admin)) as silent:
        silent.settimeout(BOUND)
        began = time.monotonic()
        assert silent.recv(10) == b"" and time.monotonic() - began < BOUND
    assert ask(gateway, people["carol"]).status == 200


def test_the_command_prints_a_link_with_https_and_an_upgrade_keeps_it(gateway, people):
    assert gateway.command("dashboard").stdout.startswith(f"https://127.0.0.1:{gateway.ports.admin}/#token=")
    gateway.upgrade()
    wait_until(lambda: ask(gateway, people["bob"], "POST", "/v1/logs/reopen").status == 200, "the new process knows the certificate")


def test_a_unix_socket_as_admin_address_is_for_the_gateways_user(start, certificates, origin, tmp_path):
    path = tmp_path / "admin.sock"
    gateway = start(rules=lambda ports: rule_file(ports, certificates, origin.port).replace(f'"127.0.0.1:{ports.admin}"', f'"unix:{path}"'))
    done = gateway.command("status", "--socket", str(path), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["pid"] == gateway.pid
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_certificate_that_was_taken_back_is_out_after_a_reload(start, certificates, origin, tmp_path):
    authority = Authority(tmp_path / "ops", "ops")
    people = {name: authority.issue(name) for name in ("alice", "bob", "carol")}
    lists = authority.revocations()
    gateway = start(rules=with_certificates(certificates, origin, authority, people, crl=lists))
    assert ask(gateway, people["bob"]).status == 200
    authority.revocations(people["bob"][0])
    assert ask(gateway, people["bob"], "POST", "/v1/reload").status == 200, "it still counts"

    def is_out() -> bool:
        try:
            return ask(gateway, people["bob"]).status == 0
        except (ssl.SSLError, ConnectionError, AssertionError):
            return True

    wait_until(is_out, "the new list is in use")
    assert ask(gateway, people["alice"]).status == 200
