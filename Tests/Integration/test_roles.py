"""Who may call what: every method, called as everybody who matters."""
import dataclasses
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from support.ttrpc import Caller, Connection, call_as
from support.waiting import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"),
                                reason="becoming other users needs root and setpriv")

ROLES = ["none", "viewer", "operator", "admin"]
# Users and groups that no system has a name for, and the one that Debian calls nobody.
STRANGER, OWN, NAMED, NOBODY = 61500, 61400, 61410, 65534
GROUPS = {"viewer": 61003, "operator": 61002, "admin": 61001}
OTHER_GROUP = 61009

ACCESS = f"""access:
  adminGroups: [{GROUPS["admin"]}]
  operatorGroups: ["{GROUPS["operator"]}"]
  viewerGroups: [{GROUPS["viewer"]}]
  operatorUsers: [{NAMED}]
"""


@pytest.fixture
def configured(make_daemon, tmp_path):
    """Makes a started daemon with a settings file, on a socket that others can get at."""
    def make(text, binaries=None, owner=None):
        path = tmp_path / "tidewaiterd.yaml"
        path.write_text(text)
        daemon = make_daemon("--config", str(path))
        if binaries:
            daemon.binaries = binaries
        daemon.folder.chmod(0o755)
        if owner:
            os.chown(daemon.folder, owner, owner)
            for parent in [tmp_path, *tmp_path.parents][:3]:
                parent.chmod(0o755)
        daemon.settings = path
        return daemon.start()
    return make


def calls_of(daemon):
    """Each method with an empty request: harmless, and refused for its emptiness where it is let in."""
    with Caller(daemon.socket) as caller:
        roles = {name: one.role for name, one in caller.schema.roles.items()}
        assert set(roles) == set(caller.schema.methods), "the schema and the list of methods differ"
        assert set(roles.values()) == {"viewer", "operator", "admin"}
        calls = [(name, b"", caller.schema.methods[name].server_streaming) for name in roles]
        assert {name.partition("/")[2] for name, _, streams in calls if streams} >= {
            "Watch", "WatchEvents", "WatchJobs", "WatchPoll", "WatchImport"}
        return calls, roles


def check(outcomes, calls, roles, role):
    assert isinstance(outcomes, list), f"could not connect: {outcomes}"
    for (method, _, _), (code, reason, hint) in zip(calls, outcomes, strict=True):
        if ROLES.index(role) >= ROLES.index(roles[method]):
            assert code != "PERMISSION_DENIED", f"{method} was refused to {role}"
        else:
            assert (code, reason) == ("PERMISSION_DENIED", "ROLE_NEEDED"), f"{method} was let in for {role}: {code}"
            assert f"access.{roles[method]}Groups" in hint, hint


def check_holders(daemon, calls, roles):
    """Root, the members of each role's group, be it their primary one or not, and a user that is named."""
    check(call_as(daemon.socket, calls, 0, 0), calls, roles, "admin")
    for role, group in GROUPS.items():
        check(call_as(daemon.socket, calls, STRANGER, group), calls, roles, role)
        check(call_as(daemon.socket, calls, STRANGER, OTHER_GROUP, [OTHER_GROUP + 1, group]), calls, roles, role)
    check(call_as(daemon.socket, calls, NAMED, OTHER_GROUP), calls, roles, "operator")


def test_every_method_as_everybody(configured):
    daemon = configured(ACCESS)
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660
    calls, roles = calls_of(daemon)
    check_holders(daemon, calls, roles)
    for user in (STRANGER, NOBODY):
        assert call_as(daemon.socket, calls, user, OTHER_GROUP) == "PermissionError"


def test_every_method_as_everybody_on_a_widened_socket(configured):
    daemon = configured("socketMode: 0666\n" + ACCESS)
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o666
    calls, roles = calls_of(daemon)
    check_holders(daemon, calls, roles)
    for user in (STRANGER, NOBODY):
        check(call_as(daemon.socket, calls, user, OTHER_GROUP), calls, roles, "none")


def test_denials_are_told(configured):
    daemon = configured("socketMode: 0666\n" + ACCESS)
    calls, _ = calls_of(daemon)
    call_as(daemon.socket, calls, STRANGER, OTHER_GROUP)
    # In the log and in the event log: some of them, and how many more there were.
    assert f"uid={STRANGER}" in daemon.tail() and "call denied" in daemon.log.read_text()

    def denials():
        with Caller(daemon.socket) as caller:
            return [event for event in caller.open("tidewaiter.v1.System/WatchEvents") if event.kind == "call.denied"]
    found = eventually(lambda: len(denials()) >= 10 and denials(), "denials to be recorded")
    assert {event.actor for event in found} == {f"uid:{STRANGER}"} and len(found) <= 11


def test_the_daemons_own_user(configured, binaries, tmp_path):
    """A daemon without privileges: its user is an admin, and so is root; and it cannot be looked into."""
    # Copies, since a checkout may lie where others cannot look.
    programs = {name: tmp_path / Path(path).name for name, path in dataclasses.asdict(binaries).items()}
    for name, copy in programs.items():
        shutil.copy(getattr(binaries, name), copy)
        copy.chmod(0o755)
    wrapper = tmp_path / "as-own-user"
    wrapper.write_text(
        f'#!/bin/sh\nexec setpriv --reuid={OWN} --regid={OWN} --clear-groups "{programs["daemon"]}" "$@"\n')
    wrapper.chmod(0o755)
    daemon = configured(ACCESS, dataclasses.replace(binaries, daemon=str(wrapper)), OWN)
    calls, roles = calls_of(daemon)
    check(call_as(daemon.socket, calls, OWN, OWN), calls, roles, "admin")
    check_holders(daemon, calls, roles)
    assert call_as(daemon.socket, calls, STRANGER, OTHER_GROUP) == "PermissionError"
    process = f"/proc/{daemon.process.pid}"
    assert os.stat(f"{process}/environ").st_uid == 0, "the daemon is dumpable"
    assert subprocess.run(["setpriv", f"--reuid={OWN}", f"--regid={OWN}", "--clear-groups", "cat", f"{process}/environ"],
                          capture_output=True).returncode != 0


def test_without_settings_the_sockets_group_administers(configured):
    daemon = configured(f"socketGroup: {OTHER_GROUP}\n")
    assert daemon.socket.stat().st_gid == OTHER_GROUP
    calls, roles = calls_of(daemon)
    check(call_as(daemon.socket, calls, STRANGER, OTHER_GROUP), calls, roles, "admin")
    assert call_as(daemon.socket, calls, STRANGER, OTHER_GROUP + 1) == "PermissionError"


def test_roles_are_reloaded(configured):
    daemon = configured(ACCESS)
    ping = [("tidewaiter.v1.System/Ping", b"", False)]
    member = (STRANGER, OTHER_GROUP)
    assert call_as(daemon.socket, ping, *member) == "PermissionError"
    held = Connection(daemon.socket)
    with held:
        daemon.settings.write_text(ACCESS.replace(str(GROUPS["viewer"]), str(OTHER_GROUP)))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: call_as(daemon.socket, ping, *member) == [["OK", "", ""]], "the new viewers to be let in")
        assert call_as(daemon.socket, ping, STRANGER, GROUPS["viewer"]) == "PermissionError"
        # Who is connected stays connected.
        assert held.unary("tidewaiter.v1.System/Ping") == b""
    daemon.settings.write_text(ACCESS + "  viewerUsers: [no-such-user]\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "no user" in daemon.tail() and "no-such-user" in daemon.tail(), "the refusal of an unknown name")
    assert call_as(daemon.socket, ping, *member) == [["OK", "", ""]]


def test_unknown_names_stop_the_start(make_daemon, tmp_path):
    path = tmp_path / "tidewaiterd.yaml"
    path.write_text("access: {operatorGroups: [no-such-group]}\n")
    text = make_daemon("--config", str(path)).refuses_to_start()
    assert 'access.operatorGroups: no group "no-such-group" on this system' in text
    path.write_text("socketMode: 0777\n")
    assert "socketMode" in make_daemon("--config", str(path)).refuses_to_start()
