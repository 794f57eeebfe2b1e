"""The notebooks: paired with their .py files, without outputs, and run from top to bottom."""

from __future__ import annotations

import ast
import pathlib

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from pastis_jax.data import simulate

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NARROW = {
    "epochs": 1,
    "crop": 16,
    "encoder_widths": (4, 4),
    "decoder_widths": (4, 4),
    "heads": 2,
    "model_features": 8,
}
SMALL = {
    "1_parcels": {"EPOCHS": 1},
    "2_fusion": {"MODELS": ("S2", "mid"), "EPOCHS": 1, "RATIOS": (0.0, 0.5)},
    "3_maps": {
        "SEMANTIC": {**NARROW, "head_widths": (4,)},
        "PANOPTIC": {**NARROW, "mask_conv": False, "shape_size": 4, "max_instances": 8},
    },
    "4_own_parts": {"EPOCHS": 1, "REMOVED": (0.0, 1.0)},
    "5_region": {"SIZE": 256, "DATES": 8, "EPOCHS": 1},
}
"""What the tests put in place of the parameters of each notebook."""
PICTURES = {"1_parcels": 5, "2_fusion": 3, "3_maps": 6, "4_own_parts": 1, "5_region": 2}
"""Number of pictures in each."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_every_file_is_half_of_a_pair():
    files = {path.stem for path in (ROOT / "notebooks").glob("*.py")}
    assert files == {path.stem for path in NOTEBOOKS} == SMALL.keys()


@each
def test_pair_is_equal(path):
    def cells(notebook):
        return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]

    assert cells(read(path)) == cells(jupytext.read(path.with_suffix(".py")))


@each
def test_imports_public_modules_of_the_wheel(path):
    tree = ast.parse("\n".join(cell.source for cell in code(path)))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert any(name.startswith("pastis_jax.") for name in names)
    for name in names:
        first, *others = name.split(".")
        assert first not in {"experiments", "benchmarks", "tests"}, name
        assert not any(part.startswith("_") for part in others), name


@each
def test_has_no_outputs(path):
    nbformat.validate(read(path))
    assert all(not cell.outputs and cell.execution_count is None for cell in code(path))


def test_first_code_is_the_same():
    """It installs in Colab, from one source."""
    (first,) = {code(path)[0].source for path in NOTEBOOKS}
    names = {node.id for node in ast.walk(ast.parse(first)) if isinstance(node, ast.Name)}
    assert "SOURCE" in names
    (source,) = (node.value.value for node in ast.parse(first).body if isinstance(node, ast.Assign))
    assert f"--output={source} " in (ROOT / "notebooks" / "README.md").read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pixel sets and patches of the same few scenes, and room for what is prepared of them."""
    folder = tmp_path_factory.mktemp("notebooks")
    root = simulate.simulate(folder / "set", parcels=60, patches=5, size=32, progress=False)
    return {"1_parcels": root, "2_fusion": root, "3_maps": root / "patches", "4_own_parts": root}


@each
def test_runs_from_top_to_bottom(path, data, tmp_path, monkeypatch):
    notebook, here = read(path), dict(SMALL[path.stem])
    if path.stem in data:
        here["DATA"] = data[path.stem]
    (index,) = (
        i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])
    )
    parameters = ast.parse(notebook.cells[index].source).body
    assert here.keys() <= {statement.targets[0].id for statement in parameters}
    lines = ["from pathlib import PosixPath", *(f"{name} = {here[name]!r}" for name in here)]
    notebook.cells.insert(index + 1, nbformat.v4.new_code_cell("\n".join(lines)))

    package = tmp_path / "installed"  # nothing else of this folder: notebooks have the wheel alone
    package.mkdir()
    (package / "pastis_jax").symlink_to(ROOT / "pastis_jax", target_is_directory=True)
    for name, value in {
        "PYTHONPATH": package,
        "PASTIS_JAX_CACHE": tmp_path / "cache",
        "IPYTHONDIR": tmp_path / "ipython",
        "JUPYTER_RUNTIME_DIR": tmp_path / "jupyter",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    outputs = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    pictures = [one for one in outputs if "image/png" in one.get("data", {})]
    assert len(pictures) == PICTURES[path.stem]
    errors = "".join(one.text for one in outputs if one.get("name") == "stderr")
    assert "Warning" not in errors
