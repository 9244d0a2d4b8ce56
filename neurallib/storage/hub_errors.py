"""What the hub's refusals mean: one of Python's own errors for each, with the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


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
