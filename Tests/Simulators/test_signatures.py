"""What the checks of signatures accept and refuse, against known values and against curl and openssl."""
import datetime
import subprocess

import pytest

from simulators import json_web_token, sigv4

NOW = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.timezone.utc)
# The plainest example of AWS's own published set for Signature Version 4.
KEY = sigv4.Key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
EXAMPLE = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z", "authorization":
           "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "
           "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"}


def verify(headers=None, method="GET", target="/", body=b"", now=NOW, region="us-east-1"):
    return sigv4.verify(method, target, EXAMPLE | (headers or {}), body, {KEY.id: KEY}, region, "service", now)


def test_the_published_example():
    assert verify() == KEY


@pytest.mark.parametrize("change, name", [
    ({"method": "POST"}, "InvalidSignatureException"),
    ({"target": "/?x=1"}, "InvalidSignatureException"),
    ({"body": b"x"}, "InvalidSignatureException"),
    ({"region": "eu-west-1"}, "InvalidSignatureException"),
    ({"now": NOW + datetime.timedelta(minutes=6)}, "InvalidSignatureException"),
    ({"now": NOW - datetime.timedelta(minutes=6)}, "InvalidSignatureException"),
    ({"headers": {"host": "elsewhere.test"}}, "InvalidSignatureException"),
    ({"headers": {"x-amz-target": "Unsigned"}}, "InvalidSignatureException"),
    ({"headers": {"x-amz-date": "yesterday"}}, "IncompleteSignatureException"),
    ({"headers": {"authorization": ""}}, "MissingAuthenticationTokenException"),
    ({"headers": {"authorization": "Basic QUtJRA=="}}, "IncompleteSignatureException"),
    ({"headers": {"authorization": EXAMPLE["authorization"].replace("AKIDEXAMPLE", "AKIDOTHER")}}, "UnrecognizedClientException"),
    ({"headers": {"authorization": EXAMPLE["authorization"].replace("=host;", "=")}}, "InvalidSignatureException"),
    ({"headers": {"authorization": EXAMPLE["authorization"].replace("host;x-amz-date", "x-amz-date;host")}}, "IncompleteSignatureException"),
])
def test_what_was_not_signed_so(change, name):
    with pytest.raises(sigv4.Refused) as refused:
        verify(**change)
    assert refused.value.name == name


def test_curl_signs_so(start):
    product = start("ecr", tls=False)
    for secret, region, expected in ((product.secret, "eu-west-1", b"authorizationData"), ("wrong", "eu-west-1", b"InvalidSignatureException"),
                                     (product.secret, "us-east-1", b"InvalidSignatureException")):
        done = subprocess.run([
            "curl", "-s", "--aws-sigv4", f"aws:amz:{region}:ecr", "--user", f"AKIAFULLRIGHTS000000:{secret}", "-d", "{}",
            "-H", "X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "-H", "Content-Type: application/x-amz-json-1.1",
            "--connect-to", f"::127.0.0.1:{product.port}", "http://api.ecr.eu-west-1.amazonaws.com/"], capture_output=True, check=True)
        assert expected in done.stdout, done.stdout
    assert product.violations == []


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_tokens(algorithm):
    private, public = json_web_token.make_key()
    token = json_web_token.sign({"iss": "me"}, private, algorithm, kid="k")
    assert json_web_token.verify(token, public, algorithm) == ({"typ": "JWT", "alg": algorithm, "kid": "k"}, {"iss": "me"})
    other = "PS256" if algorithm == "RS256" else "RS256"
    head, claims, signature = token.split(".")
    forged = json_web_token.encode({"iss": "you"})
    swapped = json_web_token.encode({"typ": "JWT", "alg": other})
    for bad, key, kind in ((token, public, other), (token, json_web_token.make_key()[1], algorithm), (f"{head}.{forged}.{signature}", public, algorithm),
                           (f"{swapped}.{claims}.{signature}", public, other), (f"{head}.{claims}.", public, algorithm),
                           (f"{head}.{claims}", public, algorithm), (f"{head}.{claims}.{signature}==", public, algorithm), ("a.b.c", public, algorithm)):
        with pytest.raises(json_web_token.BadToken):
            json_web_token.verify(bad, key, kind)
