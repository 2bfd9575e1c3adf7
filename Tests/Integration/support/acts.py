"""What a worker must not be able to do: each a system call of x86-64 with arguments for which it would do something, or would
at least be answered by itself, in a process that is not confined. None of them harms the machine it is tried on as root."""
import errno
import os
import signal
from dataclasses import dataclass, field

from .inject import INTERRUPT_80, SYSCALL, pack

NOWHERE = b"/nonexistent/tidewaiter"
READ, WRITE, EXECUTE, ANONYMOUS, PRIVATE = 1, 2, 4, 0x20, 2


@dataclass(frozen=True)
class Act:
    name: str
    number: int
    arguments: tuple = ()
    denied: str = "SIGSYS"
    instruction: bytes = field(default=SYSCALL)

    def outcome(self, subject):
        """In words: what the call came to in a process."""
        result = subject.call(self.number, *self.arguments, instruction=self.instruction)
        if result.signal:
            return signal.Signals(result.signal).name
        return errno.errorcode.get(result.errno, "done") if result.errno else "done"


def act(name, number, *arguments, **more):
    return Act(name, number, arguments, **more)


def socket(name, family, kind, protocol=0):
    return act(f"socket: {name}", 41, family, kind, protocol)


TEST = os.getpid()
IOVEC = pack("@QQ", 4096, 8)

ACTS = [
    act("open /etc/passwd", 2, b"/etc/passwd", 0),
    act("openat /proc/self/mem", 257, -100, b"/proc/self/mem", 2),
    act("openat2", 437, -100, b"/etc/passwd", pack("@QQQ", 0, 0, 0), 24),
    act("creat /dev/null", 85, b"/dev/null", 0o600),
    act("open_by_handle_at", 304, -100, pack("@II", 8, 1) + bytes(8), 0),
    act("name_to_handle_at", 303, -100, b"/etc", pack("@II", 0, 0), b"\0" * 8, 0),
    act("stat", 4, b"/etc/passwd", bytes(256)),
    act("newfstatat", 262, -100, b"/etc/passwd", bytes(256), 0),
    act("statx", 332, -100, b"/etc/passwd", 0, 0, bytes(256)),
    act("access", 21, b"/etc/passwd", 0),
    act("readlink /proc/self/exe", 89, b"/proc/self/exe", bytes(256), 255),
    act("getdents64", 217, 0, bytes(64), 64),
    act("getcwd", 79, bytes(256), 256),
    act("chdir /", 80, b"/"),
    act("mkdir", 83, NOWHERE, 0o700),
    act("rename", 82, NOWHERE, NOWHERE),
    act("unlink", 87, NOWHERE),
    act("link", 86, NOWHERE, NOWHERE),
    act("symlink", 88, b"x", NOWHERE),
    act("mknod", 133, NOWHERE, 0o600, 0),
    act("chmod", 90, NOWHERE, 0o777),
    act("chown", 92, NOWHERE, 0, 0),
    act("truncate", 76, NOWHERE, 0),
    act("setxattr", 188, NOWHERE, b"user.x", b"x", 1, 0),
    act("utimensat", 280, -100, NOWHERE, 0, 0),
    act("inotify_init1", 294, 0),
    act("fanotify_init", 300, 0, 0),
    socket("Unix stream", 1, 1), socket("Unix datagram", 1, 2), socket("TCP over IPv4", 2, 1),
    socket("UDP over IPv4", 2, 2), socket("raw IPv4", 2, 3, 1), socket("TCP over IPv6", 10, 1), socket("UDP over IPv6", 10, 2),
    socket("netlink", 16, 3), socket("packet", 17, 3), socket("vsock", 40, 1), socket("crypto", 38, 5),
    act("socketpair", 53, 1, 1, 0, bytes(8)),
    act("connect", 42, 0, pack("@HH4s8x", 2, 0x5000, bytes([127, 0, 0, 1])), 16),
    act("bind", 49, 0, pack("@HH4s8x", 2, 0, bytes(4)), 16),
    act("accept4", 288, 0, 0, 0, 0),
    act("sendto", 44, 1, b"x", 1, 0, 0, 0),
    act("sendmsg with a descriptor", 46, 1, bytes(56), 0),
    act("recvmsg", 47, 0, bytes(56), 0x40),
    act("getsockopt", 55, 0, 1, 17, bytes(16), pack("@I", 12)),
    act("execve /bin/true", 59, b"/bin/true", 0, 0),
    act("execveat /bin/true", 322, -100, b"/bin/true", 0, 0, 0),
    act("fork", 57),
    act("vfork", 58),
    act("clone: a process", 56, signal.SIGCHLD, 0, 0, 0, 0),
    act("clone: a thread", 56, 0x50F00, 0, 0, 0, 0),
    act("clone3", 435, pack("@Q", 0) + bytes(24) + pack("@Q", signal.SIGCHLD) + bytes(24), 64, denied="ENOSYS"),
    act("wait4", 61, -1, 0, 1, 0),
    act("ptrace: seize the parent", 101, 0x4206, TEST, 1, 0),  # with an argument that there is not: it must not come true
    act("kill the parent", 62, TEST, 0),
    act("kill all", 62, -1, 0),
    act("tkill the parent", 200, TEST, 0),
    act("tgkill the parent", 234, TEST, TEST, 0),
    act("rt_sigqueueinfo to the parent", 129, TEST, 0, pack("@iii", 0, 0, -1) + bytes(116)),
    act("pidfd_open the parent", 434, TEST, 0),
    act("pidfd_getfd", 438, 0, 0, 0),
    act("pidfd_send_signal", 424, 0, 0, 0, 0),
    act("process_vm_readv of the parent", 310, TEST, IOVEC, 1, IOVEC, 1, 0),
    act("process_vm_writev of the parent", 311, TEST, IOVEC, 1, IOVEC, 1, 0),
    act("process_madvise", 440, 0, IOVEC, 1, 4, 0),
    act("kcmp with the parent", 312, TEST, TEST, 0, 0, 0),
    act("migrate_pages of the parent", 256, TEST, 0, 0, 0),
    act("setpriority of the parent", 141, 0, TEST, 0),
    act("sched_setaffinity of the parent", 203, TEST, 8, b"\xff" * 8),
    act("mmap to execute", 9, 0, 4096, READ | EXECUTE, PRIVATE | ANONYMOUS, -1, 0),
    act("mmap to write and execute", 9, 0, 4096, READ | WRITE | EXECUTE, PRIVATE | ANONYMOUS, -1, 0),
    act("mmap a descriptor", 9, 0, 4096, READ, PRIVATE, 0, 0),
    act("mmap 2 GiB", 9, 0, 2 << 30, READ | WRITE, PRIVATE | ANONYMOUS, -1, 0, denied="ENOMEM"),
    act("mprotect to execute", 10, 0, 4096, READ | EXECUTE),
    act("mprotect to write", 10, 0, 4096, READ | WRITE),
    act("pkey_mprotect to execute", 329, 0, 4096, READ | EXECUTE, -1),
    act("remap_file_pages", 216, 0, 4096, 0, 0, 0),
    act("madvise", 28, 0, 4096, 4),
    act("mlock", 149, 0, 0),
    act("mlockall", 151, 1),
    act("memfd_create", 319, b"x", 0),
    act("memfd_secret", 447, 0),
    act("userfaultfd", 323, 1),
    act("io_uring_setup", 425, 1, bytes(120)),
    act("io_uring_enter", 426, 0, 0, 0, 0, 0, 0),
    act("io_setup", 206, 1, bytes(8)),
    act("bpf", 321, 0, bytes(64), 64),
    act("perf_event_open", 298, pack("@II", 1, 112) + bytes(104), 0, -1, -1, 0),
    act("keyctl", 250, 0, -3, 0, 0, 0),
    act("add_key", 248, b"user", b"x", b"x", 1, -2),
    act("request_key", 249, b"user", b"x", 0, 0),
    act("mount", 165, 0, NOWHERE, b"tmpfs", 0, 0),
    act("umount2", 166, NOWHERE, 0),
    act("pivot_root", 155, NOWHERE, NOWHERE),
    act("chroot", 161, b"/"),
    act("open_tree", 428, -100, NOWHERE, 0),
    act("fsopen", 430, b"tmpfs", 0),
    act("unshare: a user namespace", 272, 0x10000000),
    act("unshare: a mount namespace", 272, 0x20000),
    act("setns", 308, 0, 0),
    act("setuid 0", 105, 0),
    act("setgid 0", 106, 0),
    act("setresuid 0", 117, 0, 0, 0),
    act("setgroups", 116, 0, 0),
    act("setfsuid 0", 122, 0),
    act("capset", 126, pack("@II", 0x20080522, 0), bytes(24)),
    act("prctl: be dumpable again", 157, 4, 1, 0, 0, 0),
    act("prctl: outlive the parent", 157, 1, 0, 0, 0, 0),
    act("prctl: another filter", 157, 22, 2, 0, 0, 0),
    act("seccomp: another filter", 317, 1, 0, 0),
    act("landlock_create_ruleset", 444, 0, 0, 1),
    act("personality", 135, 0xFFFFFFFF),
    act("arch_prctl", 158, 0x1003, bytes(8)),
    act("modify_ldt", 154, 0, bytes(16), 16),
    act("setrlimit: more address space", 160, 9, pack("@QQ", 1 << 40, 1 << 40)),
    act("prlimit64: more CPU time", 302, 0, 0, pack("@QQ", 1 << 20, 1 << 20), 0),
    act("prlimit64 of the parent", 302, TEST, 0, 0, bytes(16)),
    act("setsid", 112),
    act("setpgid", 109, 0, 0),
    act("read another descriptor", 0, 5, bytes(16), 16),
    act("write to another descriptor", 1, 5, b"x", 1),
    act("write to the input", 1, 0, b"", 0),
    act("writev", 20, 1, IOVEC, 1),
    act("pwrite64", 18, 1, b"x", 0, 0),
    act("dup", 32, 1),
    act("dup2", 33, 1, 9),
    act("fcntl", 72, 1, 3),
    act("ioctl", 16, 0, 0x541B, bytes(8)),
    act("pipe2", 293, bytes(8), 0),
    act("eventfd2", 290, 0, 0),
    act("epoll_create1", 291, 0),
    act("timerfd_create", 283, 0, 0),
    act("signalfd4", 289, -1, bytes(8), 8, 0),
    act("splice", 275, 0, 0, 1, 0, 0, 2),
    act("vmsplice", 278, 1, IOVEC, 0, 2),
    act("sendfile", 40, 1, 0, 0, 0),
    act("close", 3, 9),
    act("poll", 7, 0, 0, 0),
    act("nanosleep", 35, pack("@QQ", 0, 1), 0),
    act("pause by futex", 202, bytes(8), 128, 0, pack("@QQ", 0, 1), 0, 0),
    act("rt_sigaction", 13, signal.SIGSYS, 0, 0, 8),
    act("rt_sigreturn", 15, denied="SIGSYS"),
    act("sigaltstack", 131, 0, 0),
    act("alarm", 37, 0),
    act("setitimer", 38, 0, bytes(32), 0),
    act("timer_create", 222, 0, 0, bytes(8)),
    act("shmget", 29, 0, 4096, 0o1600),
    act("semget", 64, 0, 1, 0o1600),
    act("msgget", 68, 0, 0o1600),
    act("mq_open", 240, b"tidewaiter", 0, 0, 0),
    act("uname", 63, bytes(512)),
    act("sysinfo", 99, bytes(128)),
    act("syslog", 103, 10, 0, 0),
    act("sethostname", 170, b"x", -1),
    act("settimeofday", 164, 0, 0),
    act("clock_settime", 227, 0, 0),
    act("reboot", 169, 0, 0, 0, 0),
    act("kexec_load", 246, 0, 1 << 20, 0, 0),
    act("init_module", 175, 0, 0, b""),
    act("finit_module", 313, -1, b"", 0),
    act("delete_module", 176, b"tidewaiter-none", 0),
    act("swapon", 167, NOWHERE, 0),
    act("acct", 163, NOWHERE),
    act("quotactl", 179, 0, NOWHERE, 0, 0),
    act("iopl", 172, 0),
    act("ioperm", 173, 0, 1, 0),
    act("a call of the 32-bit kind (int 0x80)", 20, instruction=INTERRUPT_80),
    act("a call of the x32 kind", 0x40000000 | 39),
    act("a call that there is not", 1023),
]
