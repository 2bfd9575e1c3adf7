"""Certificates for loopback servers, made by openssl."""
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and a server certificate of its making."""
    ca: Path
    certificate: Path
    key: Path


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


def authority(folder, name="test", names=("IP:127.0.0.1", "DNS:localhost")):
    """A new authority in the folder, and a certificate for the names."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    key, certificate, request, extensions = (folder / file for file in ("server.key", "server.pem", "server.csr", "server.ext"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN={name} authority",
            "-keyout", ca_key, "-out", ca)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    extensions.write_text(f"subjectAltName={','.join(names)}\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30",
            "-extfile", extensions, "-out", certificate)
    return Authority(ca, certificate, key)
