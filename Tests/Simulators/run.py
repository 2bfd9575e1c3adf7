#!/usr/bin/python3
"""Starts a simulated registry product to try Tidewaiter against, and prints what to type.

    Tests/Simulators/run.py VENDOR [--port N] [--folder F] [--registry URL] [--quiet]

Without VENDOR it lists them. Requests and violations are written to standard error as they come. It runs until it is
interrupted.
"""
import argparse
import contextlib
import signal
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Integration")]

from simulators.vendors import VENDORS, simulator  # noqa: E402
from support.registry import Registry  # noqa: E402


def instructions(product, registry):
    lines = [f"{product.vendor} is simulated on 127.0.0.1:{product.port}, before the docker-registry {registry}", ""]
    lines += ["In the daemon's configuration:", "", "  resolve:"]
    lines += [f"    - {one}" for one in product.resolve] + [""]
    (product.folder / "secret").write_text(product.secret)
    (product.folder / "secret").chmod(0o600)
    for who in ("full", "minimum", "wrong"):
        integration = product.integration(who)
        flags = " ".join(f"'{one}'" if set("$+* ") & set(one) else one for one in integration.flags)
        if integration.secret is not None:
            source = product.folder / "secret"
            if integration.secret != product.secret:
                source = product.folder / f"secret-{who}"
                source.write_text(integration.secret)
                source.chmod(0o600)
            flags += f" < {source}"
        lines += [f"As a user with {who} credentials:" if who == "wrong" else f"As a user with {who} rights:", "",
                  f"  tidewaiter integration add {product.vendor}-{who} {flags}", ""]
    trust = f"--cacert {product.ca_file} " if product.ca_file else ""
    there = f"{trust}{product.scheme}://127.0.0.1:{product.port}/_sim/"
    lines += ["Its state, and an order to fail (README.md lists them):", "", f"  curl {there}",
              f"  curl {there}faults -d '" + '{"kind": "status", "status": 429, "retry_after": 3, "after": 2}' + "'", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vendor", nargs="?", choices=sorted(VENDORS))
    parser.add_argument("--port", type=int, default=0, help="the product's port (any free one)")
    parser.add_argument("--folder", type=Path, help="where certificates, secrets and the registry's data go (a temporary one)")
    parser.add_argument("--registry", metavar="URL", help="a docker-registry to stand before, with what it holds (one of its own, with samples)")
    parser.add_argument("--quiet", action="store_true", help="print no requests")
    options = parser.parse_args()
    if options.vendor is None:
        print("VENDOR is one of " + ", ".join(sorted(VENDORS)))
        return
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidewaiter-simulator-")))
        url = options.registry or stack.enter_context(Registry(folder / "registry")).url
        product = stack.enter_context(simulator(options.vendor)(folder, url, port=options.port))
        if options.registry:
            product.content.learn()
        else:
            product.fill()
        product.verbose = not options.quiet
        print(instructions(product, url), flush=True)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()


main()
