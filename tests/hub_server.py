"""A small hub on loopback: the part of huggingface.co's HTTP interface that pulling, pushing and collections need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".pth", ".safetensors")  # what .gitattributes sends to large file storage


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by commit hash
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes | None], branch: str = "main", message: str = "") -> str:
        """Add or replace files on a branch, or delete them (None); the new commit's hash."""
        tree = {name: content for name, content in (self.files(branch) | files).items() if content is not None}
        content = repr((sorted(tree.items()), self.branches.get(branch), message))
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[sha], self.branches[branch] = tree, sha
        self.messages.append(message)
        return sha

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits.get(self.branches.get(revision, revision), {})


class Refusal(Exception):
    """An answer that is no success, in the hub's form."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        self.status, self.headers = status, {"X-Error-Message": message, **headers}
        if code:
            self.headers["X-Error-Code"] = code


class Hub:
    """What the server holds, for tests to fill and look at."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.users: dict[str, str] = {}  # by token
        self.collections: dict[str, list[tuple[str, str]]] = {}  # (type, name) of each item
        self.stored: dict[str, bytes] = {}  # large files by sha256
        self.names: dict[str, str] = {}  # and what they were last asked for as
        self.requests: list[tuple[str, str]] = []  # method and path
        self.failing = 0  # a status that everything answers with
        self.meanwhile: Callable[[], Any] | None = None  # what somebody else does after the next download
        self.address = self.storage = ""

    def add(self, name: str, files: dict[str, bytes], **settings: bool) -> Repository:
        self.repositories[name] = Repository(**settings)
        self.repositories[name].commit(files)
        return self.repositories[name]

    def downloads(self) -> list[str]:
        """The files whose content was asked for, by name, and forgotten."""
        paths = [path for method, path in self.requests if method == "GET" and re.search("/resolve/|^/storage/", path)]
        self.requests.clear()
        return [self.names.get(last, last) for last in (path.rpartition("/")[2] for path in paths)]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers at its `address`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    # As on the real hub, large files lie on another host, which must not be shown the token.
    hub.storage = f"http://localhost:{server.server_port}/storage"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, unquote(path)))
        try:
            if self.hub.failing:
                raise Refusal(self.hub.failing, "down")
            for method, pattern, handle in _ROUTES:
                if self.command in method and (found := re.fullmatch(pattern, path)):
                    parts = {name: unquote(value) for name, value in found.groupdict().items()}
                    status, headers, content = handle(self, body, **parts)
                    break
            else:
                raise Refusal(404, f"no route for {self.command} {path}")
        except Refusal as refusal:
            status, headers, content = refusal.status, refusal.headers, b"{}"
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        if self.command == "GET" and "/resolve/" in path and self.hub.meanwhile is not None:
            self.hub.meanwhile()
            self.hub.meanwhile = None

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users.get(token)

    def readable(self, name: str) -> Repository:
        """The repository; the hub hides a private one as if it were missing."""
        user, repository = self.user(), self.hub.repositories.get(name)
        owner = name.partition("/")[0]
        if repository is None or (repository.private and user != owner):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        if repository.gated and user != owner:
            raise Refusal(403, "Access to this model is restricted", "GatedRepo")
        return repository

    def writable(self, name: str) -> Repository:
        repository = self.readable(name)
        if self.user() != name.partition("/")[0]:
            raise Refusal(403, "You don't have the rights to push here")
        return repository

    def revision(self, repository: Repository, revision: str) -> str:
        sha = repository.branches.get(revision, revision)
        if sha not in repository.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha


Answer = tuple[int, dict[str, str], bytes]


def _json(value: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _model_info(call: _Handler, body: bytes, name: str, revision: str = "main") -> Answer:
    repository = call.hub.repositories.get(name)
    if repository is None or not repository.gated:  # a gated one still tells what it holds
        repository = call.readable(name)
    sha = call.revision(repository, revision) if repository.commits else None
    siblings = [{"rfilename": file} for file in repository.files(sha or "")]
    return _json({"_id": "0", "id": name, "sha": sha, "private": repository.private, "siblings": siblings})


def _resolve(call: _Handler, body: bytes, name: str, revision: str, file: str) -> Answer:
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


def _storage(call: _Handler, body: bytes, oid: str) -> Answer:
    if "Authorization" in call.headers:
        raise Refusal(400, "the token was sent to another host")
    return 200, {"ETag": f'"{oid}"'}, call.hub.stored[oid]


def _store(call: _Handler, body: bytes, oid: str) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        raise Refusal(400, "content does not match its hash")
    call.hub.stored[oid] = body
    return _json({})


def _create(call: _Handler, body: bytes) -> Answer:
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
    call.hub.add(name, {".gitattributes": b"*.pth filter=lfs\n"}, private=wish.get("visibility") == "private")
    return _json(answer)


def _branch(call: _Handler, body: bytes, name: str, branch: str) -> Answer:
    repository = call.writable(name)
    if branch in repository.branches:
        return _json({"error": "Reference already exists"}, 409)
    repository.branches[branch] = repository.branches["main"]
    return _json({}, 201)


def _preupload(call: _Handler, body: bytes, name: str, revision: str) -> Answer:
    call.revision(call.writable(name), revision)
    paths = [file["path"] for file in json.loads(body)["files"]]
    modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
    return _json({"files": [{"path": p, "uploadMode": modes[p], "shouldIgnore": False, "oid": None} for p in paths]})


def _batch(call: _Handler, body: bytes, name: str) -> Answer:
    call.writable(name)
    objects = [
        {"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": f"{call.hub.storage}/{o['oid']}"}}}
        for o in json.loads(body)["objects"]
    ]
    return _json({"transfer": "basic", "objects": objects})


def _commit(call: _Handler, body: bytes, name: str, revision: str) -> Answer:
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


def _validate_card(call: _Handler, body: bytes) -> Answer:
    content = json.loads(body)["content"]
    if not re.match(r"---\n.*?\n---\n", content, re.DOTALL):
        return _json({"errors": [{"message": "no metadata"}]}, 400)
    return _json({"errors": [], "warnings": []})


def _collection(call: _Handler, body: bytes, slug: str) -> Answer:
    if slug not in call.hub.collections:
        raise Refusal(404, "Collection not found")
    items = [
        {"_id": str(i), "id": name, "type": kind, "position": i}
        for i, (kind, name) in enumerate(call.hub.collections[slug])
    ]
    about = {"slug": slug, "title": slug, "owner": {"name": "owner"}, "lastUpdated": "2025-01-01T00:00:00.000Z"}
    return _json(about | {"items": items, "position": 0, "private": False, "theme": "blue", "upvotes": 0})


_NAME = r"(?P<name>[^/]+/[^/]+)"
_ROUTES: list[tuple[tuple[str, ...], str, Callable[..., Answer]]] = [
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
