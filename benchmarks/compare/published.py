"""The published side of a row: a PyTorch module's steps as the authors' training has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.compare.timing import Way
from benchmarks.compare.work import AUTOCAST, COMPILED, PUBLISHED, Setting
from benchmarks.steps import LEARNING_RATE


def randomise(setting: Setting, model: Any, seed: int = 0) -> Any:
    """Draws every parameter and running statistic, those of norms around their defaults.

    A new model's norms are the identity, which would hide weights that are carried over wrongly.
    """
    torch = setting.reference.torch
    generator = torch.Generator().manual_seed(seed)

    def noise(like):
        return torch.randn(like.shape, generator=generator).to(like)

    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.mul_(1 + 0.2 * noise(value).abs())
            elif value.is_floating_point() and value.ndim == 1 and value.numel() > 1:
                value.add_(0.1 * noise(value))
    return model.to(setting.device)


def tensors(model: Any) -> dict[str, np.ndarray]:
    """Parameters and running statistics by published name."""
    return {k: v.detach().cpu().numpy().copy() for k, v in model.state_dict().items()}


def gradients(model: Any) -> dict[str, np.ndarray]:
    """Gradients by published name."""
    return {
        k: np.zeros(p.shape, np.float32) if p.grad is None else p.grad.cpu().numpy().copy()
        for k, p in model.named_parameters()
    }


@contextlib.contextmanager
def without_dropout(setting: Setting, model: Any) -> Iterator[None]:
    """Has no dropout, and all the rest of training."""
    drops = [m for m in model.modules() if isinstance(m, setting.reference.torch.nn.Dropout)]
    rates = [m.p for m in drops]
    for m in drops:
        m.p = 0.0
    try:
        yield
    finally:
        for m, rate in zip(drops, rates, strict=True):
            m.p = rate


@contextlib.contextmanager
def exact(setting: Setting) -> Iterator[None]:
    """Multiplies float32 as such on a GPU; afterwards both take TF32 there, as JAX does."""
    backends = setting.reference.torch.backends
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = True


def check_step(
    setting: Setting, model: Any, predict: Callable[[Any], Any], loss: Callable[[Any], Any]
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of a training step without dropout; the model stays as it was.

    Args:
      setting: How everything is compared.
      model: The published model.
      predict: Calls it.
      loss: Of what `predict` returns.
    """
    torch, before = setting.reference.torch, tensors(model)
    model.train()
    model.zero_grad()
    with exact(setting), without_dropout(setting, model):
        value = loss(predict(model))
        value.backward()
    found = float(value.detach()), gradients(model)
    model.zero_grad()
    model.load_state_dict({k: torch.as_tensor(v) for k, v in before.items()})
    return found


def ways(
    setting: Setting,
    model: Any,
    predict: Callable[[Any], Any],
    *,
    loss: Callable[[Any], Any] | None = None,
) -> Mapping[str, Way]:
    """The published code's ways of a training step (with `loss`) or of inference.

    Args:
      setting: How everything is compared.
      model: The published model; each way trains a copy.
      predict: Calls it, and gives what inference is wanted for.
      loss: Of what `predict` returns.
    """
    found = {PUBLISHED: _way(setting, model, predict, loss)}
    if setting.compiled:
        compiled = setting.reference.torch.compile
        found[COMPILED] = _way(setting, model, predict, loss, compiled)
    if setting.bf16:
        found[AUTOCAST] = _way(setting, model, predict, loss, autocast=True)
    return found


def _way(setting, model, predict, loss, wrap=None, autocast=False) -> Way:
    import copy

    torch = setting.reference.torch
    model = copy.deepcopy(model)
    called = model if wrap is None else wrap(model)

    def mixed():
        if not autocast:
            return contextlib.nullcontext()
        return torch.autocast(setting.device, dtype=torch.bfloat16)

    if loss is None:
        model.eval()

        def infer():
            with torch.no_grad(), mixed():
                return predict(called)

        return setting.published(infer)

    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def step():
        optimizer.zero_grad()
        with mixed():
            value = loss(predict(called))
        value.backward()
        optimizer.step()

    return setting.published(step)
