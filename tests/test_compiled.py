"""Compiled programs on disk: kept, found again, bounded, the user's own, and never in the way."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from pastis_jax import compiled

PROGRAM = """
import sys, warnings
import jax, jax.numpy as jnp
from jax import monitoring
from pastis_jax import compiled

compiled.LEAST_SECONDS = 0.0
compiled.LARGEST = int(sys.argv[2]) if len(sys.argv) > 2 else compiled.LARGEST
seen = []
monitoring.register_event_listener(lambda name, **_: seen.append(name))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    folder = compiled.keep(sys.argv[1])
    again = compiled.keep(sys.argv[1])
    x = jnp.arange(6.0).reshape(2, 3)
    print("value", float(jax.jit(lambda x: jnp.sin(x) @ x.T)(x).sum()))
print("folder", folder, again)
print("hits", seen.count("/jax/compilation_cache/cache_hits"))
print("misses", seen.count("/jax/compilation_cache/cache_misses"))
print("warnings", len(told), *(str(one.message) for one in told))
"""


def run(cache, *arguments, **environment):
    """What a process of its own finds: by the first word of each line, the rest."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(cache), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=own | {"JAX_PLATFORMS": "cpu"} | environment,
    )
    assert "feature" not in done.stderr, done.stderr  # XLA tells of those that do not match
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def programs(folder):
    return sorted(pathlib.Path(folder).glob("compiled/*/*-cache"))


def test_what_was_compiled_is_found_again_and_damage_breaks_nothing(tmp_path):
    first, second = (run(tmp_path) for _ in range(2))
    number = int(first["misses"])
    assert number > 0
    assert first["hits"] == "0"
    assert (second["hits"], second["misses"]) == (str(number), "0")
    assert first["value"] == second["value"]
    assert first["folder"].split()[1] == "None"  # it is on already
    kept = programs(tmp_path)
    assert len(kept) == number
    assert kept[0].parent.stat().st_mode & 0o077 == 0
    # Cut: JAX warns, compiles again and goes on.
    for file in kept:
        file.write_bytes(file.read_bytes()[:-40])
    third = run(tmp_path)
    assert third["value"] == first["value"]
    assert int(third["warnings"].split()[0]) == number
    assert "Error reading persistent compilation cache" in third["warnings"]
    # Killed while it wrote: there is no date yet. What is left goes, and is written anew.
    for file in kept:
        file.with_name(file.name.replace("-cache", "-atime")).unlink()
    fourth, fifth = (run(tmp_path) for _ in range(2))
    assert (fourth["warnings"], fourth["hits"]) == ("0", "0")
    assert (fifth["hits"], fifth["misses"]) == (str(number), "0")


def test_the_folder_is_bounded(tmp_path):
    run(tmp_path)
    sizes = [file.stat().st_size for file in programs(tmp_path)]
    run(tmp_path / "small", max(sizes) + 1)
    assert 0 < sum(f.stat().st_size for f in programs(tmp_path / "small")) <= max(sizes) + 1


@pytest.mark.parametrize(
    "own",
    [{"JAX_ENABLE_COMPILATION_CACHE": "false"}, {"JAX_COMPILATION_CACHE_DIR": "mine"}],
    ids=str,
)
def test_settings_of_a_user_are_left_alone(tmp_path, own):
    own = {k: str(tmp_path / v) if v == "mine" else v for k, v in own.items()}
    found = run(tmp_path / "cache", **own)
    assert found["folder"] == "None None"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("fault", ["others", "file", "link"])
def test_a_folder_that_is_not_ones_own_is_not_used(tmp_path, fault):
    folder = tmp_path / "compiled" / f"{os.getuid()}-{compiled.processor()}"
    folder.parent.mkdir()
    if fault == "others":
        folder.mkdir()
        folder.chmod(0o777)
    elif fault == "file":
        folder.write_text("")
    else:
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    found = run(tmp_path)
    assert found["folder"] == "None None"
    assert found["warnings"].startswith(f"2 {folder}: compiled programs are not kept there (")


def test_another_processor_has_a_folder_of_its_own(monkeypatch):
    here = compiled.processor()
    read = pathlib.Path.read_text
    monkeypatch.setattr(
        pathlib.Path, "read_text", lambda *a, **k: read(*a, **k).replace(" sse2", "")
    )
    monkeypatch.setattr("platform.processor", lambda: "another")
    assert compiled.processor() != here
