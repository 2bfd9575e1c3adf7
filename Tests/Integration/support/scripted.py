"""A registry that does what a test tells it: refuses, holds back, lies, and remembers what it was asked."""
import base64
import json
import re
import ssl
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .images import sha256
from .waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    authorization: str
    range: str = ""


@dataclass
class Reply:
    status: int = 200
    headers: tuple = ()
    body: bytes = b""
    drip_seconds: float = 0  # between each two bytes of the body
    gate: "Gate" = None  # in the middle of the body


class Gate:
    """Holds threads back until it is opened; tells how many are held."""

    def __init__(self, opened=True):
        self.condition = threading.Condition()
        self.opened, self.held = opened, 0

    def close(self):
        with self.condition:
            self.opened = False

    def open(self):
        with self.condition:
            self.opened = True
            self.condition.notify_all()

    def go_through(self):
        with self.condition:
            self.held += 1
            try:
                self.condition.wait_for(lambda: self.opened)
            finally:
                self.held -= 1


class Hold:
    """A rule that lets so many requests pass and holds all others back until it is released."""

    def __init__(self, after):
        self.left, self.lock = after, threading.Lock()
        self.gate, self.reached = Gate(opened=False), threading.Event()

    def __call__(self, _):
        with self.lock:
            self.left -= 1
            passes = self.left >= 0
        if not passes:
            self.reached.set()
            self.gate.go_through()

    def wait(self):
        assert self.reached.wait(PATIENCE_SECONDS), f"no request came after the {self.left} that may pass"

    def release(self):
        self.gate.open()


class ScriptedRegistry:
    """Serves `push`ed images over HTTP/1.1.

    `accounts` {user: (password, [repositories]) } makes it private: every request needs the basic credential of an
    account, and a repository that the account does not name is answered 404. `rules` are (method, pattern, function)
    asked first: the function gets the handler and answers a Reply, or None to go on as usual. `blobs_gate` holds back the
    bodies of blobs, except of the first `blobs_free` ones. Listings come in pages of `page_size` names if that is set.
    """

    def __init__(self, accounts=None, host="127.0.0.1", authority=None):
        self.accounts = accounts
        self.manifests, self.blobs, self.repositories = {}, {}, {}
        self.seen, self.rules, self.holds = [], [], []
        self.stopped = threading.Event()
        self.page_size = None
        self.lock = threading.Lock()
        self.blobs_gate, self.blobs_free = Gate(), 0
        self.halves = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                outer.handle(self)

            do_GET = do_HEAD = do_POST = handle_one

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # a client that left in mid-body, as a killed daemon does

        self.server = Server((host, 0), Handler)
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme, self.host = "https" if authority else "http", host
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://{self.host}:{self.server.server_port}"

    def stop(self):
        self.blobs_gate.open()
        for gate in self.halves:
            gate.open()
        self.stopped.set()
        for hold in self.holds:
            hold.release()
        self.server.shutdown()
        self.server.server_close()

    # -- content

    def push(self, repository, image, *tags, blobs=True):
        """Puts an image in place; without `blobs`, only its manifest. Returns its digest."""
        tagged = self.repositories.setdefault(repository, {})
        for child in image.children:
            self.push(repository, child, blobs=blobs)
        self.manifests[repository, image.digest] = (image.manifest, image.media_type)
        if blobs:
            for digest, data in image.blobs.items():
                self.blobs[repository, digest] = data
        for tag in tags:
            tagged[tag] = image.digest
        return image.digest

    def on(self, method, pattern, function):
        """`function` decides on requests whose method and path match; the newest rule is asked first."""
        self.rules.insert(0, (re.compile(method), re.compile(pattern), function))

    def hold(self, after, method=".*", pattern=".*"):
        """Holds back what matches, except for the first `after` such requests."""
        self.holds.append(Hold(after))
        self.on(method, pattern, self.holds[-1])
        return self.holds[-1]

    def clear(self):
        """Forgets all rules."""
        for hold in self.holds:
            hold.release()
        self.rules.clear()

    def untag(self, repository, *tags):
        for tag in tags:
            del self.repositories[repository][tag]

    def requests(self, method=".*", pattern=".*"):
        with self.lock:
            return [one for one in self.seen if re.fullmatch(method, one.method) and re.search(pattern, one.path)]

    def forget(self):
        with self.lock:
            self.seen.clear()

    # -- answers

    def handle(self, request):
        authorization = request.headers.get("Authorization", "")
        with self.lock:
            self.seen.append(Seen(request.command, request.path, authorization, request.headers.get("Range", "")))
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        reply = None
        for method, pattern, function in list(self.rules):
            if method.fullmatch(request.command) and pattern.search(request.path):
                reply = function(request)
                if reply is not None:
                    break
        self.send(request, reply or self.usual(request, authorization))

    def send(self, request, reply):
        request.send_response(reply.status)
        headers = dict(reply.headers)
        headers.setdefault("Content-Length", str(len(reply.body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        if reply.gate:
            request.wfile.write(reply.body[:len(reply.body) // 2])
            reply.gate.go_through()
            request.wfile.write(reply.body[len(reply.body) // 2:])
            return
        if not reply.drip_seconds:
            request.wfile.write(reply.body)
            return
        for byte in reply.body:
            request.wfile.write(bytes([byte]))
            if self.stopped.wait(reply.drip_seconds):
                request.close_connection = True
                return

    def usual(self, request, authorization):
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        account = self.account(authorization)
        if self.accounts is not None and account is None:
            return self.error(401, "UNAUTHORIZED", (("WWW-Authenticate", 'Basic realm="scripted"'),))
        if path == "/v2/":
            return Reply(200, (("Docker-Distribution-Api-Version", "registry/2.0"),), b"{}")
        if path == "/v2/_catalog":
            return self.names(request, "repositories", (name for name in self.repositories if self.allowed(account, name)))
        match = re.fullmatch(r"/v2/(.+)/(tags/list|manifests/([^/]+)|blobs/([^/]+))", path)
        if not match or match[1] not in self.repositories or not self.allowed(account, match[1]):
            return self.error(404, "NAME_UNKNOWN")
        repository, kind, reference, digest = match.groups()
        if kind == "tags/list":
            return self.names(request, "tags", self.repositories[repository])
        return self.manifest(repository, reference) if reference else self.blob(request, repository, digest)

    def names(self, request, key, names):
        """A listing, or the page of it that was asked for."""
        url, names = urllib.parse.urlsplit(request.path), sorted(names)
        query = dict(urllib.parse.parse_qsl(url.query))
        rest = [name for name in names if name > query.get("last", "")]
        page = rest[:min(self.page_size or len(names), int(query.get("n", len(names))))] if self.page_size else rest
        reply = self.json({key: page})
        if len(page) < len(rest):
            following = urllib.parse.urlencode({"n": len(page), "last": page[-1]})
            reply.headers += (("Link", f'<{url.path}?{following}>; rel="next"'),)
        return reply

    def manifest(self, repository, reference):
        digest = self.repositories[repository].get(reference, reference)
        if (repository, digest) not in self.manifests:
            return self.error(404, "MANIFEST_UNKNOWN")
        data, media_type = self.manifests[repository, digest]
        return Reply(200, (("Content-Type", media_type), ("Docker-Content-Digest", digest)), data)

    def blob(self, request, repository, digest):
        data = self.blobs.get((repository, digest))
        if data is None:
            return self.error(404, "BLOB_UNKNOWN")
        if request.command == "GET":
            self.hold_back()
        return Reply(200, (("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", sha256(data))), data)

    def halve(self, blob, after=0):
        """Has a blob come to its half only, except for the first `after` times, until the gate that is answered is opened."""
        gate = Gate(opened=False)
        self.halves.append(gate)
        pattern = f"/blobs/{sha256(blob)}"
        self.on("GET", pattern, lambda _: Reply(200, (), blob, gate=gate) if len(self.requests("GET", pattern)) > after else None)
        return gate

    def hold_back(self):
        with self.lock:
            free, self.blobs_free = self.blobs_free, max(0, self.blobs_free - 1)
        if not free:
            self.blobs_gate.go_through()

    def account(self, authorization):
        if self.accounts is None or not authorization.startswith("Basic "):
            return None
        name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
        known = self.accounts.get(name)
        return name if known and known[0] == password else None

    def allowed(self, account, repository):
        return self.accounts is None or repository in self.accounts[account][1]

    @staticmethod
    def json(document):
        return Reply(200, (("Content-Type", "application/json"),), json.dumps(document).encode())

    @staticmethod
    def error(status, code, headers=()):
        body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
        return Reply(status, (("Content-Type", "application/json"), *headers), body)
