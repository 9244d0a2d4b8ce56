"""Where a network runs: the GPU asked for, or what there is."""

import pytest
import torch

import neurallib as nl


@pytest.fixture(params=[0, 1, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """As on a machine with so many."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"card {'AB'[i]}")
    return request.param


def test_without_a_wish_the_first_gpu_is_taken_or_the_cpu(gpus: int) -> None:
    assert nl.configure_device() == (torch.device("cuda", 0) if gpus else torch.device("cpu"))


def test_the_gpu_asked_for_is_taken_and_where_there_is_none_those_that_are_there_are_told(gpus: int) -> None:
    assert [nl.configure_device(i) for i in range(gpus)] == [torch.device("cuda", i) for i in range(gpus)]
    there = ["none", "0: card A", "0: card A, 1: card B"][gpus]
    for missing in (gpus, gpus + 1):
        with pytest.raises(ValueError, match=f"gpu_id={missing}; GPUs on this machine: {there}. Leave gpu_id out"):
            nl.configure_device(missing)


@pytest.mark.parametrize("wrong", [-1, 0.0, "0", True])
def test_a_gpu_has_a_whole_number(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError), match=f"gpu_id={wrong!r}"):
        nl.configure_device(wrong)  # type: ignore[arg-type]
