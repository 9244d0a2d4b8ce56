"""`help(nl)` is the map: every public name in one group, and every function names others that belong with it."""

import re

import pytest
from documentation import sections
from test_signatures import FUNCTIONS

import neurallib as nl


def test_help_of_the_library_lists_every_public_name_once() -> None:
    listed = re.findall(r"\w+", " ".join(re.findall(r"^    (.*)$", nl.__doc__ or "", re.MULTILINE)))
    assert sorted(listed) == sorted(set(nl.__all__) - {"__version__"})


def test_help_of_the_library_names_the_folders_that_have_more_to_say() -> None:
    head = (nl.__doc__ or "").partition("\n---")[0]
    named = set(re.findall(r"`(\w+)`", head)) | set(re.findall(r'"neurallib\.(\w+)"', head))
    assert {"signals", "models", "measures", "prediction", "storage", "search", "training"} <= named


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_names_other_functions_that_belong_with_it(name: str) -> None:
    entries = sections(getattr(nl, name)).get("See Also", [])
    named = {each.removeprefix("nl.") for entry in entries for each in entry.names}
    assert named and named <= set(nl.__all__) - {name}
