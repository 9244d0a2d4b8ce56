"""Transfer learning: what is reused of a model, and what of it stays frozen."""
