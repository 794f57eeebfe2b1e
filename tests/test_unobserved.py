"""Runs of data with gaps: what is absent or was never observed counts nowhere, and is told."""

from __future__ import annotations

import json
import shutil

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import pixel_set_factory
import pytest
from tiers import all_but

import pastis_jax
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.types import Batch, Prediction, Series


def blind(file, nodata):
    """At each date a channel was not observed; each of several channels was at some date."""
    values = np.load(file)
    for date in range(len(values)):
        values[date, date % min(2, values.shape[1])] = nodata
    np.save(file, values)


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def lacks(root, modality, patch, prefix):
    """A patch lacks a modality; arrays of its samples begin with `prefix`."""

    def change(content):
        for feature in content["features"]:
            if feature["properties"]["ID_PATCH"] == patch:
                del feature["properties"][f"dates-{modality}"]

    edit(root / "metadata.geojson", change)
    for file in (root / f"DATA_{modality}").glob(f"{modality}_{prefix}*.npy"):
        file.unlink()


@pytest.mark.parametrize("task", ["parcel", "semantic"])
def test_loss_and_metric_count_the_same_samples(task):
    config = train.for_data(configure(task))
    classes = (ClassMapping.crops if task == "parcel" else ClassMapping.of)(PASTIS_R.nomenclature)
    made = train.make_task(config, PASTIS_R, classes)
    space, outputs = ((), 0) if task == "parcel" else ((2, 3), 1)
    rng, valid = np.random.default_rng(0), jnp.array([True, False, True, False])
    logits = rng.normal(size=(4, *space, len(classes.names) + outputs)).astype(np.float32)
    label = rng.integers(0, len(classes.names), (4, *space))
    real = jnp.array([True, True, True, False])
    batch = Batch(series={}, label=jnp.array(label), real=real, number=jnp.arange(4))
    prediction = Prediction(output=jnp.array(logits), valid=valid)
    _, weights = made.loss(prediction, batch)
    assert weights.tolist() == [1, 0, 1, 0]
    assert made.metric(prediction, batch).counts.sum() == 2 * np.prod(space, initial=1)
    known = np.isfinite(made.answer(prediction)).reshape(4, -1)
    assert known.all(1).tolist() == known.any(1).tolist() == valid.tolist()


def test_a_run_of_data_with_gaps(tmp_path, capsys):
    root = pixel_set_factory.make_pixel_set(tmp_path / "set", parcels_per_fold=6)
    lacks(root, "S1D", 10005, "10005")
    blind(root / "DATA_S2" / "S2_10005001.npy", -10000)
    odd = root / "DATA_S2" / "S2_10001002.npy"
    np.save(odd, np.load(odd) // 255)
    flags = {"data": root, "cache_dir": tmp_path / "cache", "out": tmp_path / "run"}
    flags |= {"modalities": ("S2", "S1D"), "fusion": "mid", "epochs": 1, "batch_size": 8}
    with pytest.raises(pastis_jax.UserError, match=r"S2_10001002.npy: the largest value"):
        train.run(configure("parcel", **flags))
    result = train.run(configure("parcel", skip_implausible=True, **flags))
    printed = capsys.readouterr().out
    crops = [row for row in pixel_set_factory.read_rows(root) if row[2] != "19"]
    tested = [row for row in crops if row[3] == "5"]
    assert result["absent"] == {"S1D": len(tested)}
    assert result["unobserved"] == 1
    assert [*result["skipped"]] == ["10001002"]
    assert "S2_10001002.npy: the largest value" in result["skipped"]["10001002"]
    assert np.sum(result["confusion"]) == len(tested) - 1
    assert f"{len(tested)} of {len(crops) - 1} parcels have no S1D: masked" in printed
    assert f"1 of {len(tested)} parcels of test have no date at which every channel" in printed
    assert "do not count: 10005001" in printed
    assert "Note: parcels left out for implausible values: 1 (10001002); result.json" in printed
    assert "parcels not scored │ 1 without a valid date" in " ".join(printed.split())
    run = pastis_jax.open_run(tmp_path / "run")
    outcome = run.evaluate()
    assert outcome.unobserved == 1
    assert outcome.scores["OA"] == pytest.approx(result["test"]["OA"])
    other = {"data": root, "cache_dir": tmp_path / "cache"}
    kept = run.open_data(**other).splits.sources["train"]
    assert len(kept) == len(run.open_data(skip_implausible=True, **other).splits.sources["train"])
    with pytest.raises(pastis_jax.UserError, match=r"S2_10001002.npy: .*`skip_implausible`"):
        run.open_data(skip_implausible=False, **other)
    with pytest.raises(pastis_jax.UserError, match="`skip_implausible`: the run's own data"):
        run.evaluate(skip_implausible=False)


# Other data


OPTIONS = {
    "parcel": {"fusion": "late", "batch_size": 8},
    "semantic": {"fusion": "early", "modalities": ("PS", "NDVI"), "head_widths": (8,)},
    "panoptic": {
        **{"fusion": "single", "modalities": ("PS",), "shape_size": 4, "max_instances": 16},
        **{"warmup": 0, "min_confidence": 0.05},
    },
}
SIZES = {"encoder_widths": (8, 8), "decoder_widths": (8, 8), "heads": 2, "model_features": 8}


def only_test(given, to, sample=None):
    """A copy with the samples of the test fold alone, but for one."""
    shutil.copytree(given, to)

    def change(content):
        content["features"] = [
            one
            for one in content["features"]
            if one["properties"]["Fold"] == "west" and one["properties"]["ID_PATCH"] != sample
        ]

    edit(to / "metadata.geojson", change)
    table = to / "metadata_parcel.csv"
    if table.exists():
        header, *rows = table.read_text().splitlines()
        kept = [row for row in rows if row.endswith("west") and row.split(",")[0] != str(sample)]
        table.write_text("\n".join([header, *kept]) + "\n")
    return to


@pytest.mark.parametrize("task", all_but(0, OPTIONS))
def test_what_was_never_observed_is_not_scored(task, tmp_path):
    """Of data with test samples alone: the scores are those without the sample."""
    make = foreign.make_pixel_sets if task == "parcel" else foreign.make_patches
    data, cache = make(tmp_path / "data", patches_per_fold=2), {"cache_dir": tmp_path / "cache"}
    sizes = {} if task == "parcel" else {**SIZES, "batch_size": 2}
    options = {**OPTIONS[task], **sizes, **cache, "epochs": 1}
    train.run(configure(task, data=data, out=tmp_path / "run", **options))
    run = pastis_jax.open_run(tmp_path / "run")
    patch = sample = foreign.patch_id(7)
    if task == "parcel":
        lines = (data / "metadata_parcel.csv").read_text().splitlines()
        mine = [line.split(",") for line in lines if line.split(",")[1] == str(patch)]
        sample = next(line[0] for line in mine if line[2] != "-1")
        for name in (line[0] for line in mine):
            for modality in ("SAR", "NDVI"):
                (data / f"DATA_{modality}" / f"{modality}_{name}.npy").unlink()
        for modality in ("SAR", "NDVI"):
            lacks(data, modality, patch, "none")
    blind(data / "DATA_PS" / f"PS_{sample}.npy", 0)
    folder = only_test(data, tmp_path / "test")
    bare = only_test(data, tmp_path / "bare", sample)
    found, without = (run.evaluate(one, **cache) for one in (folder, bare))
    assert (found.unobserved, without.unobserved) == (1, 0)
    assert found.samples == without.samples + 1
    jax.tree.map(
        np.testing.assert_array_equal, found.metrics.task.metric, without.metrics.task.metric
    )
    assert found.scores["loss"] == pytest.approx(without.scores["loss"], rel=1e-5)
    assert [*run.open_data(folder, needed=("test",), **cache).splits.sources] == ["test"]
    with pytest.raises(pastis_jax.UserError, match="in fold south"):
        run.evaluate(folder, split="val", **cache)
    tells(run)


def tells(run):
    """Asserts that a prediction tells of which sample nothing is known."""
    space = (4,) if run.task.name == "parcel" else (24, 40)
    series = {}
    for name in run.modalities:
        mean, _ = run.saved.learned.statistics[name]
        values = np.broadcast_to(mean, (2, 3, *space, len(mean))).astype(np.float32)
        series[name] = Series(
            values=values,
            days=np.tile(np.arange(3, dtype=np.int32) * 40, (2, 1)),
            valid=np.array([[True] * 3, [False] * 3]),
            pixels=np.ones((2, *space), bool) if len(space) == 1 else None,
        )
    found = run.predict(series)
    if run.task.name != "panoptic":
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()
    else:
        assert np.isfinite(found.confidence[0]).all()
        assert np.isnan(found.confidence[1]).all()
        assert not found.instances[1].any()
