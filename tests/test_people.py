"""Who is who: no person in two parts, shares as nearly as people allow, and what cannot be is named."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurallib import split_people

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PARTS = ["train", "val", "test"]
NAMES = ["anna_1", "anna_2", "ben_1", "cleo_1", "cleo_2", "dora_1", "dora_2"]
WHO = {name: name.partition("_")[0] for name in NAMES}


def people_in(part: list[str], who: dict[str, Any] = WHO) -> set[Any]:
    return {who[name] for name in part}


def test_seventy_five_recordings_of_thirty_two_people_share_nobody_between_parts() -> None:
    numbers = np.sort(np.random.default_rng(0).integers(0, 32, 75))
    who = {f"I{i:02d}": int(p) for i, p in enumerate(numbers, 1)}
    parts = split_people(list(who), person=who)
    sets = [people_in(parts[part], who) for part in PARTS]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(set(who.values()))
    assert [round(len(parts[part]) / len(who), 1) for part in PARTS] == pytest.approx([0.6, 0.1, 0.3], abs=0.1001)


@given(
    st.lists(st.integers(0, 12), min_size=3, max_size=60), st.floats(0.01, 0.45), st.floats(0.01, 0.45), st.data()
)
def test_every_recording_is_in_one_part_whatever_their_order(
    numbers: list[int], val: float, test: float, drawn: st.DataObject
) -> None:
    who = {f"r{i}": number for i, number in enumerate([*numbers, 0, 1, 2])}
    options: dict[str, Any] = {"person": who, "val": val, "test": test, "seed": drawn.draw(st.integers(0, 99))}
    if drawn.draw(st.booleans()):
        options["labels"] = lambda name: who[name] % 2
    parts = split_people(list(who), **options)
    assert list(parts) == PARTS and all(parts.values())
    assert sorted(sum(parts.values(), [])) == sorted(who)
    assert sum(len(people_in(part, who)) for part in parts.values()) == len(set(who.values()))
    assert split_people(drawn.draw(st.permutations(list(who))), **options) == parts
    assert all(part == sorted(part) for part in parts.values())


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(2, 6), st.integers(0, 99))
def test_everyone_is_held_out_in_one_fold_and_trained_on_in_all_others(
    numbers: list[int], k: int, seed: int
) -> None:
    who = {f"r{i}": number for i, number in enumerate([*numbers, *range(6)])}
    folds = split_people(list(who), person=who, folds=k, seed=seed)
    assert list(folds) == list(range(k))
    assert sorted(sum((fold["val"] for fold in folds.values()), [])) == sorted(who)
    for fold in folds.values():
        assert fold["val"] and fold["train"]
        assert sorted(fold["train"] + fold["val"]) == sorted(who)
        assert not people_in(fold["train"], who) & people_in(fold["val"], who)


@pytest.mark.parametrize(
    "person", [WHO, WHO.get, list(WHO.values()), np.array(list(WHO.values())), "^([a-z]+)_", lambda name: name[:-2]]
)
def test_a_person_can_be_said_in_every_form(person: Any) -> None:
    parts = split_people(NAMES, person=person, val=["anna"], test=("cleo", "ben"))
    assert parts == {"train": NAMES[5:], "val": NAMES[:2], "test": NAMES[2:5]}
    numbers = torch.tensor([sorted(set(WHO.values())).index(who) for who in WHO.values()])
    assert split_people(NAMES, person=numbers, val=[0], test=[1, 2]) == parts


def test_recordings_say_themselves_who_they_are_of_and_come_back_as_they_are() -> None:
    recordings = [{"name": name, "person": WHO[name], "signal": np.zeros((5, 1))} for name in NAMES]
    parts = split_people(recordings, val=1, test=1)
    assert sorted(id(recording) for part in parts.values() for recording in part) == sorted(map(id, recordings))
    assert sum(len({recording["person"] for recording in part}) for part in parts.values()) == 4
    named = split_people(NAMES, person=WHO, val=1, test=1)
    assert {part: [recording["name"] for recording in found] for part, found in parts.items()} == named


def test_without_a_person_the_name_is_one() -> None:
    recordings = [{"name": name, "person": None} for name in "abcd"]
    assert [len(part) for part in split_people(recordings, val=1, test=2).values()] == [1, 1, 2]
    assert [len(part) for part in split_people("a b c d".split(), val=1, test=2).values()] == [1, 1, 2]


@pytest.mark.parametrize("numbers", [[7, 7.0, "7"], [np.int64(7), np.float32(7), " 7"]])
def test_a_number_from_a_table_is_the_one_that_was_typed(numbers: list[Any]) -> None:
    parts = split_people(["a", "b", "c", "d", "e"], person=[*numbers, 8, 9], test=[7.0], val=0)
    assert parts == {"train": ["d", "e"], "val": [], "test": ["a", "b", "c"]}


def test_parts_have_the_shares_asked_for_and_depend_on_the_seed() -> None:
    names = [f"{i}" for i in range(40)]
    parts = split_people(names, val=0.2, test=0.3, seed=1)
    assert [len(part) for part in parts.values()] == [20, 8, 12]
    assert parts != split_people(names, val=0.2, test=0.3, seed=2)
    assert [len(part) for part in split_people(names).values()] == [24, 6, 10]
    assert [len(part) for part in split_people(names, val=0, test=0.0).values()] == [40, 0, 0]


def test_shares_are_of_recordings_not_of_people() -> None:
    sizes = np.random.default_rng(0).integers(1, 40, 50)
    names = [f"{p}_{i}" for p, size in enumerate(sizes) for i in range(size)]
    splits = [split_people(names, person=r"^(\d+)_", val=0.2, test=0.3, seed=seed) for seed in range(5)]
    for parts in splits:
        assert [len(parts[part]) / len(names) for part in PARTS] == pytest.approx([0.5, 0.2, 0.3], abs=0.02)
    assert len({tuple(parts["test"]) for parts in splits}) == 5  # although no two people are of one size


def test_shares_beside_a_listed_person_are_still_of_all_recordings() -> None:
    names = [*(f"a_{i}" for i in range(10)), *(f"{p}_1" for p in "bcdefghijk")]
    for one, other in (("val", "test"), ("test", "val")):
        shares: dict[str, Any] = {one: ["a"], other: 0.25}
        assert len(split_people(names, person="^(.)", **shares)[other]) == 5
    with pytest.raises(ValueError, match=r"val=\['a'\] and test=10 leave none of 10 people for training"):
        split_people(names, person="^(.)", val=["a"], test=10)


def test_a_count_of_people_holds_where_they_differ_in_size() -> None:
    for seed in range(5):
        sizes = np.random.default_rng(seed).integers(1, 40, 20)
        names = [f"{p}_{i}" for p, size in enumerate(sizes) for i in range(size)]
        parts = split_people(names, person=r"^(\d+)_", val=1, test=3, seed=seed)
        assert [len({name.partition("_")[0] for name in parts[part]}) for part in PARTS] == [16, 1, 3]


def test_one_person_of_most_recordings_is_trained_on() -> None:
    names = ["a_1", "b_1", *(f"c_{i}" for i in range(98))]
    assert all(
        [len(part) for part in split_people(names, person="^(.)", seed=seed).values()] == [98, 1, 1]
        for seed in range(10)
    )


def test_a_count_beside_a_listed_person_of_most_recordings() -> None:
    names = ["a_1", "b_1", "c_1", *(f"d_{i}" for i in range(97))]
    parts = split_people(names, person="^(.)", val=2, test=["d"])
    assert [len(part) for part in parts.values()] == [1, 2, 97]


def test_labels_share_every_class_among_the_parts() -> None:
    rng = np.random.default_rng(0)
    names = [f"{p}_{i}" for p in range(60) for i in range(rng.integers(1, 9))]
    labels = {name: "rare" if int(name.partition("_")[0]) % 10 == 0 else "common" for name in names}
    n_rare = Counter(labels.values())["rare"]
    apart = []
    for given_labels in (labels, None):
        shares = [
            sum(labels[name] == "rare" for name in fold["val"]) / n_rare
            for seed in range(10)
            for fold in split_people(names, person=r"^(\d+)_", labels=given_labels, folds=3, seed=seed).values()
        ]
        apart.append(np.abs(np.array(shares) - 1 / 3).mean())
    assert apart[0] < 0.06 < 0.12 < apart[1]


def test_labels_that_may_hold_together_are_shared_each_by_itself() -> None:
    """Of 60 people 6 have the one and 6 the other, few of them both: as rows, a frame, or by name."""
    rng = np.random.default_rng(0)
    rows = np.zeros((60, 3), int)
    rows[rng.permutation(60)[:6], 0] = rows[rng.permutation(60)[:6], 1] = rows[rng.permutation(60)[:30], 2] = 1
    names = [f"{i:02d}" for i in range(60)]
    for labels in (rows, rows.astype(bool).tolist(), np.where(rows, 1, np.nan), dict(zip(names, rows, strict=True))):
        folds = split_people(names, labels=labels, folds=3)
        held = [rows[[names.index(name) for name in fold["val"]]].sum(0).tolist() for fold in folds.values()]
        assert held == [[2, 2, 10]] * 3


def test_a_column_of_pandas_whose_labels_are_names_is_read_by_name() -> None:
    """Not in its order: people would be in two parts."""
    pd = pytest.importorskip("pandas", reason="comes with the extra wfdb")
    column = pd.Series(WHO)
    for by_name in (column, column[::-1]):
        assert split_people(NAMES, person=by_name, val=1, test=1) == split_people(NAMES, person=WHO, val=1, test=1)
    numbers = pd.Series([5, 6, 7], index=[100, 106, 101])
    assert split_people(["101", "106", "100"], person=numbers, val=[5], test=[6])["train"] == ["101"]
    for in_order in (column.reset_index(drop=True), column.set_axis(list("abcdefg")), column.set_axis(range(2, 9))):
        assert split_people(NAMES, person=in_order, val=1, test=1) == split_people(NAMES, person=WHO, val=1, test=1)
    assert split_people(["2", "0", "1"], person=pd.Series(list("abc")), val=["a"], test=["b"])["train"] == ["1"]
    with pytest.raises(ValueError, match="person has nothing for dora_2; expected a value for every name"):
        split_people(NAMES, person=column[:-1])
    with pytest.raises(TypeError, match="recordings is a DataFrame; expected a list of names"):
        split_people(column.to_frame("person"))
    classes = pd.DataFrame({"a": [1, 0, 0, 1], "b": [0, 1, 0, 1]}, index=list("wxyz"))
    again = split_people(list("wxyz"), labels=classes[::-1], val=1, test=1)
    assert again == split_people(list("wxyz"), labels=classes.to_numpy(), val=1, test=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"person": {"anna_1": 1}}, "person has nothing for anna_2, ben_1, .*expected a value for every name"),
        ({"person": {**WHO, "dora_2": None}}, "the person of 'dora_2' is None; expected a text"),
        ({"person": [*"abcdef", float("nan")]}, "the person of 'dora_2' is nan; expected"),
        ({"person": [*"abcdef", 1.5]}, "the person of 'dora_2' is 1.5; expected"),
        ({"person": [*"abcdef", float("inf")]}, "the person of 'dora_2' is inf; expected"),
        ({"person": [*"abcdef", True]}, "the person of 'dora_2' is True; expected"),
        ({"person": [*"abcdef", " "]}, "the person of 'dora_2' is ' '; expected"),
        ({"person": ["a", "b"]}, "person has 2 values; expected one for each of 7"),
        ({"person": 3}, "person is a int; expected a function of the name"),
        ({"person": "^anna"}, "has 0 groups; expected one"),
        ({"person": "^(anna)"}, "finds nothing in ben_1, cleo_1"),
        ({"person": "^(anna)?"}, "finds nothing in ben_1, cleo_1"),
        ({"person": set("abcdefg")}, "person is a set; expected a function of the name"),
        ({"person": "("}, "is no regular expression"),
        ({"labels": {"anna_1": 1}}, "labels has nothing for anna_2"),
        ({"val": 0.8}, "val=0.8 and test=0.25 leave none of 7 people for training"),
        ({"val": 1.0}, "val=1.0; expected a finite number"),
        ({"test": -0.1}, "test=-0.1; expected a finite number"),
        ({"test": -1}, "test=-1; expected an integer of at least 0"),
        ({"test": True}, "test=True is a bool; expected a share"),
        ({"test": "anna"}, "test='anna' is a str; expected .* a list of them"),
        ({"test": ["ana"], "person": WHO}, "test lists ana; the people are anna, ben.* Did you mean 'anna'"),
        ({"test": ["ben"], "val": ["ben"], "person": WHO}, "val and test both list ben"),
        ({"test": np.array(1)}, r"test=array\(1\) is a ndarray; expected a share"),
        ({"person": np.array("a")}, "person is a ndarray; expected a function of the name"),
        ({"test": [None]}, "a person of test is None"),
        ({"test": ["anna", "ben", "cleo"], "person": WHO}, "4 people, of whom 3 are listed; .*at least 5: 1 for"),
        ({"val": 3, "test": 4}, "val=3 and test=4 leave none of 7 people for training"),
        ({"folds": 5, "person": WHO}, "folds=5, but there are 4 people"),
        ({"folds": 1}, "folds=1; expected an integer of at least 2"),
        ({"folds": 2, "test": 0.2}, "folds is given with val or test"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_a_split_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        split_people(NAMES, **options)


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ("anna", "recordings is one text, 'anna'"),
        ({"anna": 1}, "recordings is a dict; expected a list of names"),
        (None, "recordings is a NoneType"),
        ([], "recordings is empty"),
        (["a", 3, "b"], re.escape("recordings[1] is 3; expected a list of names")),
        ([Path("a.edf")], r"expected a list of names, .*read_recording\(path\), which knows its person, or path.stem"),
        ([{"person": "a"}], re.escape("recordings[0] is {'person': 'a'}; expected")),
        (["a", "b", "b", "c"], r"recordings holds b twice; expected names, such as str\(i\), and person="),
        (["a", "b"], "recordings are of 2 people; expected at least 3: 1 for train, 1 for val, 1 for test"),
    ],
)
def test_what_are_no_recordings_is_named(recordings: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        split_people(recordings)


@pytest.mark.skipif(not (DATA / "myo_emg").is_dir(), reason=f"no recordings in {DATA}")
def test_sessions_of_two_people_are_divided_by_their_folders_names() -> None:
    names = [f"{path.parent.name}/{path.stem}" for path in sorted((DATA / "myo_emg").glob("*/*.txt"))]
    folds = split_people(names, person=r"^(\d+)-", folds=2)
    assert {frozenset(name[:5] for name in fold["val"]) for fold in folds.values()} == {
        frozenset(["12345"]), frozenset(["21547"])
    }  # fmt: skip
    assert [len(fold["val"]) for fold in folds.values()] == [24, 24]
