"""A ttrpc client of the tests' own: frames by hand, messages from the descriptors that the daemon tells."""
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

REQUEST, RESPONSE, DATA = 1, 2, 3
REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 1, 2, 4
DESCRIPTORS = "tidewaiter.v1.System/GetDescriptors"

CODES = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
         "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
         "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]


# -- protobuf, as far as the envelopes need it

def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """A text or bytes field; left out when it is empty."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data if data else b""


def fields(data):
    """The fields of a message as (number, value): bytes for what has a length, a number for varints."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
        elif key & 7 == 2:
            length = number()
            yield key >> 3, data[at:at + length]
            at += length
        else:
            raise AssertionError(f"wire type {key & 7} in an envelope")


class CallFailed(Exception):
    """A status other than OK."""

    def __init__(self, status):
        parts = list(fields(status))
        self.code = CODES[next((value for number, value in parts if number == 1), 0)]
        self.message = next((value for number, value in parts if number == 2), b"").decode()
        self.reason, self.hint, self.metadata = "", "", {}
        for number, detail in parts:
            if number == 3:
                self._take(dict(fields(detail)))
        super().__init__(f"{self.code} {self.reason}: {self.message}")

    def _take(self, detail):
        url, value = detail[1].decode(), list(fields(detail.get(2, b"")))
        if url.endswith("google.rpc.ErrorInfo"):
            self.reason = next(text for number, text in value if number == 1).decode()
            for number, entry in value:
                if number == 3:
                    entry = dict(fields(entry))
                    self.metadata[entry[1].decode()] = entry.get(2, b"").decode()
        elif url.endswith("google.rpc.Help"):
            self.hint = dict(fields(value[0][1]))[1].decode()


# -- the connection

class Connection:
    """One connection. Calls are made one after the other; a stream that is open holds up nothing."""

    def __init__(self, path, patience=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(patience)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.next_stream, self.waiting = 1, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, payload=b"", flags=0, timeout=0):
        """Begins a call; answers its stream's number."""
        service, _, name = method.partition("/")
        data = field(1, service) + field(2, name) + field(3, payload)
        if timeout:
            data += varint(4 << 3) + varint(int(timeout * 1e9))
        stream = self.next_stream
        self.next_stream += 2
        self.socket.sendall(struct.pack(">IIBB", len(data), stream, REQUEST, flags) + data)
        self.waiting[stream] = []
        return stream

    def receive(self, stream):
        """The next (kind, flags, data) of a stream."""
        while not self.waiting[stream]:
            length, other, kind, flags = struct.unpack(">IIBB", self._exactly(10))
            data = self._exactly(length)
            self.waiting.setdefault(other, []).append((kind, flags, data))
        return self.waiting[stream].pop(0)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the daemon closed the connection")
            data += more
        return data

    def unary(self, method, payload=b"", timeout=0):
        """The response's bytes; raises CallFailed."""
        stream = self.send(method, payload, timeout=timeout)
        kind, _, data = self.receive(stream)
        assert kind == RESPONSE, kind
        return response(data)

    def open(self, method, payload=b"", timeout=0):
        return self.send(method, payload, REMOTE_CLOSED, timeout)

    def next(self, stream):
        """The next message of a stream, None at its end; raises CallFailed."""
        kind, flags, data = self.receive(stream)
        if kind == RESPONSE:
            response(data)
            raise AssertionError("a stream ended with a response that says OK")
        return None if flags & NO_DATA else data

    def stream(self, method, payload=b""):
        """Every message of a server-streaming call."""
        stream = self.open(method, payload)
        while (message := self.next(stream)) is not None:
            yield message


def response(data):
    parts = dict(fields(data))
    if parts.get(1):
        raise CallFailed(parts[1])
    return parts.get(2, b"")


# -- messages by name

class Schema:
    """The messages and methods that a daemon serves, as it tells them."""

    def __init__(self, connection):
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
        told = list(fields(connection.unary(DESCRIPTORS)))
        self.version = next(value for number, value in told if number == 1).decode()
        files = descriptor_pb2.FileDescriptorSet.FromString(next(value for number, value in told if number == 2))
        pool = descriptor_pool.DescriptorPool()
        missing = {file.name: file for file in files.file}
        while missing:
            for name in [name for name, file in missing.items() if not any(d in missing for d in file.dependency)]:
                pool.Add(missing.pop(name))
        self.pool, self.files = pool, files
        make = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
        self.message = lambda name: make(pool.FindMessageTypeByName(name))
        self.methods = {}
        for file in files.file:
            for service in file.service:
                for method in service.method:
                    self.methods[f"{file.package}.{service.name}/{method.name}"] = method
        descriptors = self.message("tidewaiter.v1.Descriptors")
        self.roles = {one.name: one for one in descriptors.FromString(connection.unary(DESCRIPTORS)).methods}


class Caller:
    """Calls by name with keyword arguments, and answers messages."""

    def __init__(self, path, patience=60):
        self.connection = Connection(path, patience)
        self.schema = Schema(self.connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.__exit__()

    def request(self, method, arguments):
        return self.schema.message(self.schema.methods[method].input_type.lstrip("."))(**arguments).SerializeToString()

    def answer(self, method, data):
        return self.schema.message(self.schema.methods[method].output_type.lstrip(".")).FromString(data)

    def call(self, method, **arguments):
        return self.answer(method, self.connection.unary(method, self.request(method, arguments)))

    def open(self, method, **arguments):
        return Stream(self, method, self.connection.open(method, self.request(method, arguments)))


class Stream:
    """The messages of a server-streaming call."""

    def __init__(self, caller, method, number):
        self.caller, self.method, self.number = caller, method, number

    def __iter__(self):
        while (message := self.next()) is not None:
            yield message

    def next(self):
        data = self.caller.connection.next(self.number)
        return None if data is None else self.caller.answer(self.method, data)


# -- as somebody else

def call_as(path, calls, uid, gid, groups=()):
    """Makes each of `calls` (method, payload, streams) on one connection as another user, in a process of its own (given
    this file's text: the user need not be able to read it). Answers [code, reason, hint] for each, or the name of the
    error to connect."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={gid}",
               f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups",
               sys.executable, "-c", Path(__file__).read_text(), str(path)]
    wanted = json.dumps([(method, payload.hex(), streams) for method, payload, streams in calls])
    done = subprocess.run(command, input=wanted.encode(), capture_output=True, timeout=120,
                          env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def main(path, calls):
    try:
        connection = Connection(path)
    except OSError as error:
        return type(error).__name__
    outcomes = []
    for method, payload, streams in calls:
        try:
            if streams:
                # The first message, or the end, says that the call was let in.
                connection.next(connection.open(method, bytes.fromhex(payload)))
            else:
                connection.unary(method, bytes.fromhex(payload))
            outcomes.append(["OK", "", ""])
        except CallFailed as failure:
            outcomes.append([failure.code, failure.reason, failure.hint])
    return outcomes


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.load(sys.stdin))))
