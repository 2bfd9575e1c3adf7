"""A command at a terminal of its own, as a person sits at one."""
import os
import pty
import select
import signal
import termios

from .waiting import PATIENCE_SECONDS


class Terminal:
    """Runs a command with a pseudo-terminal as its standard input, output, error and controlling terminal."""

    def __init__(self, *command, environment=None):
        self.seen = b""  # everything it showed, echoes included
        self.unread = b""
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.execve(command[0], list(map(str, command)), os.environ | {"NO_COLOR": "1", "TERM": "xterm"} | (environment or {}))

    def expect(self, text):
        """Reads until `text` was shown, and answers what came up to its end."""
        text = text.encode()
        while text not in self.unread:
            assert self._read(), f"{text!r} was not shown, but {self.unread!r}"
        shown, _, self.unread = self.unread.partition(text)
        return (shown + text).decode(errors="replace")

    def answer(self, question, line, echo=True):
        """Waits for a question and answers it; checks that the terminal echoes, or does not."""
        shown = self.expect(question)
        rest = self.expect(": ")
        assert bool(termios.tcgetattr(self.master)[3] & termios.ECHO) == echo, f"echo after {question!r}"
        os.write(self.master, line.encode() + b"\n")
        return shown + rest

    def close_input(self):
        """What Control-D at the start of a line is."""
        os.write(self.master, b"\x04")

    def end(self):
        """Waits for the command's end; answers its exit code and what it showed since the last question."""
        while self._read():
            pass
        _, status = os.waitpid(self.process, 0)
        os.close(self.master)
        self.process = None
        return os.waitstatus_to_exitcode(status), self.unread.decode(errors="replace")

    def _read(self):
        if not select.select([self.master], [], [], PATIENCE_SECONDS)[0]:
            self.kill()
            raise AssertionError(f"nothing more was shown within {PATIENCE_SECONDS} s: {self.seen!r}")
        try:
            data = os.read(self.master, 65536)
        except OSError:  # what Linux says when the other side is closed
            return False
        self.seen += data
        self.unread += data
        return bool(data)

    def kill(self):
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            self.process = None
