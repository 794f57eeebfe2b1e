"""Files of the published U-TAE code (utae-paps): checkpoints and their conf.json.

No other file imports PyTorch.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.errors import UserError

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
            remedy=f"give a {FILE} of the published training, or save its state_dict alone",
        ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise UserError("it holds no state_dict", where=file, remedy=f"give a {FILE}")
    odd = [
        name
        for name, value in state.items()
        if value.layout != torch.strided
        or value.is_meta
        or value.is_complex()
        or not bool(value.isfinite().all())
    ]
    if odd:
        fault = f"{odd[0]} is not an array of real, finite numbers"
        raise UserError(fault, where=file, remedy=f"give a {FILE} of a training that went well")
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    return {k.removeprefix(prefix): v.detach().float().numpy() for k, v in state.items()}


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
    """Options by name."""
    try:
        options = json.loads(conf.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"it cannot be read ({error})", where=conf, remedy=f"restore the {CONF} of the run"
        ) from error
    if not isinstance(options, dict):
        raise UserError("it holds no options", where=conf, remedy=f"restore the {CONF} of the run")
    return options
