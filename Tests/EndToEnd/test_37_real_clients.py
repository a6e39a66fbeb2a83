"""Clients that people use, each against a running gateway: over the protocols it speaks, with bodies both ways."""
import asyncio
import hashlib
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import httpx
import pytest

from harness.origin import PATTERN, pattern_sha256

BODY = PATTERN * 8


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared(workers=2)


def run(*command: object, stdin: bytes | None = None, seconds: int = 120) -> bytes:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, timeout=seconds)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout[-2000:]!r}\n{done.stderr[-2000:]!r}"
    return done.stdout


def urls(gateway) -> dict[str, str]:
    return {"plain": f"http://localhost:{gateway.ports.plain}", "tls": f"https://localhost:{gateway.ports.secure}"}


@pytest.mark.parametrize("where,version", [("plain", "--http1.1"), ("plain", "--http1.0"), ("tls", "--http1.1"), ("tls", "--http2")])
def test_curl(gateway, where, version):
    curl = ["curl", "-sS", "--fail", version, "--cacert", gateway.authority]
    url = urls(gateway)[where]
    assert run(*curl, f"{url}/bytes/100000") == (PATTERN * 2)[:100000]
    seen = json.loads(run(*curl, "--data-binary", "@-", f"{url}/up", stdin=BODY))
    assert seen["body_sha256"] == pattern_sha256(len(BODY))
    if version == "--http1.0":
        return  # has no chunks, and curl no length here
    seen = json.loads(run(*curl, "-T", "-", "-H", "Expect: 100-continue", f"{url}/up", stdin=BODY))
    assert seen["body_length"] == len(BODY)
    many = run(*curl, *[f"{url}/bytes/1"] * 20)
    assert many == b"\0" * 20


def test_nghttp(gateway, tmp_path: Path):
    url = urls(gateway)["tls"]
    out = run("nghttp", "-v", "-n", *[f"{url}/bytes/{size}" for size in (1, 70000, 3_000_00)])
    assert out.count(b":status: 200") == 3 and b"ENABLE_CONNECT_PROTOCOL" in out
    (tmp_path / "body").write_bytes(BODY)
    assert json.loads(run("nghttp", "-d", tmp_path / "body", f"{url}/up"))["body_sha256"] == pattern_sha256(len(BODY))


@pytest.mark.parametrize("where,options", [("tls", []), ("tls", ["--h1"]), ("plain", ["--h1"])], ids=["h2", "h1 over TLS", "h1"])
def test_h2load(gateway, where, options):
    out = run("h2load", *options, "-n", "2000", "-c", "20", "-m", "10", f"{urls(gateway)[where]}/bytes/1000").decode()
    assert "2000 succeeded, 0 failed, 0 errored" in out


def test_wrk(gateway):
    out = run("wrk", "-t2", "-c20", "-d2s", f"{urls(gateway)['plain']}/bytes/1000").decode()
    assert "Socket errors" not in out and "Non-2xx" not in out and "Requests/sec" in out


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_httpx(gateway, version):
    context = ssl.create_default_context(cafile=str(gateway.authority))
    with httpx.Client(http2=version == "HTTP/2", verify=context, trust_env=False, timeout=60) as client:
        answer = client.post(f"{urls(gateway)['tls']}/up", content=BODY)
        assert answer.http_version == version and answer.json()["body_sha256"] == pattern_sha256(len(BODY))
        with client.stream("GET", f"{urls(gateway)['tls']}/chunked/3000000") as streamed:
            assert hashlib.sha256(b"".join(streamed.iter_bytes())).hexdigest() == pattern_sha256(3_000_000)


def test_aiohttp(gateway):
    async def talk() -> None:
        context = ssl.create_default_context(cafile=str(gateway.authority))

        async def pieces():
            for at in range(0, len(BODY), 50_000):
                yield BODY[at:at + 50_000]

        async with aiohttp.ClientSession() as session:
            for url in urls(gateway).values():
                async with session.post(f"{url}/up", data=pieces(), ssl=context) as answer:
                    assert (await answer.json())["body_sha256"] == pattern_sha256(len(BODY))

                async def one(number: int, url: str = url) -> int:
                    async with session.get(f"{url}/bytes/{number}", ssl=context) as answer:
                        return len(await answer.read())

                assert await asyncio.gather(*(one(number) for number in range(100))) == list(range(100))

    asyncio.run(talk())


JAVA = """
import java.net.URI; import java.net.http.*; import java.nio.file.*; import java.security.*; import java.security.cert.*;
import java.util.*; import java.util.concurrent.*; import java.util.stream.*; import javax.net.ssl.*;
public class Client {
  public static void main(String[] a) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType()); store.load(null, null);
    store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(Files.newInputStream(Path.of(a[0]))));
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()); trust.init(store);
    SSLContext ssl = SSLContext.getInstance("TLS"); ssl.init(null, trust.getTrustManagers(), null);
    for (HttpClient.Version version : HttpClient.Version.values()) {
      HttpClient client = HttpClient.newBuilder().version(version).sslContext(ssl).build();
      HttpRequest post = HttpRequest.newBuilder(URI.create(a[1] + "/up")).POST(HttpRequest.BodyPublishers.ofByteArray(new byte[500000])).build();
      HttpResponse<String> up = client.send(post, HttpResponse.BodyHandlers.ofString());
      List<CompletableFuture<Integer>> all = IntStream.range(0, 50).mapToObj(n -> client.sendAsync(
        HttpRequest.newBuilder(URI.create(a[1] + "/bytes/" + (1000 + n))).build(), HttpResponse.BodyHandlers.ofByteArray())
        .thenApply(r -> r.body().length)).collect(Collectors.toList());
      int sum = 0; for (CompletableFuture<Integer> each : all) sum += each.get();
      System.out.println(version + " " + up.version() + " " + up.statusCode() + " " + up.body().contains("\\"body_length\\": 500000") + " " + sum);
    }
  }
}
"""


def test_java_http_client(gateway, tmp_path: Path):
    source = tmp_path / "Client.java"
    source.write_text(JAVA)
    out = run("java", source, gateway.authority, urls(gateway)["tls"]).decode().split("\n")
    assert out[:2] == ["HTTP_1_1 HTTP_1_1 200 true 51225", "HTTP_2 HTTP_2 200 true 51225"]


NODE = """
const http2 = require('http2'), https = require('https'), fs = require('fs');
const ca = fs.readFileSync(process.argv[2]), url = process.argv[3];
const read = (stream) => new Promise((done, fail) => { let n = 0; stream.on('data', c => n += c.length).on('end', () => done(n)).on('error', fail); });
(async () => {
  const session = http2.connect(url, {ca});
  const sizes = await Promise.all([...Array(50).keys()].map(n => read(session.request({':path': `/bytes/${1000 + n}`}))));
  const up = session.request({':path': '/up', ':method': 'POST'}); up.end(Buffer.alloc(500000));
  await read(up); session.close();
  const one = await new Promise((done, fail) => https.get(url + '/bytes/1234', {ca}, r => read(r).then(done)).on('error', fail));
  console.log(sizes.reduce((a, b) => a + b), one);
})().catch(e => { console.error(e); process.exit(1); });
"""


def test_node(gateway, tmp_path: Path):
    source = tmp_path / "client.js"
    source.write_text(NODE)
    assert run("node", source, gateway.authority, urls(gateway)["tls"]).decode().split() == ["51225", "1234"]


def test_chromium(gateway):
    page = run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--dump-dom", "--timeout=20000",
               "--user-data-dir=" + str(gateway.folder / "chromium"), f"{urls(gateway)['tls']}/seen-by-a-browser").decode()
    assert "/seen-by-a-browser" in page
    assert any(line["path"] == "/seen-by-a-browser" and line["protocol"] == "HTTP/2" for line in gateway.access_log())


# Scanners: scripts/test --e2e -k "sslyze or testssl"

def grade(found: dict) -> str:
    """That of SSL Labs (SSL Server Rating Guide 2009q), as far as a certificate of one's own goes: A from 80 points on."""
    worst = min((points for name, points in (("ssl_2_0", 0), ("ssl_3_0", 80), ("tls_1_0", 90), ("tls_1_1", 95), ("tls_1_2", 100), ("tls_1_3", 100))
                 if found[f"{name}_cipher_suites"]["result"]["accepted_cipher_suites"]))
    suites = [each for version in ("tls_1_2", "tls_1_3") for each in found[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"]]
    strengths = [100 if bits >= 256 else 80 if bits >= 128 else 20 for bits in (each["cipher_suite"]["key_size"] for each in suites)]
    # 253 bits are X25519: as strong as 3,072 of RSA.
    exchange = min(90 if each["ephemeral_key"]["type_name"] == "ECDH" and each["ephemeral_key"]["size"] >= 253 else 40 for each in suites)
    score = 0.3 * (worst + 100) / 2 + 0.3 * exchange + 0.4 * (min(strengths) + max(strengths)) / 2
    return "A" if score >= 80 and worst == 100 else "B" if score >= 65 else "F"


def test_sslyze_finds_nothing(gateway, tmp_path: Path):
    report = tmp_path / "report.json"
    done = subprocess.run([str(Path(__import__("sys").executable).parent / "sslyze"), f"--json_out={report}", "--mozilla_config=disable",
                           *"--sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --compression --early_data --openssl_ccs".split(),
                           *"--fallback --heartbleed --robot --reneg --resum --elliptic_curves --ems".split(),
                           f"localhost:{gateway.ports.secure}"], capture_output=True, timeout=300)
    found = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    assert done.returncode == 0, done.stdout.decode()[-3000:]
    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert not found[f"{old}_cipher_suites"]["result"]["accepted_cipher_suites"]
    for new in ("tls_1_2", "tls_1_3"):
        suites = [each["cipher_suite"]["name"] for each in found[f"{new}_cipher_suites"]["result"]["accepted_cipher_suites"]]
        assert suites and all(("GCM" in name or "CHACHA20" in name) and (new == "tls_1_3" or "ECDHE" in name) for name in suites)
    assert grade(found) == "A"
    assert not found["heartbleed"]["result"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"]
    assert not found["tls_compression"]["result"]["supports_compression"]
    assert not found["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"]
    assert not found["tls_1_3_early_data"]["result"]["supports_early_data"]
    assert found["robot"]["result"]["robot_result"] in ("NOT_VULNERABLE_NO_ORACLE", "NOT_VULNERABLE_RSA_NOT_SUPPORTED")
    assert found["session_renegotiation"]["result"]["supports_secure_renegotiation"]
    assert found["tls_fallback_scsv"]["result"]["supports_fallback_scsv"] and found["tls_extended_master_secret"]["result"]["supports_ems_extension"]
    assert found["session_resumption"]["result"]["tls_ticket_resumption_result"] == "FULLY_SUPPORTED", "on whichever worker"


@pytest.mark.slow
def test_testssl_finds_nothing_of_medium_or_above(gateway, tmp_path: Path):
    if shutil.which("testssl") is None:
        pytest.skip("testssl is not installed")
    report = tmp_path / "report.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--jsonfile", str(report), "--add-ca", str(gateway.authority),
                    "--ip", "127.0.0.1", f"localhost:{gateway.ports.secure}"], capture_output=True, timeout=580, stdin=subprocess.DEVNULL)
    findings = json.loads(report.read_text())
    # What a development authority cannot have: a public name, revocation addresses, DNS records, HSTS of the site.
    of_the_certificate = ("cert_", "DNS_CAArecord", "OCSP", "HSTS", "HPKP", "engine_problem", "security_headers", "BREACH", "overall_grade", "grade_cap")
    bad = [each for each in findings if each["severity"] in ("MEDIUM", "HIGH", "CRITICAL") and not each["id"].startswith(of_the_certificate)]
    assert not bad, bad
    assert len(findings) > 100
