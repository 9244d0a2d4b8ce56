"""What the loopback hub answers: the routes that pulling, pushing and collections need of huggingface.co."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hub_contents import LARGE, Refusal

if TYPE_CHECKING:
    from hub_server import Handler

Answer = tuple[int, dict[str, str], bytes]


def _json(value: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _model_info(call: Handler, body: bytes, name: str, revision: str = "main") -> Answer:
    repository = call.hub.repositories.get(name)
    if repository is None or not repository.gated:  # a gated one still tells what it holds
        repository = call.readable(name)
    sha = call.revision(repository, revision) if repository.commits else None
    siblings = [{"rfilename": file} for file in repository.files(sha or "")]
    return _json({"_id": "0", "id": name, "sha": sha, "private": repository.private, "siblings": siblings})


def _resolve(call: Handler, body: bytes, name: str, revision: str, file: str) -> Answer:
    repository = call.readable(name)
    sha = call.revision(repository, revision)
    head = {"X-Repo-Commit": sha}
    if file not in repository.commits[sha]:
        raise Refusal(404, "Entry not found", "EntryNotFound", **head)
    content = repository.commits[sha][file]
    if not file.endswith(LARGE):
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return 200, head | {"ETag": f'"{blob}"'}, content
    oid = hashlib.sha256(content).hexdigest()
    call.hub.stored[oid], call.hub.names[oid] = content, file
    linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
    return 302, head | linked | {"Location": f"{call.hub.storage}/{oid}"}, b""


def _storage(call: Handler, body: bytes, oid: str) -> Answer:
    if "Authorization" in call.headers:
        raise Refusal(400, "the token was sent to another host")
    return 200, {"ETag": f'"{oid}"'}, call.hub.stored[oid]


def _store(call: Handler, body: bytes, oid: str) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        raise Refusal(400, "content does not match its hash")
    call.hub.stored[oid] = body
    return _json({})


def _create(call: Handler, body: bytes) -> Answer:
    wish, user = json.loads(body), call.user()
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    owner = wish.get("organization") or user
    name = f"{owner}/{wish['name']}"
    if owner != user:
        raise Refusal(403, f"You don't have the rights to create a model under the namespace {owner!r}")
    answer = {"url": f"{call.hub.address}/{name}"}
    if name in call.hub.repositories:
        return _json(answer | {"error": "You already created this model repo"}, 409)
    private = wish.get("visibility") == "private" or wish.get("private", False)  # huggingface_hub 1.0 says the second
    call.hub.add(name, {".gitattributes": b"*.pth filter=lfs\n"}, private=private)
    return _json(answer)


def _branch(call: Handler, body: bytes, name: str, branch: str) -> Answer:
    repository = call.writable(name)
    if branch in repository.branches:
        return _json({"error": "Reference already exists"}, 409)
    repository.branches[branch] = repository.branches["main"]
    return _json({}, 201)


def _preupload(call: Handler, body: bytes, name: str, revision: str) -> Answer:
    call.revision(call.writable(name), revision)
    paths = [file["path"] for file in json.loads(body)["files"]]
    modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
    return _json({"files": [{"path": p, "uploadMode": modes[p], "shouldIgnore": False, "oid": None} for p in paths]})


def _batch(call: Handler, body: bytes, name: str) -> Answer:
    call.writable(name)
    objects = [
        {"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": f"{call.hub.storage}/{o['oid']}"}}}
        for o in json.loads(body)["objects"]
    ]
    return _json({"transfer": "basic", "objects": objects})


def _commit(call: Handler, body: bytes, name: str, revision: str) -> Answer:
    repository = call.writable(name)
    call.revision(repository, revision)
    files: dict[str, bytes | None] = {}
    message = ""
    for line in body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header":
            message = value["summary"]
        elif item["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif item["key"] == "lfsFile":
            files[value["path"]] = call.hub.stored[value["oid"]]
        elif item["key"] == "deletedFile":
            files[value["path"]] = None
    sha = repository.commit(files, revision, message)
    return _json({"commitUrl": f"{call.hub.address}/{name}/commit/{sha}", "commitOid": sha})


def _validate_card(call: Handler, body: bytes) -> Answer:
    content = json.loads(body)["content"]
    if not re.match(r"---\n.*?\n---\n", content, re.DOTALL):
        return _json({"errors": [{"message": "no metadata"}]}, 400)
    return _json({"errors": [], "warnings": []})


def _collection(call: Handler, body: bytes, slug: str) -> Answer:
    if slug not in call.hub.collections:
        raise Refusal(404, "Collection not found")
    items = [
        {"_id": str(i), "id": name, "type": kind, "position": i}
        for i, (kind, name) in enumerate(call.hub.collections[slug])
    ]
    about = {"slug": slug, "title": slug, "owner": {"name": "owner"}, "lastUpdated": "2025-01-01T00:00:00.000Z"}
    return _json(about | {"items": items, "position": 0, "private": False, "theme": "blue", "upvotes": 0})


_NAME = r"(?P<name>[^/]+/[^/]+)"
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Answer]]] = [
    (("GET",), rf"/api/models/{_NAME}", _model_info),
    (("GET",), rf"/api/models/{_NAME}/revision/(?P<revision>[^/]+)", _model_info),
    (("GET", "HEAD"), rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _resolve),
    (("GET", "HEAD"), r"/storage/(?P<oid>\w+)", _storage),
    (("PUT",), r"/storage/(?P<oid>\w+)", _store),
    (("POST",), r"/api/repos/create", _create),
    (("POST",), rf"/api/models/{_NAME}/branch/(?P<branch>[^/]+)", _branch),
    (("POST",), rf"/api/models/{_NAME}/preupload/(?P<revision>[^/]+)", _preupload),
    (("POST",), rf"/{_NAME}\.git/info/lfs/objects/batch", _batch),
    (("POST",), rf"/api/models/{_NAME}/commit/(?P<revision>[^/]+)", _commit),
    (("POST",), r"/api/validate-yaml", _validate_card),
    (("GET",), r"/api/collections/(?P<slug>.+)", _collection),
]
