"""Signals on their way to a batch: folders and recordings, checks and shapes, normalization, padding."""
