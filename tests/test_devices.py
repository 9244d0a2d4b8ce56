"""Where a network runs: the GPU asked for, or what there is."""

import pytest
import torch
from cases import Case, make_state

import neurallib as nl
from neurallib.sequences import as_lengths


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


@pytest.mark.parametrize("rank", range(4))
def test_processes_of_a_machine_share_its_gpus_in_turn(rank: int, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    assert nl.configure_device() == (torch.device("cuda", rank % gpus) if gpus else torch.device("cpu"))
    monkeypatch.setenv("LOCAL_RANK", "none")
    assert nl.configure_device().index == (0 if gpus else None)
    monkeypatch.delenv("LOCAL_RANK")
    monkeypatch.setenv("SLURM_LOCALID", str(rank))  # of a job of one process: an interactive one has it too
    assert nl.configure_device().index == (0 if gpus else None)


@pytest.mark.parametrize("device", ["cuda:77", "nowhere", "xpu:77"])
def test_a_device_that_is_not_there_is_told(device: str) -> None:
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used on this machine"):
        nl.build_network(make_state(Case("GRUseq2seq", "binary")), device)


@pytest.mark.parametrize("wrong", [-1, 0.0, "0", True])
def test_a_gpu_has_a_whole_number(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError), match=f"gpu_id={wrong!r}"):
        nl.configure_device(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", nl.list_architectures())
def test_all_that_a_network_makes_stands_where_its_weights_are(architecture: str) -> None:
    """On a device without numbers, which refuses those of another one as a GPU does."""
    state = make_state(Case(architecture, "regression"), **{"residual": True} if architecture == "GRUseq2seq" else {})
    network = nl.build_network(state).to("meta")
    x, taught = torch.zeros(2, 2, 2, device="meta"), architecture.endswith("ED")
    for lengths, target in ((torch.tensor([2, 1]), None), (None, x if taught else None)):
        made = network(x, lengths, target, features=target is not None)
        assert made.device == x.device and len(made) == 2
    assert as_lengths([2, 1], x).device == x.device
