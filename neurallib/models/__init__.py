"""The models: factories, weights and forward functions of each architecture, and the network they run in."""
