"""The version, for the package's metadata and for what a trained state remembers."""

__version__ = "0.1.0"
