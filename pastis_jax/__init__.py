"""Crop mapping from satellite image time series, optical and radar together, in JAX.

The models of *Multi-modal temporal attention models for crop mapping from satellite time series*
(Sainte Fare Garnot, Landrieu, Chehata, ISPRS 2022), and what is needed around them. Public names
are imported when they are first used.
"""

from typing import TYPE_CHECKING

from pastis_jax._lazy import lazily

__version__ = "0.2.0"

_PUBLIC = {
    "open_run": "pastis_jax.runs",
    "Run": "pastis_jax.runs",
    "Dataset": "pastis_jax.data.dataset",
    "Modality": "pastis_jax.data.modality",
    "Nomenclature": "pastis_jax.data.dataset",
    "Batch": "pastis_jax.types",
    "Embedding": "pastis_jax.types",
    "PanopticMap": "pastis_jax.types",
    "Prediction": "pastis_jax.types",
    "Series": "pastis_jax.types",
    "UserError": "pastis_jax.errors",
}
"""Public names, and where they are defined."""
_PACKAGES = (
    *("calibration", "data", "fusion", "interop", "losses", "mapping", "metrics", "models", "nn"),
    *("panoptic", "runs", "schemes", "tasks", "training", "viz"),
)

__all__ = [*_PACKAGES, *_PUBLIC]

if TYPE_CHECKING:
    from pastis_jax.data.dataset import Dataset, Nomenclature
    from pastis_jax.data.modality import Modality
    from pastis_jax.errors import UserError
    from pastis_jax.runs import Run, open_run
    from pastis_jax.types import Batch, Embedding, PanopticMap, Prediction, Series

__getattr__, __dir__ = lazily(__name__, _PUBLIC, _PACKAGES)
