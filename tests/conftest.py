"""What all tests share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
# torch's threads sleep while they wait, here and in what tests start: where others want the processor too, threads that
# spin take it from each other. It is read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402
from cases import Case, make_state, write_folders  # noqa: E402
from hub_client import Client  # noqa: E402
from hub_server import Hub, running_hub  # noqa: E402

from neurallib.files import atomic_write  # noqa: E402
from neurallib.plots.losses import plot_losses  # noqa: E402
from neurallib.training import saving  # noqa: E402

# The same examples in every run, and no failure because the machine is busy.
settings.register_profile("suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """The processes that tests start let the same warnings through as this one."""
    given = config.getoption("pythonwarnings") or []
    os.environ["PYTHONWARNINGS"] = ",".join([*config.getini("filterwarnings"), *given])


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Random inputs of a test are the same in every run, and so are the threads, whatever a program sets for itself."""
    n_threads = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where checkpoint directories go: never into the tree."""
    monkeypatch.setenv("NEURALLIB_RESULTS_DIR", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture(autouse=True)
def unpainted() -> Iterator[pytest.MonkeyPatch]:
    """Runs that leave files take most of their time for the picture of their losses, which is made and not painted, and
    to wait for the disk; a test that looks at the picture undoes it."""

    def made(train_losses: Any, val_losses: Any, path: Path, **options: Any) -> None:
        plot_losses(train_losses, val_losses, **options)
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"\x89PNG\r\n\x1a\n")

    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(saving, "plot_losses", made)
        quick.setattr(os, "fsync", lambda descriptor: None)
        yield quick


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    """What the trials of a small grid search train with."""
    path_x, path_y = write_folders(tmp_path / "data", make_state(Case("GRUseq2seq", "binary")))
    return {
        "path_x": path_x, "path_y": path_y, "epochs": 2, "batch_size": 4, "patience": 3, "all_samples": True,
        "dataset_name": "made up", "trained_for": "sign detection",
    }  # fmt: skip


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        running.users["secret"] = "owner"
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def online(hub: Hub, home: Path) -> Iterator[Client]:
    client = Client(hub.address, home)
    yield client
    client.close()


@pytest.fixture(scope="module")
def offline(hub: Hub, home: Path) -> Iterator[Client]:
    """The same cache, in offline mode."""
    client = Client(hub.address, home, HF_HUB_OFFLINE="1")
    yield client
    client.close()


@pytest.fixture(scope="module")
def cut_off(home: Path) -> Iterator[Client]:
    """The same cache, and an address where nobody answers."""
    client = Client("http://127.0.0.1:9", home)
    yield client
    client.close()
