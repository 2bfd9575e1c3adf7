"""What Google and Yandex have in common: keys of service accounts, tokens for what is signed with them."""
from . import json_web_token

LIFETIME_SECONDS_MAX = 3600
SKEW_SECONDS_MAX = 300


class Unsigned(Exception):
    """Why an assertion is not accepted."""


def judge_times(claims, now):
    """Issued now, and short-lived."""
    issued, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, (int, float)) or not isinstance(ends, (int, float)):
        raise Unsigned("iat and exp are numbers of seconds")
    if not now - SKEW_SECONDS_MAX - LIFETIME_SECONDS_MAX < issued < now + SKEW_SECONDS_MAX or ends < now:
        raise Unsigned("it is not of this time: check iat and exp")
    if ends - issued > LIFETIME_SECONDS_MAX:
        raise Unsigned("it lives for more than an hour")


def verified(assertion, public_keys, algorithm, audience, now):
    """The claims of an assertion; `public_keys(header, claims)` answers the keys that may have signed it."""
    if not isinstance(assertion, str):
        raise Unsigned("it is no text")
    try:
        header, claims = json_web_token.parts_of(assertion)
        keys = public_keys(header, claims)
        if not keys:
            raise Unsigned("nobody has such a key")
        problem = None
        for key in keys:
            try:
                json_web_token.verify(assertion, key, algorithm)
                break
            except json_web_token.BadToken as bad:
                problem = bad
        else:
            raise problem
    except json_web_token.BadToken as bad:
        raise Unsigned(str(bad)) from None
    if claims.get("aud") != audience:
        raise Unsigned(f"aud is not {audience}")
    judge_times(claims, now)
    return claims
