"""Has a process of any program make a system call of the test's choice, from where it stands: the program needs no code for
it, and what it confined itself to holds. By ptrace, as root, on x86-64."""
import ctypes
import os
import platform
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .waiting import eventually

POKEDATA, SINGLESTEP, GETREGS, SETREGS, ATTACH, SETOPTIONS, GETEVENTMSG = 5, 9, 12, 13, 16, 0x4200, 0x4201
# The stops of children and of a program that was replaced, and the end of what is traced with the test.
TRACE_FORK, TRACE_VFORK, TRACE_CLONE, TRACE_EXEC, EXIT_KILL = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 20
EVENTS = {1: "fork", 2: "vfork", 3: "clone", 4: "exec"}
ALL_THREADS = 0x40000000  # __WALL
REGISTERS = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
             "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs")
ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
ARGUMENTS_32 = ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp")
SYSCALL, INTERRUPT_80, LOOP = b"\x0f\x05", b"\xcd\x80", b"\xeb\xfe"

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def needs_injection():
    if platform.machine() != "x86_64":
        pytest.skip("knows the registers of x86-64 alone")
    if os.geteuid() != 0:
        pytest.skip("needs root to look into processes that hide")


def ptrace(request, pid, address=None, data=None):
    result = libc.ptrace(request, pid, address, data)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}: {os.strerror(ctypes.get_errno())}")
    return result


@dataclass(frozen=True)
class Result:
    """What came of a call: a value, or the signal that ended the process."""
    value: int = 0
    signal: int = 0

    @property
    def errno(self):
        return -self.value if -4096 < self.value < 0 else 0


class Injected:
    """A process that waits for its standard input, held there."""

    def __init__(self, pid, confined):
        self.pid, self.ended = pid, None

        def waits():
            if not Path(f"/proc/{pid}").exists():
                raise AssertionError("the process has ended")
            call = Path(f"/proc/{pid}/syscall").read_text().split()
            mode = Path(f"/proc/{pid}/status").read_text().split("Seccomp:\t")[1][0]
            return call[:2] == ["0", "0x0"] and (not confined or mode == "2")
        eventually(waits, "a process that waits for its input")
        ptrace(ATTACH, pid)
        os.waitpid(pid, ALL_THREADS)
        ptrace(SETOPTIONS, pid, None, TRACE_FORK | TRACE_VFORK | TRACE_CLONE | TRACE_EXEC | EXIT_KILL)

    def call(self, number, *arguments, instruction=SYSCALL):
        """Makes the call; bytes become a pointer to them. A child that comes of it is killed, and is the last of it."""
        if self.ended:
            return self.ended
        registers = self.registers()
        place = (registers["rsp"] - 8192) & ~15
        values = []
        for argument in arguments:
            if isinstance(argument, bytes):
                self.write(place, argument + b"\0")
                values.append(place)
                place += (len(argument) + 16) & ~15
            else:
                values.append(argument & 0xFFFFFFFFFFFFFFFF)
        changed = dict(registers)
        if instruction == SYSCALL:
            changed["rip"] -= len(SYSCALL)  # it stands behind the one that it waits in
        else:
            self.write(changed["rip"], instruction)
        changed |= {"rax": number, "orig_rax": 0xFFFFFFFFFFFFFFFF}
        changed |= dict(zip(ARGUMENTS if instruction == SYSCALL else ARGUMENTS_32, values))
        self.registers(changed)
        return self.step(registers)

    def step(self, registers):
        while True:
            ptrace(SINGLESTEP, self.pid)
            status = os.waitpid(self.pid, ALL_THREADS)[1]
            if not os.WIFSTOPPED(status):
                self.ended = Result(signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
                return self.ended
            event = EVENTS.get(status >> 16)
            if event == "exec":
                self.ended = Result(value=0)
                return self.ended
            if event:
                # Where it is a thread, that ends both.
                child = ctypes.c_ulong()
                ptrace(GETEVENTMSG, self.pid, None, ctypes.addressof(child))
                os.kill(child.value, signal.SIGKILL)
                os.waitpid(child.value, ALL_THREADS)
                self.ended = Result(value=child.value)
                return self.ended
            if os.WSTOPSIG(status) == signal.SIGTRAP:
                break
            if os.WSTOPSIG(status) in (signal.SIGSYS, signal.SIGSEGV, signal.SIGXFSZ):  # would end it
                self.ended = Result(signal=os.WSTOPSIG(status))
                return self.ended
        value = self.registers()["rax"]
        self.registers(registers | {"orig_rax": 0xFFFFFFFFFFFFFFFF})
        return Result(value - (1 << 64) if value >> 63 else value)

    def loop(self):
        """Has it run in a circle until it ends, and answers the signal."""
        registers = self.registers()
        self.write(registers["rip"], LOOP)
        self.registers(registers | {"orig_rax": 0xFFFFFFFFFFFFFFFF})
        ptrace(17, self.pid)  # DETACH
        return eventually(self.gone, "the process to end")

    def gone(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return pid and (os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1)

    def registers(self, new=None):
        memory = (ctypes.c_ulong * len(REGISTERS))(*(new or {}).values())
        ptrace(SETREGS if new else GETREGS, self.pid, None, ctypes.addressof(memory))
        return dict(zip(REGISTERS, memory))

    def write(self, place, data):
        """Also where the process itself may not."""
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(place)
            memory.write(data)


class Subject:
    """A program started for one call."""

    def __init__(self, command, confined, output=subprocess.PIPE):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL,
                                        env={"SWIFT_BACKTRACE": "enable=no", "LC_ALL": "C.UTF-8"})
        self.confined = confined

    def __enter__(self):
        try:
            self.injected = Injected(self.process.pid, self.confined)
        except BaseException:
            self.__exit__()
            raise
        return self.injected

    def __exit__(self, *_):
        self.process.kill()
        for file in (self.process.stdin, self.process.stdout):
            if file:
                file.close()
        # Reaped already where the call ended it.
        try:
            os.waitpid(self.process.pid, ALL_THREADS)
        except ChildProcessError:
            pass
        self.process.returncode = 0


def pack(form, *values):
    return struct.pack(form, *values)
