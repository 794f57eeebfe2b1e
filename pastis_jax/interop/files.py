"""Files of the published U-TAE code (utae-paps): checkpoints and their conf.json.

No other file imports PyTorch.
"""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pastis_jax.errors import UserError
from pastis_jax.json_files import read_object

FILE, CONF = "model.pth.tar", "conf.json"
_SAFE_TORCH = (2, 10)
"""Before it, files were known that run code in spite of `weights_only`."""


def checkpoint_file(path: pathlib.Path) -> pathlib.Path:
    """The checkpoint at `path`, a file or the folder it stands in."""
    file = path / FILE if path.is_dir() else path
    if file.is_file():
        return file
    folds = sorted(file.parent.name for file in path.glob(f"Fold_*/{FILE}"))
    raise UserError(
        f"no {FILE} there" if path.is_dir() else "no such file",
        where=path,
        remedy=f"give one of its folders {', '.join(folds)}" if folds else f"give a {FILE}",
    )


def read_tensors(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint or a bare state_dict, without the prefix of a parallel model."""
    install = "run: pip install 'pastis-jax[torch]'"
    try:
        import torch
    except ImportError as error:
        raise UserError("reading it needs PyTorch", where=file, remedy=install) from error
    if torch.__version__ < _SAFE_TORCH:
        least = ".".join(map(str, _SAFE_TORCH))
        fault = f"PyTorch {torch.__version__} cannot read it safely, {least} can"
        raise UserError(fault, where=file, remedy=install)
    damaged = f"give a {FILE} of the published training, or save its state_dict alone"
    if zipfile.is_zipfile(file) and not _is_stored(file):
        # What is compressed may be a thousand times larger than the file.
        fault = "its tensors are compressed, as PyTorch never writes them"
        raise UserError(fault, where=file, remedy=damaged)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(
            f"it cannot be read ({error.strerror or error})", where=file, remedy="check the file"
        ) from error
    except Exception as error:  # a damaged or hostile file can make it raise anything
        raise UserError(
            "this is no checkpoint, or one that cannot be read without running code from it",
            where=file,
            remedy=damaged,
        ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise UserError("it holds no state_dict", where=file, remedy=f"give a {FILE}")
    went_well = f"give a {FILE} of a training that went well"

    def refuse_if(wrong: Callable[[torch.Tensor], bool]) -> None:
        for name, value in state.items():
            if wrong(value):
                fault = f"{name} is not an array of real, finite numbers"
                raise UserError(fault, where=file, remedy=went_well)

    refuse_if(lambda x: x.layout != torch.strided or x.is_meta or x.is_complex())
    # A tensor of few numbers can be expanded to any size, and named again and again.
    total = sum(value.numel() * value.element_size() for value in state.values())
    if total > (size := file.stat().st_size):
        fault = f"its tensors take {total:,} bytes, more than the file's {size:,}"
        raise UserError(fault, where=file, remedy=damaged)
    refuse_if(lambda x: not bool(x.isfinite().all()))
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    return {k.removeprefix(prefix): v.detach().float().numpy() for k, v in state.items()}


def _is_stored(file: pathlib.Path) -> bool:
    """Whether nothing in a zip file is compressed."""
    try:
        with zipfile.ZipFile(file) as archive:
            return all(x.compress_type == zipfile.ZIP_STORED for x in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return True  # Damaged; PyTorch will say so.


def find_conf(file: pathlib.Path) -> pathlib.Path:
    """The conf.json beside a checkpoint or one folder above."""
    for folder in (file.parent, file.parent.parent):
        if (folder / CONF).is_file():
            return folder / CONF
    raise UserError(
        f"there is no {CONF} beside it or one folder above, and tensors do not tell agg_mode",
        where=file,
        remedy=f'put the {CONF} of its run there, or one that says {{"agg_mode": "att_group"}}',
    )


def read_conf(conf: pathlib.Path) -> dict[str, Any]:
    """Options by name.

    Raises:
      UserError: If it cannot be read.
    """
    return read_object(conf, remedy=f"restore the {CONF} of the run")
