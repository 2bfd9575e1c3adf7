"""A token server for docker-registry: basic authentication in, a signed JSON Web Token out."""
import base64
import json
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .tls import openssl

LIFETIME_SECONDS = 300


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Knows `users` {name: password}; `readable` {name: [repositories]} or None, where all may read everything.
    `seen` lists (path with query, Authorization) of every request."""

    service = "registry.example.test"
    issuer = "tokens.example.test"

    def __init__(self, folder, users, readable=None):
        self.users, self.readable, self.seen = users, readable, []
        folder.mkdir(parents=True, exist_ok=True)
        self.key, self.certificate = folder / "token.key", folder / "token.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=tokens",
                "-keyout", self.key, "-out", self.certificate)
        self.chain = base64.b64encode(openssl("x509", "-in", self.certificate, "-outform", "DER")).decode()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def realm(self):
        return f"http://127.0.0.1:{self.server.server_port}/token"

    def configuration(self):
        return {"realm": self.realm, "service": self.service, "issuer": self.issuer, "rootcertbundle": str(self.certificate)}

    def answer(self, request):
        authorization = request.headers.get("Authorization", "")
        self.seen.append((request.path, authorization))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        user = None
        if authorization.startswith("Basic "):
            name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
            if self.users.get(name) != password:
                return self.send(request, 401, {"details": "incorrect username or password"})
            user = name
        token = self.issue(user, *query.get("scope", []))
        self.send(request, 200, {"token": token, "access_token": token, "expires_in": LIFETIME_SECONDS})

    @staticmethod
    def send(request, status, document):
        body = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def issue(self, user, *scopes):
        """A token of what `user` may do of the scopes; "*" is everything."""
        if scopes == ("*",):
            access = [{"type": "repository", "name": name, "actions": ["pull", "push"]} for name in self.pushable()]
        else:
            access = [entry for scope in " ".join(scopes).split() if (entry := self.granted(user, scope))]
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": user or "", "aud": self.service, "exp": now + LIFETIME_SECONDS, "nbf": now - 60,
                  "iat": now, "jti": str(uuid.uuid4()), "access": access}
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.chain]}
        signed = unpadded(json.dumps(header).encode()) + "." + unpadded(json.dumps(claims).encode())
        return signed + "." + unpadded(openssl("dgst", "-sha256", "-sign", self.key, input=signed.encode()))

    def pushable(self):
        return sorted({name for names in (self.readable or {}).values() for name in names} | {"team/app"})

    def granted(self, user, scope):
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if user is None or (kind == "repository" and self.readable is not None and name not in self.readable.get(user, [])):
            return None
        return {"type": kind, "name": name, "actions": actions.split(",")}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
