"""HTTP/1.1 over asyncio in a thread of its own: several ports, TLS, keep-alive, answers from memory or streamed."""
import asyncio
import inspect
import json
import socket
import ssl
import threading
import urllib.parse
from dataclasses import dataclass, field
from functools import cached_property
from http.client import responses as REASONS

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 1024 * 1024


@dataclass
class Request:
    method: str
    target: str  # as it was sent, still encoded
    headers: list  # (name in lower case, value), in order
    body: bytes = b""
    port: int = 0  # of the listener
    scheme: str = "http"
    server_name: str = None  # what TLS was asked for

    @cached_property
    def raw_path(self):
        return self.target.partition("?")[0]

    @cached_property
    def path(self):
        """The path after one decoding, as a front server sees it."""
        return urllib.parse.unquote(self.raw_path)

    @cached_property
    def query(self):
        return urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def parameter(self, name, default=None):
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def header(self, name, default=""):
        values = self.header_lines(name)
        return ", ".join(values) if values else default

    def header_lines(self, name):
        return [value for key, value in self.headers if key == name]

    @cached_property
    def host(self):
        """The Host header without its port, in lower case."""
        name = self.header("host").lower()
        return name.rpartition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]

    @cached_property
    def origin(self):
        return f"{self.scheme}://{self.header('host')}"

    @property
    def line(self):
        return f"{self.method} {self.header('host')}{self.target}"

    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def json(self):
        """The body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass
class Response:
    status: int = 200
    body: object = b""  # bytes, or an asynchronous iterator of bytes; that needs a Content-Length among the headers
    headers: list = field(default_factory=list)
    cut: int = None  # send so many bytes of the body, then break the connection

    @staticmethod
    def json(document, status=200, headers=()):
        body = json.dumps(document, separators=(",", ":")).encode()
        return Response(status, body, [("Content-Type", "application/json"), *headers])

    @staticmethod
    def text(text, status=200, headers=(), content_type="text/plain; charset=utf-8"):
        return Response(status, text.encode(), [("Content-Type", content_type), *headers])

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Malformed(Exception):
    pass


class Server:
    """Calls `handler(request)`, which answers a Response or something to await for one, and `malformed(text)` for what is
    no request; all in one thread."""

    def __init__(self, handler, malformed):
        self.handler, self.malformed = handler, malformed
        self.loop = asyncio.new_event_loop()
        self.listeners, self.tasks = [], set()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def listen(self, port=0, context=None, address="127.0.0.1"):
        """Opens a port (0: any free one), with TLS if there is a context; answers its number."""
        if context is not None:
            context.sni_callback = remember_server_name
        return self.run(self.open(port, context, address))

    async def open(self, port, context, address):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        number = sock.getsockname()[1]
        scheme = "https" if context else "http"

        async def serve(reader, writer):
            task = asyncio.current_task()
            self.tasks.add(task)
            try:
                await self.serve(reader, writer, number, scheme)
            finally:
                self.tasks.discard(task)

        self.listeners.append(await asyncio.start_server(serve, sock=sock, ssl=context, limit=HEAD_BYTES_MAX, backlog=256))
        return number

    def run(self, coroutine):
        """Runs a coroutine in the server's thread, and waits for its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def stop(self):
        if self.loop.is_closed():
            return
        self.run(self.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def close(self):
        for listener in self.listeners:
            listener.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader, writer, port, scheme):
        secured = writer.get_extra_info("ssl_object")
        name = getattr(secured, "asked_name", None)
        try:
            while True:
                request = await self.receive(reader)
                request.port, request.scheme, request.server_name = port, scheme, name
                response = self.handler(request)
                if inspect.isawaitable(response):
                    response = await response
                if not await self.send(writer, request, response):
                    break
        except Malformed as problem:
            self.malformed(str(problem))
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side left, or the server ends
        finally:
            writer.close()

    @staticmethod
    async def receive(reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise Malformed("the head is too long") from None
        lines = head[:-4].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[1].startswith("/") or words[2] != "HTTP/1.1":
            raise Malformed(lines[0])
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise Malformed(line)
            headers.append((name.lower(), value.strip()))
        request = Request(words[0], words[1], headers)
        if request.header("transfer-encoding"):
            raise Malformed("a body without a length")
        length = request.header("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            raise Malformed(f"Content-Length: {length}")
        if int(length):
            request.body = await reader.readexactly(int(length))
        return request

    @staticmethod
    async def send(writer, request, response):
        """Writes the answer; False if the connection ends with it."""
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
        streamed = not isinstance(response.body, (bytes, bytearray))
        if not streamed and response.header("Content-Length") is None and response.status not in (204, 304):
            lines.append(f"Content-Length: {len(response.body)}")
        lines += [f"{name}: {value}" for name, value in response.headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if response.cut is not None and not streamed:
            writer.write(head + response.body[:response.cut])
            await writer.drain()
            return False
        if request.method == "HEAD" or response.status in (204, 304):
            writer.write(head)
            if streamed:
                await response.body.aclose()
        elif streamed:
            writer.write(head)
            async for chunk in response.body:
                writer.write(chunk)
                await writer.drain()
        else:
            writer.write(head + response.body)
        await writer.drain()
        return request.header("connection").lower() != "close"


def remember_server_name(secured, name, _):
    secured.asked_name = name


def tls_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    return context
