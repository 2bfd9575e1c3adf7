"""Empties a program of all but what its build information is found by, and packs it: carve.py PROGRAM OUTPUT.gz

Headers, the tables of segments and sections, names, `.go.buildinfo` and `.dep-v0` stay in their places; before Go 1.18,
so does what the build information points to. Everything else becomes zeros. ELF, PE and Mach-O of 64 bits, and ELF of 32.
"""
import gzip
import struct
import sys

MAGIC = b"\xff Go buildinf:"


def elf_ranges(data):
    wide, order = data[4] == 2, "<>"[data[5] - 1]
    if wide:
        phoff, shoff, _, _, phsize, phnum, shsize, shnum, names = struct.unpack_from(order + "QQIHHHHHH", data, 32)
    else:
        phoff, shoff, _, _, phsize, phnum, shsize, shnum, names = struct.unpack_from(order + "IIIHHHHHH", data, 28)
    kept = [(0, 64), (phoff, phsize * phnum), (shoff, shsize * shnum)]

    def section(index):
        at = shoff + index * shsize
        name, = struct.unpack_from(order + "I", data, at)
        if wide:
            address, offset, size = struct.unpack_from(order + "QQQ", data, at + 16)
        else:
            address, offset, size = struct.unpack_from(order + "III", data, at + 12)
        return name, address, offset, size

    table = section(names)
    kept.append((table[2], table[3]))
    segments = []
    for index in range(phnum):
        at = phoff + index * phsize
        if struct.unpack_from(order + "I", data, at)[0] != 1:
            continue
        if wide:
            offset, address, _, size = struct.unpack_from(order + "QQQQ", data, at + 8)
        else:
            offset, address, _, size = struct.unpack_from(order + "IIII", data, at + 4)
        segments.append((address, offset, size))
    for index in range(shnum):
        name, _, offset, size = section(index)
        end = data.index(b"\0", table[2] + name)
        if data[table[2] + name:end] in (b".go.buildinfo", b".dep-v0"):
            kept.append((offset, size))
            if data[offset:offset + 14] == MAGIC and data[offset + 15] & 2 == 0:
                kept += pointed(data, offset, segments)
    return kept


def pointed(data, offset, segments):
    size, order = data[offset + 14], "<>"[data[offset + 15] & 1]
    kind = {4: "I", 8: "Q"}[size]

    def place(address):
        for start, at, length in segments:
            if start <= address < start + length:
                return address - start + at
        return None  # Of a program without modules the list has no bytes in the file.

    for pointer in struct.unpack_from(order + kind * 2, data, offset + 16):
        header = place(pointer)
        if header is None:
            continue
        start, length = struct.unpack_from(order + kind * 2, data, header)
        yield header, size * 2
        if length:
            yield place(start), length


def inline_ranges(data):
    """Of PE and Mach-O, as Go has written them since 1.18: the headers, and the build information with its two texts."""
    start = data.index(MAGIC)
    end = data.index(b"build\tGOOS=", start)
    return [(0, 4096), (start, data.index(b"\n", end) + 17 + 200 - start)]


def main():
    data = open(sys.argv[1], "rb").read()
    ranges = elf_ranges(data) if data[:4] == b"\x7fELF" else inline_ranges(data)
    carved = bytearray(len(data))
    for start, length in ranges:
        carved[start:start + length] = data[start:start + length]
    with open(sys.argv[2], "wb") as output:
        with gzip.GzipFile("", "wb", 9, output, mtime=0) as packed:
            packed.write(carved)


main()
