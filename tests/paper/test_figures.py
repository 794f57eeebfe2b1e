"""Figures from a tree of finished runs: what is drawn, from what, and what is missing."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import re
import types

import jax
import numpy as np
import patch_factory as factory
import pytest
import refusal

from experiments.paper import figures, qualitative
from pastis_jax import training
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.runs import saved
from pastis_jax.tasks import Learned

pytestmark = pytest.mark.long

CROPS = PASTIS_R.nomenclature.crops
NAMES = [crop.name for crop in CROPS]


def untrained(out, data, cache, **given):
    """Writes a finished semantic run whose weights are as drawn."""
    config = configure(
        "semantic",
        data=data,
        cache_dir=cache,
        encoder_widths=(8, 8),
        decoder_widths=(8, 8),
        head_widths=(8,),
        heads=2,
        model_features=8,
        batch_size=2,
        **given,
    )
    folder = training.RunFolder(out, config.stored())
    splits, _ = train.open_splits(config)
    task = train.make_task(config, splits.dataset, splits.classes)
    key, optimizer = jax.random.key(config.recipe.seed), config.recipe.make_optimizer(1)
    state = training.create_state(task.model(), optimizer, next(splits.evaluation("val")), key)
    folder.begin(splits.fingerprint.parts)
    run = saved.Saved(
        task=task.name,
        spec=task.spec,
        options={},
        learned=Learned(splits.dataset, splits.classes, splits.encode.statistics),
        context={},
        fingerprint=splits.fingerprint.parts,
        records=train.records_of(config, splits),
        batch_size=2,
        plugins=(),
    )
    saved.write(out, run, state.variables)
    iou = dict.fromkeys(["Background", *NAMES], 0.5)
    result = {"title": "Semantic segmentation, untrained", "task": "semantic", "data": "given"}
    result |= {"folder": str(data), "epochs": 0, "test": {"OA": 0.5, "mIoU": 0.5, "iou": iou}}
    folder.write("result.json", result)
    folder.close()


def parcel_run(out, confusion, /, **replaced):
    """Writes what figure 5 reads of a finished parcel run."""
    out.mkdir(parents=True)
    iou = dict.fromkeys(NAMES, 0.5)
    result = {"title": "Parcels, a model", "task": "parcel", "data": "simulated", "folder": "x"}
    result |= {"epochs": 3, "test": {"OA": 0.5, "mIoU": 0.5, "iou": iou}}
    result |= {"confusion": np.asarray(confusion).tolist()}
    fold, seed = re.fullmatch(r"fold(\d)-seed(\d)", out.name).groups()
    model = {"fusion": out.parent.name, "modalities": ["S2"], "fold": int(fold), "seed": int(seed)}
    result |= {**model, "temporal_dropout": False, "auxiliary": False}
    (out / "result.json").write_text(json.dumps(result | replaced))
    (out / "config.json").write_text("{}")


def counts(*right):
    """A confusion of ten parcels of each of the first classes, of which so many are right."""
    matrix = np.zeros((18, 18), int)
    for i, number in enumerate(right):
        matrix[i, i], matrix[i, 17] = number, 10 - number
    return matrix


def settings(runs, out, **given):
    return figures.Config(runs=runs, out=out, **given)


def test_maps_of_two_semantic_runs(tmp_path, capsys):
    data, cache = factory.make_patches(tmp_path / "set", patches_per_fold=2), tmp_path / "cache"
    runs, out = tmp_path / "runs" / "semantic", tmp_path / "figures"
    single = {"fusion": "single", "modalities": ("S2",)}
    late = {"fusion": "late", "modalities": ("S2", "S1A"), "auxiliary": True, "seed": 1}
    untrained(runs / "S2-base" / "fold1-seed0", data, cache, **single)
    untrained(runs / "late-both" / "fold1-seed0", data, cache, **late)
    figures.main(["--runs", str(runs.parent), "--out", str(out), "--patches", "1"])
    assert {path.name for path in out.iterdir()} == {"figure8.png", "figures.json"}
    content = json.loads((out / "figures.json").read_text())
    facts = content["figures"]["figure8"]
    assert facts["runs"] == [str(runs / m / "fold1-seed0") for m in ("S2-base", "late-both")]
    assert facts["patches"][0] in (10005, 10010)
    assert set(content["missing"]) == {"figure5", "figure9", "figure10", "figure11"}
    printed = capsys.readouterr().out
    for line in (
        "figure5 not drawn: no finished run of parcel/S2-base and parcel/late-both\n",
        "figure9 not drawn: no finished run of panoptic/S2-base and "
        "panoptic/late-temporal_dropout\n",
    ):
        assert line in printed
    config = settings(runs.parent, out, fold=2)
    refusal.refused_in_a_line(lambda: figures.run(config), "no figure can be drawn")
    assert "late-both are not all finished for fold 2, seed any" in capsys.readouterr().out


def test_scores_by_class_are_of_all_folds_and_seeds(tmp_path, monkeypatch):
    model = {"S2": tmp_path / "parcel" / "S2-base", "late": tmp_path / "parcel" / "late-both"}
    for seed, shift in ((0, 0), (3, 1)):
        parcel_run(model["S2"] / f"fold1-seed{seed}", counts(4, 2 + shift))
        parcel_run(model["S2"] / f"fold2-seed{seed}", counts(0, 6 + shift))
        parcel_run(model["late"] / f"fold1-seed{seed}", counts(8, 8))
        parcel_run(model["late"] / f"fold2-seed{seed}", counts(10, 4))
    for folder in model.values():
        parcel_run(folder / "fold1-seed7", counts(10, 10))
    parcel_run(model["S2"] / "fold3-seed0", counts(10, 10))
    drawn = []
    monkeypatch.setattr(
        figures.pictures, "compare_per_class", lambda *args, **texts: drawn.append((args, texts))
    )
    monkeypatch.setattr(pathlib.Path, "replace", lambda *_: None)
    facts = figures.run(settings(tmp_path, tmp_path / "out"))["figures"]["figure5"]
    (scores, names, colours, _), texts = drawn[0]
    left_out = [model["S2"] / "fold1-seed7", model["S2"] / "fold3-seed0"]
    left_out.append(model["late"] / "fold1-seed7")
    assert facts["left_out"] == [str(folder) for folder in left_out]
    # Of the second class 8 and 10 of 20 are right, of the first 4.
    assert names[:2] == [NAMES[1], NAMES[0]]
    assert colours[:2] == [CROPS[1].colour, CROPS[0].colour]
    np.testing.assert_allclose(scores["S2 alone"][:, :2], [[0.4, 0.2], [0.5, 0.2]])
    np.testing.assert_allclose(scores["late fusion"][:, :2], [[0.6, 0.9]] * 2)
    heading = "Parcels, simulated data, folds 1 2, seeds 0 3, 3 epochs"
    assert texts["title"].startswith(heading)
    assert len(facts["runs"]) == 8


@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        ({"data": "given"}, "some of its runs are of simulated data, some are not"),
        (
            {"test": {"OA": 0.5, "mIoU": 0.5, "iou": {"Cereals": 0.5}}, "confusion": [[1]]},
            "its runs are not all of the official classes",
        ),
    ],
)
def test_runs_that_do_not_fit_together(tmp_path, capsys, replaced, reason):
    parcel_run(tmp_path / "parcel" / "S2-base" / "fold1-seed0", counts(1))
    parcel_run(tmp_path / "parcel" / "late-both" / "fold1-seed0", counts(1), **replaced)
    config = settings(tmp_path, tmp_path / "out")
    refusal.refused_in_a_line(lambda: figures.run(config), "no figure can be drawn")
    assert f"figure5 not drawn: {reason}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_runs_without_a_fold_in_common(tmp_path, capsys):
    parcel_run(tmp_path / "parcel" / "S2-base" / "fold1-seed0", counts(1))
    parcel_run(tmp_path / "parcel" / "late-both" / "fold2-seed0", counts(1))
    with pytest.raises(SystemExit) as caught:
        figures.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert "no fold and seed of which all of parcel/S2-base and" in capsys.readouterr().out


def test_mistakes_are_found_first(tmp_path):
    config = settings(tmp_path, tmp_path / "out")
    (tmp_path / "file").write_text("")
    for given, flag in (
        ({"patches": 0}, "`patches`"),
        ({"runs": tmp_path / "none"}, "`runs`"),
        ({"out": tmp_path / "file"}, "`out`"),
    ):
        wrong = dataclasses.replace(config, **given)
        refusal.refused_in_a_line(lambda wrong=wrong: figures.run(wrong), flag)


def test_the_clearest_day_is_shown(tmp_path):
    root, cache = factory.make_patches(tmp_path / "set"), tmp_path / "cache"
    config = train.for_data(configure("semantic", data=root, cache_dir=cache))
    splits, _ = train.open_splits(config)
    optical, radar = qualitative.shown_modalities(splits)
    assert (optical.name, radar.name) == ("S2", "S1A")
    record = dict(splits.sources["test"][0])
    days = np.array([100, 250, 280, 300, 400])  # December, May, June, June, October
    values = np.full((5, 10, 16, 16), 3000, np.int16)
    values[[0, 4]] = 100
    values[1, 0], values[2, 0] = 600, 500
    values[2, 0, :4] = 5000  # a cloud over a quarter
    values[3, 0, :4], values[3, 0, 4:] = -10000, 300
    record["S2"] = {"values": values, "days": days}
    assert qualitative.clear_day(splits, record, optical) == 250
    image, day = qualitative.observation(splits, record, optical, 290)
    assert day == 280
    assert image.shape == (16, 16, 10)
    record["S2"] = {"values": values[[0, 4]], "days": days[[0, 4]]}
    assert qualitative.clear_day(splits, record, optical) == 100
    # A modality that the patch lacks is black.
    record["S2"] = {"values": values[:0], "days": days[:0]}
    shown, dates = qualitative._observations(splits, record)
    assert (dates["S2 observation"], shown["S2 observation"].max()) == ("no date", 0)
    assert shown["S1A observation"].max() > 0
    assert dates["S1A observation"][-4:] in ("2018", "2019")


@pytest.mark.parametrize("legacy", [(True, True), (False, False), (True, False)])
def test_parcels_are_judged_by_the_rule_that_the_runs_are_scored_by(tmp_path, monkeypatch, legacy):
    scores = {"SQ": 0.5, "RQ": 0.5, "PQ": 0.5}
    per_class = dict.fromkeys(("Background", *NAMES), scores)
    result = {"title": "Panoptic, a model", "task": "panoptic", "data": "given", "folder": "x"}
    result |= {"epochs": 3, "test": {**scores, "per_class": per_class}}
    for model, rule in zip(("S2-base", "late-temporal_dropout"), legacy, strict=True):
        out = tmp_path / "panoptic" / model / "fold1-seed0"
        out.mkdir(parents=True)
        (out / "result.json").write_text(json.dumps(result))
        (out / "config.json").write_text(json.dumps({"legacy_void": rule}))
    asked = []

    def choose(*_, **options):
        asked.append(options["legacy_void"])
        return qualitative.Examples((), (), 0, 0)

    monkeypatch.setattr(qualitative, "choose", choose)
    monkeypatch.setattr(qualitative, "shown_modalities", lambda splits: ("optical", "radar"))
    figure = next(figure for figure in figures.FIGURES if figure.name == "figure9")
    classes = types.SimpleNamespace(names=(), colours=())
    draw = functools.partial(
        figures.maps,
        settings(tmp_path, tmp_path / "out"),
        figure,
        lambda folder: (types.SimpleNamespace(classes=classes), {7: None}),
    )
    if legacy[0] != legacy[1]:
        with pytest.raises(figures.UndrawableError, match="some of its runs are of --legacy-void"):
            draw()
        return
    _, facts = draw()
    assert asked == [legacy[0]]
    assert facts["void_rule"] == ("legacy" if legacy[0] else "corrected")
