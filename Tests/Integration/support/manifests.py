"""Manifests made by hand, of whatever form, for a ScriptedRegistry."""
import json

from .images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256


def descriptor(data, media_type=OCI_LAYER, **changes):
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)} | changes


def config_of(*layers):
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
        "type": "layers", "diff_ids": [one.diff_id for one in layers]}}).encode()


def put_manifest(registry, repository, tag, config, layers, blobs=(), config_type=OCI_CONFIG, **more):
    """A manifest of a config and descriptors of layers; `more` adds to it. Answers its digest."""
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config, config_type), "layers": layers}
    for blob in (config, *blobs):
        registry.blobs[repository, sha256(blob)] = blob
    return put_document(registry, repository, tag, document | more, OCI_MANIFEST)


def put_document(registry, repository, tag, document, media_type):
    """Any document as a manifest. Answers its digest."""
    data = json.dumps(document).encode()
    registry.manifests[repository, sha256(data)] = (data, media_type)
    registry.repositories.setdefault(repository, {})[tag] = sha256(data)
    return sha256(data)
