"""What the loopback hub holds: repositories with their commits, users, collections; and how it refuses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
        self.failing_from: int | None = None  # after so many requests
        self.meanwhile: Callable[[], Any] | None = None  # what somebody else does after the next download
        self.sent = 0  # bytes of all answers
        self.last: int | None = None  # the byte of answers after which the connection is lost
        self.taken = 0  # bytes of all that was uploaded
        self.last_taken: int | None = None
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
