"""What is measured of finished runs: removed dates (Figure 7), time (Table 4)."""

from __future__ import annotations

import json
import pathlib
import shutil

import jax
import numpy as np
import pixel_set_factory as factory
import pytest
from commands import exit_code

from experiments import parcel
from experiments.paper import cloud_cover, finished, inference_time
from pastis_jax.training import write_json

pytestmark = pytest.mark.long

CLOUDS = ["--ratios", "1", "0", "0.5", "--draws", "2", "--spells", "1", "3"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Late fusion with everything, and radar alone, on parcels of 20 to 30 dates."""
    folder = tmp_path_factory.mktemp("measured")
    root = factory.make_pixel_set(
        folder / "set", parcels_per_fold=10, labels=(1, 3, 8, 5), dates=(20, 30)
    )
    for name, flags in {
        "late": ["--fusion", "late", "--modalities", "S1D", "S2", "--auxiliary"],
        "radar": ["--fusion", "single", "--modalities", "S1A", "--temporal-dropout"],
    }.items():
        arguments = ["--data", str(root), "--cache-dir", str(folder / "cache"), *flags]
        out = folder / "runs" / name
        parcel.main([*arguments, "--epochs", "1", "--batch-size", "8", "--out", str(out)])
    return folder / "runs"


@pytest.fixture(scope="module")
def clouds(runs):
    """What was measured of both, by name, and where it is."""
    folder = runs.parent / "clouds"
    for name in ("late", "radar"):
        out = folder / name / "fold1.json"
        cloud_cover.main(["--run", str(runs / name), "--out", str(out), *CLOUDS])
    return folder


@pytest.fixture(scope="module")
def opened(runs):
    """Late fusion, opened once."""
    return finished.open_data(runs / "late")


def result_of(run):
    return json.loads((run / "result.json").read_text())


def test_scores_by_share_removed(runs, clouds):
    measured = json.loads((clouds / "late" / "fold1.json").read_text())
    assert measured["run"] == str(runs / "late")
    assert (measured["task"], measured["model"], measured["enhancement"]) == (
        *("parcel", "late of S1D + S2"),
        "auxiliary",
    )
    assert measured["settings"] == {
        "ratios": [0.0, 0.5, 1.0],
        "draws": 2,
        "spells": [1, 3],
        "seed": 0,
    }
    clear = result_of(runs / "late")["test"]["mIoU"]
    assert [curve["spell"] for curve in measured["curves"]] == [1, 3]
    for curve in measured["curves"]:
        assert [len(scores) for scores in curve["scores"]] == [1, 2, 1]
        assert curve["scores"][0] == [clear]
        assert curve["counts"][0] == [result_of(runs / "late")["confusion"]]
        assert all(np.isfinite(scores).all() for scores in curve["scores"])
    assert measured["curves"][0]["scores"][2] == measured["curves"][1]["scores"][2]


def test_folds_are_one_test_for_each_seed_and_draw():
    def curve(*hits):
        """Of ten samples of two classes, `hits` right at each draw."""
        counts = [[[[n, 5 - n], [0, 5]] for n in draws] for draws in hits]
        return {"ratios": [0.0, 0.5], "counts": counts}

    curves = {(1, 0): curve([5], [1, 2]), (3, 0): curve([3], [4, 2]), (1, 1): curve([0], [0, 0])}
    scores = cloud_cover.pooled_scores("parcel", "OA", curves)
    for found, hits in zip(scores, ([8], [5, 4]), strict=True):
        np.testing.assert_allclose(found, [(10 + n) / 20 for n in hits])


def test_radar_alone_does_not_notice(runs, clouds):
    measured = json.loads((clouds / "radar" / "fold1.json").read_text())
    assert (measured["model"], measured["enhancement"]) == ("S1A", "temporal_dropout")
    score = result_of(runs / "radar")["test"]["mIoU"]
    assert all(curve["scores"] == [[score]] * 3 for curve in measured["curves"])


def test_removed_dates_reach_the_model(opened):
    """All of S2's, and no other's."""
    assert cloud_cover.optical_modalities(opened) == ("S2",)
    batch = next(opened.splits.evaluation("test"))
    removals = [cloud_cover.Removal(0.0), cloud_cover.Removal(1.0)]
    identifiers = [opened.splits.sources["test"].identifier(int(n)) for n in batch.number]
    drawn = cloud_cover.without_dates(batch, identifiers, removals, optical=("S2",), seed=0)
    whole, dark = (left for _, left in drawn)
    assert not dark.series["S2"].valid.any()
    assert dark.series["S1D"] is whole.series["S1D"] is batch.series["S1D"]
    assert whole.series["S2"] is batch.series["S2"]
    losses = [opened.evaluate([one]).scores["loss"] for one in (whole, dark)]
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


def test_figure_of_all_that_was_measured(clouds, tmp_path):
    picture = tmp_path / "new" / "clouds.png"
    cloud_cover.main(["--draw", str(clouds), "--out", str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_models_are_compared_on_the_same_folds(clouds, tmp_path, capsys, monkeypatch):
    """What was not measured of all is told; a task without any such fold leaves the others."""
    folder, panels = shutil.copytree(clouds, tmp_path / "clouds"), []
    monkeypatch.setattr(
        cloud_cover.pictures, "cloud_cover", lambda rows, *_, **__: panels.extend(rows)
    )
    late = json.loads((folder / "late" / "fold1.json").read_text())
    perfect = (9 * np.eye(len(late["curves"][0]["counts"][0][0]), dtype=int)).tolist()
    better = [
        one | {"counts": [[perfect] * len(draws) for draws in one["counts"]]}
        for one in late["curves"]
    ]
    write_json(folder / "late" / "fold2.json", late | {"fold": 2, "curves": better})
    for fold, model in ((1, "S2"), (2, "S1A")):
        write_json(folder / f"{model}.json", late | {"task": "x", "fold": fold, "model": model})
    monkeypatch.setitem(cloud_cover.TASKS, "x", None)
    cloud_cover.main(["--draw", str(folder), "--out", str(tmp_path / "x.png")])
    printed = capsys.readouterr().out
    assert "parcel model, left out: late auxiliary fold 2 seed 0." in printed
    assert "every x model" in printed
    (row,) = panels
    assert all(panel.title.endswith("fold 1, seed 0") for panel in row)
    clear = result_of(clouds.parent / "runs" / "late")["test"]["mIoU"]
    assert [curve.scores[0][0] for curve in row[0].curves if curve.model == "late"] == [clear]


def test_time_to_load_and_predict(runs, tmp_path):
    out = tmp_path / "new" / "time.json"
    inference_time.main(["--run", str(runs / "late"), "--out", str(out), "--repeats", "2"])
    measured = json.loads(out.read_text())
    assert measured["count"] == np.sum(result_of(runs / "late")["confusion"]) == 10
    assert measured["km2"] is None
    names = {"loading and prediction", "loading", "prediction"}
    assert measured["seconds"].keys() == measured["measured"].keys() == names
    for name, seconds in measured["measured"].items():
        assert len(seconds) == 2
        assert min(seconds) > 0
        assert measured["seconds"][name] == np.median(seconds)


def test_data_that_were_moved_are_given(runs, tmp_path, capsys):
    """And are told apart from others."""
    given, cache = pathlib.Path(result_of(runs / "late")["folder"]), str(tmp_path / "cache")
    moved, run = tmp_path / "moved", shutil.copytree(runs / "late", tmp_path / "late")
    shutil.copytree(given, moved)
    for name in ("run.json", "result.json", "config.json"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace(str(given), str(tmp_path / "gone")))
    arguments = ["--run", str(run), "--cache-dir", cache, *CLOUDS]
    out = ["--out", str(tmp_path / "clouds.json")]
    assert exit_code(lambda: cloud_cover.main([*arguments, *out])) == 2
    assert "name a folder by --data" in capsys.readouterr().err
    cloud_cover.main([*arguments, *out, "--data", str(moved)])
    assert "trained on" not in capsys.readouterr().out
    content = json.loads((tmp_path / "clouds.json").read_text())
    assert content["folder"] == str(moved)
    whole = content["curves"][0]["scores"][0][0]
    assert whole == pytest.approx(result_of(runs / "late")["test"]["mIoU"], abs=1e-6)
    file = min((moved / "DATA_S2").iterdir())
    np.save(file, np.load(file) + 1)
    arguments = ["--run", str(run), "--cache-dir", cache, "--data", str(moved), "--repeats", "1"]
    inference_time.main([*arguments, "--out", str(tmp_path / "time.json")])
    assert f"{moved} is not what {run} was trained on: DATA_S2" in capsys.readouterr().out


def test_what_is_timed_is_what_was_tested(runs, opened):
    """The classes that reach the host give the run's confusion matrix."""
    counts = np.zeros((18, 18), int)
    for batch in opened.splits.evaluation("test", ahead=False):
        predicted = jax.device_get(opened.predict(batch))
        np.add.at(counts, (batch.label[batch.real], predicted[batch.real]), 1)
    np.testing.assert_array_equal(counts, result_of(runs / "late")["confusion"])


CASES = [
    (cloud_cover, ["--run", "RUNS/late", "--ratios", "0", "70"], "--ratios"),
    (cloud_cover, ["--run", "RUNS/late", "--ratios", "nan"], "--ratios"),
    (cloud_cover, ["--run", "RUNS/late", "--draws", "0"], "--draws"),
    (cloud_cover, ["--run", "RUNS/late", "--spells", "0"], "--spells"),
    (cloud_cover, ["--run", "RUNS/late", "--seed", "-1"], "--seed"),
    (cloud_cover, ["--run", "RUNS"], "no finished run here"),
    (cloud_cover, [], "--run, --draw"),
    (cloud_cover, ["--run", "RUNS/late", "--draw", "RUNS"], "--run, --draw"),
    (inference_time, ["--run", "RUNS/late", "--repeats", "0"], "--repeats"),
    (inference_time, ["--run", "RUNS/none"], "no finished run here"),
]


def refused(main, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error
    return error


@pytest.mark.parametrize(("command", "arguments", "named"), CASES, ids=str)
def test_mistakes_end_in_one_line(runs, tmp_path, capsys, command, arguments, named):
    arguments = [text.replace("RUNS", str(runs)) for text in arguments]
    out = tmp_path / "new" / "x.json"
    assert named in refused(command.main, [*arguments, "--out", str(out)], capsys)
    assert not out.parent.exists()


@pytest.mark.parametrize("command", [cloud_cover, inference_time])
def test_other_files_are_not_replaced(runs, tmp_path, capsys, command):
    run = shutil.copytree(runs / "radar", tmp_path / "radar")
    for file in (run / "result.json", run / "metrics.jsonl", run, run / "config.json" / "x.json"):
        before = file.read_bytes() if file.is_file() else None
        assert "--out" in refused(command.main, ["--run", str(run), "--out", str(file)], capsys)
        assert before is None or file.read_bytes() == before


def test_only_like_is_drawn_with_like(clouds, tmp_path, capsys):
    out = ["--out", str(tmp_path / "x.png")]
    assert "nothing was measured here" in refused(
        cloud_cover.main, ["--draw", str(tmp_path), *out], capsys
    )
    folder = shutil.copytree(clouds, tmp_path / "clouds")
    file = folder / "radar" / "fold1.json"
    content = json.loads(file.read_text())
    for name, other in (("data", "simulated"), ("settings", content["settings"] | {"draws": 3})):
        file.write_text(json.dumps(content | {name: other}))
        error = refused(cloud_cover.main, ["--draw", str(folder), *out], capsys)
        assert f"its {name} are not those of" in error
    file.write_text(json.dumps(content))
    again = folder / "again.json"
    again.write_text(json.dumps(content))
    assert "of the same model, fold and seed as" in refused(
        cloud_cover.main, ["--draw", str(folder), *out], capsys
    )
    late = json.loads((folder / "late" / "fold1.json").read_text())
    again.write_text(json.dumps(late | {"model": "late", "enhancement": "base"}))
    assert "late of S1D + S2" in refused(cloud_cover.main, ["--draw", str(folder), *out], capsys)
    again.unlink()
    (folder / "torn.json").write_text("{")  # none of ours
    cloud_cover.main(["--draw", str(folder), *out])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.png"]
