"""A client that asks a simulator by any of its names, and follows nothing."""
import base64
import http.client
import json
import socket
import ssl
import urllib.parse
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict  # names in lower case
    body: bytes

    @property
    def document(self):
        return json.loads(self.body)


class Browser:
    def __init__(self, simulator):
        self.simulator = simulator

    def __call__(self, method, url, headers=None, body=None):
        """`url` is absolute, with a name that the simulator answers to; a port is one of its own or as good as none. A
        header of None is left out."""
        parts = urllib.parse.urlsplit(url)
        port = parts.port if parts.port in self.simulator.ports else self.simulator.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.simulator.ca_file)
            connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30), server_hostname=parts.hostname)
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        usual = {"Host": parts.netloc, "User-Agent": "tidewaiter-tests"}
        if data is not None:
            usual["Content-Length"] = str(len(data))
        connection.putrequest(method, parts.path + ("?" + parts.query if parts.query else ""), skip_host=True, skip_accept_encoding=True)
        for name, value in (usual | (headers or {})).items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        try:
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def basic(name, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def bearer(token):
    return {"Authorization": "Bearer " + token}
