"""The real docker-registry behind a simulator: kept connections, bodies streamed through."""
import asyncio
import urllib.parse

from .server import Response

# What passes through to the registry, and back.
REQUEST_HEADERS = ("accept", "range", "if-none-match")
RESPONSE_HEADERS = {"content-type", "content-length", "docker-content-digest", "docker-distribution-api-version", "etag",
                    "content-range", "accept-ranges", "cache-control"}
CHUNK_BYTES = 256 * 1024
IDLE_MAX = 32


class Upstream:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        assert parts.scheme == "http", "the registry behind a simulator is plain HTTP on loopback"
        self.url, self.host, self.port = url, parts.hostname, parts.port
        self.idle = []

    async def fetch(self, request, target):
        """The registry's answer to the request, for another target."""
        headers = [(name, value) for name, value in request.headers if name in REQUEST_HEADERS]
        head = f"{request.method} {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
        for attempt in range(2):
            reused = bool(self.idle)
            reader, writer = self.idle.pop() if reused else await asyncio.open_connection(self.host, self.port)
            try:
                writer.write(head.encode("latin-1"))
                lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
                break
            except (OSError, asyncio.IncompleteReadError):
                writer.close()
                if not reused or attempt:
                    raise
        status = int(lines[0].split(" ")[1])
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        known = {name.lower(): value for name, value in fields}
        response = Response(status, headers=[(name, value) for name, value in fields if name.lower() in RESPONSE_HEADERS])
        if request.method == "HEAD" or status in (204, 304):
            self.keep(reader, writer)
        elif "chunked" in known.get("transfer-encoding", ""):
            response.body = await self.chunked(reader)
            self.keep(reader, writer)
        else:
            length = int(known.get("content-length", 0))
            if length <= CHUNK_BYTES:
                response.body = await reader.readexactly(length)
                self.keep(reader, writer)
            else:
                response.body = self.stream(reader, writer, length)
        return response

    def keep(self, reader, writer):
        if len(self.idle) < IDLE_MAX:
            self.idle.append((reader, writer))
        else:
            writer.close()

    async def stream(self, reader, writer, length):
        try:
            while length:
                chunk = await reader.read(min(length, CHUNK_BYTES))
                if not chunk:
                    raise OSError("the registry broke off")
                length -= len(chunk)
                yield chunk
            self.keep(reader, writer)
        finally:
            if length:
                writer.close()

    @staticmethod
    async def chunked(reader):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body

    async def close(self):
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()
