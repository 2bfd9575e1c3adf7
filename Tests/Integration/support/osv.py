"""Writes advisories in OSV form."""
import json
import zipfile


def advisory(identifier, package="libalpha", ecosystem="Alpine:v3.18", introduced="0", fixed=None, **more):
    """One record on one package. `more` overrides its fields; one given as None is left out."""
    events = [{"introduced": introduced}] + ([{"fixed": fixed}] if fixed else [])
    record = {
        "schema_version": "1.7.0", "id": identifier, "modified": "2024-05-01T00:00:00Z", "published": "2024-05-01T00:00:00Z",
        "summary": "A flaw in " + package, "details": "Long words about it.",
        "affected": [{"package": {"ecosystem": ecosystem, "name": package},
                      "ranges": [{"type": "ECOSYSTEM", "events": events}]}]}
    return {key: value for key, value in (record | more).items() if value is not None}


def archive(path, records, extra=None):
    """A zip as OSV.dev lays it out: one ID.json a record. `extra` adds entries {name: bytes} as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for record in records:
            file.writestr(record["id"] + ".json", json.dumps(record))
        for name, data in (extra or {}).items():
            file.writestr(name, data)
    return path


def folder(path, records):
    path.mkdir(parents=True, exist_ok=True)
    for record in records:
        (path / (record["id"] + ".json")).write_text(json.dumps(record))
    return path
