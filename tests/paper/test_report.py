"""The page of results, from made-up runs in every state."""

from __future__ import annotations

import dataclasses
import html.parser
import itertools
import json
import os
import pathlib
import re
import urllib.parse

import pytest
from disk import full_disk
from refusal import refused_in_a_line

from experiments.paper import full_size
from experiments.paper.pictures import validation_curves
from experiments.paper.report import __main__ as report
from experiments.paper.report import content, tables

ENHANCEMENTS = {
    "base": (False, False),
    "temporal_dropout": (True, False),
    "auxiliary": (False, True),
    "both": (True, True),
}
ERROR = "error: <b>too|large</b>: " + "x" * 100
PER_CLASS = {name: {"SQ": 0.8, "RQ": 0.5, "PQ": 0.4} for name in ("Void", "Corn")}
VOID_TAGS = {"meta", "img"}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def result(task, model, enhancement, *, fold=1, seed=0, hits=5, **differing):
    """What a run leaves that finds `hits` of ten samples of the first class."""
    dropped, auxiliary = ENHANCEMENTS[enhancement]
    single = model.startswith("S")
    iou = [right / (20 - 2 * hits + right) for right in (hits, 10 + 2 * hits)]
    counts = {"true_positive": [0, hits], "false_positive": [0, 10 - hits]}
    counts |= {"false_negative": [0, 10 - hits], "iou": [0.0, 0.8 * hits]}
    scores = {"SQ": 0.8, "RQ": hits / 10, "PQ": 0.08 * hits, "per_class": PER_CLASS}
    if task != "panoptic":
        scores = {
            "OA": (hits + 10) / 20,
            "mIoU": sum(iou) / 2,
            "iou": dict(zip("ab", iou, strict=True)),
        }
    return {
        "task": task,
        "fusion": "single" if single else model,
        "modalities": [model] if single else ["S2", "S1A", "S1D"],
        "temporal_dropout": dropped,
        "auxiliary": auxiliary,
        "fold": fold,
        "seed": seed,
        "data": "simulated",
        "epochs": 2,
        "parameters": 254_000,
        "seconds": {"total": 1800.0},
        "peak_memory_gb": 1.5,
        "device": "1 x cpu",
        "code": "0.1.0, 0123456789",
        "folder": "/data/PASTIS-R",
        "test": scores,
        "confusion": [[hits, 10 - hits], [10 - hits, 10 + 2 * hits]],
        "counts": counts,
        **differing,
    }


def add_run(root, task, model, enhancement, **given):
    content = result(task, model, enhancement, **given)
    name = f"{task}/{model}-{enhancement}/fold{content['fold']}-seed{content['seed']}"
    score = "PQ" if task == "panoptic" else "mIoU"
    lines = [{"epoch": i, "val": {score: 0.1 * i}} for i in (1, 2)]
    write(root / name / "result.json", content)
    write(root / name / "config.json", {"legacy_void": True, "epochs": content["epochs"]})
    write(root / name / "metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    return root / name


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for fold, seed in itertools.product((1, 2), (0, 1)):
        add_run(root, "parcel", "S2", "base", fold=fold, seed=seed, hits=4 + 2 * seed)
    add_run(root, "parcel", "late", "both", hits=9)
    add_run(root, "semantic", "late", "base")
    add_run(root, "semantic", "mid", "temporal_dropout")
    add_run(root, "semantic", "late", "auxiliary")
    add_run(root, "panoptic", "S2", "base", hits=5)
    failed = {"command": ["experiments.semantic"], "status": "failed", "error": ERROR}
    write(root / "cells/semantic/decision-base/fold1-seed0.json", failed)
    write(root / "cells/inference/semantic-late/fold1-seed0.json", failed)
    write(root / "semantic/decision-base/fold1-seed0/config.json", "{}")
    write(root / "cells/parcel/late-both/fold1-seed0.json", failed)  # It was made since.
    write(root / "panoptic/early-temporal_dropout/fold1-seed0/config.json", "{}")
    for model, seconds in (("early", 40.0), ("late", 30.0), ("mid", 8.0)):
        times = {"loading and prediction": seconds, "loading": 9.0, "prediction": 8.0}
        content = {"seconds": times, "count": 20, "samples": "parcels", "device": "1 x cpu"}
        write(root / f"inference/parcel-{model}/fold1-seed0.json", content)
    (root / "figures").mkdir()
    for name in ("figure5", "figure7-parcel", "figure7-semantic"):
        validation_curves({"S2": {"base": [[0.1]]}}, root / f"figures/{name}.png", score="mIoU")
    report.main(["--runs", str(root), "--out", str(root / "report")])
    return root / "report"


class Document(html.parser.HTMLParser):
    """Checks that elements are closed in order; gathers what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images = [], [], [], []
        self.tables, self.heading, self.text = {}, "", ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID_TAGS:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs["href"])
        if tag == "img":
            self.images.append(attrs)
        if tag == "table":
            self.tables[self.heading] = []
        if tag == "tr":
            self.tables[self.heading].append([])
        if tag in ("td", "th"):
            self.tables[self.heading][-1].append([])
        assert tag not in ("script", "link", "b")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "h2" in self.open:
            self.heading = data
        if self.open and {"td", "th"} & {*self.open}:
            self.tables[self.heading][-1][-1].append(data)
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def document(pages):
    return Document((pages / "report.html").read_text())


def cell(document, table, row, column):
    rows = next(rows for name, rows in document.tables.items() if name.startswith(table))
    at = rows[0].index([column])
    return next(cells[at] for cells in rows if cells[0] == [row])


def test_page_stands_alone(pages, document):
    assert len({*document.ids}) == len(document.ids)
    assert document.links
    assert all(link.removeprefix("#") in document.ids for link in document.links)
    assert len(document.images) == 3 + 3  # and learning curves of three tasks
    for image in document.images:
        assert image["src"].startswith("data:image/png;base64,")
        assert image["alt"]
        assert int(image["width"]) > 0
    text = re.sub(r"data:image/png;base64,[^\"]*", "", (pages / "report.html").read_text())
    assert "://" not in text
    assert "url(" not in text
    assert not list(pages.glob("**/*.partial"))


def test_says_what_it_is(document):
    assert "The paper's tables and figures on simulated data" in document.text
    assert "Smoke run: 2 epochs at most" in document.text
    assert "say nothing about real crops" in document.text
    names = "parcels and semantic segmentation and panoptic segmentation"
    assert f"Models for {names} are smaller than at full size" in document.text
    assert "these over 2 folds (parcels); 1 fold (semantic" in document.text
    assert "9 runs finished, 1 not finished; 2 cells failed" in document.text
    for fact in ("4.5 hours", "1 x cpu", "0.1.0, 0123456789"):
        assert fact in document.text


def test_scores_beside_the_paper(pages, document):
    points = []  # of each seed, whose folds are alike
    for hits in (4, 6):
        miss, right = 10 - hits, 10 + 2 * hits
        points.append(50 * (hits / (hits + 2 * miss) + right / (right + 2 * miss)))
    mean, half = sum(points) / 2, abs(points[0] - points[1]) / 2
    ours, paper, spread = cell(document, "Table 1", "S2", "Base mIoU")
    assert ours == f"{mean:.1f} ± {half:.1f}"
    assert paper == f"paper 73.9 ({mean - 73.9:+.1f})".replace("-", "\N{MINUS SIGN}")
    assert spread == f"± {half:.1f} over 4 runs"
    text = (pages / "report.html").read_text()
    assert f'<td class="done below-3"><span class="ours">{ours}<' in text
    assert '<td class="done equal"><span class="ours">40.0<' in text
    assert cell(document, "Table 3", "S2", "PQ")[:2] == ["40.0", "paper 40.4 (\N{MINUS SIGN}0.4)"]
    assert cell(document, "Table 3", "S2", "RQ")[0] == "50.0"


def test_states(document):
    assert cell(document, "Table 1", "Late Fusion", "Auxiliary & Temp. dropout")[2:] == [
        "1 of 4 runs"
    ]
    assert cell(document, "Table 1", "Mid Fusion", "Base OA") == ["not run", "paper 92.0"]
    assert cell(document, "Table 1", "S2", "Auxiliary supervision") == ["-", "paper - (a)"]
    state, paper, error = cell(document, "Table 2", "Decision", "Base")
    assert (state, paper) == ("failed", "paper - (d)")
    assert error == ERROR[: tables.LONGEST_ERROR - 1] + "…"
    assert ERROR in document.text
    assert cell(document, "Table 2", "Late", "Base")[1] == "paper - (d)"
    assert len(cell(document, "Table 2", "Mid (ours)", "Temp. dropout")) == 2
    assert cell(document, "Table 3", "Early + Temp. dropout", "PQ") == [
        "not finished",
        "paper 42.0",
    ]
    assert cell(document, "Other runs", "semantic, late, auxiliary", "mIoU")
    assert "(d) Did not fit in memory" in document.text
    assert "Missing: there is no figures/figure6.png" in document.text
    assert "Missing: there is no figures/figure7.png" not in document.text


def test_parameters_and_times(document):
    late = cell(document, "Table 1", "Late Fusion", "Parameter Count")
    assert late == ["- / 254,000", "paper 254k/287k (- / \N{MINUS SIGN}11.5 %)"]
    time = cell(document, "Table 4", "Late", "Parcel classification")
    assert time[:3] == ["30.0", "paper 149*", "20 parcels"]
    assert cell(document, "Table 4", "Mid (ours)", "Parcel classification")[:2] == [
        "8.00",
        "20 parcels",
    ]
    assert cell(document, "Table 4", "Decision (ours)", "Panoptic segmentation") == ["-"]
    assert cell(document, "Table 4", "Late / Early", "Parcel classification") == [
        "0.75",
        "paper 0.78",
    ]
    for row, state in {"Late": "failed", "Early": "not run", "Late / Early": "failed"}.items():
        assert cell(document, "Table 4", row, "Semantic segmentation")[0] == state
    assert cell(document, "Table 4", "Late / Early", "Panoptic segmentation") == [
        "not run",
        "paper 1.98",
    ]


def test_why_the_ratio_of_times_differs(document):
    """By the multiply-adds that docs/reproduction.md shows."""
    page = (pathlib.Path(__file__).parents[2] / "docs" / "reproduction.md").read_text()
    row = r"^\| {} \| ([\d.]+) M \|[^|]*\|[^|]*\| (\d+) G"
    early, late = (
        [float(n) for n in re.search(row.format(name), page, re.MULTILINE).groups()]
        for name in ("early", "late")
    )
    parcels, patches = (f"{b / a:.1f}" for a, b in zip(early, late, strict=True))
    told = f"takes {parcels} times the multiply-adds of early fusion for parcels"
    for text in (document.text, " ".join(page.split())):
        assert told in text
        assert f"{patches} times for patches" in text


def test_markdown_has_the_same(pages, document):
    text = (pages / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    in_markdown = [
        [plain(part) for part in re.split(r"(?<!\\) \| ", row.strip("| "))] for row in rows
    ]
    in_page = [
        ["<br>".join(parts) for parts in cells]
        for rows in document.tables.values()
        for cells in rows
    ]
    assert [[c for c in row if c] for row in in_markdown] == [[c for c in r if c] for r in in_page]
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) == len(document.images)
    assert all((pages / name).exists() for name in pictures)


def plain(text):
    return html.unescape(re.sub(r"\\(.)", r"\1", text.replace("**", "")))


@pytest.mark.parametrize(
    ("difference", "shade"),
    [(0.0, 0), (0.94, 0), (-0.96, -1), (1.0, 1), (-3.0, -2), (9.94, 2), (12.0, 3), (-40.0, -3)],
)
def test_shade(difference, shade):
    assert tables.shade_of(difference) == shade


def test_given_data_are_named(tmp_path):
    add_run(tmp_path, "parcel", "S2", "base", data="given", epochs=100)
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out/report.md").read_text()
    assert text.startswith("# The paper's tables and figures on PASTIS-R\n")
    assert "imulated" not in text
    assert "Smoke" not in text
    assert "PASTIS-R, in data/PASTIS-R" in text
    assert "several folders" not in text
    add_run(tmp_path, "parcel", "S2", "base", data="given", epochs=100, fold=2, folder="/data/mine")
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out/report.md").read_text()
    assert "several folders: data/PASTIS-R, data/mine" in text


@pytest.mark.parametrize(
    ("task", "model", "enhancement", "parameters", "told"),
    [
        ("semantic", "early", "base", 1_090_716, False),  # The paper's: 1602k.
        ("panoptic", "late", "temporal_dropout", 4_406_268, True),  # The paper's: 2390k.
        ("parcel", "late", "both", 368_296, False),
        ("parcel", "late of S2 + S1A", "base", 9, False),
    ],
)
def test_models_that_are_not_full_size_are_told(
    tmp_path, task, model, enhancement, parameters, told
):
    other = {"fusion": "late", "modalities": ["S2", "S1A"]} if " of " in model else {}
    add_run(tmp_path, task, model, enhancement, parameters=parameters, **other)
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out/report.md").read_text()
    assert (f"Models for {content.TASKS[task]} are smaller than at full size" in text) == told


def test_full_sizes_are_those_of_the_documentation():
    """Tests of each task hold that page to the models."""
    page = (pathlib.Path(__file__).parents[2] / "docs" / "parameters.md").read_text()
    _, *sections = re.split(r"^## (?:Parcels|Patches|Panoptic)", page, flags=re.MULTILINE)
    for (task, counts), section in zip(full_size.PARAMETERS.items(), sections, strict=True):
        rows = dict(re.findall(r"^\| ([^|]+) \| ([0-9,]+) \|", section, re.MULTILINE))
        orbits = rows.pop("S1A or S1D")
        rows |= {"S1A": orbits, "S1D": orbits}
        shown = {name: n for name, n in rows.items() if "auxiliary" not in name}
        assert shown == {name: f"{n:,}" for name, n in counts.items()}, task


def test_memory_is_told_where_it_was_measured(tmp_path):
    """On Windows it is not."""
    for fold, memory in ((1, None), (2, 2.5)):
        add_run(tmp_path, "parcel", "S2", "base", fold=fold, peak_memory_gb=memory)
        report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
        told = "Most memory: 2.5 GB" in (tmp_path / "out/report.md").read_text()
        assert told == (memory is not None)


def test_pictures_of_an_earlier_report_do_not_stay(tmp_path):
    """Those of others do."""
    add_run(tmp_path, "parcel", "S2", "base", epochs=3)
    (tmp_path / "figures").mkdir()
    validation_curves({"S2": {"base": [[0.1]]}}, tmp_path / "figures/mine.png", score="mIoU")
    pictures = tmp_path / "out" / "pictures"
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert {path.name for path in pictures.iterdir()} == {"mine.png", "curves-parcel.png"}
    assert "Smoke" not in (tmp_path / "out/report.md").read_text()
    (tmp_path / "figures/mine.png").unlink()
    (pictures / "other.png").write_text("of another")
    text = (tmp_path / "out/report.md").read_text()
    (tmp_path / "out/report.md").write_text(f"{text}\nAn [other](pictures/other.png)\n")
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert {path.name for path in pictures.iterdir()} == {"other.png", "curves-parcel.png"}


def test_a_text_that_is_no_report_keeps_its_pictures(tmp_path):
    add_run(tmp_path, "parcel", "S2", "base")
    (tmp_path / "out/pictures").mkdir(parents=True)
    (tmp_path / "out/pictures/mine.png").write_text("mine")
    (tmp_path / "out/report.md").write_bytes(b"# \xff\n![mine](pictures/mine.png)\n")
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert (tmp_path / "out/pictures/mine.png").exists()


def test_seeds_without_all_folds_are_left_out(tmp_path):
    for fold, seed, hits in ((1, 0, 4), (2, 0, 6), (1, 1, 9)):
        add_run(tmp_path, "parcel", "S2", "base", fold=fold, seed=seed, hits=hits)
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    found = cell(Document((tmp_path / "out/report.html").read_text()), "Table 1", "S2", "Base OA")
    assert found[0] == "71.4"
    assert any("without seed 1" in line for line in found)


def test_other_tests_are_not_compared_with_the_papers(tmp_path):
    """Too few epochs are told of each task; another rule for void is another score."""
    add_run(tmp_path, "parcel", "S2", "base", epochs=12)
    folder = add_run(tmp_path, "panoptic", "S2", "base")
    write(folder / "config.json", {"legacy_void": False})
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    document = Document((tmp_path / "out/report.html").read_text())
    assert cell(document, "Table 3", "S2", "PQ")[0] == "not run"
    assert cell(document, "Other runs", "panoptic, S2, corrected void, base", "PQ")[0] == "40.0"
    assert "Smoke run of panoptic segmentation: 2 epochs at most" in document.text


def test_the_score_by_the_other_rule_for_void_is_told(tmp_path):
    def add(root, legacy_void):
        by_rule = {
            rule: result("panoptic", "S2", "base", hits=hits)["counts"]
            for rule, hits in (("corrected", 7), ("legacy", 5))
        }
        folder = add_run(root, "panoptic", "S2", "base", hits=5, counts_by_void_rule=by_rule)
        write(folder / "config.json", {"legacy_void": legacy_void})
        report.main(["--runs", str(root), "--out", str(root / "out")])
        return Document((root / "out/report.html").read_text())

    assert "56.0 by the corrected rule for void" in cell(
        add(tmp_path / "paper", True), "Table 3", "S2", "PQ"
    )
    other = add(tmp_path / "other", False)
    found = cell(other, "Other runs", "panoptic, S2, corrected void, base", "PQ")
    assert "40.0 by the legacy rule for void" in found


def wrong_out(root):
    write(root / "out", "a file")


def two_kinds(root):
    add_run(root, "parcel", "S1A", "base", data="given")


def twice(root):
    write(root / "copy/config.json", "{}")
    write(root / "copy/result.json", result("parcel", "S2", "base"))


def two_widths(root):
    add_run(root, "parcel", "S2", "temporal_dropout", parameters=9)


def no_picture(root):
    write(root / "figures/figure5.png", "not a picture")


def old_version(root):
    write(root / "old/config.json", "{}")
    write(root / "old/result.json", {"task": "parcel"})


def other_settings(root):
    add_run(root, "parcel", "S2", "base", fold=2, epochs=12)


def other_classes(root):
    content = {"test": {"OA": 1, "mIoU": 1, "iou": {"c": 1, "d": 1}}}
    add_run(root, "parcel", "S2", "base", fold=2, **content)


def folder_for_log(root):
    (log,) = root.glob("parcel/S2-base/*/metrics.jsonl")
    log.unlink()
    log.mkdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (wrong_out, ["`out`", "not a folder"]),
        (two_kinds, ["simulated", "given"]),
        (twice, ["the same run"]),
        (two_widths, ["9 and 254,000 parameters"]),
        (no_picture, ["figure5.png", "not a PNG"]),
        (old_version, ["result.json", "lacks auxiliary"]),
        (other_settings, ["--epochs", "fold1-seed0", "report them apart"]),
        (other_classes, ["S2-base", "classes differ"]),
        (folder_for_log, ["metrics.jsonl: cannot be read (a directory, not a regular file)"]),
    ],
)
def test_mistakes_end_in_a_line(tmp_path, spoil, words):
    add_run(tmp_path, "parcel", "S2", "base")
    spoil(tmp_path)
    config = report.Config(runs=tmp_path, out=tmp_path / "out")
    refused_in_a_line(lambda: report.run(config), *words)
    assert not (tmp_path / "out").is_dir()


def test_names_of_all_kinds_are_shown_as_they_are(tmp_path):
    """Of device, code, folder, picture and failure: neither Markdown nor steering a terminal."""
    hostile = "a|b`*_[x](y)<b>$z$\x1b[2J\nd\udce9"
    shown = "a|b`*_[x](y)<b>$z$\\x1b[2J\\nd\\udce9"
    add_run(
        tmp_path, "parcel", "S2", "base", data="given", device=hostile, code=hostile, folder=hostile
    )
    picture = tmp_path / "figures" / "a](x) [`b`] $c$%20\udce9.png"
    validation_curves({"S2": {"base": [[0.1]]}}, picture, score="mIoU")
    failed = {"command": ["x"], "status": "failed", "error": hostile}
    write(tmp_path / "cells/`x|[y]*/fold1-seed0.json", failed)
    for _ in range(2):
        report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out/report.md").read_text()
    assert text.count(plain(shown)) == 0
    assert [plain(line) for line in text.splitlines()].count(f"- Hardware: {shown}") == 1
    assert f"- `x|[y]*/fold1-seed0: {shown}" in [plain(line) for line in text.splitlines()]
    assert "\x1b" not in text
    (link,) = re.findall(r"^!\[Other pictures .*\]\(([^)\s]+)\)$", text, re.MULTILINE)
    assert (tmp_path / "out" / os.fsdecode(urllib.parse.unquote_to_bytes(link))).exists()
    page = Document((tmp_path / "out/report.html").read_text())
    assert shown in page.text
    picture.unlink()
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert [p.name for p in (tmp_path / "out/pictures").iterdir()] == ["curves-parcel.png"]


def test_no_picture_of_another_folder_is_removed(tmp_path):
    add_run(tmp_path, "parcel", "S2", "base")
    (tmp_path / "mine.png").write_text("mine")
    write(
        tmp_path / "out/report.md", f"# {content.TITLE} on x\n![a](pictures/..%2F..%2Fmine.png)\n"
    )
    report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_a_full_disk_names_the_file_and_links_are_not_followed(tmp_path):
    add_run(tmp_path, "parcel", "S2", "base")
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.write_text("mine")
    out.mkdir()
    for name in ("report.html", "report.html.partial"):
        (out / name).symlink_to(outside)
    config = report.Config(runs=tmp_path, out=out)
    report.run(dataclasses.replace(config, out=tmp_path / "room"))
    size = (tmp_path / "room/report.html").stat().st_size
    with full_disk(size - 1), pytest.raises(OSError, match="large") as caught:
        report.run(config)
    assert "report.html" in str(caught.value)
    assert outside.read_text() == "mine"
    assert not [p for p in out.rglob("*.partial") if not p.is_symlink()]
    report.run(config)
    assert outside.read_text() == "mine"
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_folder_without_runs(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        report.main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert re.fullmatch(r"error: .*no finished run here.*\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
