"""Public names of the packages that import them when they are first used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PACKAGES = (
    *("pastis_jax", "pastis_jax.data"),
    *("pastis_jax.data.pixel_sets", "pastis_jax.data.patches"),
)

each = pytest.mark.parametrize("package", PACKAGES)


@each
def test_every_public_name_is_there(package):
    module = importlib.import_module(package)
    assert {*module.__all__} <= {*dir(module)}
    for name in module.__all__:
        assert getattr(module, name) is not None


@each
def test_another_name_is_not(package):
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize(
    "names",
    [
        "pastis_jax import Dataset, UserError",
        "pastis_jax.data import Assignment, CropClass, Modality, read_dataset, write_dataset",
        "pastis_jax.data.pixel_sets import PixelSetFolder",
        "pastis_jax.data.patches import PatchFolder",
    ],
)
def test_what_describes_and_reads_needs_no_jax(names):
    heavy = "'jax' in sys.modules or 'tensorflow' in sys.modules"
    code = f"import sys\nfrom {names}\nsys.exit({heavy})"
    subprocess.run([sys.executable, "-c", code], check=True)
