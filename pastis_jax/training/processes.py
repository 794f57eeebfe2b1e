"""Training by several processes, on one machine or many: how they meet, and what only one does."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax

# No public name for the key-value store up to JAX 0.12; look for key_value_set in jax.distributed.
from jax._src import distributed

from pastis_jax.errors import UserError

T = TypeVar("T")
PATIENCE_SECONDS = 24 * 3600
"""How long processes wait while the main one prepares data; a dead one is noticed much earlier."""
FAREWELL_SECONDS = 5
"""How long a process that failed waits at its exit for the others."""

_FAILED, _DONE = "failed", "done "
_numbers = itertools.count()


def connect(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Connects this process with the others of its run; before anything else asks JAX for devices.

    What is not given comes from the environment: `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID`, else what SLURM, Open MPI, Kubernetes or a TPU pod say.

    Args:
      coordinator: Address ``host:port`` of the first process.
      processes: Number of processes.
      process: Number of this one, from 0.

    Raises:
      UserError: If something is missing or wrong, or the others do not answer.
    """
    where = "`distributed`"
    remedy = "give `coordinator` HOST:PORT, `processes` N and `process_id` I"
    try:
        processes = _from_environment("JAX_NUM_PROCESSES") if processes is None else processes
        process = _from_environment("JAX_PROCESS_ID") if process is None else process
        jax.distributed.initialize(coordinator, processes, process)
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"cannot start ({error})", where=where, remedy=remedy) from error


def _from_environment(name: str) -> int | None:
    return int(os.environ[name]) if name in os.environ else None


@contextlib.contextmanager
def leaving_on_failure() -> Iterator[None]:
    """Ends this process soon after what is done in it has failed.

    JAX waits minutes at the exit for the other processes, which may wait for this one.
    """
    try:
        yield
    except BaseException as error:
        if jax.distributed.is_initialized():
            code = error.code if isinstance(error, SystemExit) else 1
            timer = threading.Timer(FAREWELL_SECONDS, os._exit, (code,))
            timer.daemon = True
            timer.start()
        raise


def is_main() -> bool:
    """Whether this process is the one that prints and writes.

    Does not ask JAX for devices: a process that starts others leaves these to them.
    """
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def from_main(make: Callable[[], str]) -> str:
    """Returns in every process the text that `make` returns in the main one.

    Where it fails there, the main process says why, and the others end too.
    """
    if not jax.distributed.is_initialized():
        return make()
    # The same in every process, as all take the same path.
    name, client = f"pastis_jax/{next(_numbers)}", distributed.global_state.client
    if is_main():
        try:
            text = make()
        except BaseException:
            client.key_value_set(name, _FAILED)
            raise
        client.key_value_set(name, _DONE + text)
        return text
    heard = client.blocking_key_value_get(name, PATIENCE_SECONDS * 1000)
    if heard == _FAILED:
        raise SystemExit(1)
    return heard.removeprefix(_DONE)


def to_main(text: str) -> list[str]:
    """Returns in the main process the `text` of every one, in their order; elsewhere its own."""
    if not jax.distributed.is_initialized():
        return [text]
    name, client = f"pastis_jax/{next(_numbers)}", distributed.global_state.client
    client.key_value_set(f"{name}/{jax.process_index()}", text)
    if not is_main():
        return [text]
    wait = PATIENCE_SECONDS * 1000
    return [client.blocking_key_value_get(f"{name}/{i}", wait) for i in range(jax.process_count())]


def main_first(work: Callable[[], T]) -> T:
    """Calls `work` in the main process, then in the others: what it leaves on disk is there.

    Where it fails in the main process, the others end as in `from_main`.
    """
    results = []

    def first():
        results.append(work())
        return ""

    from_main(first)
    return results[0] if results else work()
