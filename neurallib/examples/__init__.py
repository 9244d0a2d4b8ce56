"""Whole jobs, each a page to copy: `python -m neurallib.examples.NAME`."""
