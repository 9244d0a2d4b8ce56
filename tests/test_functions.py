"""The sum of what a function or a value is: another one for another, and the same for the same."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from neurallib.functions import array_sum, content_sum, function_name, weights_sum


def scaled(x: float, by: float = 2.0, *, less: float = 0.0) -> float:
    return x * by - less


def with_default(by: Any) -> Callable[..., Any]:
    def function(x: Any, by: Any = by) -> Any:
        return x * by

    return function


def with_keyword(by: Any) -> Callable[..., Any]:
    def function(x: Any, *, by: Any = by) -> Any:
        return x * by

    return function


def with_closure(by: Any) -> Callable[..., Any]:
    return lambda x: x * by


def wrapping(inner: Callable[..., Any]) -> Callable[..., Any]:
    return functools.lru_cache(inner)


class Scale:
    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, x: float) -> float:
        return x * self.by

    def method(self, x: float) -> float:
        return x * self.by


def with_property(code: Callable[[Any], Any], base: type = object) -> type:
    return type("Made", (base,), {"size": property(code)})


PAIRS: dict[str, tuple[Any, Any]] = {
    "a masked array": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[0, 0])),
    "numbers of another kind": (np.zeros(2, np.int32), np.zeros(2, np.float32)),
    "another shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "a tensor": (torch.zeros(3), torch.tensor([0.0, 0, 1])),
    "an order": ([1, 2], [2, 1]),
    "a pattern's flags": (re.compile("a"), re.compile("a", re.IGNORECASE)),
    "keywords given beforehand": (functools.partial(scaled, by=1), functools.partial(scaled, by=2)),
    "values given beforehand": (functools.partial(scaled, 1), functools.partial(scaled, 2)),
    "a default": (with_default(1), with_default(2)),
    "a keyword's default": (with_keyword(1), with_keyword(2)),
    "what a function encloses": (with_closure(1), with_closure(2)),
    "what a function calls": (lambda x: np.sin(x), lambda x: np.cos(x)),
    "whose method it is": (Scale(1).method, Scale(2).method),
    "whose method it is, of Python's": ([1].count, [2].count),
    "an object that can be called": (Scale(1), Scale(2)),
    "what is wrapped": (wrapping(with_default(1)), wrapping(with_default(2))),
    "a property": (with_property(lambda self: 1), with_property(lambda self: 2)),
    "a class's base": (with_property(len), with_property(len, Scale)),
}


@pytest.mark.parametrize("what", PAIRS)
def test_another_sum_tells_of_another_value(what: str) -> None:
    one, other = PAIRS[what]
    assert content_sum(one) != content_sum(other)
    assert content_sum(one) == content_sum(one)
    assert content_sum({"a": [one]}) != content_sum({"a": [other]})


def test_a_docstring_has_no_part_in_the_sum() -> None:
    made = [{"__name__": "made"} for _ in range(3)]
    for said, of in zip(("'one'", "'other'", "return 'one'"), made, strict=True):
        exec(f"def function():\n    {said}", of)
    one, other, returned = (content_sum(of["function"]) for of in made)
    assert one == other != returned
    assert content_sum(lambda: "one") != content_sum(lambda: "other")


def test_what_has_no_order_is_summed_alike_in_any() -> None:
    names = [f"name {i}" for i in range(50)]
    for made in (set, frozenset, dict.fromkeys):
        assert content_sum(made(names)) == content_sum(made(reversed(names)))
    weights = {"a": torch.zeros(2), "b": torch.ones(2)}
    assert weights_sum(weights) == weights_sum(dict(reversed(weights.items())))
    assert weights_sum(weights) != weights_sum({"a": torch.ones(2), "b": torch.ones(2)})
    parts = np.arange(6.0), np.arange(3.0)
    assert array_sum(parts[1], array_sum(parts[0])) == array_sum(np.concatenate(parts))
    assert array_sum(np.arange(6.0).reshape(2, 3).T) == array_sum(np.arange(6.0).reshape(2, 3).T.copy())


def test_a_function_is_named_by_where_it_can_be_found() -> None:
    assert function_name(scaled) == function_name(functools.partial(scaled, 1)) == f"{__name__}.scaled"
    assert function_name(Scale(1)) == function_name(Scale) == f"{__name__}.Scale"
