"""What is checked of an argument, to its very bounds: each check takes all that is meant and nothing beside it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurallib.checks import (
    as_folder,
    as_list,
    as_path,
    as_seed,
    choice,
    integer,
    interval,
    is_list,
    number,
    per_layer,
    seconds,
    takes,
    text,
)


def test_whole_numbers_are_taken_to_their_bounds() -> None:
    for value in (1, 5, np.int64(3)):
        assert integer("n", value, maximum=5) == value and type(integer("n", value)) is int
    for wrong, bounds in ((0, {}), (6, {"maximum": 5}), (-1, {"minimum": 0})):
        with pytest.raises(ValueError, match=f"n={wrong}; expected an integer of at least"):
            integer("n", wrong, **bounds)
    for other in (True, np.True_, 2.0, "2", None):
        with pytest.raises(TypeError, match="expected an integer"):
            integer("n", other)
    assert integer("n", 2**63 - 1) == 2**63 - 1
    with pytest.raises(ValueError, match=f"n={10**20}; expected an integer of at least 1 and at most {2**63 - 1}"):
        integer("n", 10**20)
    assert as_seed(0) == 0 and as_seed(2**64 - 1) == 2**64 - 1
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed="):
            as_seed(seed)


def test_numbers_are_taken_to_their_bounds() -> None:
    assert [number("x", value, 0, 1) for value in (0, 1, np.float32(0.5))] == [0.0, 1.0, 0.5]
    assert number("x", 1e300, 0) == 1e300 and number("x", -1e300, -math.inf) == -1e300
    open_ends: list[tuple[Any, dict[str, Any], str]] = [
        (0, {"low_open": True}, r"\(0, 1\]"), (1, {"high_open": True}, r"\[0, 1\)"), (-0.1, {}, r"\[0, 1\]"),
        (1.1, {}, r"\[0, 1\]"), (math.nan, {}, "finite"), (math.inf, {}, "finite"),
    ]  # fmt: skip
    for value, options, told in open_ends:
        with pytest.raises(ValueError, match=told):
            number("x", value, 0, 1, **options)
    with pytest.raises(ValueError, match=r"expected a finite number in \(0, inf\)"):
        number("x", math.inf, 0, low_open=True)
    for wrong, way in ((True, ""), ("1", ""), (np.ones(1), r", such as x\.item\(\)"), (np.ones(2), "")):
        with pytest.raises(TypeError, match=rf"expected a number{way}\."):
            number("x", wrong, 0)


def test_seconds_that_look_like_milliseconds_are_told_and_there_is_no_time_before_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [seconds("s", value) for value in (0, 10)] == [0, 10]
        assert seconds("s", 600, rate=1 / 30) == 600  # a step is 30 s long, and no milliseconds
    with pytest.warns(UserWarning, match="s=11: it is in seconds; 11 ms are 0.011"):
        seconds("s", 11)
    with pytest.warns(UserWarning, match="s=300: it is in seconds"):
        seconds("s", 300, rate=250.0)
    for wrong in (-1, 10**20):
        with pytest.raises(ValueError, match=f"s={wrong}; expected a finite number"):
            seconds("s", wrong)


def test_an_interval_is_two_numbers_the_lower_first_or_twice_the_same() -> None:
    interval("i", (1, 2), 0)
    interval("i", [1, 1], 0)
    for value in ((0, 1), (2, 1), (1, math.inf)):
        with pytest.raises(ValueError, match="i="):
            interval("i", value, 0)
    for wrong in ((1, 2, 3), (1,), "12", 1, None):
        with pytest.raises(TypeError, match="i=.*; expected two numbers"):
            interval("i", wrong, 0)


def test_texts_and_paths_say_something_and_are_plain(tmp_path: Path) -> None:
    assert type(text("t", np.str_("a"))) is str and text("t", " a ") == " a "
    for check in (text, as_path):
        for empty in ("", " \t"):
            with pytest.raises(ValueError, match="t is empty"):
                check("t", empty)
        with pytest.raises(TypeError, match="t=3 is a int"):
            check("t", 3)
    assert as_path("p", "~/x") == Path.home() / "x" and as_path("p", Path("a/~")) == Path("a/~")
    assert as_path("p", "~x/y") == Path("~x/y"), "a folder, where nobody has that name"
    with pytest.raises(ValueError, match="p='a.x00b' holds a null character"):
        as_path("p", "a\0b")
    with pytest.raises(ValueError, match="is an address; expected a path on this machine"):
        as_path("p", "https://example.org/x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="link' is no folder, nor a link to one; expected a folder, there or not"):
        as_folder("p", tmp_path / "link")


def test_one_setting_is_for_all_layers_and_a_list_has_one_for_each() -> None:
    given = [1, 2]
    found = per_layer("n", given, 2)
    assert found == given and found is not given and per_layer("n", (1, 2), 2) == given
    assert per_layer("n", "ab", 2) == ["ab", "ab"] and not is_list("ab") and is_list(range(2))
    with pytest.raises(ValueError, match=r"n=\[1, 2\] has 2 values; expected n_layers=3 of them, or one"):
        per_layer("n", given, 3)
    assert as_list(np.array([1, 2])) == [1, 2] and as_list("ab") == "ab"
    assert as_list(table := np.ones((2, 2))) is table


class Frame:
    """As those of pandas, which cannot say whether they are the same."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("The truth value of a DataFrame is ambiguous.")

    __hash__ = object.__hash__


def test_what_cannot_be_compared_is_none_of_several() -> None:
    choice("c", None, ("a", None))
    for wrong in (np.array(["a", "b"]), ["a"], Frame(), 3):
        with pytest.raises(ValueError, match="c.*; expected one of 'a', 'b'"):
            choice("c", wrong, ("a", "b"))


def test_a_function_that_tells_nothing_of_its_arguments_is_taken_as_it_is() -> None:
    takes("f", max, 3, "(a, b, c)")
    with pytest.raises(TypeError, match=r"f=<lambda> is no function \(a, b\): "):
        takes("f", lambda a: a, 2, "(a, b)")
