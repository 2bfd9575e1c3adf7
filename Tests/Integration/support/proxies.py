"""Proxies from Debian on loopback: tinyproxy for HTTP, microsocks for SOCKS5."""
import re
import socket
import subprocess
from pathlib import Path

from .registry import STARTS_MAX, free_port
from .waiting import eventually


class ProxyProcess:
    """A proxy process on a port of its own, for `user` with `password` alone where these are given."""

    def __init__(self, folder, user=None, password=None):
        self.folder, self.user, self.password = Path(folder), user, password
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"
        self.process = self.port = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        for _ in range(STARTS_MAX):
            self.port = free_port()
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if eventually(lambda: self.process.poll() is not None or self.listens(), "the proxy to listen") \
                    and self.process.poll() is None:
                return self
        raise AssertionError("the proxy does not start: " + self.log.read_text()[-2000:])

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        except OSError:
            return False


class Tinyproxy(ProxyProcess):
    """Tunnels (CONNECT) and forwards."""

    def command(self):
        configuration = [
            f"Port {self.port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "MaxClients 50", "Timeout 60",
            "LogLevel Connect", f'LogFile "{self.folder / "tinyproxy.log"}"', "DisableViaHeader Yes"]
        if self.user:
            configuration.append(f"BasicAuth {self.user} {self.password}")
        (self.folder / "tinyproxy.conf").write_text("\n".join(configuration) + "\n")
        return ["tinyproxy", "-d", "-c", str(self.folder / "tinyproxy.conf")]

    @property
    def requests(self):
        """(method, target) of each request that came through."""
        text = (self.folder / "tinyproxy.log").read_text()
        return re.findall(r"Request \(file descriptor \d+\): (\S+) (\S+) HTTP", text)


class Microsocks(ProxyProcess):
    def command(self):
        account = ["-u", self.user, "-P", self.password] if self.user else []
        return ["microsocks", "-i", "127.0.0.1", "-p", str(self.port), *account]

    @property
    def requests(self):
        """(address, port) of each connection that was made."""
        return re.findall(r"connected to ([^:\s]+):(\d+)", self.log.read_text())
