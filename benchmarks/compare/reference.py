"""The authors' published code: where a user has cloned it, and what is imported from there.

Nothing of it is part of this project. Their modules have general names (`models`, `src`), so each
clone is on the path only while one of its modules is imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import pathlib
import subprocess
import sys
import types
from collections.abc import Iterable, Iterator
from types import ModuleType

from pastis_jax.errors import UserError
from pastis_jax.extras import need

OWNER = "https://github.com/VSainteuf"
FILES = {
    "utae-paps": "src/backbones/utae.py",
    "pytorch-psetae": "models/pse.py",
    "pastis-benchmark": "code/dataloader_pixelset.py",
}
"""A file of each repository, by its name."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Clones of the published repositories.

    Attributes:
      folder: Where they lie, each under the repository's name.
    """

    folder: pathlib.Path

    @functools.cached_property
    def torch(self) -> ModuleType:
        """PyTorch.

        Raises:
          UserError: If it is not installed.
        """
        return need("torch", "torch")

    def clone(self, name: str) -> pathlib.Path:
        """The folder of a repository.

        Raises:
          UserError: If it is not there, with the command that clones it.
        """
        root = self.folder / name
        if not (root / FILES[name]).is_file():
            fault = "this is not there" if not root.exists() else f"there is no {FILES[name]}"
            remedy = f"run: git clone {OWNER}/{name} {root}"
            raise UserError(fault, where=root, remedy=remedy)
        return root.resolve()

    def module(self, repository: str, name: str) -> ModuleType:
        """Imports a module of a repository; it stays known under no name of its own.

        Raises:
          UserError: If the repository is not there, or needs a package that is not.
        """
        root = self.clone(repository)
        return _import(root / "code" if repository == "pastis-benchmark" else root, name)

    def commits(self) -> dict[str, str]:
        """The commit of each clone that is there, by repository."""
        found = {}
        for name in FILES:
            root = self.folder / name
            command = ["git", "-C", str(root), "rev-parse", "HEAD"]
            if root.is_dir():
                with contextlib.suppress(OSError, subprocess.SubprocessError):
                    run = subprocess.run(command, capture_output=True, text=True, check=True)
                    found[name] = run.stdout.strip()
        return found


@functools.cache
def _import(root: pathlib.Path, name: str) -> ModuleType:
    with _first_on_path(root):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            fault = f"its {name} cannot be imported ({error})"
            remedy = "install what is missing, or clone the repository anew"
            raise UserError(fault, where=root, remedy=remedy) from error


@contextlib.contextmanager
def _first_on_path(root: pathlib.Path) -> Iterator[None]:
    """Has the modules below `root` found first, and forgotten again."""
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        new = {name: sys.modules[name] for name in set(sys.modules) - before}
        for name in [name for name, module in new.items() if _lies_in(module, root)]:
            del sys.modules[name]


def _lies_in(module: ModuleType, root: pathlib.Path) -> bool:
    # A folder without an __init__ has no file.
    folders = getattr(module, "__path__", ())
    if not isinstance(folders, Iterable):  # torch.classes has an attribute of any name
        folders = ()
    where = (getattr(module, "__file__", None) or "", *folders)
    return any(str(path).startswith(str(root)) for path in where)


def scatter_max_stand_in(torch: ModuleType) -> ModuleType:
    """A module `torch_scatter` with what PaPs takes from it, for where it is not installed.

    Args:
      torch: PyTorch.
    """

    def scatter_max(values, index):
        """Largest value of each group and where it is; the number of values for an empty one."""
        groups = int(index.max()) + 1
        low = torch.full((groups,), -torch.inf, dtype=values.dtype, device=values.device)
        most = low.scatter_reduce(0, index, values.detach(), "amax")
        place = torch.arange(len(values), device=values.device)
        place = torch.where(values.detach() == most[index], place, len(values))
        first = torch.full((groups,), len(values), device=values.device)
        return most, first.scatter_reduce(0, index, place, "amin")

    module = types.ModuleType("torch_scatter")
    module.scatter_max = scatter_max
    return module
