"""Certificates for tests, made with the openssl command."""
import datetime
import subprocess
from pathlib import Path

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA = ["-newkey", "rsa:2048"]


class Authority:
    """An authority in a folder; its own certificate is `self.file`."""

    def __init__(self, folder: Path, name: str = "authority"):
        self.folder, self.name, self.serial = folder, name, 100
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        self._openssl("req", "-x509", *EC, "-nodes", "-days", "30", "-subj", f"/CN=Test {name}",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.file)

    def _openssl(self, *arguments: object) -> None:
        self._run("openssl", *arguments)

    def _run(self, *arguments: object) -> None:
        subprocess.run([*map(str, arguments)], check=True, capture_output=True, cwd=self.folder)

    def issue(self, name: str, hosts: list[str] | None = None, kind: list[str] | None = None, subject: str | None = None,
              days: int = 10, names: list[str] | None = None) -> tuple[Path, Path]:
        """(certificate with its issuer behind it, key): for servers when there are hosts, for clients otherwise. `names` are further
        alternative names with their kind; fewer than 0 days: it has expired."""
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        self._openssl("req", "-new", *(kind or EC), "-nodes", "-subj", subject or f"/CN={name}", "-keyout", key, "-out", request)
        names = ",".join([f"DNS:{host}" for host in hosts or []] + (names or []))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"extendedKeyUsage={'serverAuth' if hosts else 'clientAuth'}\n"
                              + (f"subjectAltName={names}\n" if names else ""))
        self.serial += 1
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-days", days,
                      "-set_serial", self.serial, "-extfile", extensions, "-out", certificate)
        certificate.write_bytes(certificate.read_bytes() + self.file.read_bytes())
        return certificate, key

    def sign_for(self, name: str, seconds: int) -> tuple[Path, Path]:
        """A client's certificate that ends after so many seconds: `openssl ca` is the only command that knows of them."""
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        self._openssl("req", "-new", *EC, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        settings = self.folder / f"{name}.cnf"
        (self.folder / f"{name}.db").write_text("")
        settings.write_text(f"[ca]\ndefault_ca=one\n[one]\ndatabase={self.folder}/{name}.db\nnew_certs_dir={self.folder}\n"
                            f"certificate={self.file}\nprivate_key={self.key}\ndefault_md=sha256\npolicy=any\nrand_serial=yes\n"
                            "[any]\ncommonName=supplied\n")
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        self._openssl("ca", "-batch", "-notext", "-config", settings, "-enddate", end.strftime("%Y%m%d%H%M%SZ"), "-in", request,
                      "-out", certificate)
        certificate.write_bytes(certificate.read_bytes() + self.file.read_bytes())
        return certificate, key

    def revocations(self, *certificates: Path, days_ago: int = 0) -> Path:
        """A revocation list, good for five days from then on, that takes these certificates back."""
        settings, index, made = self.folder / "crl.cnf", self.folder / "crl.txt", self.folder / "crl.pem"
        index.write_text("")
        settings.write_text(f"[ca]\ndefault_ca=one\n[one]\ndatabase={index}\ncertificate={self.file}\nprivate_key={self.key}\ndefault_md=sha256\n")
        past = ["faketime", f"{days_ago} days ago"] if days_ago else []
        for each in certificates:
            self._openssl("ca", "-config", settings, "-revoke", each)
        self._run(*past, "openssl", "ca", "-config", settings, "-gencrl", "-crldays", "5", "-out", made)
        return made

    def staple(self, certificate: Path, revoked: bool = False, days_ago: int = 0) -> Path:
        """An OCSP response for a certificate that was issued last, good for five days from then on."""
        index, response = self.folder / "index.txt", certificate.with_suffix(".ocsp")
        state = "R\t300101000000Z\t250101000000Z" if revoked else "V\t300101000000Z\t"
        index.write_text(f"{state}\t{self.serial:02X}\tunknown\t/CN=x\n")
        past = ["faketime", f"{days_ago} days ago"] if days_ago else []
        self._run(*past, "openssl", "ocsp", "-index", index, "-issuer", self.file, "-cert", certificate, "-rsigner", self.file,
                      "-rkey", self.key, "-CA", self.file, "-ndays", "5", "-respout", response)
        return response
