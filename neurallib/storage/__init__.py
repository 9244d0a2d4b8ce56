"""States as files: checkpoint directories, training information, model cards, the Hugging Face hub.

Checkpoint directories
----------------------
A checkpoint directory is `$NEURALLIB_RESULTS_DIR` (or `./results`)
`/{model_name}/checkpoints/{architecture}_..._{time}`:

```
model_weights.safetensors   what neurallib reads        loss_plot.png      the loss of every epoch
model_weights.pth           what NeuralLib reads        best.ckpt          Lightning's, of the best epoch
hparams.yaml                hyperparameters             last.ckpt          Lightning's, to resume from
training_info.json          what was trained, on what,  run.json           what the run began with, to resume it
                            how well, and its history   tensorboard_logs/  where enabled
                                                        predictions/       where asked for
preprocessing.json          scales, rate, channels, units,  README.md          a model card
                            window, names of outputs    lightning_logs/    hparams.yaml where NeuralLib looks for it
```

Directories, manifests of data sets and saved streams say their format. Every version reads those of all before it, and
refuses what a later one wrote with one clear error.

Safety of files
---------------
Reading a file runs no code from it, whoever made it: weights come from safetensors, or from `.pth` and `.ckpt` with
`torch.load(weights_only=True)`, hyperparameters through `yaml.safe_load`, signals with `allow_pickle=False`.
.github/SECURITY.md says what is promised and what is not.

The Hugging Face hub
--------------------
`neurallib.examples.use_published_model --repo OWNER/NAME`. In short:

```python
state = nl.load_from_hub("marianaagdias/ECGPeakDetector")  # once downloaded, also without a connection
state["preprocessing"]["normalization"] = "minmax"  # it learnt on signals scaled to 0..1, which its files do not say
probabilities = nl.predict(state, [signal])[0]  # signal [T, 1] at state["preprocessing"]["sampling_frequency"] Hz
peaks = nl.post_process_peaks_binary(probabilities, filter_peaks=True)
```

`neurallib.examples.publish_model --repo OWNER/NAME` writes a model card with what was measured and
pushes the directory. The original NeuralLib reads such repositories too; a warning names what it has no words for,
such as a `pooling` other than its own.
"""
