"""Datasets: what they are, folders of them, and the batches that are made of them.

Folders of pixel sets and of patches are in the packages of these names, PASTIS-R is described in
`pastis_jax.data.pastis_r`, and `pastis_jax.data.simulate` makes data of its form. Public names are
imported when they are first used.
"""

from typing import TYPE_CHECKING

from pastis_jax._lazy import lazily

_PUBLIC = {
    "Assignment": "pastis_jax.data.assignment",
    "evaluation_batches": "pastis_jax.data.batches",
    "training_batches": "pastis_jax.data.batches",
    "ClassMapping": "pastis_jax.data.class_mapping",
    "CropClass": "pastis_jax.data.dataset",
    "Dataset": "pastis_jax.data.dataset",
    "Modality": "pastis_jax.data.modality",
    "Nomenclature": "pastis_jax.data.dataset",
    "Picture": "pastis_jax.data.modality",
    "read_dataset": "pastis_jax.data.dataset_file:read",
    "write_dataset": "pastis_jax.data.dataset_file:write",
    "normalise": "pastis_jax.data.normalisation",
    "BatchPlan": "pastis_jax.data.splits",
    "PatchSplits": "pastis_jax.data.splits",
    "Splits": "pastis_jax.data.splits",
}
"""Public names, and where they are defined."""

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from pastis_jax.data.assignment import Assignment
    from pastis_jax.data.batches import evaluation_batches, training_batches
    from pastis_jax.data.class_mapping import ClassMapping
    from pastis_jax.data.dataset import CropClass, Dataset, Nomenclature
    from pastis_jax.data.dataset_file import read as read_dataset
    from pastis_jax.data.dataset_file import write as write_dataset
    from pastis_jax.data.modality import Modality, Picture
    from pastis_jax.data.normalisation import normalise
    from pastis_jax.data.splits import BatchPlan, PatchSplits, Splits

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
