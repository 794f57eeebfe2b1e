"""Folders of pixel sets: reader, checks, preparation, encoding."""

from typing import TYPE_CHECKING

from pastis_jax._lazy import lazily

_PUBLIC = {
    "PixelSetEncoding": "pastis_jax.data.pixel_sets.encoding",
    "PixelSetFolder": "pastis_jax.data.pixel_sets.folder",
    "PreparedPixelSets": "pastis_jax.data.pixel_sets.prepare",
    "prepare_pixel_sets": "pastis_jax.data.pixel_sets.prepare",
}
"""Public names, and where they are defined."""

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding
    from pastis_jax.data.pixel_sets.folder import PixelSetFolder
    from pastis_jax.data.pixel_sets.prepare import PreparedPixelSets, prepare_pixel_sets

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
