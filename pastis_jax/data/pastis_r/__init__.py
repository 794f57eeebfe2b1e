"""TFDS builder of the PASTIS-R patches, and the dataset of the module whose name it takes."""

import importlib.util
import pathlib

_FILE = pathlib.Path(__file__).parent.with_suffix(".py")
_SPEC = importlib.util.spec_from_file_location("pastis_jax.data.pastis_r_dataset", _FILE)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
PARCELS, PASTIS_R = _MODULE.PARCELS, _MODULE.PASTIS_R
