"""Debian's docker-registry on loopback, as many and in whatever form a test needs."""
import contextlib
import json
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .images import Pusher
from .waiting import eventually

# 5000, the registry's usual port, may be taken by an installed service; every registry here gets a port of its own.
STARTS_MAX = 5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def closed_port():
    """A port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Registry:
    """One registry process over its own storage folder.

    `users` {name: password} asks for basic authentication; `authority` serves HTTPS with its certificate; `token` is a
    TokenServer to which the registry sends its clients.
    """

    def __init__(self, folder, users=None, authority=None, token=None):
        self.folder, self.users, self.authority, self.token = Path(folder), users or {}, authority, token
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process, self.port = None, None

    @property
    def url(self):
        return f"http{'s' if self.authority else ''}://127.0.0.1:{self.port}"

    @property
    def ca_file(self):
        return str(self.authority.ca) if self.authority else None

    def start(self):
        """Starts, or starts again on the same port."""
        for _ in range(STARTS_MAX):
            port = self.port or free_port()
            (self.folder / "config.yml").write_text(json.dumps(self.configuration(port)))  # JSON is YAML
            with open(self.folder / "log", "ab") as log:
                self.process = subprocess.Popen(
                    ["docker-registry", "serve", str(self.folder / "config.yml")], stdout=log, stderr=log,
                    stdin=subprocess.DEVNULL, env=os.environ | {"OTEL_TRACES_EXPORTER": "none"})
            # Another process may have taken the port in between: then this one ends, and the next try takes another.
            if eventually(lambda: self.process.poll() is not None or self.answers(port), "docker-registry to answer") \
                    and self.process.poll() is None:
                self.port = port
                return self
        raise AssertionError("docker-registry does not start: " + (self.folder / "log").read_text()[-2000:])

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def answers(self, port):
        context = ssl.create_default_context(cafile=self.ca_file) if self.authority else None
        try:
            urllib.request.urlopen(f"http{'s' if self.authority else ''}://127.0.0.1:{port}/v2/", timeout=5, context=context).close()
            return True
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False

    def configuration(self, port):
        http = {"addr": f"127.0.0.1:{port}"}
        if self.authority:
            http["tls"] = {"certificate": str(self.authority.certificate), "key": str(self.authority.key)}
        document = {
            "version": 0.1, "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}, "delete": {"enabled": True}},
            "http": http}
        if self.users:
            passwords = self.folder / "htpasswd"
            passwords.write_bytes(b"".join(
                subprocess.run(["htpasswd", "-Bin", "-C", "4", name], input=password.encode(), check=True, capture_output=True).stdout
                for name, password in self.users.items()))
            document["auth"] = {"htpasswd": {"realm": "test", "path": str(passwords)}}
        elif self.token:
            document["auth"] = {"token": self.token.configuration()}
        return document

    def pusher(self):
        if self.token:
            pusher = Pusher(self.url, ca_file=self.ca_file)
            pusher.headers["Authorization"] = "Bearer " + self.token.issue("pusher", "*")
            return pusher
        name, password = next(iter(self.users.items()), (None, None))
        return Pusher(self.url, name, password, self.ca_file)

    def push(self, repository, image, *tags):
        """Pushes under the tags (none: by digest alone); returns the digest."""
        return self.pusher().image(repository, image, tags)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
