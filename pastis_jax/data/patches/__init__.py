"""Folders of patches: reader, checks, preparation, encoding, panoptic targets."""

from typing import TYPE_CHECKING

from pastis_jax._lazy import lazily

_PUBLIC = {
    "frame_capacity": "pastis_jax.data.patches.capacity",
    "PatchEncoding": "pastis_jax.data.patches.encoding",
    "PatchFolder": "pastis_jax.data.patches.folder",
    "PreparedPatches": "pastis_jax.data.patches.prepare",
    "prepare_patches": "pastis_jax.data.patches.prepare",
}
"""Public names, and where they are defined."""

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from pastis_jax.data.patches.capacity import frame_capacity
    from pastis_jax.data.patches.encoding import PatchEncoding
    from pastis_jax.data.patches.folder import PatchFolder
    from pastis_jax.data.patches.prepare import PreparedPatches, prepare_patches

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
