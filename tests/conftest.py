"""Settings of the whole suite."""

from __future__ import annotations

import pathlib

import jax
import pytest
from absl import flags

flags.FLAGS.mark_as_parsed()


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "golden",
        help="folder with the .npz cases computed by the published PyTorch models",
    )


@pytest.fixture(scope="session")
def golden_folder(request) -> pathlib.Path:
    return request.config.getoption("--golden")


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Programs that several tests compile are compiled once."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Compiled programs take gigabytes in the end."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def compile_quickly(request):
    """Most tests compile longer than they run; published numbers get every optimisation."""
    quick = not request.module.__name__.endswith("test_golden")
    jax.config.update("jax_disable_most_optimizations", quick)
