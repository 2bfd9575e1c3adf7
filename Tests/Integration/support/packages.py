"""Writes package databases as apk and dpkg do."""

ALPINE_318 = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.18.9\nPRETTY_NAME="Alpine Linux v3.18"\n'
DEBIAN_12 = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
APK_PATH = "lib/apk/db/installed"
DPKG_PATH = "var/lib/dpkg/status"
DPKG_FOLDER = "var/lib/dpkg/status.d"


def apk(*packages):
    """An apk database of (name, version) or (name, version, origin)."""
    text = ""
    for name, version, *origin in packages:
        text += (f"C:Q1rlhl1ZEPjrjJqJ8oBXYVJ9ycWHk=\nP:{name}\nV:{version}\nA:x86_64\nS:1000\nI:4096\nT:a package\n"
                 f"U:https://example.test/\nL:MIT\no:{origin[0] if origin else name}\nF:usr/bin\nR:{name}\na:0:0:755\n\n")
    return text


def dpkg(*packages):
    """A dpkg status file of (name, version) or (name, version, source), the source as "name" or "name (version)"."""
    return "".join(stanza(*package) + "\n" for package in packages)


def stanza(name, version, source=None):
    return (f"Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: misc\nInstalled-Size: 4\n"
            f"Maintainer: Nobody <nobody@example.test>\nArchitecture: amd64\n"
            + (f"Source: {source}\n" if source else "")
            + f"Version: {version}\nDescription: a package\n with a long text\n .\n of two parts\n")


def alpine(*packages):
    """The files of an Alpine 3.18 image with these packages."""
    return {"etc/": None, "etc/os-release": ALPINE_318, APK_PATH: apk(*packages)}


def debian(*packages):
    """The files of a Debian 12 image with these packages."""
    return {"etc/": None, "etc/os-release": DEBIAN_12, DPKG_PATH: dpkg(*packages)}
