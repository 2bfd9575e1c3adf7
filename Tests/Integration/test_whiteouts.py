"""What a later layer removes is in no report; what stays is attributed to the layer that brought it."""
import pytest

from support import osv
from support.images import Link, image, layer, sha256
from support.packages import APK_PATH, DEBIAN_12, DPKG_FOLDER, DPKG_PATH, alpine, apk, debian, dpkg, stanza


@pytest.fixture
def scan(cli, registry, tmp_path, request):
    """Scans an image of layers of files after importing advisories on `libgone` and `libstays`; answers the report."""
    repository = "whiteouts/" + request.node.name.split("[")[0].replace("_", "-")
    ecosystems = ("Alpine:v3.18", "Debian:12")
    records = [osv.advisory(f"TEST-{package}-{number}", package, ecosystem)
               for package in ("libgone", "libstays") for number, ecosystem in enumerate(ecosystems)]
    cli.import_advisories(osv.archive(tmp_path / "all.zip", records))
    cli.add_integration("plain", registry.url)

    def scan(*layers):
        made = image([one if hasattr(one, "blob") else layer(one) for one in layers])
        registry.push(repository, made, "1")
        return cli.scan(f"plain/{repository}:1")
    return scan


def names(report):
    return {one["name"] for one in report["packages"]}


def affected(report):
    return {one["package"] for one in report["findings"] if one["kind"] == "vulnerability"}


def test_apk_database_rewritten(scan):
    base = layer(alpine(("libgone", "1.0-r0"), ("libstays", "2.0-r0")), created_by="ADD base")
    change = layer({APK_PATH: apk(("libstays", "2.0-r0"))}, created_by="RUN apk del libgone")
    report = scan(base, change)
    assert names(report) == {"libstays"} and affected(report) == {"libstays"}
    assert [one["createdBy"] for one in report["layers"]] == ["ADD base", "RUN apk del libgone"]
    # It was there before the second layer wrote the database anew.
    assert report["packages"][0]["layer"] == base.digest


def test_dpkg_status_rewritten(scan):
    report = scan(debian(("libgone", "1.0-1"), ("libstays", "2.0-1")), {DPKG_PATH: dpkg(("libstays", "2.0-1"))})
    assert names(report) == {"libstays"} and affected(report) == {"libstays"}


def test_dpkg_package_deinstalled_but_not_purged(scan):
    rest = stanza("libgone", "1.0-1").replace("install ok installed", "deinstall ok config-files")
    report = scan(debian(("libgone", "1.0-1"), ("libstays", "2.0-1")), {DPKG_PATH: rest + "\n" + dpkg(("libstays", "2.0-1"))})
    assert names(report) == {"libstays"} and affected(report) == {"libstays"}


def test_status_d_file_whited_out(scan):
    base = {"etc/os-release": DEBIAN_12} | {f"{DPKG_FOLDER}/{name}": stanza(name, "1.0-1") for name in ("libgone", "libstays")}
    report = scan(base, {f"{DPKG_FOLDER}/.wh.libgone": ""})
    assert names(report) == {"libstays"} and affected(report) == {"libstays"}


def test_status_d_folder_made_opaque(scan):
    base = {"etc/os-release": DEBIAN_12, f"{DPKG_FOLDER}/libgone": stanza("libgone", "1.0-1")}
    # The marker comes after its sibling: it hides what lower layers hold, not what its own layer brings.
    report = scan(base, {f"{DPKG_FOLDER}/libstays": stanza("libstays", "1.0-1"), f"{DPKG_FOLDER}/.wh..wh..opq": ""})
    assert names(report) == {"libstays"} and affected(report) == {"libstays"}


def test_whiteout_and_file_in_one_layer(scan):
    base = {"etc/os-release": DEBIAN_12, f"{DPKG_FOLDER}/libstays": stanza("libstays", "1.0-1")}
    report = scan(base, {f"{DPKG_FOLDER}/.wh.libstays": "", f"{DPKG_FOLDER}/libstays": stanza("libstays", "2.0-1")})
    assert [(one["name"], one["version"]) for one in report["packages"]] == [("libstays", "2.0-1")]


def test_whiteout_of_a_parent(scan):
    report = scan(alpine(("libgone", "1.0-r0")), {"lib/.wh.apk": ""})
    assert "libgone" not in names(report) and "libgone" not in affected(report)


def test_file_takes_the_place_of_a_directory(scan):
    report = scan(alpine(("libgone", "1.0-r0")), {"lib/apk": "a file now"})
    assert "libgone" not in names(report) and "libgone" not in affected(report)


def test_database_removed_is_told_of(scan):
    """Removing the database hides what is installed: a finding says how many packages vanished."""
    report = scan(alpine(("libgone", "1.0-r0"), ("libstays", "1.0-r0")), {"lib/apk/db/.wh.installed": ""})
    assert not names(report) and not affected(report)
    errors = [one for one in report["findings"] if one["kind"] == "error"]
    assert any("2" in one["title"] for one in errors), report["findings"]


def test_os_release_through_links(scan):
    """etc/os-release is a link in real images; it and its target may come in different layers."""
    files = debian(("libstays", "1.0-1"))
    del files["etc/os-release"]
    report = scan(files | {"etc/os-release": Link("../usr/lib/os-release")}, {"usr/lib/os-release": DEBIAN_12})
    assert report["os"]["id"] == "debian" and report["os"]["version"] == "12"
    assert affected(report) == {"libstays"}


def test_attribution_survives_a_same_named_package_with_a_new_version(scan):
    base = layer(alpine(("libstays", "1.0-r0"), ("libother", "1.0-r0")), created_by="ADD base")
    change = layer({APK_PATH: apk(("libstays", "2.0-r0"), ("libother", "1.0-r0"))}, created_by="RUN apk upgrade", compression="zstd")
    report = scan(base, change)
    assert {one["name"]: one["layer"] for one in report["packages"]} == {"libstays": sha256(change.blob), "libother": base.digest}
