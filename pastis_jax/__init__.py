"""Multi-modal temporal attention models for crop mapping, in JAX."""

__version__ = "0.1.0"
