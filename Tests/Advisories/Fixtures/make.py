#!/usr/bin/python3
"""Makes the archives beside this file: small.zip (deflate), stored.zip, wide.zip (zip64) and small.bundle, all of the
same records, as Python's zipfile writes them."""
import json, os, struct, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))


def affected(ecosystem, name, *events, **more):
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}], **more}


RECORDS = {
    "DEMO-1.json": {
        "schema_version": "1.7.0", "id": "DEMO-1", "modified": "2024-02-01T00:00:00Z", "published": "2024-01-01T00:00:00Z",
        "upstream": ["CVE-2024-0001"], "summary": "A flaw in the archiver",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [
            affected("Debian:12", "tar", {"introduced": "0"}, {"fixed": "1.34+dfsg-1.2+deb12u1"}),
            affected("Debian:11", "tar", {"introduced": "0"}),
        ],
        "references": [{"type": "WEB", "url": "https://example.org/1"}], "an_unknown_field": {"deep": [1, 2, 3]},
    },
    "DEMO-2.json": {
        "id": "DEMO-2", "modified": "2024-02-02T00:00:00.5Z", "related": ["CVE-2024-0002", "OTHER-1"],
        "affected": [affected("Alpine:v3.18", "openssl", {"introduced": "0"}, {"fixed": "3.1.5-r0"})],
    },
    "DEMO-3.json": {
        "id": "DEMO-3", "modified": "2024-02-03T00:00:00Z", "withdrawn": "2024-02-04T00:00:00Z",
        "affected": [affected("Debian:12", "tar", {"introduced": "0"})],
    },
    "DEMO-4.json": {
        "id": "DEMO-4", "modified": "2024-02-05T00:00:00Z",
        "affected": [
            affected("PyPI", "Ruamel_.yaml", {"introduced": "0"}, versions=["0.1"]),
            {"package": {"ecosystem": "PyPI", "name": "commits-only"},
             "ranges": [{"type": "GIT", "repo": "https://example.org/r", "events": [{"introduced": "0"}]}]},
        ],
    },
    "../outside.json": {
        "id": "DEMO-5", "modified": "2024-02-05T00:00:00Z",
        "affected": [affected("Rocky Linux:9", "tar", {"introduced": "0"}, {"fixed": "2:1.34-6.el9_1"})],
    },
}


def archive(name, method, wide=False):
    with zipfile.ZipFile(os.path.join(HERE, name), "w", method) as out:
        def add(entry, text):
            info = zipfile.ZipInfo(entry, (2024, 2, 1, 0, 0, 0))
            info.compress_type = method
            with out.open(info, "w", force_zip64=wide) as stream:
                stream.write(text)
        if not wide:
            add("folder/", b"")
            add("modified_id.csv", b"2024-02-05T00:00:00Z,DEMO-4\n")
        for entry, record in RECORDS.items():
            add(entry, json.dumps(record, indent=2).encode())


archive("small.zip", zipfile.ZIP_DEFLATED)
archive("stored.zip", zipfile.ZIP_STORED)
# Beyond these limits zipfile writes zip64 fields and end records.
zipfile.ZIP64_LIMIT = zipfile.ZIP_FILECOUNT_LIMIT = 2
archive("wide.zip", zipfile.ZIP_DEFLATED, wide=True)
# zipfile repeats the numbers in the plain end record where they fit; larger archives have all ones there.
with open(os.path.join(HERE, "wide.zip"), "r+b") as wide:
    wide.seek(-14, os.SEEK_END)
    wide.write(b"\xff" * 12)
with open(os.path.join(HERE, "small.bundle"), "wb") as bundle:
    bundle.write(b"TWOSVB1\n")
    for entry, record in RECORDS.items():
        text = json.dumps(record, indent=2).encode()
        bundle.write(struct.pack(">I", len(entry)) + entry.encode() + struct.pack(">Q", len(text)) + text)
