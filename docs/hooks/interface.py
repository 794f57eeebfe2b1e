"""Makes the pages of the Python API, from the docstrings of public names."""

from __future__ import annotations

import importlib
import inspect
import types

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import pastis_jax

PACKAGES = (
    "pastis_jax",
    *(f"pastis_jax.{name}" for name in pastis_jax.__all__ if name.islower() and name != "open_run"),
    *(f"pastis_jax.data.{name}" for name in ("pixel_sets", "patches", "regions", "simulate")),
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages to the navigation, after the overview."""
    (reference,) = (entry["Reference"] for entry in config.nav if "Reference" in entry)
    (overview,) = (entry for entry in reference if "Python API" in entry)
    overview["Python API"] = [
        overview["Python API"],
        *({name: _uri(name)} for name in sorted(PACKAGES)),
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each package."""
    for name in PACKAGES:
        files.append(File.generated(config, _uri(name), content=_page(name)))
    return files


def _uri(package: str) -> str:
    return f"api/{package}.md"


def _page(package: str) -> str:
    module = importlib.import_module(package)
    about = inspect.cleandoc(module.__doc__ or "")
    entries = [f"::: {package}.{name}" for name in sorted(_names(module), key=str.lower)]
    return "\n\n".join([f"# {package}", about, *entries]) + "\n"


def _names(module: types.ModuleType) -> list[str]:
    """Public names of a package, or of a module that has no list of them."""
    if hasattr(module, "__all__"):
        named = (name for name in module.__all__ if name != "__version__")
        return [name for name in named if not isinstance(getattr(module, name), types.ModuleType)]
    own = vars(module).items()
    return [
        name
        for name, value in own
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
