"""Training a state: the run, its optimizer, Lightning's loop and what TensorBoard shows of it.

How it is trained
-----------------
With Adam (weight decay 1e-5), a learning rate of 0.003 (GRUs) or 0.001 (Transformers), and a schedule that climbs to it
over the first 5 % of the steps and falls to 0 in half a cosine over all `epochs`. Measured once on three tasks against
the original's way, 0.001 and a tenth of it every 10 epochs: accuracy of EMG 0.88 for 0.76, denoising +8.3 dB for +5.9,
heart rate MAE 1.0 bpm for 7.2. The schedule ends with `epochs`: give as many as the run is to take, for one that
`patience` ends early has not seen the low rates. The weights of the epoch with the lowest validation loss come back.

To change what, give `train`, `train_from_scratch`, `retrain`, `cross_validate` or a grid search's `train_params`:

- the learning rate: `learning_rate` of the factory; `layer_learning_rates={"fc_out": 0.01}`; Lightning's
  `LearningRateFinder` in `callbacks`
- the optimizer: `optimizer="adamw"`, `"sgd"` (momentum 0.9), or a function `(network, hparams) -> torch optimizer`
- the schedule: `schedule="step"` (the original's), `"plateau"`, `None`, or a function `optimizer -> torch scheduler`
- what is learnt from: `class_weight`, `augment`, or `loss`, a function as `nl.loss_function(state)` is one
- which weights come back: `monitor="f1"` or any measure that `evaluate` gives, or one of your `metrics` with its way,
  `("name", "max")`: best.ckpt, `patience` and `"plateau"` follow it
- what is measured and logged: `metrics={"name": function(outputs, y)}`, `loggers=[CSVLogger("logs")]`,
  `enable_tensorboard=True`
- how long: `epochs`, and within them Lightning's `max_steps`, over which a cosine goes then, and `max_time`

`training_info` tells what ran: optimizer, schedule, rate, loss, monitor, each epoch's losses and measures. Functions
are for one process; a grid search, whose trials are told apart by plain values, takes the names, and ranks by the loss
whatever `monitor` chose the weights by.

Runs that are stopped
---------------------
A directory can be loaded from its first finished epoch on, however its run ends; of one that goes on, failed
or was killed a warning tells that.
`resume=` of the training functions goes on where a run was stopped, by Ctrl-C, a scheduler's SIGTERM, `max_time`, a
full disk or SIGKILL, and ends bit by bit with what it would have ended with; what it began with, data and versions
included, has to be the same, and what is not is told.

```python
state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=2)
state = nl.train_from_scratch(state, "data/x", "data/y", resume=True)  # the newest such run that is unfinished, or anew
[run["directory"] for run in nl.find_unfinished()]  # each of which `resume=` takes
```

Between epochs `last.ckpt` is written as often as costs little; `checkpoint_every=500` (steps) or a `timedelta` writes
it within long ones. `max_time` counts from each start, for a job that is begun again and again, and ends no run: it
returns the best weights so far, its status is "out of time", and it is listed as unfinished. `max_steps` finishes a
run, as `epochs` do. A run that finished goes on where more of them are asked for, unless its schedule is a cosine. A
grid search that was killed goes on in the middle of a trial. Two processes do not train in one directory: the second is
told which has it. `benchmarks/kill_training.py 200` kills trainings at random moments and inside their writes.

A job on Slurm that goes on where its last one was stopped, with `resume=True` in the script; its log has epochs after
`logging.basicConfig(level=logging.INFO)`:

```bash
#!/bin/bash
#SBATCH --ntasks=1 --cpus-per-task=8 --time=04:00:00 --signal=TERM@120 --requeue
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK  # or torch may take all that the machine has
srun python my_training.py
```

An error within a run leaves it "failed", with the error, in `find_unfinished`; it is resumed like the others. On a file
system without locks a warning says that nobody can tell who else trains there.

Several devices and machines
----------------------------
`devices=`, `num_nodes=` and `strategy=` of the training functions: a process for each device, each with batches of
`batch_size`, and every step of the optimizer that of all their signals as one batch, whatever their lengths. Every
process runs the same script and gets the same state; the first alone writes. Validation is done whole by each.
`predict`, `evaluate`, `confusion_matrix` and `test_on_test_set` share their signals among the processes, which all have
to call them, and all get the whole answer. Where a process ends, the others end with an error instead of waiting for
it.

```bash
python my_training.py                                # devices=4 in it: starts three more of itself
torchrun --standalone --nproc-per-node=4 my_training.py   # as many as it started, without devices=
torchrun --nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d --rdzv-endpoint=first-machine:29500 my_training.py  # on each
```

On Slurm, with `devices=4, num_nodes=2` in the script and the results directory on a file system of all machines:

```bash
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 --cpus-per-task=8 --time=04:00:00
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
srun --kill-on-bad-exit=1 python my_training.py
```

A grid search makes a Slurm job of each trial with submitit's executor; the search itself runs where jobs are submitted:
`executor = submitit.AutoExecutor("jobs"); executor.update_parameters(timeout_min=240, gpus_per_node=1)`. With Dask it
is `distributed.Client(...).get_executor()`.

`benchmarks/bench_scaling.py` measures one and two processes and predicts 8 and 64 from what a step and what the
processes say to one another take, here or with `--latency` and `--bandwidth` of another network. Tried with two and
three processes on CPUs (gloo), not on several GPUs.
"""
