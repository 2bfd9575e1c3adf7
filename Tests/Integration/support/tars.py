"""Tar archives by their blocks, so that they can be wrong in every way; and other bytes that no tool would write."""
import io
import struct
import tarfile
import zipfile
import zlib

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name, size=0, kind=b"0", **fields):
    """One header block in GNU's format, whatever it claims."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.mode = size, kind, 0o644
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry.tobuf(tarfile.GNU_FORMAT)


def patched(block, offset, new):
    """A header block with other bytes at an offset, and the checksum that fits."""
    changed = block[:offset] + new + block[offset + len(new):]
    blank = changed[:148] + b" " * 8 + changed[156:]
    return changed[:148] + b"%06o\0 " % sum(blank[:BLOCK]) + changed[156:]


def named(name, **fields):
    """A header whose name is any bytes, up to 100."""
    return patched(header("x", **fields), 0, name.ljust(100, b"\0"))


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def file(name, data=b"", **fields):
    """A whole entry; the name may be bytes that are no text."""
    data = data.encode() if isinstance(data, str) else data
    if isinstance(name, bytes):
        return named(name, size=len(data), **fields) + padded(data)
    return header(name, len(data), **fields) + padded(data)


def files(contents):
    return b"".join(file(name, data) for name, data in contents.items() if data is not None)


def pax(records, kind=b"x"):
    """An extended header of {keyword: text or bytes}."""
    text = b""
    for key, value in records.items():
        rest = b" " + key.encode() + b"=" + (value.encode() if isinstance(value, str) else value) + b"\n"
        length = len(rest)
        while length != len(rest) + len(str(length)):
            length = len(rest) + len(str(length))
        text += str(length).encode() + rest
    return header("pax", len(text), kind) + padded(text)


def long_name(name):
    data = name.encode() + b"\0"
    return header("././@LongLink", len(data), b"L") + padded(data)


def link(name, target, kind=b"2"):
    return header(name, kind=kind, linkname=target)


def archive(*parts):
    return b"".join(parts) + END


# -- compressed

def gzip_member(data, level=6):
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def zstd_frame(data, window_log=20):
    """A frame of blocks that are not packed, which asks for a window; a power of two from 2 ^ 10 on."""
    blocks = [data[at:at + (64 << 10)] for at in range(0, len(data), 64 << 10)] or [b""]
    parts = [b"\x28\xb5\x2f\xfd\0", bytes([(window_log - 10) << 3])]
    for number, block in enumerate(blocks):
        parts += [struct.pack("<I", len(block) << 3 | (number == len(blocks) - 1))[:3], block]
    return b"".join(parts)


# -- archives of Java

def jar(members, method=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return made.getvalue()


def zipped(members):
    """An archive of (name, method, bytes as packed, bytes as they are) of any number; what packing costs is the caller's."""
    local, central, at = [], [], 0
    for name, method, packed, plain in members:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, zlib.crc32(plain), len(packed), len(plain), len(name), 0)
        local.append(b"PK\3\4" + fields + name + packed)
        central.append(b"PK\1\2\x14\0" + fields + struct.pack("<HHHII", 0, 0, 0, 0, at) + name)
        at += len(local[-1])
    directory, count = b"".join(central), len(central) & 0xFFFF
    return b"".join(local) + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), at, 0)


def module(artifact, version="1.0", **more):
    """A jar that says what it is."""
    return jar(properties(artifact, version) | more)


def properties(artifact, version="1.0"):
    path = f"META-INF/maven/org.example/{artifact}/pom.properties"
    return {path: f"groupId=org.example\nartifactId={artifact}\nversion={version}\n"}


# -- programs

def elf(sections, claimed=None, patch=()):
    """A program of 64 bits that has nothing but sections {name: bytes}; `claimed` is how many it says to have, and `patch`
    (offset, bytes) pairs change it afterwards."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in sections) + b".shstrtab\0"
    rows, data, at, name_at = [bytes(64)], b"", 64, 1
    for name, content in [*sections.items(), (".shstrtab", names)]:
        rows.append(struct.pack("<IIQQQQIIQQ", name_at, 1, 2, 0, at, len(content), 0, 0, 1, 0))
        data, at, name_at = data + content, at + len(content), name_at + len(name) + 1
    count = len(rows) if claimed is None else claimed
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, at, 0, 64, 56, 0, 64, count, len(rows) - 1)
    made = bytearray(head + data + b"".join(rows))
    for offset, new in patch:
        made[offset:offset + len(new)] = new
    return bytes(made)


def go_information(modules, version="go1.21.0"):
    """What Go's linker leaves in a section `.go.buildinfo`, since Go 1.18."""
    def counted(text):
        length, out = len(text), b""
        while length > 127:
            out, length = out + bytes([length & 127 | 128]), length >> 7
        return out + bytes([length]) + text

    lines = "path\texample.org/app\nmod\texample.org/app\t(devel)\t\n" + "".join(f"dep\t{name}\t{tag}\th1:x\n" for name, tag in modules)
    framed = b"0" * 16 + lines.encode() + b"0" * 16
    return b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16) + counted(version.encode()) + counted(framed)


# -- rpm's databases

def rpm_header(name, version="1.0", release="1", arch="x86_64", claimed=None):
    """A header as rpm's databases hold it; `claimed` is the number of entries that it says to have."""
    entries, data = b"", b""
    for tag, text in ((1000, name), (1001, version), (1002, release), (1022, arch)):
        entries += struct.pack(">IIII", tag, 6, len(data), 1)
        data += text.encode() + b"\0"
    return struct.pack(">II", len(entries) // 16 if claimed is None else claimed, len(data)) + entries + data
