"""Files of the Hugging Face hub, or of the cache where it is out of reach; its refusals as errors of Python's own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurallib.checks import as_folder, text
from neurallib.files import read_json, write_json
from neurallib.names import listing
from neurallib.reading import told_by
from neurallib.warn import warn

OPTIONAL = ""  # an alternative that a group ends with: it may as well be missing
_NOTES, _REVISIONS = Path(".cache/huggingface"), "revisions.json"  # the folder is huggingface_hub's own, the file ours


def fetch(
    repo_id: str,
    *wanted: tuple[str, ...],
    revision: str | None = None,
    token: str | None = None,
    local_dir: str | Path | None = None,
    argument: str = "repo_id",
) -> list[Path]:
    """Files of one commit, downloaded or from the cache: of each group of alternatives the first that is there. Groups
    that end with OPTIONAL stand last, and those that are missing are left out."""
    from huggingface_hub import HfApi, constants

    check_name(repo_id, revision, argument)
    token = as_token(token)
    if local_dir is not None:
        local_dir = as_folder("local_dir", local_dir)
    with plain_errors(f"repository {repo_id!r}", revision):
        try:
            there = HfApi().model_info(repo_id, revision=revision, token=token, timeout=10)
        except Exception as error:
            if not is_unreachable(error):
                raise
            paths = _kept(repo_id, wanted, revision, local_dir)
            if revision is None and _missing(wanted, paths):  # of the newest commit only a part was ever asked for
                for older in _cached_commits(repo_id):
                    if not _missing(wanted, found := _kept(repo_id, wanted, older, local_dir)):
                        paths = found
                        warn(f"{unreachable(error)}: {repo_id} is read as of commit {older}.")
                        break
            if missing := _missing(wanted, paths):
                where = f"the cache {constants.HF_HUB_CACHE}" if local_dir is None else f"{local_dir} or the cache"
                raise ConnectionError(f"{unreachable(error)}, and {where} lacks {missing} of {repo_id}.") from error
            return [path for path in paths if path is not None]
        names = sorted(file.rfilename for file in there.siblings or [])
        chosen = [next((name for name in group if name in names), None) for group in wanted]
        if missing := _missing(wanted, chosen):
            raise FileNotFoundError(f"repository {repo_id!r} lacks {missing}; it holds: {listing(names)}.")
        return _downloaded(repo_id, list(filter(None, chosen)), revision, str(there.sha), token, local_dir)


def as_token(token: Any) -> str | None:
    """The token as headers take it, or TypeError, which does not show it."""
    if not isinstance(token, (str, type(None))):
        raise TypeError(f"token is a {type(token).__name__}; expected a string, or None for that of `hf auth login`.")
    return token and token.strip() or None


def check_name(repo_id: Any, revision: Any, argument: str = "repo_id") -> None:
    """Raise TypeError or ValueError unless it is a name that a repository can have, of a revision that has one too."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    text(argument, repo_id)
    if revision is not None:
        text("revision", revision)
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        page = re.search(r"://[^/]+/([^/]+/[^/?#]+)", repo_id)
        way = f" It is {page[1]!r}." if page else ""
        if os.path.isdir(repo_id):
            way = " That is a directory: load_checkpoint reads it, and retrain as checkpoints_directory."
        raise ValueError(f"{argument}={repo_id!r}; expected a name on the hub, 'owner/name'.{way}") from error


def _downloaded(
    repo_id: str, names: list[str], asked: str | None, commit: str, token: str | None, local_dir: Path | None
) -> list[Path]:
    """The files of one commit, which `asked` stands for: into the cache, or into a directory."""
    from huggingface_hub import constants, hf_hub_download

    downloaded: list[Path] = []
    revision = asked if local_dir is None else commit
    if local_dir is not None and _remembered(local_dir).get(f"{repo_id}@{asked or 'main'}") != commit:
        _remember(local_dir, repo_id, asked, "")  # it is of no commit until all of it is there
    for name in reversed(names):  # what may be missing comes first, or nobody would miss it
        path = Path(hf_hub_download(repo_id, name, revision=revision, token=token, local_dir=local_dir))
        if local_dir is not None and not _is_of(local_dir, name, repo_id, commit):
            # huggingface_hub takes the file that is there where the hub does not answer any more
            raise ConnectionError(f"{constants.ENDPOINT} was lost while downloading {name} of {repo_id}.")
        if local_dir is None:
            # The first, asked for by branch, makes the cache remember where the branch is; the others must be of the
            # same commit even if somebody pushes in between.
            revision = path.parent.name
        downloaded.append(path)
    if local_dir is not None:
        _remember(local_dir, repo_id, asked, commit)
    return downloaded[::-1]


def _kept(
    repo_id: str, wanted: tuple[tuple[str, ...], ...], commit: str | None, local_dir: Path | None
) -> list[Path | None]:
    """What there is without the hub: all of the directory or all of the cache, for the other's may be older."""
    from huggingface_hub import constants, try_to_load_from_cache

    cached = Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"

    def in_directory(name: str) -> Path | None:
        return local_dir / name if local_dir is not None and _is_of(local_dir, name, repo_id, commit) else None

    def in_cache(name: str) -> Path | None:
        with told_by(cached):
            found = try_to_load_from_cache(repo_id, name, revision=commit)
        if isinstance(found, str) and not Path(found).resolve().is_relative_to(cached.resolve()):
            raise ValueError(f"{cached} has a {name} of another folder, {found}: remove it and load it anew.")
        return Path(found) if isinstance(found, str) else None

    both = (
        [next((path for name in group if (path := place(name))), None) for group in wanted]
        for place in (in_directory, in_cache)
    )
    return min(both, key=lambda found: len(_lacking(wanted, found)))


def _is_of(local_dir: Path, name: str, repo_id: str, revision: str | None) -> bool:
    """Whether a file in a local directory is of a revision. huggingface_hub notes the commit of each file, and
    `_remember` which commit a branch was; a directory that nobody noted a thing of, such as a copy, is of no branch but
    the main one."""
    path, notes = local_dir / _NOTES / "download" / f"{name}.metadata", _remembered(local_dir)
    if not (local_dir / name).is_file():
        return False
    if not path.is_file():
        return revision is None and not notes
    commit, etag, *_ = [*path.read_text(encoding="utf-8", errors="replace").split("\n"), ""]
    known = {revision, notes.get(f"{repo_id}@{revision or 'main'}")} if notes or revision else {commit}
    return bool(commit) and commit in known and _holds(local_dir / name, etag)


def _holds(path: Path, etag: str) -> bool:
    """Whether a file is the one that its note is about: who was killed between the two has left the other's note."""
    content = path.read_bytes()
    if len(etag) == 64:  # of large files; else git's name for it
        return hashlib.sha256(content).hexdigest() == etag
    return len(etag) != 40 or hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == etag


def _remember(local_dir: Path, repo_id: str, revision: str | None, commit: str) -> None:
    """Note which commit a branch was when a local directory got its files."""
    (local_dir / _NOTES).mkdir(parents=True, exist_ok=True)
    write_json(local_dir / _NOTES / _REVISIONS, _remembered(local_dir) | {f"{repo_id}@{revision or 'main'}": commit})


def _remembered(local_dir: Path) -> dict[str, Any]:
    path = local_dir / _NOTES / _REVISIONS
    return read_json(path) if path.is_file() else {}


def _cached_commits(repo_id: str) -> list[str]:
    """The commits of a model of which the cache holds something, the newest first."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    with contextlib.suppress(CacheNotFound):
        repos = [repo for repo in scan_cache_dir().repos if (repo.repo_id, repo.repo_type) == (repo_id, "model")]
        revisions = [revision for repo in repos for revision in repo.revisions]
        return [found.commit_hash for found in sorted(revisions, key=lambda found: -found.last_modified)]
    return []


def _missing(wanted: tuple[tuple[str, ...], ...], found: list[Any]) -> str:
    return ", ".join(map(" or ".join, _lacking(wanted, found)))


def _lacking(wanted: tuple[tuple[str, ...], ...], found: list[Any]) -> list[tuple[str, ...]]:
    return [group for group, one in zip(wanted, found, strict=True) if one is None and OPTIONAL not in group]


def is_unreachable(error: Exception) -> bool:
    """Whether the cache may stand in: no connection, offline mode, or a hub that is down or too busy."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, (errors.OfflineModeIsEnabled, errors.HTTPError))  # type: ignore[attr-defined]


def unreachable(error: Exception) -> str:
    """Why there is no answer, as the beginning of a sentence."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, errors.HfHubHTTPError):
        return f"{constants.ENDPOINT} answers {error.response.status_code}"
    return f"{constants.ENDPOINT} cannot be reached ({error})"


@contextlib.contextmanager
def plain_errors(what: str, revision: str | None = None, writing: bool = False) -> Iterator[None]:
    """One of Python's own errors for each way in which the hub may refuse, with the way out."""
    from huggingface_hub import constants, errors

    login = "give token=, set HF_TOKEN or run `hf auth login`"
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{what} has no revision {revision!r}.") from error
    except errors.HfHubHTTPError as error:
        status, missing = error.response.status_code, isinstance(error, errors.RepositoryNotFoundError)
        if writing and (missing or status in (401, 403)):
            raise PermissionError(f"{constants.ENDPOINT} lets this token not write to {what}: {login}.") from error
        if isinstance(error, errors.GatedRepoError):
            raise PermissionError(f"{what} is gated: ask for access on its page, then {login}.") from error
        if missing or status == 404:
            raise FileNotFoundError(
                f"{constants.ENDPOINT} shows no {what}: check the name; if it is private, {login}."
            ) from error
        if status in (401, 403):
            raise PermissionError(f"{constants.ENDPOINT} refuses this token for {what}: {login}.") from error
        if is_unreachable(error):
            raise ConnectionError(f"{unreachable(error)} for {what}.") from error
        raise
    except (errors.OfflineModeIsEnabled, errors.HTTPError) as error:  # type: ignore[attr-defined]
        raise ConnectionError(f"{unreachable(error)}: no {what}.") from error
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(f"{constants.ENDPOINT} was lost while downloading {what}: {error}") from error
    except RuntimeError as error:  # of a part of an upload
        if not isinstance(error.__cause__, Exception) or not is_unreachable(error.__cause__):
            raise
        raise ConnectionError(f"{unreachable(error.__cause__)} for {what}: {error}") from error
