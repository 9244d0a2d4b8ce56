"""Packages that only some functions need: what an error says where one is not installed."""

from __future__ import annotations


def install(extra: str) -> str:
    """The command that installs an extra of setup.cfg, in quotes, which a shell may need around brackets."""
    return f"pip install 'neurallib[{extra}]'"


def missing(what: str, package: str, extra: str) -> ModuleNotFoundError:
    """An error to raise where `what`, in the plural, cannot be done without a package."""
    return ModuleNotFoundError(f"{what} need the package {package}: {install(extra)}", name=package)
