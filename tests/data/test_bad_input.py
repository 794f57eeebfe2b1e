"""Every fault a user can put in a pixel-set folder ends in one clear line and an empty cache."""

from __future__ import annotations

import errno
import functools
import json
import os
import pathlib
import shutil
import types

import disk
import numpy as np
import pixel_set_factory as factory
import pytest
import refusal
from refusal import refused_in_a_line, with_value
from tiers import all_but

from pastis_jax.data.inspection import inspect_data
from pastis_jax.data.pastis_r import describe
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import DataError

PARCEL = 10003002  # not the first to be written: the fault is found late


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return factory.make_pixel_set(tmp_path_factory.mktemp("sound") / "pixel_set")


@pytest.fixture
def root(sound, tmp_path):
    return pathlib.Path(shutil.copytree(sound, tmp_path / "pixel_set"))


refused = functools.partial(refusal.refused, prepare_pixel_sets)


def all_but_a_band(values):
    """Without this one, the series would be absent."""
    values = values.copy()
    values[:, :-1] = -10000
    return values


# Arrays: what becomes of a parcel's array, modality, and what the message says.

ARRAYS = {
    "one dimension less": (
        "S2",
        lambda a: a[:, :, 0],
        "where .dates, channels, pixels. is expected",
    ),
    "dates": ("S2", lambda a: a[:-1], "dates where dates-S2 of metadata.geojson lists"),
    "dates of radar": ("S1D", lambda a: np.concatenate([a, a]), "dates where dates-S1D"),
    "channels": ("S2", lambda a: a[:, :9], "9 channels where S2 has 10"),
    "channels of radar": ("S1A", lambda a: a[:, :2], "2 channels where S1A has 3"),
    "pixels": ("S1A", lambda a: np.concatenate([a, a], 2), "pixels where S2 has"),
    "text": ("S2", lambda a: a.astype("U5"), "not numeric"),
    "infinite radar": ("S1A", lambda a: with_value(a, np.inf), "NaN or infinite"),
    "NaN reflectance": ("S2", lambda a: with_value(a.astype("f4"), np.nan), "NaN or infinite"),
    "nodata but in a band": ("S2", all_but_a_band, "every value of B2, B3, .* is the nodata mark"),
    "reflectance as 0..1": ("S2", lambda a: (a / 1e4).astype("f4"), "already normalised"),
    "standardised": ("S2", lambda a: ((a - a.mean()) / a.std()).astype("f4"), "normalised"),
    "reflectance / 255": ("S2", lambda a: a // 255, "already normalised or divided"),
    "too low": ("S2", lambda a: with_value(a.astype("i4"), -2001), "outside -2000 to 32767"),
    "too high": ("S2", lambda a: with_value(a.astype("i4"), 32768), "outside -2000 to 32767"),
    "linear power": ("S1A", lambda a: 10 ** (a.astype("f4") / 10), "not in dB"),
    "standardised radar": ("S1D", lambda a: a - a.mean((0, 2), keepdims=True), "not in dB"),
    "radar / 255": ("S1A", lambda a: a / 255, "not in dB"),
    "radar x 100": ("S1A", lambda a: a.astype("f4") * 100, "not backscatter in dB"),
    "radar -80 dB": ("S1A", lambda a: a - 62, "not in dB"),
    "overflowing radar": ("S1A", lambda a: with_value(a.astype("f8"), 1e300), "not backscatter"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_array(case, root, tmp_path):
    modality, change, match = ARRAYS[case]
    file = root / f"DATA_{modality}" / f"{modality}_{PARCEL}.npy"
    np.save(file, change(np.load(file)))
    refused(root, tmp_path, match=match, names=str(file))


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def cut_header(file):
    file.write_bytes(file.read_bytes()[:40])


def archive(file):
    values = np.load(file)
    with file.open("wb") as stream:
        np.savez(stream, values)


FILES = {
    "truncated": truncate,
    "header only": cut_header,
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("no array"),
    "npz": archive,
    "pickle": lambda file: np.save(file, np.array([{"a": 1}], object), allow_pickle=True),
}


@pytest.mark.parametrize("case", FILES)
def test_file_that_is_no_array(case, root, tmp_path):
    file = root / "DATA_S1A" / f"S1A_{PARCEL}.npy"
    FILES[case](file)
    refused(root, tmp_path, match="not a readable .npy", names=str(file))


@pytest.mark.parametrize("identifier", ["elsewhere", "99999999999"])
def test_parcel_of_another_name(identifier, root, tmp_path):
    rows = factory.read_rows(root)
    rows[4][0] = identifier
    factory.write_rows(root, rows)
    match = "file not found; copy it again from the archive, or remove its line"
    refused(root, tmp_path, match=match, names=f"S2_{identifier}.npy")


def test_missing_parcel_file(root, tmp_path):
    file = root / "DATA_S1D" / f"S1D_{PARCEL}.npy"
    file.unlink()
    refused(root, tmp_path, match="file not found; copy it again", names=str(file))


# The folder.


def test_folder_missing(tmp_path):
    refused(tmp_path / "nowhere", tmp_path, match="folder not found; give", names="nowhere")


def test_file_instead_of_folder(root, tmp_path):
    refused(root / "metadata.geojson", tmp_path, match="not a folder", names="metadata.geojson")


def test_other_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    refused(tmp_path / "photos", tmp_path, match="none of DATA_S2, DATA_S1A", names="photos")


@pytest.mark.parametrize(
    "scene",
    ["2023.tif", "one/2023.TIFF", "T31_B02.jp2", "cube.nc", "S2A_MSIL2A.SAFE/x", "a/S2B.SAFE/x"],
)
def test_folder_of_scenes(tmp_path, scene):
    """It is told what they become, by their names alone."""
    file = tmp_path / "my scenes" / scene
    file.parent.mkdir(parents=True)
    file.touch()
    folder = tmp_path / "my scenes"
    match = f"holds scenes; make a Region of them: pastis-jax ingest '{folder}' --out REGION"
    refused(folder, tmp_path, match=match, names="my scenes")
    with pytest.raises(DataError, match=match):
        inspect_data(folder)
    with pytest.raises(DataError, match="pastis-jax ingest"):
        prepare_patches(folder, cache=tmp_path / "cache", progress=False)


def test_folder_missing_in_training(tmp_path):
    with pytest.raises(DataError, match="give a folder in the official layout, or a Region"):
        describe(tmp_path / "nowhere")


def test_patch_folder(tmp_path):
    root = tmp_path / "PASTIS-R"
    for name in ("DATA_S2", "ANNOTATIONS"):
        (root / name).mkdir(parents=True)
    (root / "metadata.geojson").write_text("{}")
    refused(root, tmp_path, match="the patch folder of PASTIS-R, not the pixel", names="PASTIS-R")


def test_folder_one_too_high(root, tmp_path):
    (tmp_path / "up").mkdir()
    root = root.rename(tmp_path / "up" / "pixel_set")
    refused(tmp_path / "up", tmp_path, match="not a pixel-set folder itself", names=str(root))


@pytest.mark.parametrize("name", ["metadata.geojson", "metadata_parcel.csv"])
def test_metadata_missing(name, root, tmp_path):
    (root / name).unlink()
    refused(root, tmp_path, match="file not found", names=str(root / name))


def test_modality_missing(root, tmp_path):
    shutil.rmtree(root / "DATA_S1A")
    match = "no folder of modality S1A; add it, or leave S1A out of `modalities`"
    refused(root, tmp_path, match=match, names="DATA_S1A", modalities=("S2", "S1A"))
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    assert prepared.modalities == ("S2", "S1D")  # by default those that are there


def test_modality_missing_after_preparation(root, tmp_path):
    shutil.rmtree(root / "DATA_S1A")
    prepare_pixel_sets(root, modalities=("S2",), cache=tmp_path / "cache", progress=False)
    with pytest.raises(DataError, match="no folder of modality S1A"):
        prepare_pixel_sets(root, modalities=("S1A",), cache=tmp_path / "cache", progress=False)


# metadata.geojson


def edit_patch(root, **properties):
    """Changes the properties of the second patch; None removes one."""
    file = root / "metadata.geojson"
    document = json.loads(file.read_text())
    entry = document["features"][1]["properties"]
    entry.update(properties)
    document["features"][1]["properties"] = {k: v for k, v in entry.items() if v is not None}
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("content", ["", "[1]", '{"features": 3}', "{", '{"features": [{}]}'])
def test_geojson_not_parseable(content, root, tmp_path):
    (root / "metadata.geojson").write_text(content)
    refused(root, tmp_path, match="not a GeoJSON feature collection", names="metadata.geojson")


def test_geojson_not_text(root, tmp_path):
    (root / "metadata.geojson").write_bytes(b"\xff\xfe\x00")
    refused(root, tmp_path, match="not a GeoJSON feature collection", names="metadata.geojson")


@pytest.mark.parametrize(
    ("properties", "match"),
    [
        ({"dates-S2": {"0": 20181301}}, "patch 10002 cannot be parsed"),
        ({"dates-S2": {"0": "yesterday"}}, "patch 10002 cannot be parsed"),
        ({"dates-S2": {"0": 180924}}, "date 180924 is not YYYYMMDD"),
        (
            {"dates-S2": None},
            "a series, but its patch has no dates-S2 in metadata.geojson .3 are so",
        ),
        ({"dates-S2": {}}, "a series, but its patch has no dates-S2 in metadata.geojson"),
        ({"dates-S2": 3}, "patch 10002 cannot be parsed .dates must be a dict"),
        ({"dates-S2": "{'0': __import__('os')}"}, "patch 10002 cannot be parsed"),
        ({"dates-S2": "{'0': 2018"}, "patch 10002 cannot be parsed"),
        ({"Fold": 6}, "patch 10002 has fold 6"),
        ({"Fold": "two"}, "patch 10002 has fold two; folds are 1, 2, 3, 4, 5"),
        ({"ID_PATCH": 10001}, "patch 10001 is listed twice"),
        ({"ID_PATCH": None}, "no property 'ID_PATCH'"),
    ],
)
def test_geojson_content(properties, match, root, tmp_path):
    edit_patch(root, **properties)
    refused(root, tmp_path, match=match, names="metadata.geojson")


# metadata_parcel.csv


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        (0, "10001000", "parcel 10001000 is listed 2 times"),
        (0, "a/b", "parcel a/b: cannot be parsed .*no identifier"),
        (0, "", "cannot be parsed .*no identifier"),
        (1, "99999", "patch 99999 is not in metadata.geojson"),
        (1, "elsewhere", "patch elsewhere is not in metadata.geojson"),
        (0, str(2**63), "9223372036854775808 is beyond 64 bits"),
        (2, "0", "label 0 is Background, which no parcel is"),
        (2, "20", "unknown label 20"),
        (2, "2.5", "unknown label 2.5; labels are 1, 2, 3"),
        (2, "Corn", "unknown label Corn"),
        (3, "0", "fold 0; folds are 1, 2, 3, 4, 5"),
        (3, "6", "fold 6; folds are 1, 2, 3, 4, 5"),
        (4, "", "cannot be parsed"),
        (5, "many", "cannot be parsed"),
        (7, "nan", "geometric features are not finite or negative"),
        (7, "-1", "geometric features are not finite or negative"),
    ],
)
def test_csv_content(column, value, match, root, tmp_path):
    rows = factory.read_rows(root)
    rows[4][column] = value
    factory.write_rows(root, rows)
    refused(root, tmp_path, match=match, names="metadata_parcel.csv")


def test_parcel_in_another_fold_than_its_patch(root, tmp_path):
    rows = factory.read_rows(root)
    rows[0][3] = "2"
    factory.write_rows(root, rows)
    match = "fold 2, but its patch has fold 1; .*leaks into the test"
    refused(root, tmp_path, match=match, names="metadata_parcel.csv")


def test_csv_short_line(root, tmp_path):
    rows = factory.read_rows(root)
    factory.write_rows(root, [*rows[:4], rows[4][:5], *rows[5:]])
    refused(root, tmp_path, match="line 6, parcel 10002001: cannot be parsed", names="parcel.csv")


def test_csv_columns(root, tmp_path):
    columns = ["Fold_" if name == "Fold" else name for name in factory.COLUMNS]
    factory.write_rows(root, factory.read_rows(root), columns)
    refused(root, tmp_path, match="no column Fold;", names="metadata_parcel.csv")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01"])
def test_csv_not_parseable(content, root, tmp_path):
    (root / "metadata_parcel.csv").write_bytes(content)
    refused(root, tmp_path, match="no column|not a CSV file", names="metadata_parcel.csv")


def test_csv_without_parcels(root, tmp_path):
    factory.write_rows(root, [])
    refused(root, tmp_path, match="lists no parcel", names="metadata_parcel.csv")


def test_only_void_parcels(root, tmp_path):
    factory.write_rows(root, [[*row[:2], "19", *row[3:]] for row in factory.read_rows(root)])
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    with pytest.raises(DataError, match="no crop parcel in fold 1"):
        prepared.source([1])


@pytest.mark.parametrize("compute", [False, True])
def test_fold_absent(compute, root, tmp_path):
    factory.write_rows(root, [row for row in factory.read_rows(root) if row[3] != "4"])
    prepared = prepare_pixel_sets(
        root, cache=tmp_path / "cache", progress=False, compute_statistics=compute
    )
    assert len(prepared.source([1, 2, 3])) > 0
    for call in (prepared.source, prepared.statistics):
        with pytest.raises(DataError, match="no crop parcel in fold 4; choose") as caught:
            call([3, 4])
        assert "metadata_parcel.csv" in str(caught.value)


def test_channel_of_nodata(root, tmp_path):
    file = next((root / "DATA_S2").iterdir())
    values = np.load(file)
    values[:, [0, 9]] = -10000
    np.save(file, values)
    match = "every value of B2, B12 is the nodata mark -10000"
    refused(root, tmp_path, match=match, names=file.name)


def test_computed_statistics_of_a_dead_channel(root, tmp_path):
    for row in factory.read_rows(root):
        file = root / "DATA_S2" / f"S2_{row[0]}.npy"
        values = np.load(file)
        values[:, 9] = 0
        np.save(file, values)
    prepared = prepare_pixel_sets(
        root, cache=tmp_path / "cache", progress=False, compute_statistics=True
    )
    with pytest.raises(DataError, match="DATA_S2: B12 never varies in fold 2"):
        prepared.statistics([2, 3])


# NORM files


def test_norm_missing(root, tmp_path):
    (root / "NORM_PARCEL_S1A_set.json").unlink()
    match = "no normalisation statistics of S1A; .*`compute_statistics`"
    refused(root, tmp_path, match=match, names="NORM_PARCEL_S1A_set.json")
    prepare_pixel_sets(root, modalities=("S2",), cache=tmp_path / "cache", progress=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda norm: norm.pop("Fold_3"), "lacks 'Fold_3'"),
        (lambda norm: norm["Fold_3"].pop("std"), "lacks 'std'"),
        (lambda norm: norm["Fold_3"]["mean"].pop(), "does not hold 10 means and stds"),
        (lambda norm: norm["Fold_3"].update(std=[0.0] * 10), "std that is not positive"),
        (lambda norm: norm["Fold_3"].update(std=[-1.0] * 10), "std that is not positive"),
        (lambda norm: norm["Fold_3"].update(mean=[float("nan")] * 10), "not finite"),
        (lambda norm: norm["Fold_3"].update(mean=["a"] * 10), "not normalisation statistics"),
        (lambda norm: norm.update(Fold_3=None), "not normalisation statistics"),
    ],
)
def test_norm_content(change, match, root, tmp_path):
    file = root / "NORM_PARCEL_S2_set.json"
    norm = json.loads(file.read_text())
    change(norm)
    file.write_text(json.dumps(norm))
    refused(root, tmp_path, match=match, names="NORM_PARCEL_S2_set.json")


def test_norm_not_parseable(root, tmp_path):
    (root / "NORM_PARCEL_S2_set.json").write_text("{")
    refused(root, tmp_path, match="not normalisation stat", names="NORM_PARCEL_S2_set.json")


# The cache


def test_cache_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written .*; name .*PASTIS_JAX_CACHE") as caught:
        prepare_pixel_sets(root, cache=tmp_path / "file" / "cache", progress=False)
    assert "\n" not in str(caught.value)


def test_full_disk(root, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=0))
    match = r"cannot be written .\d+\.\d kB needed on its disk, which has 0 B.; name another"
    refused(root, tmp_path, match=match, names="cache")


@pytest.mark.parametrize("left", [0, 1000, 100_000])
def test_disk_that_fills_up(left, root, tmp_path):
    with disk.full_disk(left):
        refused(root, tmp_path, match="cannot be written .*; name another", names="cache")


def shard(data_dir):
    return next(data_dir.glob("*fold_3*"))


def drop_count(data_dir):
    file = data_dir / "dataset_info.json"
    content = json.loads(file.read_text())
    content["splits"][0]["shardLengths"] = ["1"]
    file.write_text(json.dumps(content))


DAMAGE = {
    "shard missing": lambda folder: shard(folder).unlink(),
    "shard empty": lambda folder: shard(folder).write_bytes(b""),
    "shard cut": lambda folder: shard(folder).write_bytes(shard(folder).read_bytes()[:-7]),
    "shard of zeros": lambda folder: shard(folder).write_bytes(bytes(shard(folder).stat().st_size)),
    "shard of another fold": lambda folder: next(folder.glob("*void*")).replace(shard(folder)),
    "info missing": lambda folder: (folder / "dataset_info.json").unlink(),
    "info empty": lambda folder: (folder / "dataset_info.json").write_text(""),
    "info without content": lambda folder: (folder / "dataset_info.json").write_text("{}"),
    "other counts": drop_count,
    "metadata empty": lambda folder: (folder / "metadata.json").write_text(""),
    "metadata without content": lambda folder: (folder / "metadata.json").write_text("{}"),
    "features empty": lambda folder: (folder / "features.json").write_text(""),
    "features without content": lambda folder: (folder / "features.json").write_text("{}"),
    "folder empty": lambda folder: [file.unlink() for file in folder.iterdir()],
}


@pytest.mark.parametrize("damage", all_but(5, DAMAGE))
def test_a_damaged_set_is_made_anew(damage, root, tmp_path, capsys):
    cache = tmp_path / "cache"
    before = prepare_pixel_sets(root, cache=cache, progress=False)
    DAMAGE[damage](before.path)
    after = prepare_pixel_sets(root, cache=cache, progress=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"What was prepared in {cache}")
    assert "is damaged" in line
    assert (after.path, after.counts) == (before.path, before.counts)
    assert len(list(cache.iterdir())) == 1
    source = after.source(range(1, 6))
    assert len([source[i] for i in range(len(source))]) == sum(
        n for counts in after.counts.values() for label, n in counts.items() if label != 19
    )


def test_a_file_in_place_of_the_set_is_replaced(root, tmp_path, capsys):
    before = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    folder = before.path.parents[1]
    shutil.rmtree(folder)
    folder.write_text("stray")
    prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    assert "is damaged" in capsys.readouterr().out


def test_a_set_that_cannot_be_read_is_left_alone(root, tmp_path, monkeypatch):
    """Too many open files, say: it may be sound."""
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)

    def failing(file):
        raise OSError(errno.EMFILE, "Too many open files", os.fspath(file))

    monkeypatch.setattr("pastis_jax.data.pixel_sets.written.open_regular", failing)
    refused_in_a_line(
        lambda: prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False),
        "cannot be read (Too many open files); make it readable, or delete it",
    )
    assert shard(prepared.path).exists()


def test_a_damaged_record_ends_in_a_line(root, tmp_path):
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    file = shard(prepared.path)
    content = bytearray(file.read_bytes())
    content[200:300] = bytes(100)
    file.write_bytes(content)
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    source = prepared.source([3])
    words = ("a prepared record cannot be read", "delete it to have it made anew")
    refused_in_a_line(lambda: [source[i] for i in range(len(source))], *words)


def test_a_shard_that_changes_is_noticed(root, tmp_path):
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    source = prepared.source([3])
    source.unchanged()
    os.utime(shard(prepared.path))
    refused_in_a_line(source.unchanged, str(shard(prepared.path)), "was changed while it is in use")


def test_interrupt_leaves_nothing(root, tmp_path, monkeypatch):
    def interrupt(self, parcel):
        raise KeyboardInterrupt

    monkeypatch.setattr("pastis_jax.data.pixel_sets.folder.PixelSetFolder.read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()
