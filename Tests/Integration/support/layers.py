"""The difference of two file trees as a layer, as image builders make it."""
import io
import tarfile


def difference(before, after):
    """Tar bytes that turn the tree of one open tar into that of another: what is new or changed, and whiteouts."""
    old, new = tree(before), tree(after)
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for name, entry in new.items():
            if name not in old or changed(before, old[name], after, entry):
                layer.addfile(entry, after.extractfile(entry) if entry.isreg() else None)
        for name in sorted(set(old) - set(new)):
            parent, _, last = name.rpartition("/")
            if not parent or parent in new:  # below a directory that is gone, its own whiteout says all
                layer.addfile(tarfile.TarInfo(f"{parent}/.wh.{last}".lstrip("/")))
    return output.getvalue()


def tree(archive):
    """{path: entry}; a hard link stands as the file it is, since its target may come in another layer."""
    given, found = {entry.name: entry for entry in archive}, {}
    for entry in archive:
        name = entry.name.removeprefix("./").strip("/")
        if name in ("", "."):
            continue
        if entry.islnk():
            target = given[entry.linkname]
            entry.type, entry.linkname, entry.size, entry.offset_data = tarfile.REGTYPE, "", target.size, target.offset_data
        entry.name = name
        found[name] = entry
    return found


def changed(before, old, after, new):
    def outside(entry):
        return entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.linkname
    return outside(old) != outside(new) or (
        old.isreg() and before.extractfile(old).read() != after.extractfile(new).read())
