"""Keys of service accounts, and the check of the tokens signed with them: RS256 (Google), PS256 (Yandex).

Keys are made by openssl when a simulator starts, so that none lies in the repository.
"""
import base64
import binascii
import functools
import json
import subprocess
import tempfile
from pathlib import Path

ALGORITHMS = {
    "RS256": (),
    "PS256": ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-sigopt", "rsa_mgf1_md:sha256"),
}


class BadToken(Exception):
    """A token that does not hold: malformed, of another algorithm, or signed by another key."""


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def make_key():
    """A new RSA key; answers (private key, public key) as PEM text."""
    private = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    return private.decode(), openssl("pkey", "-pubout", data=private).decode()


@functools.cache
def key_of(name):
    """The key of a service account: one for each name, however many simulators know it."""
    return make_key()


def decoded(part):
    """The bytes of one part; base64url is written without padding in a token (RFC 7515)."""
    if "=" in part or "+" in part or "/" in part:
        raise BadToken("not base64url without padding")
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as error:
        raise BadToken(f"not base64url: {error}") from None


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encode(document):
    """One part of a token."""
    return encoded(json.dumps(document).encode())


def sign(claims, private_key, algorithm, **header):
    """A token; only for the simulators' own tests."""
    text = encode({"typ": "JWT", "alg": algorithm} | header) + "." + encode(claims)
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder, "key.pem")
        key.write_text(private_key)
        signature = openssl("dgst", "-sha256", *ALGORITHMS[algorithm], "-sign", str(key), data=text.encode())
    return text + "." + encoded(signature)


def parts_of(token):
    """The token's header and claims, not yet verified."""
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken(f"{len(parts)} parts instead of 3")
    try:
        header, claims = (json.loads(decoded(part)) for part in parts[:2])
    except ValueError as error:
        raise BadToken(f"not JSON: {error}") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("header or claims are no JSON object")
    return header, claims


def verify(token, public_key, algorithm):
    """Checks algorithm and signature; answers (header, claims)."""
    header, claims = parts_of(token)
    if header.get("alg") != algorithm:
        raise BadToken(f"alg is {header.get('alg')!r}, not {algorithm}")
    text, _, signature = token.rpartition(".")
    with tempfile.TemporaryDirectory() as folder:
        key, file = Path(folder, "key.pem"), Path(folder, "signature")
        key.write_text(public_key)
        file.write_bytes(decoded(signature))
        done = subprocess.run(["openssl", "dgst", "-sha256", *ALGORITHMS[algorithm], "-verify", str(key), "-signature", str(file)],
                              input=text.encode(), capture_output=True)
    if done.returncode:
        raise BadToken("the signature is not of this key")
    return header, claims
