"""Who may import whom: the layout is a rule, not a habit."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "pastis_jax"
EVERYWHERE = {"types", "errors", "extras", "files", "json_files", "text", "rng", "_lazy"}
MAY_IMPORT = {
    "_lazy": set(),
    "types": set(),
    "errors": set(),
    "extras": set(),
    "files": set(),
    "json_files": set(),
    "text": set(),
    "rng": set(),
    "registry": set(),
    "machine": set(),
    "nn": set(),
    "losses": {"nn"},
    "metrics": {"nn"},
    "calibration": set(),
    "interpolation": {"nn"},
    "temporal_dropout": {"nn"},
    "modality_dropout": set(),
    "panoptic": {"nn", "losses", "metrics"},
    "models": {"nn", "panoptic", "registry"},
    "fusion": {"nn", "interpolation"},
    "schemes": {"fusion", "registry"},
    "data": set(),
    "training": {"metrics", "nn"},
    "interop": {"nn", "models", "fusion"},
    "viz": {"data"},
    "tasks": {
        *("calibration", "data", "losses", "metrics", "models", "panoptic", "schemes"),
        *("training", "viz"),
    },
    "runs": {
        *("calibration", "data", "machine", "metrics", "nn", "schemes", "tasks"),
        *("modality_dropout", "temporal_dropout", "training", "viz"),
    },
    "mapping": {
        *("calibration", "data", "machine", "nn", "panoptic", "runs", "tasks", "training", "viz"),
    },
    "compiled": {"data"},
    "cli": {
        *("compiled", "data", "interop", "machine", "mapping", "runs", "tasks", "training", "viz"),
    },
}
"""Beside EVERYWHERE and the part itself."""
WHEN_CALLED = {"runs/opened.py": {"mapping"}, "data/normalisation.py": {"nn"}}
"""What a module may import within a function: what everyone else imports, or what needs JAX."""


def imports(path, *, called=True):
    """Names that a module imports; with `called` also those within functions."""
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inner = [node for node in ast.walk(tree) if isinstance(node, functions)]
    later = set() if called else {id(x) for node in inner for x in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in later:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name):
    return name.split(".")[1] if name.startswith("pastis_jax.") else None


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_forbidden_import(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = MAY_IMPORT[own] | EVERYWHERE | {own}
    known = MAY_IMPORT.keys() | {"experiments"}
    parts = {part(name) for name in imports(path, called=False)} & known
    assert parts <= allowed, f"{own} must not import {sorted(parts - allowed)}"
    allowed |= WHEN_CALLED.get(path.relative_to(PACKAGE).as_posix(), set())
    parts = {part(name) for name in imports(path)} & known
    assert parts <= allowed, f"{own} must not import {sorted(parts - allowed)}"
    assert not any(name.split(".")[0] == "experiments" for name in imports(path))


def test_orbax_stands_in_one_file():
    users = {p.name for p in FILES if any("orbax" in name for name in imports(p))}
    assert users == {"checkpoint.py"}


def test_linen_stays_in_models():
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in FILES
        if any(name.startswith(("flax.linen",)) for name in imports(path))
    }
    allowed = {"nn", "models", "fusion.py", "schemes.py"}
    assert users <= allowed | {"training"}  # training: the type of a model


@pytest.mark.parametrize(
    "module", ["simulate", "pixel_sets.folder", "patches.folder", "patches.prepare"]
)
def test_reading_and_simulating_need_no_jax(module):
    heavy = "'jax' in sys.modules or 'tensorflow' in sys.modules"
    code = f"import sys, pastis_jax.data.{module}; sys.exit({heavy})"
    subprocess.run([sys.executable, "-c", code], check=True)


MAY_NAME_PASTIS_R = (
    *("data/pastis_r.py", "data/simulate/", "cli/", "interop/", "data/regions/sensors.py"),
)
"""The dataset, what simulates it, defaults of commands, weights that were published for it, and
what is known of the sensors themselves."""
CONSTANTS = {"S1A", "S1D", "S2", "VV-VH", "B8A", "2018-09-01", "Soft winter wheat", "Grapevine"}


def literals(path):
    """The texts in a file's code, its documentation left out, and the names it imports."""
    tree = ast.parse(path.read_text())
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documented:
                yield node.value
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_one_dataset_is_named_in_one_place(path):
    if path.relative_to(PACKAGE).as_posix().startswith(MAY_NAME_PASTIS_R):
        return
    named = {text for text in literals(path) if text in CONSTANTS or text == "PASTIS_R"}
    assert named == set()
    assert "PASTIS_R" not in path.read_text().replace("PASTIS_R_", "")
