"""The registry of many repositories and tags: it holds what its plan says, on every day and by both APIs."""
import hashlib
import http.client
import json
import socket

import pytest

from support.many_images import ManyImages

SHAPE = dict(repositories=120, tags=60, born=80, moved=60, gone=40, seed=7)


@pytest.fixture(scope="module", params=["plain", "harbor"])
def registry(request):
    with ManyImages(vendor=request.param, **SHAPE) as registry:
        registry.vendor = request.param
        registry.day = 2
        registry.go_to(registry.day)
        yield registry


def ask(registry, path, method="GET", headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def pages(registry, path, key):
    """Every name of a listing that is read by following its links."""
    while path:
        answer, body = ask(registry, path)
        assert answer.status == 200
        yield from json.loads(body)[key]
        link = answer.headers["link"]
        path = link and link.partition("<")[2].partition(">")[0]


def test_the_distribution_api_serves_the_plan(registry):
    repositories = list(pages(registry, "/v2/_catalog?n=50", "repositories"))
    assert repositories == sorted(set(repositories)) and len(repositories) == SHAPE["repositories"]
    served = {}
    for repository in repositories:
        tags = list(pages(registry, f"/v2/{repository}/tags/list?n=17", "tags"))
        assert tags == sorted(set(tags))
        for tag in tags:
            answer, _ = ask(registry, f"/v2/{repository}/manifests/{tag}", "HEAD")
            served[f"{repository}:{tag}"] = answer.headers["docker-content-digest"]
    assert served == {name: image.digest for name, image in registry.plan.images(registry.day).items()}


def test_every_digest_is_that_of_the_bytes(registry):
    image = registry.plan.images(registry.day)["project-0001/repository-000119:000050-stable"]
    path = f"/v2/{image.repository}"
    for reference in (image.tag, image.digest):
        answer, manifest = ask(registry, f"{path}/manifests/{reference}")
        assert "sha256:" + hashlib.sha256(manifest).hexdigest() == image.digest == answer.headers["docker-content-digest"]
        head, nothing = ask(registry, f"{path}/manifests/{reference}", "HEAD")
        assert nothing == b"" and head.headers["content-length"] == str(len(manifest))
        assert head.headers["content-type"] == json.loads(manifest)["mediaType"]
    blobs = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    for blob in blobs:
        _, content = ask(registry, f"{path}/blobs/{blob['digest']}")
        assert "sha256:" + hashlib.sha256(content).hexdigest() == blob["digest"] and len(content) == blob["size"]
    _, config = ask(registry, f"{path}/blobs/{blobs[0]['digest']}")
    assert json.loads(config)["created"] == image.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ask(registry, f"{path}/manifests/{image.tag}", headers={"If-None-Match": f'"{image.digest}"'})[0].status == 304


def test_what_was_moved_or_gone_is_still_there_by_digest(registry):
    before, after = registry.plan.images(0), registry.plan.images(registry.day)
    moved = [name for name in before if name in after and after[name].digest != before[name].digest]
    gone = [name for name in before if name not in after]
    assert moved and gone and len(after) > len(before) - len(gone)
    for name in (moved[0], gone[0]):
        image = before[name]
        assert ask(registry, f"/v2/{image.repository}/manifests/{image.digest}")[0].status == 200
    image = before[gone[0]]
    assert ask(registry, f"/v2/{image.repository}/manifests/{image.tag}")[0].status == 404


def test_harbor_lists_every_tag_with_digest_and_date(registry):
    if registry.vendor != "harbor":
        assert ask(registry, "/api/version")[0].status == 404
        return
    _, body = ask(registry, "/api/v2.0/projects?page=1&page_size=100&with_detail=false")
    assert [(one["name"], one["repo_count"]) for one in json.loads(body)] == [("project-0000", 100), ("project-0001", 20)]
    answer, body = ask(registry, "/api/v2.0/projects/project-0001/repositories?page=2&page_size=15")
    assert answer.headers["x-total-count"] == "20" and [one["name"] for one in json.loads(body)][-1] == "project-0001/repository-000119"
    served, page, total = {}, 1, 1
    while len(served) < total:
        answer, body = ask(registry, f"/api/v2.0/projects/project-0001/repositories/repository-000119/artifacts?page={page}&page_size=40")
        total, page = int(answer.headers["x-total-count"]), page + 1
        for one in json.loads(body):
            served[one["tags"][0]["name"]] = (one["digest"], one["extra_attrs"]["created"])
    assert served == {image.tag: (image.digest, image.created.strftime("%Y-%m-%dT%H:%M:%SZ"))
                      for image in registry.plan.images(registry.day).values() if image.repository.endswith("119")}
    assert ask(registry, "/api/v2.0/projects?page_size=101")[0].status == 422


def test_requests_are_counted_by_kind(registry):
    registry.reset()
    for method, path in (("GET", "/v2/"), ("HEAD", "/v2/project-0000/repository-000000/manifests/000000-stable"),
                         ("GET", "/v2/project-0000/repository-000000/tags/list"), ("GET", "/v2/nothing/tags/list")):
        ask(registry, path, method)
    counted = registry.requests()
    assert {kind: count for kind, count in counted["requests"].items() if count} == {"ping": 1, "manifestHead": 1, "tags": 2}
    assert (counted["total"], counted["refused"], counted["connections"]) == (4, 1, 5)


def test_a_layer_is_held_until_it_is_released(registry):
    layer = f"/v2/project-0000/repository-000002/blobs/{registry.plan.layer[1]}"
    registry.hold()
    with socket.create_connection(("127.0.0.1", registry.port), timeout=20) as connection:
        connection.sendall(f"GET {layer} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert ask(registry, layer, "HEAD")[0].status == 200  # nobody else waits
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.settimeout(20)
        registry.release()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert ask(registry, layer)[0].status == 200


def test_requests_that_come_together_are_answered_in_order(registry):
    with socket.create_connection(("127.0.0.1", registry.port), timeout=20) as connection:
        one = b"HEAD /v2/project-0000/repository-000001/manifests/%06d-build HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(b"".join(one % slot for slot in range(1, 41)) + b"GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    images = registry.plan.images(registry.day)
    expected = [images.get(f"project-0000/repository-000001:{slot:06}-build") for slot in range(1, 41)]
    found = [part for part in text.split("HTTP/1.1 ")[1:]]
    assert len(found) == 41 and found[-1].endswith("{}")
    for image, part in zip(expected, found):
        assert part.startswith("200") and image.digest in part if image else part.startswith("404")
