"""Names in errors: listed, counted, and the nearest one told."""

import pytest

from neurallib.names import did_you_mean, helped_by, hinted, is_named, known_layers, layer_names, listing, matching


def test_a_listing_shows_the_first_and_counts_the_rest() -> None:
    assert listing([]) == "none"
    assert listing("ab") == "a, b"
    assert listing("abcde", 5) == "a, b, c, d, e"
    assert listing("abcde", 2) == "a, b and 3 more"
    assert listing(str(i) for i in range(20)).endswith("6, 7 and 12 more")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("learnig_rate", " Did you mean 'learning_rate'?"),
        ("LEARNING_RATE", " Did you mean 'learning_rate'?"),
        ("dropuot", " Did you mean 'dropout'?"),
        ("xyz", ""),
        (None, ""),
    ],
)
def test_the_nearest_name_is_told_whatever_its_case(given: object, hint: str) -> None:
    assert did_you_mean(given, ["learning_rate", "dropout", "seed"]) == hint


def test_what_other_libraries_call_it_is_known_whatever_its_case() -> None:
    assert did_you_mean("Plot_Calibration", ["plot_agreement", "plot_curves"]) == " Did you mean 'plot_curves'?"


def test_several_near_names_are_told_where_that_is_asked_for() -> None:
    assert did_you_mean("layer.0", ["layers.0", "layers.1", "x"], 2) == " Did you mean 'layers.0' or 'layers.1'?"


def test_a_pattern_means_a_weight_a_layer_or_what_wildcards_say() -> None:
    names = ["a.0.weight", "a.0.bias", "a.1.weight", "b.weight"]
    assert is_named("a.0.weight", "a.0") and not is_named("a.0.weight", "a.0.w") and not is_named("a.0.weight", ".0")
    assert matching(names, "a.0") == names[:2] and matching(names, "a.*") == names[:3]
    assert matching(names, "*.bias") == ["a.0.bias"] and matching(names, "b.weight") == ["b.weight"]
    assert matching(names, "A.0") == []
    assert layer_names(names) == ["a.0", "a.1", "b"]
    assert known_layers(names, "a.2") == "a.0, a.1, b. Did you mean 'a.1' or 'a.0'?"


def test_a_hinted_function_is_called_with_all_it_is_given() -> None:
    @hinted
    def scaled(value: float, *, factor: float = 2.0) -> float:
        """Its text."""
        return value * factor

    assert scaled(3) == 6 and scaled(value=3, factor=3) == 9
    assert scaled.__name__ == "scaled" and scaled.__doc__ == "Its text."
    with pytest.raises(TypeError, match=r"scaled\(\) got an unexpected .* 'factr'. Did you mean 'factor'"):
        scaled(3, factr=1)  # type: ignore[call-arg]


def test_help_has_what_another_functions_tells_of_an_argument_and_its_own_words_first() -> None:
    def first(a: int, b: int, c: int) -> None:
        """First.

        Parameters
        ----------
        a, c : int
            Two of them.
        b : int
            The other one.

        Returns
        -------
        b : None
            Nothing.
        """

    @helped_by(first)
    def second(c: int, b: int, a: int) -> None:
        """Second.

        Parameters
        ----------
        a : int
            Its own.
        (the rest as `first` has it)

        Raises
        ------
        ValueError
            Never.
        """

    told = "a, c : int\n    Two of them.\nb : int\n    The other one.\na : int\n    Its own.\n"
    assert second.__doc__ == f"Second.\n\nParameters\n----------\n{told}\nRaises\n------\nValueError\n    Never."
