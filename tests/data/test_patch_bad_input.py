"""Every fault a user can put in a patch folder ends in one clear line and an empty cache."""

from __future__ import annotations

import functools
import pathlib
import shutil

import numpy as np
import patch_factory as factory
import pixel_set_factory
import pytest
import refusal
from refusal import with_value

from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.errors import ArgumentError, DataError

PATCH = 10003  # not the first to be checked: the fault is found late


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return factory.make_patches(tmp_path_factory.mktemp("sound") / "patches")


@pytest.fixture
def root(sound, tmp_path):
    return pathlib.Path(shutil.copytree(sound, tmp_path / "patches"))


refused = functools.partial(refusal.refused, prepare_patches)


def all_but_a_band(values):
    """Without this one, the series would be absent."""
    values = values.copy()
    values[:, :-1] = -10000
    return values


# Series: what becomes of a patch's array, modality, and what the message says.

SERIES = {
    "one axis less": ("S2", lambda a: a[..., 0], "dates, channels, rows, columns. is expected"),
    "dates": ("S2", lambda a: a[:-1], "dates where dates-S2 of metadata.geojson lists"),
    "dates of radar": ("S1D", lambda a: np.concatenate([a, a]), "dates where dates-S1D"),
    "channels": ("S2", lambda a: a[:, :9], "9 channels where S2 has 10"),
    "channels of radar": ("S1A", lambda a: a[:, :2], "2 channels where S1A has 3"),
    "rows": ("S1A", lambda a: a[:, :, 1:], "15 x 16 pixels where S2 has 16 x 16"),
    "columns": ("S1D", lambda a: a[..., 1:], "16 x 15 pixels where S2 has 16 x 16"),
    "no pixel": ("S2", lambda a: a[..., :0], "holds no pixel"),
    "text": ("S2", lambda a: a.astype("U5"), "not numeric"),
    "infinite radar": ("S1A", lambda a: with_value(a, np.inf), "NaN or infinite"),
    "NaN reflectance": ("S2", lambda a: with_value(a.astype("f4"), np.nan), "NaN or infinite"),
    "nodata but in a band": ("S2", all_but_a_band, "every value of B2, B3, .* is the nodata mark"),
    "reflectance as 0..1": ("S2", lambda a: (a / 1e4).astype("f4"), "already normalised"),
    "standardised": ("S2", lambda a: ((a - a.mean()) / a.std()).astype("f4"), "normalised"),
    "reflectance / 255": ("S2", lambda a: a // 255, "already normalised or divided"),
    "too high": ("S2", lambda a: with_value(a.astype("i4"), 32768), "outside -2000 to 32767"),
    "linear power": ("S1A", lambda a: 10 ** (a.astype("f4") / 10), "not in dB"),
    "radar x 100": ("S1A", lambda a: a.astype("f4") * 100, "not backscatter in dB"),
}


@pytest.mark.parametrize("case", SERIES)
def test_series(case, root, tmp_path):
    modality, change, match = SERIES[case]
    file = root / f"DATA_{modality}" / f"{modality}_{PATCH}.npy"
    np.save(file, change(np.load(file)))
    refused(root, tmp_path, match=match, names=str(file))


def test_band_of_nodata(root, tmp_path):
    file = root / "DATA_S2" / f"S2_{PATCH}.npy"
    values = np.load(file)
    values[:, [0, 9]] = -10000
    np.save(file, values)
    refused(root, tmp_path, match="every value of B2, B12 is the nodata mark", names=str(file))


@pytest.mark.parametrize("folder", ["DATA_S1A", "ANNOTATIONS"])
@pytest.mark.parametrize("kept", [slice(-7), slice(40), slice(0)])
def test_truncated_file(folder, kept, root, tmp_path):
    file = root / folder / f"{'TARGET' if folder == 'ANNOTATIONS' else 'S1A'}_{PATCH}.npy"
    file.write_bytes(file.read_bytes()[kept])
    refused(root, tmp_path, match="not a readable .npy", names=str(file))


def test_pickle(root, tmp_path):
    file = root / "DATA_S2" / f"S2_{PATCH}.npy"
    np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    refused(root, tmp_path, match="not a readable .npy", names=str(file))


@pytest.mark.parametrize("name", ["DATA_S1D/S1D", "ANNOTATIONS/TARGET"])
def test_missing_file(name, root, tmp_path):
    file = root / f"{name}_{PATCH}.npy"
    file.unlink()
    refused(root, tmp_path, match="file not found; copy it again", names=str(file))


def test_patches_of_two_sizes(root, tmp_path):
    for name in ("DATA_S2/S2", "DATA_S1A/S1A", "DATA_S1D/S1D", "ANNOTATIONS/TARGET"):
        file = root / f"{name}_{PATCH}.npy"
        np.save(file, np.load(file)[..., :12])
    (root / "ANNOTATIONS" / f"ParcelIDs_{PATCH}.npy").unlink()
    match = "16 x 12 pixels where patch 10001 has 16 x 16; cut all patches"
    refused(root, tmp_path, match=match, names=f"S2_{PATCH}.npy")


# Annotations

TARGETS = {
    "two layers": (lambda a: a[:2], r"shape .2, 16, 16. where .3, rows, columns. is expected"),
    "labels only": (lambda a: a[0], "where .3, rows, columns. is expected"),
    "floats": (lambda a: a.astype("f4"), "dtype float32 where integers are expected"),
    "label 20": (lambda a: np.where(a == 19, 20, a), "unknown label 20"),
    "label -1": (lambda a: np.where(a == 19, -1, a.astype("i2")), "unknown label -1"),
    "parcel -1": (lambda a: np.stack([a[0], a[1] - 1, a[2]]).astype("i1"), "parcel number -1"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_target(case, root, tmp_path):
    change, match = TARGETS[case]
    file = root / "ANNOTATIONS" / f"TARGET_{PATCH}.npy"
    np.save(file, change(np.load(file)))
    refused(root, tmp_path, match=match, names=str(file))


@pytest.mark.parametrize("names", [("TARGET", "ParcelIDs"), ("ParcelIDs",)])
def test_annotations_of_another_size(names, root, tmp_path):
    for name in names:
        file = root / "ANNOTATIONS" / f"{name}_{PATCH}.npy"
        np.save(file, np.load(file)[..., 1:])
    match = "16 x 15 pixels where the patch has 16 x 16"
    refused(root, tmp_path, match=match, names=f"{names[0]}_{PATCH}.npy")


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("INSTANCES", lambda a: a[1:], "15 x 16 pixels where the patch has 16 x 16"),
        ("INSTANCES", lambda a: a - 1, "instance -1"),
        ("ZONES", lambda a: a.astype(float), "dtype float64 where integers are expected"),
        ("HEATMAP", lambda a: a + 1, "values are not 0 to 1"),
        ("HEATMAP", lambda a: a * np.nan, "values are not 0 to 1"),
    ],
)
def test_instances(name, change, match, root, tmp_path):
    folder = PatchFolder(root)
    patch = folder.patches[PATCH]
    (root / "INSTANCE_ANNOTATIONS").mkdir()
    for key, array in vars(folder.instances(patch)).items():
        array = change(array) if key == name.lower() else array
        np.save(root / "INSTANCE_ANNOTATIONS" / f"{key.upper()}_{PATCH}.npy", array)
    match += ";.* or remove INSTANCE_ANNOTATIONS"
    refused(root, tmp_path, match=match, names=f"{name}_{PATCH}.npy")


# The folder


def test_folder_missing(tmp_path):
    refused(tmp_path / "nowhere", tmp_path, match="folder not found; give", names="nowhere")


def test_file_instead_of_folder(root, tmp_path):
    refused(root / "metadata.geojson", tmp_path, match="not a folder", names="metadata.geojson")


def test_other_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    match = "not a patch folder: it has none of DATA_S2, DATA_S1A"
    refused(tmp_path / "photos", tmp_path, match=match, names="photos")


def test_pixel_set_folder(tmp_path):
    root = pixel_set_factory.make_pixel_set(tmp_path / "set", parcels_per_fold=1)
    match = "the pixel-set folder of PASTIS-R, not the patch folder; give .*5735646"
    refused(root, tmp_path, match=match, names=str(root))


def test_folder_one_too_high(root, tmp_path):
    (tmp_path / "up").mkdir()
    root = root.rename(tmp_path / "up" / "PASTIS-R")
    refused(tmp_path / "up", tmp_path, match="not a patch folder itself; give", names=str(root))


def test_no_annotations(root, tmp_path):
    shutil.rmtree(root / "ANNOTATIONS")
    refused(root, tmp_path, match="no folder of annotations", names=str(root / "ANNOTATIONS"))


def test_modality_missing(root, tmp_path):
    shutil.rmtree(root / "DATA_S1A")
    match = "no folder of modality S1A; add it, or leave S1A out of `modalities`"
    refused(root, tmp_path, match=match, names="DATA_S1A", modalities=("S1A", "S2"))
    prepare_patches(root, modalities=["S2"], cache=tmp_path / "cache", progress=False)
    prepared = prepare_patches(root, cache=tmp_path / "cache", progress=False)
    assert prepared.modalities == ("S2", "S1D")  # by default those that are there


def test_metadata_missing(root, tmp_path):
    (root / "metadata.geojson").unlink()
    refused(root, tmp_path, match="file not found", names="metadata.geojson")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "not a GeoJSON feature collection"),
        ('{"features": 3}', "not a GeoJSON feature collection"),
        ('{"features": []}', "lists no patch"),
    ],
)
def test_metadata_not_parseable(content, match, root, tmp_path):
    (root / "metadata.geojson").write_text(content)
    refused(root, tmp_path, match=match, names="metadata.geojson")


@pytest.mark.parametrize(
    ("properties", "match"),
    [
        ({"dates-S1A": None}, "a series, but its patch has no dates-S1A in metadata.geojson"),
        ({"dates-S2": {"0": 20181301}}, "patch 10003 cannot be parsed"),
        ({"dates-S2": "{'0': 2018"}, "patch 10003 cannot be parsed"),
        ({"Fold": 6}, "patch 10003 has fold 6"),
        ({"Fold": None}, "no property 'Fold'"),
        ({"ID_PATCH": 2**63}, "patch 9223372036854775808 cannot be parsed .*beyond 64 bits"),
        ({"ID_PATCH": "a/b"}, "patch a/b cannot be parsed .*no identifier"),
        ({"ID_PATCH": True}, "True is no identifier"),
        ({"ID_PATCH": 0.5}, "'0.5' is no identifier"),
        ({"ID_PATCH": 2.0**53}, "beyond the integers that floats tell apart"),
        ({"ID_PATCH": 10001}, "patch 10001 is listed twice"),
    ],
)
def test_metadata_content(properties, match, root, tmp_path):
    factory.edit_patch(root, 2, **properties)
    refused(root, tmp_path, match=match, names="metadata.geojson")


def test_fold_absent(root, tmp_path):
    factory.edit_patch(root, 3, Fold=1)
    prepared = prepare_patches(root, cache=tmp_path / "cache", progress=False)
    assert len(prepared.source([1, 2])) == 3
    for call in (prepared.source, prepared.statistics):
        with pytest.raises(DataError, match=r"metadata.geojson: no patch in fold 4; choose"):
            call([3, 4])


def test_norm_missing(root, tmp_path):
    (root / "NORM_S1A_patch.json").unlink()
    match = "no normalisation statistics of S1A; .*`compute_statistics`"
    refused(root, tmp_path, match=match, names="NORM_S1A_patch.json")
    prepare_patches(root, modalities=("S2",), cache=tmp_path / "cache", progress=False)


def test_channel_that_never_varies(root, tmp_path):
    for file in (root / "DATA_S2").iterdir():
        values = np.load(file)
        values[:, 9] = 0
        np.save(file, values)
    prepared = prepare_patches(
        root, cache=tmp_path / "cache", compute_statistics=True, progress=False
    )
    with pytest.raises(DataError, match="DATA_S2: B12 never varies in fold 2"):
        prepared.statistics([2, 3])


# The cache


def test_cache_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written .*; name .* `cache_dir` .*CACHE"):
        prepare_patches(root, cache=tmp_path / "file" / "cache", progress=False)


DAMAGE = {
    "cut": lambda content: "{",
    "empty": lambda content: "",
    "null": lambda content: "null",
    "nothing": lambda content: "{}",
    "a list": lambda content: "[]",
    "another number": lambda content: content.replace("16", "17"),
    "text": lambda content: content.replace("16", '"many"'),
    "NaN": lambda content: content.replace("16", "NaN"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_anew(damage, root, tmp_path, capsys):
    cache = tmp_path / "cache"
    before = prepare_patches(root, cache=cache, progress=False)
    (file,) = cache.iterdir()
    sound = file.read_text()
    file.write_text(DAMAGE[damage](sound))
    assert prepare_patches(root, cache=cache, progress=False).counts == before.counts
    assert file.read_text() == sound
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"What was prepared in {file} is damaged (")


@pytest.mark.parametrize("content", ["", "null", "{}", '{"S2": {}}', '{"S2": null}'])
def test_damaged_statistics_are_made_anew(content, root, tmp_path, capsys):
    cache, options = tmp_path / "cache", {"compute_statistics": True, "progress": False}
    prepare_patches(root, cache=cache, **options)
    (file,) = cache.glob("*-statistics.json")
    sound = file.read_text()
    file.write_text(content)
    prepare_patches(root, cache=cache, **options)
    assert file.read_text() == sound
    assert "is damaged" in capsys.readouterr().out


def test_interrupt_leaves_nothing(root, tmp_path, monkeypatch):
    def interrupt(self, patch):
        raise KeyboardInterrupt

    monkeypatch.setattr(PatchFolder, "check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare_patches(root, cache=tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("modalities", "match"), [((), "there is none"), (("S3", "S2"), "has no S3")]
)
def test_unknown_modality(modalities, match, root, tmp_path):
    match = f"^`modalities`: .*{match}; choose among S2, S1A, S1D"
    with pytest.raises(ArgumentError, match=match):
        prepare_patches(root, modalities=modalities, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
