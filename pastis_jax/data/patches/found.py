"""Whether a folder is one of patches."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from pastis_jax.data import layout
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import PARCEL_METADATA
from pastis_jax.data.patches.annotations import ANNOTATIONS
from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError

DOWNLOAD = "give the folder of the PASTIS-R patches (zenodo.org/record/5735646)"


def check_layout(
    root: pathlib.Path, dataset: Dataset, modalities: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Refuses a folder that is not a patch folder, and says what it looks like instead.

    Args:
      root: The folder.
      dataset: What it should hold.
      modalities: Modalities that must be there; None takes those that are.

    Returns:
      The modalities, in the dataset's order.

    Raises:
      ArgumentError: If a modality is none of the dataset's.
      DataError: If `root` lacks its metadata, annotations or a data folder.
    """
    if not (root / ANNOTATIONS).is_dir():
        inner = next((path.parent for path in sorted(root.glob(f"*/{ANNOTATIONS}"))), None)
        if inner is not None:
            raise DataError("not a patch folder itself", where=root, remedy=f"give {inner}")
        if (root / PARCEL_METADATA).exists():
            fault = f"this is the pixel-set folder of {dataset.name}, not the patch folder"
            raise DataError(fault, where=root, remedy=layout.download(root, DOWNLOAD))
        if layout.present_modalities(root, dataset):
            fault = "no folder of annotations"
            raise DataError(fault, where=root / ANNOTATIONS, remedy=restore(root / ANNOTATIONS))
    return layout.wanted_modalities(
        root, dataset, modalities, kind="patch", remedy=layout.download(root, DOWNLOAD)
    )
