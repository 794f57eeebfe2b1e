"""Panoptic targets of one patch, and the command that writes those of a folder."""

from __future__ import annotations

import errno

import numpy as np
import patch_factory as factory
import pytest
from commands import exit_code

from pastis_jax.cli import instances as command
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.instances import centerness, largest, measure
from pastis_jax.data.simulate import simulate


def scattered(seed, shape, parcels, reach):
    """Instances around random points, no farther than `reach` from them."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    far = np.linalg.norm(grid[:, :, None] - rng.random((parcels, 2)) * shape, axis=-1)
    return np.where(far.min(-1) < reach, far.argmin(-1) + 1, 0)


@pytest.mark.parametrize(
    ("shape", "parcels", "reach"),
    [((24, 17), 9, 6), ((60, 90), 3, 2), ((8, 8), 1, 99), ((1, 9), 2, 9)],
)
def test_centerness_is_the_highest_gaussian(shape, parcels, reach):
    for seed in range(5):
        instances = scattered(seed, shape, parcels, reach)
        numbers = [one for one in range(1, parcels + 1) if (instances == one).any()]
        peaks = []
        for one in numbers:
            exponent = 0
            for axis, places in enumerate(np.nonzero(instances == one)):
                low, high = max(places.min() - 1, 0), min(places.max() + 1, shape[axis] - 1)
                sigma = 0.3 / 1.7 * max(high - low, 1) / 3
                away = np.arange(shape[axis]) - (low + (high - low) // 2)
                curve = away**2 / (2 * sigma**2)
                exponent = exponent + (curve[:, None] if axis == 0 else curve)
            peaks.append(np.exp(-exponent))
        heatmap, zones = centerness(instances)
        np.testing.assert_array_equal(heatmap, np.max(peaks, 0))
        np.testing.assert_array_equal(zones, np.array(numbers)[np.argmax(peaks, 0)])


def test_far_from_every_parcel_the_first_one_owns_the_pixel():
    instances = np.zeros((90, 90), int)
    instances[3, 3], instances[85, 85] = 2, 1
    heatmap, zones = centerness(instances)
    assert (heatmap[40:50, 40:50] == 0).all()
    assert (zones[40:50, 40:50] == 1).all()
    assert zones[3, 3] == 2


def test_no_instances():
    nothing = np.zeros((4, 5), int)
    for array in (*centerness(nothing), *measure(nothing, nothing, 3), *largest(nothing, 3)):
        assert not np.any(array)


def test_size_counts_occupied_rows_and_columns():
    instances = np.array([[1, 0, 1, 0, 1], [0, 0, 0, 3, 0], [1, 0, 0, 3, 0]])
    size, label = measure(instances, instances + 4, 4)
    np.testing.assert_array_equal(size, np.array([(2, 3), (0, 0), (2, 1), (0, 0)], np.float32))
    np.testing.assert_array_equal(label[[0, 2]], [5, 7])


@pytest.mark.parametrize(
    ("most", "expected", "dropped"),
    [
        (9, [1, 1, 1, 0, 2, 2, 3, 4, 4], 0),
        (3, [1, 1, 1, 0, 2, 2, 0, 3, 3], 1),
        (2, [1, 1, 1, 0, 2, 2, 0, 0, 0], 2),  # of equals the first
        (1, [1, 1, 1, 0, 0, 0, 0, 0, 0], 3),
    ],
)
def test_the_largest_are_kept_in_order(most, expected, dropped):
    instances, left = largest(np.array([[2, 2, 2, 0, 3, 3, 5, 9, 9]]), most)
    np.testing.assert_array_equal(instances, [expected])
    assert left == dropped


# The command


@pytest.fixture
def root(tmp_path):
    return factory.make_patches(tmp_path / "patches")


def run(root, *flags):
    return exit_code(lambda: command.main([str(root), *flags]))


def contents(root):
    """All files below `root`, by path; folders are None."""
    return {f: None if f.is_dir() else f.read_bytes() for f in sorted(root.rglob("*"))}


def test_command_writes_what_the_simulator_does(tmp_path, capsys):
    root = simulate(tmp_path / "set", parcels=1, patches=2, size=16, progress=False) / "patches"
    before = contents(root)
    for file in (root / "INSTANCE_ANNOTATIONS").iterdir():
        file.unlink()
    (root / "INSTANCE_ANNOTATIONS").rmdir()
    assert run(root) == 0
    assert contents(root) == before
    out, err = capsys.readouterr()
    assert out == f"Wrote the targets of 2 patches to {root / 'INSTANCE_ANNOTATIONS'}\n"
    assert "2/2" in err


def test_command_takes_a_folder_without_parcel_ids(tmp_path):
    root = factory.make_patches(tmp_path / "patches", extras=False)
    computed = [vars(PatchFolder(root).instances(p)) for p in PatchFolder(root).patches.values()]
    assert run(root) == 0
    folder = PatchFolder(root)
    for patch, expected in zip(folder.patches.values(), computed, strict=True):
        assert folder.has_instances(patch)
        for name, array in vars(folder.instances(patch)).items():
            np.testing.assert_array_equal(array, expected[name])


def test_command_replaces_only_when_told(root, capsys):
    (root / "INSTANCE_ANNOTATIONS").mkdir()
    mine = root / "INSTANCE_ANNOTATIONS" / "ZONES_10004.npy"
    other = root / "INSTANCE_ANNOTATIONS" / "notes.txt"
    mine.write_text("mine")
    other.write_text("other")
    before = contents(root)
    assert run(root) == 2
    assert contents(root) == before
    line = f"error: {mine}: exists already; add --overwrite to replace it\n"
    assert capsys.readouterr().err == line
    assert run(root, "--overwrite") == 0
    assert np.load(mine).shape == (16, 16)
    assert other.read_text() == "other"
    capsys.readouterr()
    assert run(root) == 2
    assert "INSTANCES_10001.npy: exists already, with 14 others;" in capsys.readouterr().err


def fail(error):
    def raises(*_, **__):
        raise error

    return raises


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("label", 2, "TARGET_10005.npy: unknown label 25;"),
        ("full", 2, "cannot be written (No space left on device);"),
        ("interrupt", 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_command_changes_nothing_when_it_fails(fault, code, text, flags, root, monkeypatch, capsys):
    if flags:
        assert run(root) == 0
    if fault == "label":
        target = root / "ANNOTATIONS" / "TARGET_10005.npy"
        np.save(target, np.full_like(np.load(target), 25))
    else:
        full = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(
            command.np, "save", fail(full if fault == "full" else KeyboardInterrupt())
        )
    before = contents(root)
    assert run(root, *flags) == code
    assert contents(root) == before
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") is (code == 2)
    assert text in last


def test_command_refuses_what_is_no_patch_folder(tmp_path, capsys):
    assert run(tmp_path / "nowhere") == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'nowhere'}: folder not found;")


def test_void_parcels_are_instances(root):
    folder = PatchFolder(root)
    for patch in folder.patches.values():
        void = folder.target(patch)[0] == PASTIS_R.nomenclature.void_number
        assert (folder.instances(patch).instances[void] > 0).all()
