"""The patch folder as a TFDS dataset: its records are what the reader gives."""

from __future__ import annotations

import numpy as np
import patch_factory as factory
import pytest
import tensorflow_datasets as tfds

from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches import crop_patches_dataset_builder as module
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.errors import DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return factory.make_patches(tmp_path_factory.mktemp("tfds") / "patches", patches_per_fold=3)


def build(root, out, **arguments):
    builder = module.Builder(dataset=PASTIS_R, data_dir=out, progress=False, **arguments)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=root))
    return tfds.builder_from_directory(builder.data_dir)


def test_records_equal_the_reader(root, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATCHES_PER_SHARD", 2)
    opened, folder = build(root, tmp_path / "out"), PatchFolder(root)
    assert (opened.name, str(opened.version)) == ("crop_patches", "2.0.0")
    for fold in range(1, 6):
        assert opened.info.splits[f"fold_{fold}"].num_shards == 2
        patches = [patch for patch in folder.patches.values() if patch.fold == fold]
        for patch, item in zip(patches, opened.as_data_source(f"fold_{fold}"), strict=True):
            assert (item.pop("patch"), item.pop("fold")) == (
                str(patch.id).encode(),
                str(fold).encode(),
            )
            for modality, (values, days) in folder.series(patch).items():
                got = item.pop(modality)
                np.testing.assert_array_equal(got["values"], np.array(values), strict=True)
                np.testing.assert_array_equal(got["days"], days, strict=True)
            expected = vars(folder.annotations(patch)) | vars(folder.instances(patch))
            assert item.keys() == expected.keys()
            for name, array in item.items():
                np.testing.assert_array_equal(array, expected[name], strict=True)


def test_metadata(root, tmp_path):
    metadata = build(root, tmp_path / "out", modalities=["S1A", "S2"]).info.metadata
    prepared = prepare_patches(
        root,
        modalities=["S2", "S1A"],
        cache=tmp_path / "cache",
        compute_statistics=True,
        progress=False,
    )
    assert metadata["modalities"] == ["S2", "S1A"]
    assert metadata["lengths"] == prepared.lengths
    assert tuple(metadata["size"]) == prepared.size
    assert metadata["patches"]["2"] == 3
    assert metadata["pixels"]["4"] == {str(k): n for k, n in prepared.counts[4].items()}
    np.testing.assert_allclose(
        metadata["statistics"]["S2"]["3"]["mean"], prepared.statistics([3])["S2"][0], rtol=1e-6
    )


def test_numbers_beyond_32_bits_stay_apart(tmp_path):
    """In 32 bits the second is the third, and the others are negative."""
    root = factory.make_patches(tmp_path / "patches")
    large = np.array([0, 2**31, 2**32 + 1, 1, 3301010001])
    file = root / "ANNOTATIONS" / "TARGET_10001.npy"
    label, parcel, _ = np.load(file)
    numbers = large[parcel]
    np.save(file, np.stack([label, numbers, numbers]))
    np.save(root / "ANNOTATIONS" / "ParcelIDs_10001.npy", numbers.astype(np.uint64))
    record = build(root, tmp_path / "out").as_data_source("fold_1")[0]
    for name in ("parcels", "fine", "parcel_ids"):
        np.testing.assert_array_equal(record[name], numbers, strict=True)
    rank = np.array([0, 2, 4, 1, 3])[parcel]
    np.testing.assert_array_equal(record["instances"], rank)
    assert set(np.unique(record["zones"])) == {1, 2, 3, 4}


def test_what_contradicts_itself_is_not_written(tmp_path):
    root = factory.make_patches(tmp_path / "patches", extras=False)
    file = root / "ANNOTATIONS" / "TARGET_10001.npy"
    target = np.load(file)
    np.save(file, np.stack([target[0], np.minimum(target[1], 1), target[2]]))
    with pytest.raises(DataError, match=r"TARGET_10001.npy: 1 of 1 parcels .* have several labels"):
        build(root, tmp_path / "out", parcel_ids=False)
    np.save(file, np.stack([target[0], 0 * target[1], target[2]]))  # without parcels
    opened = build(root, tmp_path / "out", parcel_ids=False)
    assert not opened.as_data_source("fold_1")[0]["instances"].any()
    assert opened.info.metadata["contradictions"]["10001"]["absent"]


def test_folder_without_parcel_ids(tmp_path):
    root = factory.make_patches(tmp_path / "patches", extras=False)
    with pytest.raises(DataError, match=r"ParcelIDs_10001.npy: file not found; .*parcel_ids=False"):
        build(root, tmp_path / "out")
    opened = build(root, tmp_path / "without", parcel_ids=False)
    assert "parcel_ids" not in opened.as_data_source("fold_5")[0]
