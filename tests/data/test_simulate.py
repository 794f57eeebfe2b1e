"""The simulator: official layout, plausible numbers, and one seed, one folder."""

from __future__ import annotations

import collections
import csv
import datetime
import filecmp
import json
import os
import pathlib

import numpy as np
import pytest
from commands import exit_code

from pastis_jax.cli import simulate as command
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.simulate import Difficulty, simulate
from pastis_jax.data.simulate.fields import lay_out, neighbours
from pastis_jax.data.simulate.generate import plan
from pastis_jax.data.simulate.optical import sky
from pastis_jax.data.simulate.scene import assign
from pastis_jax.data.simulate.writer import geometry
from pastis_jax.errors import UserError

SIZE = 32
PATCHES = 6
BOUNDS = {"S2": (38, 61), "S1A": (65, 70), "S1D": (65, 70)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("simulated") / "set"
    return simulate(out, parcels=90, patches=PATCHES, size=SIZE, seed=3, progress=False)


@pytest.fixture(scope="module")
def parcels(folder) -> list[dict[str, str]]:
    with open(folder / "metadata_parcel.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def features(folder) -> dict[int, dict]:
    collection = json.loads((folder / "metadata.geojson").read_text())
    assert collection["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::2154"
    return {f["properties"]["ID_PATCH"]: f for f in collection["features"]}


@pytest.fixture(scope="module")
def scenes():
    return plan(parcels=2500, patches=0, size=64, seed=0, knobs=Difficulty())


def test_one_seed_gives_one_folder(tmp_path):
    first, again, other = (
        simulate(tmp_path / name, parcels=5, size=16, seed=seed, patches=1, progress=False)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    _, mismatch, errors = filecmp.cmpfiles(first, again, files, shallow=False)
    assert (mismatch, errors) == ([], [])
    table = "metadata.geojson"
    assert (first / table).read_bytes() != (other / table).read_bytes()


def test_parcel_files_have_the_official_layout(folder, parcels, features):
    for row in parcels:
        properties = features[int(row["ID_PATCH"])]["properties"]
        assert int(row["ID_PARCEL"]) // 1000 == properties["ID_PATCH"]
        assert int(row["Fold"]) == properties["Fold"]
        pixels = int(row["GF_pixels"])
        for modality in PASTIS_R.modalities:
            name = modality.name
            values = np.load(folder / f"DATA_{name}" / f"{name}_{row['ID_PARCEL']}.npy")
            dates = len(properties[f"dates-{name}"])
            assert values.shape == (dates, len(modality.channels), pixels)
            assert values.dtype == np.dtype(modality.dtype)
    for name in PASTIS_R.names:
        assert len(list((folder / f"DATA_{name}").iterdir())) == len(parcels)


def test_the_ordinary_reader_reads_every_parcel(folder, parcels):
    reader = PixelSetFolder(folder)
    assert reader.modalities == PASTIS_R.names
    assert len(reader.parcels) == len(parcels)
    for parcel in reader.parcels:
        assert set(reader.read(parcel)) == set(PASTIS_R.names)


def test_values_are_plausible(folder, parcels):
    optical, radar = [], []
    for row in parcels:
        optical.append(np.load(folder / "DATA_S2" / f"S2_{row['ID_PARCEL']}.npy"))
        radar.append(np.load(folder / "DATA_S1A" / f"S1A_{row['ID_PARCEL']}.npy"))
    for values in radar:
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values[:, 2], values[:, 0] - values[:, 1])
    means = np.mean([np.mean(v.astype(np.float64), (0, 2)) for v in radar], 0)
    np.testing.assert_allclose(means, (-11.9, -18.5, 6.6), atol=2.0)  # real: NORM_PARCEL_S1D
    seen = np.concatenate([v[v != -10000] for v in optical])
    assert seen.min() >= -2000
    assert seen.max() <= 20000
    assert 2000 < seen.mean() < 3500


def test_dates(scenes):
    tiles = {scene.tile.name: scene.days for scene in scenes}
    assert len(tiles) == 4
    assert len({tuple(days["S2"]) for days in tiles.values()}) == 4
    for days in tiles.values():
        for name, (least, most) in BOUNDS.items():
            assert least <= len(days[name]) <= most
            assert (np.diff(days[name]) > 0).all()
            assert days[name][0] >= 0
            assert days[name][-1] <= 455  # end of November 2019
        assert not set(days["S1A"]) & set(days["S1D"])


def test_stamps_are_dates(features):
    for feature in features.values():
        for name, (least, most) in BOUNDS.items():
            stamps = feature["properties"][f"dates-{name}"]
            assert list(stamps) == [str(k) for k in range(len(stamps))]
            assert least <= len(stamps) <= most
            dates = [datetime.datetime.strptime(str(s), "%Y%m%d").date() for s in stamps.values()]
            assert dates == sorted(dates)
            assert dates[0] > PASTIS_R.season_start


def test_share_of_cloudy_images():
    rng = np.random.default_rng(0)
    days = np.sort(rng.choice(np.arange(15, 430), 400, replace=False))
    cloud, shadow = sky(rng, days, 32, Difficulty())
    touched = (cloud > 0.1).any((1, 2))
    assert 0.18 < touched.mean() < 0.40
    whole = (cloud > 0.1).all((1, 2))
    assert 0.25 < whole.sum() / touched.sum() < 0.75
    assert shadow.max() > 0.3
    assert not shadow[~touched].any() or shadow[~touched].max() <= 0.6


def test_patches_and_pixel_sets_agree(folder, parcels, features):
    patches = folder / "patches"
    listed = json.loads((patches / "metadata.geojson").read_text())["features"]
    assert len(listed) == PATCHES
    seen = 0
    for feature in listed:
        patch = feature["properties"]["ID_PATCH"]
        assert feature == features[patch]
        semantic, within, _ = np.load(patches / "ANNOTATIONS" / f"TARGET_{patch}.npy")
        ids = np.load(patches / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy")
        assert ids.dtype == np.int32
        rows = [row for row in parcels if int(row["ID_PATCH"]) == patch]
        assert len(rows) == feature["properties"]["N_Parcel"] == len(np.unique(within)) - 1
        images = {
            name: np.load(patches / f"DATA_{name}" / f"{name}_{patch}.npy")
            for name in PASTIS_R.names
        }
        for name, values in images.items():
            assert values.shape[2:] == (SIZE, SIZE)
            assert values.dtype == np.dtype(PASTIS_R[name].dtype)
        for row in rows:
            mask = ids == int(row["ID_PARCEL"])
            assert (within[mask] == int(row["ID_PARCEL"]) % 1000).all()
            assert (semantic[mask] == int(row["Label"])).all()
            for name, values in images.items():
                cut = np.load(folder / f"DATA_{name}" / f"{name}_{row['ID_PARCEL']}.npy")
                np.testing.assert_array_equal(cut, values[:, :, mask])
            seen += 1
    assert seen > PATCHES


def test_instance_annotations(folder):
    patches = folder / "patches"
    for file in (patches / "ANNOTATIONS").glob("TARGET_*.npy"):
        patch = file.stem.split("_")[1]
        semantic, within, fine = np.load(file)
        load = {
            name: np.load(patches / "INSTANCE_ANNOTATIONS" / f"{name}_{patch}.npy")
            for name in ("INSTANCES", "ZONES", "HEATMAP")
        }
        assert load["INSTANCES"].dtype == load["ZONES"].dtype == np.int64
        assert load["HEATMAP"].dtype == np.float64
        np.testing.assert_array_equal(load["INSTANCES"], within)
        np.testing.assert_array_equal(semantic > 0, within > 0)
        np.testing.assert_array_equal(fine > 0, within > 0)
        assert load["HEATMAP"].max() == 1
        assert set(np.unique(load["ZONES"])) <= set(np.unique(within))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (["#"], (4, 1, 1.0, 4.0)),
        (["##"], (6, 2, 1.0, 3.0)),
        (["#.", "##"], (8, 3, 0.75, 2.6667)),
        (["###", "#.#", "###"], (16, 8, 0.8889, 2.0)),
    ],
)
def test_geometric_features(picture, expected):
    mask = np.pad(np.array([list(row) for row in picture]) == "#", 2)
    assert geometry(mask) == expected


def test_norm_files_are_means_over_the_fold(folder, parcels):
    norms = json.loads((folder / "NORM_PARCEL_S1A_set.json").read_text())
    assert list(norms) == [f"Fold_{fold}" for fold in PASTIS_R.folds]
    values = [
        np.load(folder / "DATA_S1A" / f"S1A_{row['ID_PARCEL']}.npy").astype(np.float64)
        for row in parcels
        if row["Fold"] == "2"
    ]
    np.testing.assert_allclose(
        norms["Fold_2"]["mean"], np.mean([v.mean((0, 2)) for v in values], 0)
    )
    np.testing.assert_allclose(norms["Fold_2"]["std"], np.mean([v.std((0, 2)) for v in values], 0))
    patch = json.loads((folder / "patches" / "NORM_S2_patch.json").read_text())
    assert all(len(patch[f"Fold_{fold}"]["mean"]) == 10 for fold in PASTIS_R.folds)


def test_classes_and_folds(scenes):
    labels = {fold: collections.Counter() for fold in PASTIS_R.folds}
    tiles = {fold: collections.Counter() for fold in PASTIS_R.folds}
    for scene in scenes:
        labels[scene.fold].update(scene.labels.tolist())
        tiles[scene.fold][scene.tile.name] += 1
    total = sum(labels.values(), collections.Counter())
    assert sum(total.values()) - total[19] >= 2500
    for count in labels.values():
        assert all(count[label] >= 4 for label in range(1, 19))
    numbers = [sum(count.values()) for count in tiles.values()]
    assert max(numbers) - min(numbers) <= 1
    assert all(max(count.values()) - min(count.values()) <= 1 for count in tiles.values())
    # Rare crops are rarer, in the order of the real counts.
    assert total[1] > total[3] > total[8] > total[2] > total[14] > total[12] > total[11]
    assert total[1] > 8 * total[13]


def test_void_and_one_pixel_parcels(scenes):
    void = np.concatenate([scene.ground.void for scene in scenes])
    pixels = np.concatenate([np.bincount(scene.parcel.ravel())[1:] for scene in scenes])
    assert 0.06 < void.mean() < 0.16
    assert (pixels > 0).all()
    assert (pixels[~void] == 1).sum() > 5
    assert (pixels > 200).any()
    assert 25 < pixels.mean() < 60
    # A void parcel touches the border of its patch.
    for scene in scenes[:20]:
        rim = scene.parcel.copy()
        rim[1:-1, 1:-1] = 0
        touching = set(np.unique(rim)) - {0}
        assert set(np.flatnonzero(scene.ground.void) + 1) <= touching


def share_of_one_crop(maps):
    """Share of the borders between two labelled parcels, pixel by pixel, along one crop.

    `maps` are parcels and classes of images.
    """
    same = borders = 0
    for parcel, semantic in maps:
        labelled = ~np.isin(semantic, [0, 19])
        for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            border = (parcel[one] != parcel[other]) & labelled[one] & labelled[other]
            same += (semantic[one] == semantic[other])[border].sum()
            borders += border.sum()
    return same / borders


@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="PASTIS_R_PATCHES is not set")
def test_neighbours_of_the_sample_grow_one_crop_as_the_default_patches_do():
    folder = PatchFolder(os.environ["PASTIS_R_PATCHES"])
    read = [folder.annotations(patch) for patch in folder.patches.values()]
    assert share_of_one_crop((a.parcels, a.semantic) for a in read) == pytest.approx(0.41, abs=0.01)


def test_clustering_gives_neighbours_one_crop_and_changes_nothing_else(scenes):
    clustered = plan(parcels=2500, patches=0, size=64, seed=0, knobs=Difficulty(clustering=0.3))
    shares = [
        share_of_one_crop((scene.parcel, scene.semantic) for scene in these)
        for these in (scenes, clustered)
    ]
    assert shares == pytest.approx([0.11, 0.40], abs=0.01)
    for one, other in zip(scenes, clustered, strict=True):
        np.testing.assert_array_equal(one.parcel, other.parcel)
        np.testing.assert_array_equal(one.ground.void, other.ground.void)
    for fold in PASTIS_R.folds:
        counts = [
            collections.Counter(label for s in these if s.fold == fold for label in s.labels)
            for these in (scenes, clustered)
        ]
        assert counts[0] == counts[1]


def test_neighbours_touch():
    ground = lay_out(np.random.default_rng(5), 32)
    pairs = {tuple(pair) for pair in neighbours(ground)}
    region = np.pad(ground.region, 1, constant_values=-1)
    for i in range(ground.parcels):
        at = np.argwhere(region == i)
        beside = {region[y + dy, x + dx] for y, x in at for dy, dx in ((0, 1), (1, 0))}
        beside |= {region[y - dy, x - dx] for y, x in at for dy, dx in ((0, 1), (1, 0))}
        later = {(i, j) for j in beside if i < j < ground.parcels}
        assert later == {pair for pair in pairs if pair[0] == i}


def test_ground_is_a_partition():
    ground = lay_out(np.random.default_rng(5), 48)
    assert ground.region.shape == (48, 48)
    regions = ground.parcels + len(ground.covers)
    assert set(np.unique(ground.region)) == set(range(regions))


def test_footprints_are_apart_and_in_france(scenes):
    rings = np.array([scene.ring for scene in scenes])
    np.testing.assert_array_equal(rings[:, 0], rings[:, -1])
    sides = np.linalg.norm(np.diff(rings, axis=1), axis=2)
    np.testing.assert_allclose(sides, 640.0, atol=0.05)
    x, y = rings[..., 0], rings[..., 1]
    assert 100e3 < x.min() < x.max() < 1_250e3
    assert 6_050e3 < y.min() < y.max() < 7_130e3
    low, high = rings.min(1), rings.max(1)
    overlap = (low[:, None] < high[None]).all(-1) & (low[None] < high[:, None]).all(-1)
    np.testing.assert_array_equal(overlap, np.eye(len(rings), dtype=bool))
    area = 0.5 * (x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1]).sum(1)
    assert (area > 0).all()


def test_few_parcels_are_shared_as_far_as_they_go():
    folds = np.repeat(PASTIS_R.folds, 20)
    tiles = [
        scene.tile for scene in plan(parcels=1, patches=0, size=16, seed=0, knobs=Difficulty())
    ]
    labels = assign(np.random.default_rng(0), folds, [tiles[0]] * len(folds), Difficulty())
    for fold in PASTIS_R.folds:
        assert set(labels[folds == fold]) == set(range(1, 19))


def test_difficulty_changes_values_only(tmp_path):
    easy = simulate(tmp_path / "easy", parcels=5, size=16, progress=False)
    loud = Difficulty(radar_drift=5.0)
    hard = simulate(tmp_path / "hard", parcels=5, size=16, difficulty=loud, progress=False)
    same = "metadata_parcel.csv"
    assert (easy / same).read_bytes() == (hard / same).read_bytes()
    name = next((easy / "DATA_S1A").iterdir()).name
    assert (np.load(easy / "DATA_S1A" / name) != np.load(hard / "DATA_S1A" / name)).any()
    name = name.replace("S1A", "S2")
    np.testing.assert_array_equal(
        np.load(easy / "DATA_S2" / name), np.load(hard / "DATA_S2" / name)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"parcels": 0},
        {"patches": -1},
        {"size": 8},
        {"size": 257},
        {"seed": -1},
        {"difficulty": Difficulty(clustering=1.5)},
    ],
    ids=str,
)
def test_refuses_numbers_out_of_range(tmp_path, wrong):
    with pytest.raises(UserError, match="give"):
        simulate(tmp_path / "out", progress=False, **wrong)
    assert not any(tmp_path.iterdir())


def test_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pastis_jax.data.simulate.writer.write_metadata", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "out", parcels=5, size=16, progress=False)
    assert not any(tmp_path.iterdir())


def test_command_refuses_a_folder_in_use(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep me")
    assert exit_code(lambda: command.main(["--out", str(tmp_path)])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(tmp_path) in err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_command_makes_what_the_function_does(tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--out", str(out), "--parcels", "5", "--size", "16", "--seed", "4", "--patches", "1"]
    assert exit_code(lambda: command.main(flags)) == 0
    assert capsys.readouterr().out == f"Wrote {out}\n"
    other = simulate(tmp_path / "other", parcels=5, size=16, seed=4, patches=1, progress=False)
    files = [file.relative_to(out) for file in out.rglob("*") if file.is_file()]
    _, mismatch, errors = filecmp.cmpfiles(out, other, files, shallow=False)
    assert (mismatch, errors) == ([], [])
    assert len(files) == sum(file.is_file() for file in other.rglob("*"))


def test_an_empty_folder_is_accepted(tmp_path):
    assert simulate(tmp_path, parcels=1, size=16, progress=False) == tmp_path
    assert (tmp_path / "metadata.geojson").is_file()
    assert not [p for p in tmp_path.parent.iterdir() if "partial" in p.name]
