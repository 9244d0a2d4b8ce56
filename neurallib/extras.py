"""Packages that only some functions need: what an error says where one is not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def install(extra: str) -> str:
    """The command that installs an extra of setup.cfg, in quotes, which a shell may need around brackets."""
    return f"pip install 'neurallib[{extra}]'"


def needed(what: str, package: str, extra: str) -> Any:
    """A package, or an error that says what, in the plural, cannot be done without it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} need the package {package}: {install(extra)}", name=package) from error
