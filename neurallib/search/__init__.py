"""Grid search: the trials of a search, and the search that ranks them.

Grid search
-----------
`neurallib.examples.grid_search --workers 2` compares sizes and learning rates on two processes. In
short:

```python
results = nl.grid_search(
    "GRUseq2seq", {"n_features": 1, "n_layers": [1, 2], "hid_dim": [16, 32], "learning_rate": [0.01, 0.001]},
    {"path_x": "data/x", "path_y": "data/y", "epochs": 30, "batch_size": 8, "patience": 5,
     "dataset_name": "my recordings", "trained_for": "R-peak detection"},
    executor=None,  # or a process pool, or on a cluster Dask's or submitit's (extra `cluster`)
)
best = nl.load_checkpoint(results[0]["checkpoints_directory"])
```

A search that was stopped goes on when it is called again. `{results}/{model_name}/grid_search/leaderboard.csv` ranks
the trials; `tensorboard --logdir results` compares them where `train_params` enable TensorBoard.
"""
