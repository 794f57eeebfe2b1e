"""A run as a thing: sent elsewhere, opened again, continued, damaged, and scored on other data."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import shutil
import sys
from functools import partial

import foreign
import jax
import numpy as np
import pytest
from refusal import refused_in_a_line
from tiers import long

import pastis_jax
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.cli.main import main
from pastis_jax.errors import DaysWarning
from pastis_jax.nn import all_series
from pastis_jax.runs import saved, weights
from pastis_jax.runs.training import remarks
from pastis_jax.schemes import SCHEMES
from pastis_jax.types import Series

TINY = {
    "encoder_widths": (8, 8),
    "decoder_widths": (8, 8),
    "heads": 2,
    "model_features": 8,
    "batch_size": 2,
}
OPTIONS = {
    "parcel": {"fusion": "mid", "batch_size": 8},
    "semantic": {"fusion": "early", "modalities": ("PS", "NDVI"), "head_widths": (8,), **TINY},
    "panoptic": {
        **{"fusion": "single", "modalities": ("PS",), "shape_size": 4, "max_instances": 16},
        **{"warmup": 0, "min_confidence": 0.05, **TINY},
    },
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run, and what it was trained on."""

    task: str
    folder: pathlib.Path

    @property
    def data(self):
        return self.folder / "data"

    @property
    def out(self):
        return self.folder / "run"

    def config(self, **changes):
        places = {"data": self.data, "cache_dir": self.folder / "cache", "out": self.out}
        return configure(self.task, epochs=1, **{**OPTIONS[self.task], **places, **changes})

    @property
    def result(self):
        return json.loads((self.out / "result.json").read_text())

    def copy(self, to, *without):
        """Copies the run, but for files of these names."""
        shutil.copytree(self.out, to, ignore=shutil.ignore_patterns(*without))
        return to


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gives the run of a task, trained when it is first asked for."""
    runs = {}

    def give(task):
        if task not in runs:
            runs[task] = Trained(task, tmp_path_factory.mktemp(task))
            make = foreign.make_pixel_sets if task == "parcel" else foreign.make_patches
            make(runs[task].data, patches_per_fold=2)
            train.run(runs[task].config())
        return runs[task]

    return give


# Prediction


def as_observed(records, run, pixels=12):
    """Series of records in the stored unit, marks of missing values among them."""
    series = {}
    for name in run.modalities:
        ones = [record[name] for record in records]
        channels, *space = ones[0]["values"].shape[1:]
        flat = len(space) == 1
        length = max(len(one["days"]) for one in ones)
        place = (pixels,) if flat else tuple(space)
        values = np.full((len(ones), length, *place, channels), 77, np.float32)
        days, valid = np.zeros((len(ones), length), np.int32), np.zeros((len(ones), length), bool)
        real = np.zeros((len(ones), pixels), bool)
        for i, one in enumerate(ones):
            t, n = len(one["days"]), one["values"].shape[-1]
            seen = np.moveaxis(one["values"], 1, -1)
            days[i, :t], valid[i, :t], real[i, :n] = one["days"], True, True
            values[i, :t, : seen.shape[1]] = seen
        series[name] = Series(values=values, days=days, valid=valid, pixels=real if flat else None)
    return series


def in_memory(record):
    """A record that needs its files no more."""
    return {
        name: field | {"values": np.asarray(field["values"])} if isinstance(field, dict) else field
        for name, field in record.items()
    }


def test_batches_of_more_dates_than_any_test_lose_none(trained):
    """Room is for the dates of validation and test; a batch of training may have more."""
    opened = pastis_jax.open_run(trained("semantic").out).open_data(batch_size=2)
    batch = next(opened.splits.alone("test", 2))
    twice = {
        name: series.replace(
            values=np.concatenate([series.values, series.values[..., ::-1, :]], axis=1),
            days=np.concatenate([series.days, series.days], axis=1),
            valid=np.concatenate([series.valid, series.valid], axis=1),
        )
        for name, series in batch.series.items()
    }
    model, task = opened.task.model(), opened.task
    apply = jax.jit(lambda v, s: task.answer(model.apply(v, all_series(s))))
    expected = apply(opened.run.variables, twice)
    found = opened.predict(batch.replace(series=twice))
    np.testing.assert_array_equal(np.argmax(expected, -1), found)
    assert np.any(found != opened.predict(batch))  # What is lost would show.
    longer = batch.replace(series=twice)
    refused_in_a_line(lambda: opened.evaluate([longer]), "`batches`", "more dates than any")


@pytest.mark.parametrize("task", OPTIONS)
def test_a_run_predicts_anywhere_what_its_test_did(trained, tmp_path, task):
    """Moved, without data and cache; one sample at a time and 64; as the pipeline's batches."""
    given = trained(task)
    opened = pastis_jax.open_run(given.out).open_data(batch_size=4)
    records = [in_memory(opened.splits.sources["test"][i]) for i in range(2)]
    batch = next(opened.splits.alone("test", 2))
    assert batch.number.tolist() == [0, 1]
    found = jax.device_get(opened.predict(batch))
    context = {**opened.run.saved.context, "temperature": opened.run.saved.temperature}
    model, task_of = opened.task.model(), opened.task
    answer = jax.jit(lambda v, s: task_of.answer(model.apply(v, all_series(s)), **context))
    expected = answer(opened.run.variables, batch.series)
    moved, hidden = tmp_path / "moved", tmp_path / "hidden"
    given.out.rename(moved)
    (given.folder / "cache").rename(hidden)
    given.data.rename(tmp_path / "data")
    try:
        run = pastis_jax.open_run(moved)
        raw = as_observed(records, run)
        marked = [run.dataset[name].missing(one.values[one.valid]) for name, one in raw.items()]
        assert any(marks is not None and marks.any() for marks in marked)
        many = jax.tree.map(lambda x: x[np.arange(64) % 2], raw)
        alone = [jax.tree.map(lambda x, i=i: x[i : i + 1], raw) for i in range(2)]
        answers = [jax.tree.map(lambda x: x[:2], run.predict(many))]
        answers += [jax.tree.map(lambda *x: np.concatenate(x), *map(run.predict, alone))]
        with pytest.raises(pastis_jax.UserError, match="are not here"):
            run.evaluate()
    finally:
        moved.rename(given.out)
        hidden.rename(given.folder / "cache")
        (tmp_path / "data").rename(given.data)
    for answer in answers:
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), answer, expected)
        if task == "panoptic":
            np.testing.assert_array_equal(answer.instances, found.instances)
            np.testing.assert_array_equal(answer.semantic, found.semantic)
        else:
            assert isinstance(answer, np.ndarray)
            np.testing.assert_allclose(answer.sum(-1), 1, rtol=1e-5)
            np.testing.assert_array_equal(answer.argmax(-1), found)


@pytest.mark.parametrize("task", OPTIONS)
def test_what_confidences_are_worth_is_found_again(trained, task, capsys):
    """As result.json has it; the temperature is that of the run, and told of."""
    given = trained(task)
    run, written = pastis_jax.open_run(given.out), given.result["calibration"]
    outcome = run.evaluate()
    found = outcome.metrics.task.reliability()
    for name in ("before", "after"):
        for score, value in written[name].items():
            value = np.array(value, float)
            np.testing.assert_allclose(found[name][score], value, rtol=1e-5, err_msg=score)
    assert run.saved.temperature == written["temperature"]
    counted = sum(written["after"]["count"])
    if task == "parcel":
        assert counted == outcome.samples - outcome.unobserved
    if task == "semantic":
        assert counted == np.sum(given.result["confusion"])
    assert (given.out / "reliability.png").exists()
    main(["inspect", str(given.out)])
    assert f"at temperature {run.saved.temperature:.2f}" in capsys.readouterr().out


def test_what_a_run_cannot_predict_from_is_named(trained):
    run = pastis_jax.open_run(trained("parcel").out)
    with pytest.raises(ValueError, match="takes PS, NDVI, SAR; got nothing"):
        run.predict({})
    with pytest.raises(ValueError, match="got ndarray"):
        run.predict(np.zeros((1, 2)))
    records = [dict(run.open_data().splits.sources["test"][i]) for i in range(2)]
    sound = as_observed(records, run)
    with pytest.raises(ValueError, match="got PS, NDVI, SAR, SR"):
        run.predict({**sound, "SR": sound["SAR"]})
    optical = sound["PS"]
    with pytest.raises(ValueError, match="PS is no Series, but ndarray"):
        run.predict({**sound, "PS": optical.values})
    for change, words in (
        ({"values": optical.values[..., :3]}, "PS has 4 channels"),
        ({"values": optical.values[..., None, :]}, "not b t s c"),
        ({"values": optical.values / 10000}, "PS is not in reflectance x 10000"),
        ({"values": np.full_like(optical.values, np.inf)}, "PS are not finite"),
        ({"days": optical.days[:, :1]}, "days have shape"),
        ({"days": optical.days + 20190101}, "not within -60 to 730"),
        ({"pixels": None}, "pixels have shape"),
        ({"valid": optical.valid[:1]}, "different numbers of samples"),
    ):
        with pytest.raises(ValueError, match=words):
            run.predict({**sound, "PS": optical.replace(**change)})


def test_what_there_is_no_score_of_is_named(trained):
    run = pastis_jax.open_run(trained("parcel").out)
    for options, words in (
        ({"split": "tset"}, ("`split`", "give train, val, test")),
        ({"fold": 0}, ("`fold`", "got 0")),
        ({"fold": 5}, ("`fold`", "got 5")),
        ({"batch_size": 0}, ("`batch_size`", "got 0")),
    ):
        refused_in_a_line(partial(run.evaluate, **options), *words)


def test_its_own_folder_is_scored_by_its_own_fold(trained, tmp_path):
    """By name or not, and as a copy: what it was trained on is not tested on."""
    given = trained("parcel")
    folder = given.copy(tmp_path / "run")
    edit(folder / "run.json", lambda content: content["records"].update(fold=3))
    run, copy = pastis_jax.open_run(folder), tmp_path / "copy"
    shutil.copytree(given.data, copy)
    expected = run.dataset.split(3)
    assert run.open_data(given.data).splits.folds == expected
    assert run.open_data(copy, cache_dir=tmp_path / "cache").splits.folds == expected
    assert run.open_data(given.data, fold=2).splits.folds == run.dataset.split(2)
    edit(copy / "dataset.json", lambda content: content["folds"].reverse())
    folds = run.dataset.folds
    opened = run.open_data(copy, cache_dir=tmp_path / "cache")
    assert opened.splits.folds["test"] == folds[:1] != expected["test"]


@long
def test_lists_of_samples_travel_with_the_run(trained, tmp_path):
    given, file = trained("parcel"), tmp_path / "lists.json"
    sources = pastis_jax.open_run(given.out).open_data().splits.sources
    lists = {
        split: [source.identifier(n) for n in range(len(source))]
        for split, source in sources.items()
    }
    lists["train"], lists["test"] = lists["test"], lists["train"]
    file.write_text(json.dumps(lists))
    result = train.run(given.config(out=tmp_path / "run", split_lists=file))
    file.unlink()
    moved = pastis_jax.open_run((tmp_path / "run").rename(tmp_path / "moved"))
    assert moved.evaluate(cache_dir=given.folder / "cache").scores["OA"] == result["test"]["OA"]
    other = moved.open_data(given.data, cache_dir=given.folder / "cache").splits.sources
    assert len(other["test"]) == len(lists["test"])


def test_targets_and_class_mappings_count_where_they_are_used(trained, tmp_path):
    given = trained("semantic")
    run, data = pastis_jax.open_run(given.out), tmp_path / "data"
    plan = run.open_data().splits.plan
    shutil.copytree(given.data, data)

    def splits(**changes):
        records = dataclasses.replace(given.config(data=data).records, **changes)
        return run.task.open(records, data, run.task.spec, plan)

    before = splits().fingerprint.parts
    main(["instances", str(data)])
    assert splits().fingerprint.parts == before
    mappings = []
    for members in (0, 1), (0, 2):
        file, crops = tmp_path / "classes.json", run.dataset.nomenclature.crops
        file.write_text(json.dumps({"Others": [crops[i].name for i in members]}))
        mappings.append(splits(class_mapping=file).fingerprint.parts)
    assert mappings[0] != mappings[1] != before


def test_a_fold_of_void_alone_is_refused(trained, tmp_path):
    given = trained("semantic")
    run, data = pastis_jax.open_run(given.out), tmp_path / "data"
    plan = run.open_data().splits.plan
    shutil.copytree(given.data, data)
    void = run.dataset.nomenclature.void
    for patch in json.loads((data / "metadata.geojson").read_text())["features"]:
        if str(patch["properties"]["Fold"]) == str(run.dataset.folds[-1]):
            file = data / "ANNOTATIONS" / f"TARGET_{patch['properties']['ID_PATCH']}.npy"
            target = np.load(file)
            target[0] = void
            np.save(file, target)
    records = dataclasses.replace(given.config(data=data).records, cache_dir=tmp_path / "cache")
    opened = partial(run.task.open, records, data, run.task.spec, plan)
    refused_in_a_line(opened, "every pixel of test", str(run.dataset.folds[-1]))


# Days


def test_days_that_a_run_was_not_trained_on(trained, tmp_path, recwarn):
    """Another season, as new series and as a folder; what it was trained on is not told of."""
    given = trained("parcel")
    run, data = pastis_jax.open_run(given.out), tmp_path / "data"
    opened = run.open_data()
    trained_on = [days["PS"] for days in opened.splits.observed("train")]
    span = run.saved.days["PS"]
    assert span.first == min(days.min() for days in trained_on)
    assert span.last == max(days.max() for days in trained_on)
    assert [*run.saved.days] == [*run.modalities]
    series = as_observed([dict(opened.splits.sources["train"][0])], run)
    run.predict(series)
    assert not recwarn.list
    later = {name: one.replace(days=one.days + 365) for name, one in series.items()}
    with pytest.warns(DaysWarning, match="acquisitions of PS .* lie more than 30 days outside"):
        run.predict(later)
    shutil.copytree(given.data, data)
    start = {"season_start": "2022-07-01"}
    edit(data / "dataset.json", lambda content: content.update(start))
    with pytest.warns(DaysWarning, match="about a year later than in training.* season_start"):
        run.open_data(data, cache_dir=tmp_path / "cache")


def test_days_far_from_the_start_of_the_season(trained, tmp_path):
    """They are told of when a run is trained on them; it predicts from such days."""
    given = trained("parcel")
    run = pastis_jax.open_run(given.out)
    series = as_observed([dict(run.open_data().splits.sources["train"][0])], run)
    expected, folder = run.predict(series), given.copy(tmp_path / "run")

    def four_years(content):
        for span in content["days"].values():
            span.update({name: day + 1461 for name, day in span.items()})

    edit(folder / "run.json", four_years)
    moved = pastis_jax.open_run(folder)
    later = {name: one.replace(days=one.days + 1461) for name, one in series.items()}
    with pytest.raises(ValueError, match="not within -60 to 730"):
        run.predict(later)
    assert moved.predict(later).shape == expected.shape
    lines = remarks(run.task, run.open_data().splits, moved.saved.days)
    assert lines[0].startswith("days count from season_start 2023-07-01, and go far from it (PS ")
    assert lines[1].startswith("val: 11 of 11 acquisitions of PS")


# Changed data


@contextlib.contextmanager
def changed(file, change):
    """Lets a file be another one for a while."""
    content = file.read_bytes()
    try:
        change(file)
        yield
    finally:
        file.write_bytes(content)


def change_label(file):
    """Another class of one parcel."""
    with file.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    rows[0][2] = "23" if rows[0][2] != "23" else "4"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def change_array(file):
    """Another value of one pixel."""
    values = np.load(file)
    values[..., -1, -1] = np.where(values[..., -1, -1] == 900, 110, values[..., -1, -1] * 2)
    np.save(file, values)


def change_target(file):
    """One background pixel is a parcel's."""
    values = np.load(file)
    values[:, -1, -1] = (110, values[1].max(), 1110)
    np.save(file, values)


def change_norm(file):
    """Another mean."""
    content = json.loads(file.read_text())
    content["Fold_north"]["mean"][0] += 1
    file.write_text(json.dumps(content))


def _named(value):
    return getattr(value, "__name__", value)


CHANGES = [
    ("parcel", "metadata_parcel.csv", change_label),
    ("parcel", "DATA_SAR/SAR_*.npy", change_array),
    ("parcel", "NORM_PARCEL_PS_set.json", change_norm),
    ("semantic", "ANNOTATIONS/TARGET_*.npy", change_target),
    ("semantic", "DATA_NDVI/NDVI_*.npy", change_array),
    ("semantic", "NORM_PS_patch.json", change_norm),
]


@pytest.mark.parametrize(
    ("task", "file", "change"), CHANGES, ids=lambda x: getattr(x, "__name__", x)
)
def test_changed_data_are_neither_trained_on_nor_scored(trained, tmp_path, task, file, change):
    given = trained(task)
    run, part = pastis_jax.open_run(given.out), file.removesuffix(".npy")
    unfinished = given.copy(tmp_path / "run", "result.json")
    with changed(min(given.data.glob(file)), change):
        words = ("have changed since", part)
        refused_in_a_line(run.evaluate, *words)
        refused_in_a_line(lambda: train.run(given.config(out=unfinished)), *words, "`overwrite`")
        # By its name, the folder is scored as it is now.
        run.evaluate(given.data)
    assert not (unfinished / "result.json").exists()


# Other data


def edit(file, change):
    """Changes the content of a JSON file in place."""
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("task", OPTIONS)
def test_a_copy_is_scored_the_same_its_classes_in_any_order(trained, tmp_path, task):
    given = trained(task)
    run, copy = pastis_jax.open_run(given.out), tmp_path / "copy"
    shutil.copytree(given.data, copy)
    found = [run.evaluate().scores, run.evaluate(copy, cache_dir=tmp_path / "cache").scores]
    edit(copy / "dataset.json", lambda content: content["nomenclature"]["classes"].reverse())
    found.append(run.evaluate(copy, cache_dir=tmp_path / "cache").scores)
    for one in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, one, found[0])


def other_name(content):
    content["nomenclature"]["classes"][0]["name"] = "Sorghum"


def other_channels(content):
    content["modalities"][0]["channels"][0] = "coastal"


def other_unit(content):
    content["modalities"][2]["unit"] = "none"


def other_modality(content):
    content["modalities"] = content["modalities"][:2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_name, ("110, Sorghum",)),
        (other_channels, ("coastal", "blue")),
        (other_unit, ("in none", "in linear power")),
        (other_modality, ("SAR",)),
    ],
)
def test_data_that_do_not_fit_are_refused(trained, tmp_path, change, words):
    given = trained("parcel")
    run, other = pastis_jax.open_run(given.out), tmp_path / "other"
    shutil.copytree(given.data, other)
    edit(other / "dataset.json", change)
    evaluate = partial(run.evaluate, other, cache_dir=tmp_path / "cache")
    refused_in_a_line(evaluate, *words)


# Earlier and later versions, and damage


def outcome(call):
    """What a call gives, and the text of its refusal."""
    try:
        return call(), ""
    except pastis_jax.UserError as error:
        return None, str(error)


def test_fields_that_came_later_have_their_defaults(trained, tmp_path):
    given = trained("semantic")
    out = given.copy(tmp_path / "run")

    def forget(content):
        for name in ("bf16", "remat", "separate_temporal"):
            del content.get("model", content)[name]

    edit(out / "run.json", forget)
    edit(out / "config.json", forget)
    edit(out / "config.json", lambda content: content.pop("split_lists"))
    runs = [pastis_jax.open_run(folder) for folder in (given.out, out)]
    assert runs[0].task == dataclasses.replace(runs[1].task, classes=runs[0].classes)
    assert train.run(given.config(out=out)) == runs[0].result
    refused_in_a_line(lambda: train.run(given.config(out=out, remat=True)), "`remat` off, now on")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["model"].update(gates=3), ("gates", "unknown")),
        (lambda content: content["options"].update(gates=3), ("gates",)),
        (lambda content: content.update(format=2), ("format 2", "later version")),
        (lambda content: content["model"].update(encoder="vit"), ("vit",)),
        (lambda content: content["model"].update(geometric="yes"), ("geometric",)),
        (lambda content: content.update(task="regression"), ("regression",)),
        (lambda content: content["classes"]["lookup"].append(99), ("classes",)),
        (lambda content: content["statistics"]["PS"]["mean"].pop(), ("statistics", "PS")),
    ],
)
def test_what_this_version_does_not_know_is_refused(trained, tmp_path, change, words):
    out = trained("parcel").copy(tmp_path / "run")
    edit(out / "run.json", change)
    refused_in_a_line(lambda: pastis_jax.open_run(out), "run.json", *words)


def test_a_configuration_of_a_later_version_is_refused(trained, tmp_path):
    given = trained("parcel")
    out = given.copy(tmp_path / "run")
    edit(out / "config.json", lambda content: content.update(gates=3))
    refused_in_a_line(lambda: train.run(given.config(out=out)), "of another kind")


def test_a_damaged_description_is_refused(trained, tmp_path):
    """Cut anywhere, or with anything in the place of any of its parts."""
    given = trained("panoptic")
    out = given.copy(tmp_path / "run", "checkpoints")
    text = (out / "run.json").read_text()
    content = json.loads(text)
    broken = [text[: len(text) * i // 20] for i in range(20)] + ["[]", "null", "5", "[" * 10**5]
    for name in content:
        for value in (None, 5, "x", [], [None], {"x": 1}):
            broken.append(json.dumps({**content, name: value}))
        broken.append(json.dumps({k: v for k, v in content.items() if k != name}))
    harmless = []
    for one in broken:
        (out / "run.json").write_text(one)
        run, refusal = outcome(partial(saved.read, out))
        assert "\n" not in refusal
        if run is not None:
            assert run.task == "panoptic"
            harmless.append({k for k in content if json.loads(one).get(k) != content[k]})
    # What other parts need is checked where it is used; runs that came before them lack the others.
    used = {"options", "records", "code", "plugins", "fingerprint", "batch_size", "checksums"}
    assert all(parts <= {*used, "days", "temperature", "levels", "window"} for parts in harmless)
    (out / "run.json").unlink()
    refused_in_a_line(lambda: pastis_jax.open_run(out), "no finished run here")


@pytest.mark.parametrize(
    "content", ["{", "[1]", "{}", '{"test": null, "fold": 1, "seed": 0}', '{"test": {"OA": 1}}']
)
def test_a_damaged_result_is_refused(trained, tmp_path, content, capsys):
    folder = trained("parcel").copy(tmp_path / "run")
    (folder / "result.json").write_text(content)
    refused_in_a_line(lambda: pastis_jax.open_run(folder).result, "result.json: cannot be read")
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(folder)])
    assert stopped.value.code == 1
    assert "damaged" in capsys.readouterr().out


def test_an_unfinished_run_is_not_called_damaged(trained, tmp_path, capsys):
    folder = trained("parcel").copy(tmp_path / "run", "run.json", "result.json")
    main(["inspect", str(folder)])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "this run is not finished; its command, given again, continues it" in out
    assert "0 damaged, 1 odd" in out
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(folder), "--out", str(tmp_path / "pictures")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(
        "error: --out: the pictures of a run are in its folder"
    )


def test_damaged_weights_are_refused(trained, tmp_path):
    given = trained("parcel")
    out = given.copy(tmp_path / "run", "checkpoints")
    run, file = pastis_jax.open_run(out), out / "weights.npz"
    read = partial(weights.read, out, run.variables)
    content = file.read_bytes()
    with np.load(file) as arrays:
        arrays = dict(arrays)
    name = next(name for name, one in arrays.items() if one.ndim == 2)
    for cut in (0, 1, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:cut])
        refused_in_a_line(read, "weights.npz")
    rng = np.random.default_rng(0)
    for place in [*range(64), *rng.integers(0, len(content), 200), *range(-400, 0)]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)
        found, refusal = outcome(read)
        assert "\n" not in refusal
        if found is not None:  # A date, say, that nobody reads.
            jax.tree.map(np.testing.assert_array_equal, found, run.variables)
    objects = {**arrays, name: np.array([{"a": 1}], object)}
    for other, word in (
        ({**arrays, name: arrays[name].T[:1]}, name),
        ({**arrays, name: arrays[name].astype(np.float64)}, name),
        ({k: v for k, v in arrays.items() if k != name}, name),
        ({**arrays, "params/gate": np.zeros(3)}, "params/gate"),
        (objects, "pickle"),
    ):
        np.savez(file, **other)
        refused_in_a_line(partial(pastis_jax.open_run, out), "weights.npz", word)
    file.unlink()
    refused_in_a_line(read, "file not found")


# Plugins

PLUGIN = """
from pastis_jax import fusion
from pastis_jax.schemes import SCHEMES, Scheme

SCHEMES.add("twice", Scheme(lambda parts: fusion.mid(
    parts.spatials, parts.temporal(), parts.decoder()
), auxiliary=False))
"""


@long
def test_a_run_with_a_scheme_of_ones_own(trained, tmp_path, monkeypatch, capsys):
    given = trained("parcel")
    (tmp_path / "own_schemes.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [os.fspath(tmp_path), *sys.path])
    command = ["train", "parcel", "--plugin", "own_schemes", "--fusion", "twice", "--epochs", "1"]
    command += ["--data", str(given.data), "--cache-dir", str(given.folder / "cache")]
    try:
        main([*command, "--modalities", "SAR", "NDVI", "--out", "run"])
        run = pastis_jax.open_run("run")
        assert run.modalities == ("SAR", "NDVI")
        assert run.evaluate().scores["mIoU"] >= 0
    finally:
        SCHEMES._parts.pop("twice", None)
        sys.modules.pop("own_schemes", None)
    refused_in_a_line(partial(pastis_jax.open_run, "run"), "'twice'", "own_schemes")
    command[command.index("own_schemes")] = "no_schemes"
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: --plugin: no_schemes: ")
