"""Training in two processes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

DISTRIBUTED = """
    import sys
    import numpy as np
    import neurallib as nl
    rng = np.random.default_rng(0)
    pairs = [(x := rng.standard_normal((8, 1)).astype(np.float32), (x > 0).astype(np.float32)) for _ in range(7)]
    state = nl.gru_seq2seq(n_features=1, hid_dim=3, n_layers=1)
    trained = nl.train(state, pairs, pairs, epochs=2, batch_size=2, save=True, enable_progress_bar=False,
                       accelerator="cpu", devices=2, strategy="ddp")
    import os
    info = trained["training_info"]
    digest = sum(float(w.double().sum()) for w in trained["weights"].values())
    with open(os.environ["REPORT"] + os.environ.get("LOCAL_RANK", "0"), "w") as file:
        file.write(f"{digest} {info['validation_loss']} {info['checkpoints_directory']}")
"""


def test_two_processes_train_one_model_into_one_directory(tmp_path: Path) -> None:
    script = tmp_path / "distributed.py"
    script.write_text(textwrap.dedent(DISTRIBUTED))
    environment = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "RANK")}
    subprocess.run(
        [sys.executable, str(script)],
        env=environment | {
            "NEURALLIB_RESULTS_DIR": str(tmp_path / "results"), "REPORT": str(tmp_path / "rank"),
            "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    first, second = (tmp_path / "rank0").read_text(), (tmp_path / "rank1").read_text()
    assert first == second
    assert len(list((tmp_path / "results" / "GRUseq2seq" / "checkpoints").iterdir())) == 1
