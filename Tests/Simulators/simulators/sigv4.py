"""Checks the signature that AWS asks for on each request of its JSON APIs (Signature Version 4, registries.md 11.1).

The signature is computed anew from what arrived and compared; nothing in the request is believed. A refusal is the
exception AWS names for it, so that a simulator can answer as AWS does.
"""
import datetime
import hashlib
import hmac
import re
import urllib.parse
from dataclasses import dataclass

ALGORITHM = "AWS4-HMAC-SHA256"
CLOCK_SKEW_SECONDS_MAX = 300
AUTHORIZATION = re.compile(
    ALGORITHM + r"\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})")


@dataclass(frozen=True)
class Key:
    """An access key as IAM gives it out; with `session_token` a temporary one that is good only together with it."""
    id: str
    secret: str
    session_token: str = ""


class Refused(Exception):
    """Why AWS would refuse the signature: the exception's name and text."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


def digest(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signing_key(secret, date, region, service):
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = mac(key, part)
    return key


def encoded(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical_request(method, target, headers, signed, payload_hash):
    """The text that is signed. `headers` maps lower-case names to values, `signed` lists the names in their order."""
    parts = urllib.parse.urlsplit(target)
    path = "/".join(encoded(segment) for segment in (parts.path or "/").split("/"))
    pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
    query = "&".join(sorted(f"{encoded(urllib.parse.unquote(name))}={encoded(urllib.parse.unquote(value))}"
                            for name, _, value in pairs))
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed)
    return "\n".join([method, path, query, lines, ";".join(signed), payload_hash])


def signature(secret, request_text, timestamp, region, service):
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join([ALGORITHM, timestamp, scope, digest(request_text.encode())])
    return hmac.new(signing_key(secret, timestamp[:8], region, service), text.encode(), hashlib.sha256).hexdigest()


def verify(method, target, headers, body, keys, region, service, now):
    """Answers the key that signed the request; raises `Refused` where AWS would refuse it.

    `headers` maps lower-case names to values, `keys` maps access key ids to `Key`, `now` is an aware datetime.
    """
    authorization = headers.get("authorization", "")
    if not authorization:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    match = AUTHORIZATION.fullmatch(authorization.strip())
    if not match:
        raise Refused("IncompleteSignatureException", "the Authorization header is not of the form of Signature Version 4")
    credential, names, given = match.groups()
    scope = credential.split("/")
    if len(scope) != 5:
        raise Refused("IncompleteSignatureException", f"Credential must have exactly 5 slash-delimited elements: {len(scope)}")
    key_id, date, its_region, its_service, ending = scope
    signed = names.split(";")
    timestamp = headers.get("x-amz-date", "")
    if not re.fullmatch(r"\d{8}T\d{6}Z", timestamp):
        raise Refused("IncompleteSignatureException", "X-Amz-Date must be of the form YYYYMMDDTHHMMSSZ")
    if signed != sorted(set(signed)):
        raise Refused("IncompleteSignatureException", "SignedHeaders must be sorted and without repetitions")
    missing = [name for name in signed if name not in headers]
    if missing:
        raise Refused("InvalidSignatureException", f"signed headers are not in the request: {', '.join(missing)}")
    unsigned = [name for name in headers if (name == "host" or name.startswith("x-amz-")) and name not in signed]
    if unsigned:
        raise Refused("InvalidSignatureException", f"headers that must be signed are not: {', '.join(sorted(unsigned))}")
    if (date, its_region, its_service, ending) != (timestamp[:8], region, service, "aws4_request"):
        raise Refused("InvalidSignatureException", "Credential should be scoped to a valid date, region and service: "
                      f"{timestamp[:8]}/{region}/{service}/aws4_request, not {'/'.join(scope[1:])}")
    signed_at = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    skew = (now - signed_at).total_seconds()
    if abs(skew) > CLOCK_SKEW_SECONDS_MAX:
        raise Refused("InvalidSignatureException", f"Signature {'expired' if skew > 0 else 'not yet current'}: {timestamp} is "
                      f"more than 5 min away from {now:%Y%m%dT%H%M%SZ}")
    key = keys.get(key_id)
    if key is None or headers.get("x-amz-security-token", "") != key.session_token:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    text = canonical_request(method, target, headers, signed, digest(body))
    if not hmac.compare_digest(signature(key.secret, text, timestamp, region, service), given):
        raise Refused("InvalidSignatureException", "The request signature we calculated does not match the signature you "
                      "provided. Check your AWS Secret Access Key and signing method.")
    return key
