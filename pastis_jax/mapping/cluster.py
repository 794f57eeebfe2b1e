"""Blocks of a map are predicted by several processes: here, or wherever a Dask cluster has them.

Work goes out as a block, and its name comes back: workers read run and Region and write the block
themselves, so that all of them must see the same folders. Who predicts a block does not change it.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import multiprocessing
import os
import queue
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pastis_jax
from pastis_jax import extras
from pastis_jax.errors import UserError
from pastis_jax.mapping import worker
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.mapper import Work

EXTRA = "region"
CONNECT_SECONDS = 30
"""How long a scheduler may be silent."""
START_SECONDS = 600
"""How long workers of this machine may take to start."""
DEATHS = 4
"""How often a block may end its process here."""
_IN_FLIGHT = 64
"""Blocks that a scheduler has at least; one that starts workers by need starts so many."""
_LOOK_SECONDS = 30
"""After so long without a block it is looked whether there are workers."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
"""What processes here begin with: a terminal sends Ctrl-C to all, the command ends them itself."""

Tell = Callable[[Block], None]
"""Is told of each block that is done."""
Say = Callable[[str], None]
"""Tells the reader a line."""


def on_workers(number: int, work: Work, blocks: Sequence[Block], tell: Tell, say: Say) -> None:
    """Predicts blocks in processes of this machine, each with a device of its own.

    A process that dies is started again, and its block comes again.

    Args:
      number: How many processes.
      work: What is done for each block.
      blocks: To predict.
      tell: Is told of each block that is done.
      say: Tells the reader a line.

    Raises:
      UserError: If workers cannot be started, or one of them raises it.
      OSError: If a block cannot be written.
    """
    distributed = extras.need("distributed", EXTRA)
    if len(blocks) < number:
        left = "1 block is" if len(blocks) == 1 else f"{len(blocks)} blocks are"
        say(f"Note: {left} left to predict: no more workers than that are started")
    with _quiet(), _local(distributed, min(number, len(blocks))) as (cluster, client):

        def look() -> None:
            if not any(one.status.name == "running" for one in cluster.workers.values()):
                fault, remedy = "all processes have died, and do not start again", "give fewer"
                raise UserError(fault, where="`workers`", remedy=remedy)

        _predict(client, work, blocks, tell, look, most=len(cluster.workers))


def on_scheduler(address: str, work: Work, blocks: Sequence[Block], tell: Tell, say: Say) -> None:
    """Predicts blocks by the workers of a Dask cluster, those that join later too.

    Args:
      address: Of its scheduler, ``tcp://10.0.0.1:8786`` say.
      work: What is done for each block.
      blocks: To predict.
      tell: Is told of each block that is done.
      say: Tells the reader a line.

    Raises:
      UserError: If the scheduler cannot be reached or is lost, or a worker does not see what it
        needs, has another version, or raises it.
      OSError: If a block cannot be written.
    """
    with _quiet(), _connected(address) as client:
        said: set[str] = set()

        def look() -> None:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
            if not (states := {one["status"] for one in workers}):
                text = "has no workers: waiting for them"
            elif states == {"paused"}:
                text = "pauses: its workers are at the limit of their memory, lift it"
            else:
                return
            if text not in said:
                said.add(text)
                say(f"Note: the cluster at {address} {text}")

        look()
        most = max(_IN_FLIGHT, 2 * len(client.nthreads()))
        _predict(client, work, blocks, tell, look, most=most)


def _connected(address: str) -> Any:
    """A client of a scheduler."""
    distributed = extras.need("distributed", EXTRA)
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        fault = f"{address} cannot be reached ({_first_line(error)})"
        remedy = "give the address of a Dask scheduler that runs, tcp://HOST:8786 say"
        raise UserError(fault, where="`scheduler`", remedy=remedy) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs nothing meanwhile: what matters to a reader ends in a line of ours."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _local(distributed: Any, number: int) -> Iterator[tuple[Any, Any]]:
    """Processes of this machine, which no other one can talk to; at the end they are gone."""
    import dask

    if multiprocessing.parent_process() is not None:
        fault = "workers begin by what this script begins with, and it starts workers again"
        remedy = 'call `predict_region` under if __name__ == "__main__":'
        raise UserError(fault, where="`workers`", remedy=remedy)
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",  # a fork of JAX's threads may hang
        "distributed.nanny.pre-spawn-environ": {},  # numbers of threads are as in one process
        "distributed.scheduler.allowed-failures": DEATHS - 1,
    }
    here, quiet = {"host": "127.0.0.1", "protocol": "tcp://"}, logging.CRITICAL
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {**here, "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    options = {**here, "nthreads": 1, "memory_limit": 0, "dashboard": False, "silence_logs": quiet}
    options["preload"] = [_DEAF]
    workers = {
        place: {"cls": distributed.Nanny, "options": {**options, "env": devices_of(place)}}
        for place in range(number)
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        try:
            cluster = distributed.SpecCluster(workers, scheduler, silence_logs=quiet)
            stack.callback(_close, cluster)
            client = distributed.Client(cluster, timeout=CONNECT_SECONDS, set_as_default=False)
            stack.enter_context(client)
            client.wait_for_workers(number, timeout=START_SECONDS)
        except (RuntimeError, OSError) as error:
            fault, remedy = f"they do not start ({_first_line(error)})", "give fewer"
            raise UserError(fault, where="`workers`", remedy=remedy) from error
        yield cluster, client


def _close(cluster: Any) -> None:
    """Ends the processes; those that do not answer in time are killed when this one ends."""
    with contextlib.suppress(TimeoutError):
        cluster.close()


def devices_of(place: int) -> dict[str, str]:
    """What a worker's environment says of devices: one for each, where there are enough.

    Args:
      place: Number of the worker.
    """
    visible = os.environ.get(_VISIBLE)
    if visible is None:
        return {_VISIBLE: str(place)}
    several = [name.strip() for name in visible.split(",") if name.strip()]
    return {_VISIBLE: several[place] if place < len(several) else ""}


def _predict(
    client: Any,
    work: Work,
    blocks: Sequence[Block],
    tell: Tell,
    look: Callable[[], None],
    *,
    most: int,
) -> None:
    """Has blocks predicted; the first error ends it.

    Args:
      client: Of a Dask cluster.
      work: What is done for each block.
      blocks: To predict.
      tell: Is told of each block that is done.
      look: Looks whether there are workers.
      most: Blocks that are asked for at once.
    """
    given = work, worker.seen_of(work), worker.version()
    _check_workers(client, *given)
    token, left = uuid.uuid4().hex[:8], iter(blocks)
    asked: dict[str, tuple[Block, Any]] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask(number: int) -> None:
        for block in itertools.islice(left, number):
            key = f"block-{token}-{block.name}"
            future = client.submit(worker.predict, *given, block, key=key, pure=False)
            asked[key] = block, future
            future.add_done_callback(lambda future: ended.put(future.key))

    try:
        ask(most)
        while asked:
            try:
                key = ended.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                look()
                continue
            block, future = asked.pop(key)
            _check_ended(client, block, future)
            tell(block)
            ask(1)
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.cancel([future for _, future in asked.values()])


def _check_workers(client: Any, work: Work, seen: str, version: str) -> None:
    """Checks the workers that are there, by `worker.check`; their devices must be alike."""
    reported = client.get_versions(packages=["pastis_jax"])["workers"]
    for address, report in reported.items():
        there = report["packages"].get("pastis_jax")
        if there != pastis_jax.__version__:
            has = "no pastis_jax" if there is None else f"pastis_jax {there}"
            fault = f"has {has}, not {pastis_jax.__version__}"
            raise UserError(fault, where=f"worker {address}", remedy=worker.ALIKE)
    kinds = client.run(worker.check, work, seen, version)
    if len(several := collections.Counter(kinds.values())) > 1:
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(several.items()))
        fault = f"devices of workers are of several kinds ({counts})"
        remedy = "give as many workers as there are devices of one kind"
        raise UserError(fault, where="the cluster", remedy=remedy)


def _check_ended(client: Any, block: Block, future: Any) -> None:
    """Raises what a block ended in, if it is not there; in one line where that can be."""
    distributed = extras.need("distributed", EXTRA)
    if future.status == "finished":
        return
    where = f"block {block.name}"
    if future.status != "error":
        fault, remedy = "the scheduler is gone, or was restarted", "repeat the command"
        raise UserError(fault, where=where, remedy=remedy)
    error = future.exception()
    if isinstance(error, distributed.KilledWorker):
        fault = f"its process died {error.allowed_failures + 1} times, of too little memory perhaps"
        remedy = "give workers more memory, lower `batch_size` or start fewer"
        raise UserError(fault, where=where, remedy=remedy) from error
    if isinstance(error, ImportError):
        fault = f"a worker cannot import what it needs ({_first_line(error)})"
        raise UserError(fault, where=where, remedy=worker.ALIKE) from error
    raise error


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
