"""Certificates for loopback servers, made by openssl."""
import subprocess
from dataclasses import dataclass
from pathlib import Path

OURS = "IP:127.0.0.1,DNS:localhost"
# Of a curve: many are made, and this takes no time.
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority(Pair):
    """A certificate authority, and a server certificate of its making for 127.0.0.1."""
    ca: Path
    ca_key: Path

    def issue(self, name, names=OURS, days=30):
        """One more certificate; `days` below zero for one that has expired."""
        folder = self.ca.parent
        key, certificate, request, extensions = (folder / f"{name}.{end}" for end in ("key", "pem", "csr", "ext"))
        openssl("req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", days,
                "-extfile", extensions, "-out", certificate)
        return Pair(certificate, key)


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


def self_signed(folder, name="self-signed"):
    """A certificate that nobody but itself vouches for."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", *NEW_KEY, "-days", "30", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={OURS}", "-keyout", key, "-out", certificate)
    return Pair(certificate, key)


def authority(folder, name="test", names=OURS):
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    openssl("req", "-x509", *NEW_KEY, "-days", "30", "-subj", f"/CN={name} authority",
            "-keyout", ca_key, "-out", ca)
    server = Authority(None, None, ca, ca_key).issue("server", names)
    return Authority(server.certificate, server.key, ca, ca_key)
