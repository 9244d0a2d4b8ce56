"""The models: factories, weights and forward functions of each architecture, and the network they run in.

Tasks
-----
Every task works with `GRUseq2seq`, `GRUseq2one`, `Transformerseq2seq` and `Transformerseq2one`: binary, multi-label and
multiclass classification, and regression. The encoder-decoders `GRUED` and `TransformerED` do regression: they learn
with teacher forcing and predict by generating from the encoded signal alone.

A loop of your own
------------------
```python
import neurallib as nl

state = nl.gru_seq2seq(n_features=1, hid_dim=16, n_layers=1)
network, loss = nl.build_network(state), nl.loss_function(state)
optimizer, scheduler = nl.make_optimizer(network, state["hparams"])
batches = nl.make_loader(nl.prepare(state, pairs), batch_size=8, shuffle=True)  # pairs: [(x [T, 1], y [T]), ...]
for epoch in range(10):
    for batch in batches:
        optimizer.zero_grad()
        nl.training_step(network, batch, loss).backward()
        optimizer.step()
    scheduler.step()
state = nl.state_from_network(state, network)
```

A new architecture is one entry of `ARCHITECTURES`: "Adding an architecture" of .github/CONTRIBUTING.md has the steps.
"""
