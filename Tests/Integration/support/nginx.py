"""Debian's nginx in front of a registry: one process, a TLS server for each certificate."""
import os
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .registry import STARTS_MAX, free_port
from .waiting import eventually

PROGRAM = "/usr/sbin/nginx"


@dataclass(frozen=True)
class Request:
    connection: str
    protocol: str
    method: str
    path: str
    client: str  # the subject of the client's certificate


class Nginx:
    """Serves what `upstream` (an address) answers over TLS: `servers` are {name: (pair, authority of client certificates)}."""

    def __init__(self, folder, upstream, servers):
        self.folder, self.upstream, self.servers = Path(folder), upstream, servers
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process, self.ports = None, {}

    def url(self, name, host="127.0.0.1"):
        return f"https://{host}:{self.ports[name]}"

    def __enter__(self):
        for _ in range(STARTS_MAX):
            self.ports = {name: free_port() for name in self.servers}
            (self.folder / "nginx.conf").write_text(self.configuration())
            self.process = subprocess.Popen(
                [PROGRAM, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "error.log")],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if eventually(lambda: self.process.poll() is not None or self.listens(), "nginx to listen") \
                    and self.process.poll() is None:
                return self
        raise AssertionError("nginx does not start: " + (self.folder / "error.log").read_text()[-2000:])

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def listens(self):
        try:
            for port in self.ports.values():
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except OSError:
            return False

    def requests(self, name):
        """What was asked of one server so far. A log line is written after its answer."""
        lines = (self.folder / f"{name}.log").read_text().splitlines()
        return [Request(*re.fullmatch(r'(\d+) (\S+) (\S+) (\S+) "(.*)"', line).groups()) for line in lines]

    def configuration(self):
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "\n".join(f"{kind}_temp_path {self.folder}/{kind};"
                              for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""
            daemon off; worker_processes 1; {user} pid {self.folder}/pid;
            events {{ worker_connections 256; }}
            http {{
              {temporary}
              log_format connections '$connection $server_protocol $request_method $request_uri "$ssl_client_s_dn"';
              {"".join(self.server(name, *about) for name, about in self.servers.items())}
            }}"""

    def server(self, name, pair, clients=None):
        verify = f"ssl_verify_client on; ssl_client_certificate {clients.ca};" if clients else ""
        return f"""
              server {{
                listen 127.0.0.1:{self.ports[name]} ssl http2;
                ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key}; {verify}
                access_log {self.folder}/{name}.log connections;
                location / {{ proxy_pass {self.upstream}; proxy_set_header Host $http_host; }}
              }}"""
