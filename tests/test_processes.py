"""Processes that torchrun started train one model and share what they evaluate; the first alone writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, QUIET, Case, make_pairs, make_state
from together import TORCHRUN, codes, errors, start, told

import neurallib as nl

GRU = Case("GRUseq2seq", "binary")
LENGTHS = [20, 40, 30, 25, 8, 50, 30]  # seven signals for three processes
# The first has more of them than the areas under curves keep one by one.
EVALUATED = [(GRU, [400_000] * 3), *((case, LENGTHS) for case in CASES if "ED" not in case.architecture), (GRU, [9, 8])]

WORK = """
    import contextlib, io, json, pickle
    import numpy as np
    from pytorch_lightning.callbacks import Callback
    from test_processes import EVALUATED, GRU, LENGTHS, evaluated

    written, told = [], {}
    def note(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and isinstance(arguments[1], str):
            if set(arguments[1]) & set("wax+") and os.environ["NEURALLIB_RESULTS_DIR"] in arguments[0]:
                written.append(arguments[0])
        elif event in ("os.rename", "os.mkdir") and os.environ["NEURALLIB_RESULTS_DIR"] in str(arguments[-3:]):
            written.append(str(arguments))
    sys.addaudithook(note)

    class Look(Callback):
        def on_train_end(self, trainer, module):
            if RANK == 1:  # alone: the others would never come
                told["in a callback"] = nl.evaluate(state, pairs)["loss"]

    state = make_state(GRU)
    pairs = make_pairs(state, LENGTHS)
    trained = nl.train(state, pairs, pairs[:2], epochs=3, batch_size=1, save=True, enable_tensorboard=True,
                       enable_progress_bar=False, callbacks=[Look()])
    told["weights"] = {name: weight.tolist() for name, weight in trained["weights"].items()}
    told["state"] = {name: trained[name] for name in trained if name != "weights"}

    class Read(torch.utils.data.Dataset):
        def __init__(self): self.places = set()
        def __len__(self): return len(pairs)
        def __getitem__(self, i):
            self.places.add(i)
            return pairs[i]
    class Screen(io.StringIO):
        def isatty(self): return True
    data = Read()
    with contextlib.redirect_stderr(Screen()) as screen:
        nl.evaluate(state, data, enable_progress_bar=True)
    told["bars"] = len(screen.getvalue())
    told["read"] = sorted(data.places)
    told["evaluated"] = [evaluated(*each) for each in EVALUATED]
    told["raised"] = []
    wrong = [*pairs[:5], (pairs[5][0] * np.nan, pairs[5][1]), (pairs[6][0] * np.nan, pairs[6][1])]
    another = make_state(GRU, seed=RANK)
    for work in (lambda: nl.predict(state, [x for x, _ in wrong]), lambda: nl.evaluate(another, pairs),
                 lambda: nl.evaluate(state, pairs) if RANK else nl.predict(state, [x for x, _ in pairs])):
        try:
            work()
        except Exception as error:
            told["raised"].append(f"{type(error).__name__}: {error}")
    told["written"] = written
    from neurallib.training import saving
    if RANK == 0:
        def full(*_):
            raise OSError(28, "No space left on device")
        saving.write_checkpoint = full
    try:
        nl.train(state, pairs, pairs[:2], epochs=1, batch_size=1, save=True, enable_progress_bar=False)
    except OSError as error:
        told["unsaved"] = f"{error.strerror}, {sorted(error.state['weights']) == sorted(state['weights'])}"
    tell(json.dumps(told))
    torch.distributed.destroy_process_group()
"""


def evaluated(case: Case, lengths: list[int]) -> tuple[dict[str, float], list]:
    """What `evaluate` gives for a case, and of what `predict` gives the first step or value of each signal."""
    state = make_state(case)
    pairs = make_pairs(state, lengths)
    outputs = nl.predict(state, [x for x, _ in pairs])
    return nl.evaluate(state, pairs), [output.reshape(-1)[:1].tolist() for output in outputs]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What each of three processes tells of one run."""
    directory = tmp_path_factory.mktemp("three")
    assert codes(start(directory, WORK, 3, TORCHRUN), 240) == [0], errors(directory)
    return {rank: json.loads(text) for rank, text in told(directory).items()}


def test_torchrun_says_how_many_train_and_all_of_them_return_the_same_state(three: dict[int, dict[str, Any]]) -> None:
    assert three[0]["state"]["training_info"]["n_processes"] == len(three) == 3
    for rank in (1, 2):
        assert three[rank]["state"] == three[0]["state"] and three[rank]["weights"] == three[0]["weights"]


def test_weights_and_losses_are_those_of_one_process_with_the_same_batches(three: dict[int, dict[str, Any]]) -> None:
    state = make_state(GRU)
    pairs = make_pairs(state, LENGTHS)
    alone = nl.train(state, pairs, pairs[:2], epochs=3, batch_size=3, **QUIET)
    for name, weight in alone["weights"].items():
        torch.testing.assert_close(torch.tensor(three[0]["weights"][name]), weight, rtol=1e-5, atol=1e-5)
    for losses in ("train_losses", "val_losses"):
        found = three[0]["state"]["training_info"][losses]
        assert found == pytest.approx(alone["training_info"][losses], rel=1e-5)


def test_the_first_process_alone_writes(three: dict[int, dict[str, Any]]) -> None:
    for name in ("best.ckpt", "tensorboard_logs", "loss_plot.png", "model_weights.safetensors", "README.md"):
        assert any(name in path for path in three[0]["written"])
    assert [three[rank]["written"] for rank in (1, 2)] == [[], []]


def test_all_raise_what_the_first_could_not_write(three: dict[int, dict[str, Any]]) -> None:
    assert [three[rank]["unsaved"] for rank in range(3)] == ["No space left on device, True"] * 3


def test_each_reads_its_share_and_gets_the_whole(three: dict[int, dict[str, Any]]) -> None:
    assert [three[rank]["read"] for rank in range(3)] == [[0, 1], [2, 3], [4, 5, 6]]
    assert three[0]["bars"] > 0 == three[1]["bars"] == three[2]["bars"]
    for i, (case, lengths) in enumerate(EVALUATED):
        measures, outputs = evaluated(case, lengths)
        for rank in range(3):
            found, first = three[rank]["evaluated"][i]
            np.testing.assert_allclose(first, outputs, rtol=1e-5, atol=1e-5)
            assert found.keys() == measures.keys()
            for name, value in measures.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=f"{case} {name}")


def test_a_callback_evaluates_by_itself(three: dict[int, dict[str, Any]]) -> None:
    state = make_state(GRU)
    assert three[1]["in a callback"] == pytest.approx(nl.evaluate(state, make_pairs(state, LENGTHS))["loss"], rel=1e-5)


def test_all_raise_what_one_raises_and_what_does_not_go_together(three: dict[int, dict[str, Any]]) -> None:
    for rank in range(3):
        wrong, another, mixed = three[rank]["raised"]
        assert wrong.startswith("ValueError: x of signals[5] holds nan at [0, 0]; expected finite numbers.")
        assert "evaluate was given other data or another state in each process (0: 7 signals, weights" in another
        assert f"process {rank} of 3 is at {'evaluate' if rank else 'predict'}, others at" in mixed


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"devices": 0}, ValueError, "devices=0; expected an integer of at least 1"),
        ({"devices": [0, 0]}, ValueError, "each once"),
        ({"devices": [99]}, ValueError, r"devices=\[99\], of \d+ GPUs on this machine"),
        ({"strategy": None}, TypeError, "strategy=None; expected 'auto', 'ddp' or"),
        ({"devices": "all"}, ValueError, "devices='all'; expected how many, .* or 'auto' for all"),
        ({"num_nodes": 1.5}, TypeError, "num_nodes=1.5 is a float"),
        ({"devices": 2, "gpu_id": 0}, ValueError, "gpu_id=0"),
        ({"strategy": "ddp_spawn"}, ValueError, "leaves the weights in processes that end"),
        ({"strategy": "fsdp"}, ValueError, "leaves the weights in pieces"),
    ],
)
def test_where_to_train_is_checked_first(options: dict[str, Any], error: type[Exception], words: str) -> None:
    state = make_state(GRU)
    pairs = make_pairs(state, LENGTHS)
    with pytest.raises(error, match=words):
        nl.train(state, pairs, pairs, epochs=1, batch_size=2, dry_run=True, **options)


def test_a_program_in_no_file_cannot_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import __main__

    monkeypatch.setattr("sys.argv", ["-c"])
    monkeypatch.setattr(__main__, "__spec__", None, raising=False)
    state = make_state(GRU)
    pairs = make_pairs(state, LENGTHS)
    with pytest.raises(ValueError, match="devices=2 starts this program once more .* it is in no file"):
        nl.train(state, pairs, pairs, epochs=1, batch_size=2, dry_run=True, devices=2)


@pytest.mark.parametrize("names", [("PROCID", "NTASKS", "NTASKS_PER_NODE", "LOCALID", "NODEID"), ("NTASKS",)])
def test_a_run_by_itself_writes_whatever_slurm_says_of_ranks_and_tasks(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*names, "JOB_ID"):
        monkeypatch.setenv(f"SLURM_{name}", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "workers")
    state = make_state(GRU)
    pairs = make_pairs(state, LENGTHS)
    own: dict[str, Any] = {"gradient_clip_val": 1.0, "plugins": []}  # of which Lightning asks the cluster once more
    trained = nl.train(state, pairs, pairs, epochs=1, batch_size=2, save=True, **own, **QUIET)
    assert Path(trained["training_info"]["checkpoints_directory"], "best.ckpt").is_file()
