"""Settings of the whole suite."""

from __future__ import annotations

import gc
import os
import pathlib

import jax
import pytest
from absl import flags

flags.FLAGS.mark_as_parsed()

if jax.__version_info__ < (0, 11):  # An unknown flag would end the process.
    # XLA's older emitters compile in half the time. Read with the first backend.
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()
    )

SLOWEST = (
    *("test_notebooks.py", "test_panoptic.py", "test_semantic.py", "training/test_devices.py"),
    *("test_runs.py", "test_parcel.py", "test_golden.py"),
    *("training/test_processes.py", "test_resume.py"),
    *("test_properties.py", "training/test_training.py", "test_image_properties.py"),
    *("panoptic/test_paps.py", "paper/test_attention.py", "paper/test_measurements.py"),
    "paper/test_figures.py",
)
"""Modules that take longest, in this order."""


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "golden",
        help="folder with the .npz cases computed by the published PyTorch models",
    )
    parser.addoption("--all", action="store_true", help="also run the long tests")


def pytest_collection_modifyitems(config, items):
    """Long tests wait for --all; the slowest modules come first, so that both workers end alike."""
    if not config.getoption("--all"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    rank = {f"tests/{name}": place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))


def pytest_collection_finish():
    """What was imported stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


@pytest.fixture(scope="session")
def golden_folder(request) -> pathlib.Path:
    return request.config.getoption("--golden")


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Programs that several tests compile are compiled once: by all workers and commands.

    With a bound to its size JAX locks the folder, which several processes use.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    for name, value in {
        "jax_compilation_cache_dir": str(folder / "compiled"),
        "jax_compilation_cache_max_size": 8 << 30,
        "jax_persistent_cache_min_compile_time_secs": 0.2,
    }.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """What is prepared by default does not go to whoever runs the tests."""
    os.environ["PASTIS_JAX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs take gigabytes in the end."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def compile_quickly(request):
    """Most tests compile longer than they run; published numbers get every optimisation."""
    quick = not request.module.__name__.endswith("test_golden")
    jax.config.update("jax_disable_most_optimizations", quick)
