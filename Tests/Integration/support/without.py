#!/usr/bin/python3
"""Runs a program on a kernel that lacks something: a filter of system calls, as an old or a locked-down kernel has none, stays
in force for all that it starts.

    without.py landlock_create_ruleset=ENOSYS prctl:0=38=EINVAL -- PROGRAM…

Each: a system call, for one value of one of its arguments (the lower 32 bits) or for all, and the error that it fails with.
"""
import ctypes
import errno
import os
import platform
import struct
import sys

# Numbers of x86-64 and of aarch64, of calls that confine a process.
CALLS = {
    "capset": (126, 91), "close_range": (436, 436), "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446),
    "newfstatat": (262, 79), "prctl": (157, 167), "prlimit64": (302, 261), "seccomp": (317, 277), "setgroups": (116, 159),
    "setresuid": (117, 147), "setsid": (112, 157), "unshare": (272, 97)}
ARCHITECTURE = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
CALL, ARCH, ARGUMENTS = 0, 4, 16


def instruction(code, value, then=0, otherwise=0):
    return struct.pack("=HBBI", code, then, otherwise, value & 0xFFFFFFFF)


def case(spec, column):
    """The instructions for one failing call; what follows them is for all others."""
    call, *argument, error = spec.replace(":", "=").split("=")
    fail = instruction(RETURN, ERROR | getattr(errno, error))
    if argument:
        number, value = map(int, argument)
        fail = instruction(LOAD, ARGUMENTS + 8 * number) + instruction(JUMP_EQUAL, value, 0, 1) + fail
    length = len(fail) // 8
    return instruction(LOAD, CALL) + instruction(JUMP_EQUAL, CALLS[call][column], 0, length) + fail


def install(specs):
    column, architecture = ARCHITECTURE[platform.machine()]
    program = instruction(LOAD, ARCH) + instruction(JUMP_EQUAL, architecture, 1, 0) + instruction(RETURN, ALLOW)
    program += b"".join(case(spec, column) for spec in specs) + instruction(RETURN, ALLOW)
    code = ctypes.create_string_buffer(program, len(program))
    whole = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, whole):
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def command(*specs):
    """Words to put before a program's own."""
    return [sys.executable, __file__, *specs, "--"]


if __name__ == "__main__":
    split = sys.argv.index("--")
    install(sys.argv[1:split])
    os.execv(sys.argv[split + 1], sys.argv[split + 1:])
