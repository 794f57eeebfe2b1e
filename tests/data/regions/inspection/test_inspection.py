"""What is damaged in a Region is told, what is odd about it as well, and its numbers are right."""

from __future__ import annotations

import datetime
import json
import shutil

import numpy as np
import pytest
from commands import exit_code
from matplotlib.image import imread
from region_factory import dataset_of, make_region

from pastis_jax.cli import inspect
from pastis_jax.data.regions import Grid, Region, cube
from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.inspection import oddities, sampled
from pastis_jax.data.regions.inspection.inspect import inspect_region
from pastis_jax.data.regions.inspection.integrity import chunk_pixels
from pastis_jax.data.regions.inspection.quicklook import footprint, median
from pastis_jax.data.regions.writer import Writer

GRID = Grid("EPSG:32631", left=600000.0, top=5200000.0, pixel_size=10.0, height=140, width=384)
DAYS = {"S2": (10, 40, 70, 100), "S1A": (5, 100), "S1D": (7, 90)}
EVERY = slice(0, GRID.height), slice(0, GRID.width)
FOLDS = (1, 2, 3)


def rewrite(root, name, change, *, counted=True):
    """Writes changed values of a modality, and their counts or not."""
    region = Region(root)
    out, masks = Writer(root, region.grid, region.dataset), region.mask(name, *EVERY)
    values = change(region.read(name, *EVERY)).astype(region.dataset[name].dtype)
    for t, of in enumerate(values):
        if counted:
            out.write_shard(name, t, *EVERY, of, None if masks is None else masks[t])
        else:
            array = cube.open_array(root / "cube.zarr" / name / "values")
            cube.put(array, (t, slice(None), *EVERY), of)


def make(root, **given):
    truth = make_region(root, grid=GRID, days=DAYS, folds=FOLDS, **given)
    rewrite(root, "S2", lambda values: values - 1500)
    truth["S2"] = truth["S2"] - 1500
    return truth


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp("sound") / "r"
    return root, make(root)


@pytest.fixture
def region(sound, tmp_path):
    return shutil.copytree(sound[0], tmp_path / "r")


def look(root, **given):
    return inspect_region(root, progress=False, **given)


def told(root, damage=None):
    findings = look(root).findings
    return [found.text for found in findings if damage is None or found.damage is damage]


def test_a_sound_region_and_its_numbers(sound):
    root, truth = sound
    looked = look(root)
    assert looked.findings == ()
    assert not looked.damaged
    assert (looked.read, looked.chunks) == (6, 6)
    for place, fold in [*enumerate(FOLDS), (-1, None)]:
        own = truth["label"][truth["fold"] == place]
        expected = dict(zip(*(x.tolist() for x in np.unique(own, return_counts=True)), strict=True))
        assert looked.parcels[fold] == expected
        hectares = {label: parcels * 16 * 16 * 0.01 for label, parcels in expected.items()}
        assert looked.hectares[fold] == pytest.approx(hectares)
    assert looked.areas == pytest.approx(dict.fromkeys(FOLDS, 140 * 128 * 1e-4))
    np.testing.assert_array_equal(looked.map.numbers, truth["numbers"])
    assert looked.map.covered == (truth["numbers"] > 0).sum()
    optical, radar = looked.sensed["S2"], looked.sensed["S1A"]
    assert optical.months == {"2023-09": 1, "2023-10": 1, "2023-11": 1, "2023-12": 1}
    assert optical.cloud == pytest.approx(truth["S2 mask"].mean())
    first = truth["S2 mask"][0].mean()
    assert optical.clouds["2023-09"] == pytest.approx(first)
    assert optical.clear.sum() == pytest.approx(
        sum(
            4 - truth["S2 mask"][:, rows, columns].mean((1, 2)).sum()
            for rows, columns in GRID.blocks(CHUNK)
        )
    )
    seen = ~np.isnan(truth["S1A"]).any(1)
    assert radar.missing == pytest.approx(1 - seen.mean())
    np.testing.assert_array_equal(radar.dates, [[1, 2, 2], [1, 2, 2]])
    assert (radar.cloud, radar.bright) == (None, None)
    assert optical.orbits == {"8": 1, "9": 1, "10": 1, "11": 1}
    assert {label: len(some) for label, some in looked.examples.items()} == dict.fromkeys(
        np.unique(truth["label"][truth["fold"] >= 0]).tolist(), 3
    )


def test_examples_are_of_their_parcels_without_clouds(sound):
    root, truth = sound
    everywhere = truth["S2"].reshape(4, 10, -1)
    for label, some in look(root).examples.items():
        for series in some:
            values, days = series["S2"]
            dates = [DAYS["S2"].index(day) for day in days]
            (first,) = np.flatnonzero(
                (everywhere[dates[0], :, :] == values[0, :, :1]).all(0)
            )  # noise tells the pixel
            number = truth["numbers"].ravel()[first]
            assert truth["label"][number - 1] == label
            clouded = truth["S2 mask"][:, truth["numbers"] == number].mean(1)
            assert (clouded[dates] <= 0.5).all()


def edit(root, change):
    file = root / "region.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def alter(root, change):
    """Changes the table of parcels."""
    import geopandas

    file = root / "parcels.parquet"
    frame = geopandas.read_parquet(file)
    change(frame)
    frame.to_parquet(file)


def array(root, path):
    return cube.open_array(root / "cube.zarr" / path)


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


def spoil(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def swap_dates(root):
    cube.put(array(root, "S1D/time"), (), np.array([90, 7], np.int32))


def forget_orbit(root):
    file = root / "cube.zarr" / "S1D" / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"]["orbits"].pop()
    file.write_text(json.dumps(content))


def reshape(root):
    file = root / "cube.zarr" / "S2" / "values" / "zarr.json"
    content = json.loads(file.read_text())
    content["shape"][1] = 9
    file.write_text(json.dumps(content))


def number_pixels(root, number):
    cube.put(
        array(root, "parcels/numbers"),
        (slice(2, 4), slice(2, 4)),
        np.full((2, 2), number, np.int32),
    )


DAMAGE = {
    "lost": (lambda r: (r / "cube.zarr/S2/values/c/1/0/0/0").unlink(), "1 of 4 file is missing"),
    "cut": (lambda r: cut(r / "cube.zarr/S1D/values/c/1/0/0/0", 5000), "1 of 2 file is damaged"),
    "empty": (lambda r: cut(r / "cube.zarr/S1D/values/c/0/0/0/0", 0), "1 of 2 file is damaged"),
    "index": (lambda r: spoil(r / "cube.zarr/S2/values/c/2/0/0/0", -1), "1 of 4 file is damaged"),
    "mask": (lambda r: (r / "cube.zarr/S2/mask/c/3/0/0").unlink(), "mask: 1 of 4 file is missing"),
    "counts": (
        lambda r: (r / "cube.zarr/S2/observed/c/1/0/0").unlink(),
        "observed: lacks shards of 2023-10-11",
    ),
    "more counted": (
        lambda r: cube.put(array(r, "S1D/observed"), (0, 0, 0), np.int32(20000)),
        "counts more pixels than a chunk has, of 2023-09-08",
    ),
    "recounted": (
        lambda r: rewrite(r, "S1D", lambda v: np.where(v > -8, np.nan, v), counted=False),
        "6 of 6 chunks that were read hold another number of observed",
    ),
    "numbers": (lambda r: number_pixels(r, 999), "4 pixels hold a number that parcels.parquet"),
    "negative": (lambda r: number_pixels(r, -2), "4 pixels hold a number that parcels.parquet"),
    "pixels": (
        lambda r: number_pixels(r, 0),
        "1 of 114 parcels have another number of pixels than the raster has of them: p1 has 256, "
        "there 252",
    ),
    "folds": (
        lambda r: alter(r, lambda frame: frame.__setitem__("fold", "2")),
        "parcels reach out of the blocks of their fold: p1, p2, p3, ...",
    ),
    "blocks": (
        lambda r: edit(r, lambda c: c["folds"].update(positions=[[0, 1, 3], [0, 1, 3]])),
        "places blocks in 4 folds, where dataset.json has 3",
    ),
    "no blocks": (
        lambda r: edit(r, lambda c: c["folds"].pop("positions")),
        "its folds are damaged (positions: are missing or no list)",
    ),
    "other blocks": (
        lambda r: edit(r, lambda c: c["folds"].update(row_edges=[0, 128, 141])),
        "its folds lie in (141, 384) pixels, its grid has (140, 384)",
    ),
    "class": (
        lambda r: alter(r, lambda frame: frame.__setitem__("label", [77, *frame["label"][1:]])),
        "1 parcels are of a class that dataset.json has not",
    ),
    "identifier": (
        lambda r: alter(r, lambda frame: frame.__setitem__("id", ["p2", *frame["id"][1:]])),
        "an identifier occurs twice",
    ),
    "no table": (lambda r: (r / "parcels.parquet").unlink(), "parcels.parquet: file not found"),
    "dates": (swap_dates, "time: dates do not rise"),
    "orbits": (forget_orbit, "lists other acquisitions than time"),
    "shape": (reshape, "has shape (4, 9, 140, 384) where (4, 10, 140, 384) belongs"),
    "coordinates": (
        lambda r: cube.put(array(r, "S2/x"), (), np.arange(384.0)),
        "x: coordinates are not those of the grid",
    ),
    "degrees": (
        lambda r: edit(r, lambda c: c["grid"].update(crs="EPSG:4326")),
        "WGS 84 is not a projected one in metres",
    ),
    "feet": (
        lambda r: edit(r, lambda c: c["grid"].update(crs="EPSG:2263")),
        "is not a projected one in metres",
    ),
    "another zone": (
        lambda r: edit(r, lambda c: c["grid"].update(crs="EPSG:32632")),
        "says WGS 84 / UTM zone 31N, where region.json says WGS 84 / UTM zone 32N",
    ),
    "no such system": (
        lambda r: edit(r, lambda c: c["grid"].update(crs="EPSG:999999")),
        "the coordinate system EPSG:999999 is not known",
    ),
    "pixel size": (
        lambda r: edit(r, lambda c: c["grid"].update(pixel_size=20.0)),
        "pixels of 20 m, where dataset.json says 10 m",
    ),
    "divided": (
        lambda r: rewrite(r, "S2", lambda values: values // 100),
        "already normalised or divided (so are 6 of 6 chunks)",
    ),
    "power": (
        lambda r: rewrite(r, "S1D", lambda values: 10 ** (values.astype(np.float32) / 10)),
        "is not in dB: linear power",
    ),
    "polarisations": (
        lambda r: rewrite(r, "S1D", lambda v: np.stack([v[:, 1], v[:, 0], -v[:, 2]], 1)),
        "which is the weaker one",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told(region, case):
    damage, text = DAMAGE[case]
    damage(region)
    lines = told(region, damage=True)
    assert any(text in line for line in lines), lines
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("shards", [False, True])
def test_every_lost_file_is_found(tmp_path, shards):
    root = tmp_path / "r"
    make_region(root, grid=GRID, days={"S2": (10, 40, 70)}, shards=shards)
    files = sorted((root / "cube.zarr/S2/values/c").rglob("*/*/*/*"))
    assert len(files) == (3 if shards else 18)
    for file in files[1:3]:
        file.unlink()
    (line,) = [text for text in told(root, damage=True) if "missing" in text]
    assert f"2 of {len(files)} files are missing" in line
    assert files[1].relative_to(root / "cube.zarr/S2/values").as_posix() in line


def noticed(root):
    findings = [{"kind": "dates", "text": "3 scenes show nothing of it"}]
    (root / "findings.json").write_text(json.dumps(findings))


def contest(root):
    numbers = Region(root).numbers(*EVERY)
    changed = np.where(numbers > 100, -1, numbers)
    Writer(root, GRID, Region(root).dataset).write_numbers(*EVERY, changed)

    def change(frame):
        frame["pixels"] = np.bincount(changed[changed > 0], minlength=115)[1:]

    alter(root, change)


def gone(values, dates=slice(None), columns=slice(None)):
    values = values.copy()
    values[dates, ..., columns] = -10000
    return values


def in_power(values):
    first, second, _ = 10 ** (values.astype(np.float32) / 10)
    return np.stack([first, second, first - second])


def turned(values):
    first, second, difference = values
    return np.stack([second, first, -difference])


def everyone(column, value):
    return lambda root: alter(root, lambda frame: frame.__setitem__(column, value))


ODD = {
    "offset left in": (
        lambda r: rewrite(r, "S2", lambda values: values + 1500),
        ["S2: even dark pixels of B2 are bright"],
    ),
    "offset twice": (
        lambda r: rewrite(r, "S2", lambda v: np.concatenate([v[:2] // 3 - 800, v[2:]])),
        ["S2: at 2 of 4 dates a twentieth of B2 is below -0.0", "(2023-09-11, 2023-10-11)"],
    ),
    "power at a date": (
        lambda r: rewrite(r, "S1D", lambda v: np.stack([v[0], in_power(v[1])])),
        ["1 of 2 acquisitions of S1D (2023-11-30) look like linear power, not like dB"],
    ),
    "turned at a date": (
        lambda r: rewrite(r, "S1D", lambda v: np.stack([v[0], turned(v[1])])),
        ["1 of 2 acquisitions of S1D (2023-11-30) have a stronger VH than VV"],
    ),
    "divided at a date": (
        lambda r: rewrite(r, "S2", lambda v: np.concatenate([v[:3], v[3:] // 100])),
        ["1 of 4 acquisitions of S2 (2023-12-10) are as dark as if they had been divided"],
    ),
    "one date twice": (
        lambda r: rewrite(r, "S1D", lambda values: values[[0, 0]]),
        ["1 of 2 acquisitions of S1D has the same values as another: 2023-11-30 and 2023-09-08"],
    ),
    "an empty date": (
        lambda r: rewrite(r, "S2", lambda values: gone(values, 1)),
        ["1 of 4 acquisitions of S2 show nothing of the Region: 2023-10-11"],
    ),
    "unseen parcels": (
        lambda r: rewrite(r, "S2", lambda values: gone(values, columns=slice(0, 130))),
        ["parcels were not observed by S2 at any date: p1, p2, p3, ..."],
    ),
    "contested": (contest, ["of the pixels of parcels are claimed by several", "hold no pixel"]),
    "no folds": (
        everyone("fold", None),
        ["100% of 114 parcels count for nothing: 0 are void, 114 of the others in no fold"],
    ),
    "void": (
        everyone("label", 19),
        ["100% of 114 parcels count for nothing: 114 are void, 0 of the others in no fold"],
    ),
    "one fold": (
        lambda r: alter(r, lambda f: f.__setitem__("fold", f["fold"].where(f["fold"] == "2"))),
        ["classes have parcels in one fold alone", "fold 1 has no parcel", "fold 3 has no parcel"],
    ),
    "noticed": (noticed, ["when it was made: 3 scenes show nothing of it"]),
    "nothing noticed": (
        lambda r: (r / "findings.json").write_text("[1]"),
        ["not findings of an ingestion"],
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_told(region, case):
    change, texts = ODD[case]
    change(region)
    looked = look(region)
    lines = [found.text for found in looked.findings]
    assert not looked.damaged, lines
    for text in texts:
        assert any(text in line for line in lines), lines


def test_odd_dates_are_told(tmp_path):
    root = tmp_path / "r"
    make_region(root, grid=GRID, days={"S2": (-100, 10, 150), "S1A": (5, 100)})
    lines = told(root)
    assert any("1 of 3 dates of S2 are not within -60 to 730 days" in line for line in lines)
    expected = "6 of 9 months have no S2: 2023-06, 2023-07, 2023-08, 2023-10, 2023-11, 2023-12"
    assert expected in lines


@pytest.mark.parametrize("step", [0, 1000, -1000, 300])
def test_a_step_at_the_baseline(step):
    dataset = dataset_of()
    dates = [datetime.date(2021, 10, 1) + datetime.timedelta(30 * i) for i in range(8)]
    dark = np.array([600.0 + 20 * i for i in range(8)])
    dark[[date >= oddities.BASELINE for date in dates]] += step
    lines = oddities.odd_reflectance(dataset["S2"], dates, dark)
    if abs(step) == 1000:
        (line,) = lines
        assert (
            f"from 2022-01-25 on, dark pixels of B2 lie {0.108 if step > 0 else 0.092:.2f} " in line
        )
        assert ("above" if step > 0 else "below") in line
    else:
        assert lines == []


@pytest.mark.parametrize("chunks", [(1, 1), (4, 8), (86, 86), (3, 200), (200, 3), (1, 5000)])
def test_chunks_are_chosen_all_over(chunks):
    chosen = sampled.choose(chunks, False)
    assert len({*chosen}) == len(chosen)
    assert min(chunks[0] * chunks[1], 20) <= len(chosen) <= sampled.MOST
    for axis in (0, 1):
        places = sorted({place[axis] for place in chosen})
        assert places[0] >= 0
        assert places[-1] < chunks[axis]
        widest = max(np.diff([-1, *places, chunks[axis]]))
        assert widest <= 2 * (chunks[axis] / len(places)) + 1
    assert len(sampled.choose(chunks, True)) == chunks[0] * chunks[1]


def test_of_large_regions_some_values_are_read(sound, monkeypatch, region):
    monkeypatch.setattr(sampled, "MOST", 2)
    rewrite(region, "S2", lambda values: gone(values, 1, slice(200, 220)), counted=False)
    assert look(region).read == 2
    assert look(region, every=True).read == 6
    assert look(region, every=True).damaged


def test_pixels_of_chunks(region):
    expected = [[128 * 128] * 3, [12 * 128] * 3]
    np.testing.assert_array_equal(chunk_pixels(Region(region)), expected)


@pytest.mark.parametrize("step", [1, 3])
def test_a_quick_look_is_the_median_of_clear_dates(sound, step):
    root, truth = sound
    values = truth["S2"].astype(np.float32)
    values[np.broadcast_to(truth["S2 mask"][:, None] == 1, values.shape)] = np.nan
    values[0, :, :CHUNK, :CHUNK] = np.nan  # that date is clouded there
    values[:, :, np.isnan(values).all((0, 1))] = -10000.0  # of which there is no median
    expected = np.nanmedian(values, axis=0)[:, ::step, ::step].transpose(1, 2, 0)
    expected[expected == -10000] = np.nan
    looked = median(Region(root), "S2", step)
    np.testing.assert_allclose(looked, expected, atol=1)


@pytest.mark.parametrize("step", [1, 3])
def test_the_footprint_is_of_what_any_modality_saw(region, step):
    """Two acquisitions see a part each, all others nothing of the right third."""
    for name, lost in (("S2", -10000), ("S1A", np.nan), ("S1D", np.nan)):

        def part(values, name=name, lost=lost):
            values = values.astype(np.float32)
            values[..., 300:] = lost
            values[1:, :, 90:] = lost
            if name == "S2":
                values[0, :, :60, :] = lost
                values[1, :, 60:, :] = lost
            else:
                values[..., 50:] = lost
            return values

        rewrite(region, name, part)
    read, seen = Region(region), np.zeros((GRID.height, GRID.width), bool)
    for name in DAYS:
        values = read.read(name, *EVERY)
        lost = np.isnan(values) if name != "S2" else values == -10000
        seen |= ~lost.any(1).all(0)
    assert 0 < seen.mean() < 1
    few, number = footprint(read, [*DAYS], step)
    np.testing.assert_array_equal(few, seen[::step, ::step])
    expected = [seen[block].sum() for block in GRID.blocks(CHUNK)]
    np.testing.assert_array_equal(number.ravel(), expected)


def test_what_was_done_is_noted_and_nothing_is_told_twice(region, capsys):
    alter(region, lambda frame: frame.__setitem__("fold", frame["fold"].where(frame.index > 0)))
    kinds = ("resampled", "months without dates", "parcels without pixels", "files damaged")
    findings = [{"kind": kind, "text": f"of {kind}"} for kind in kinds]
    (region / "findings.json").write_text(json.dumps(findings))
    found = [(of.text, of.noted) for of in look(region).findings]
    assert found == [("when it was made: of files damaged", False), ("of resampled", True)]
    assert command(region) == 0
    assert "0 damaged, 1 odd, 1 noted when it was made" in capsys.readouterr().out


def command(root, *flags):
    return exit_code(lambda: inspect.main([str(root), *map(str, flags)]))


def test_the_command_tells(sound, capsys):
    assert command(sound[0]) == 0
    printed = capsys.readouterr().out
    for text in (
        *("A region", "EPSG:32631", "384 x 140 pixels of 10 m", "2023-09-06 to 2023-12-10"),
        *("114", "sigma0", "Nothing is wrong with it.", "6 of 6 chunks", "2023-10", "Meadow"),
    ):
        assert text in printed


@pytest.fixture
def few(tmp_path):
    """A Region of which pictures are soon drawn."""
    make_region(tmp_path / "r", grid=GRID, days={"S2": (10, 40)}, fields=60, folds=FOLDS)
    return tmp_path / "r"


def test_the_command_draws(few, tmp_path):
    assert command(few, "--out", tmp_path / "out") == 0
    pictures = [*(tmp_path / "out").iterdir()]
    assert {file.name for file in pictures} == {
        *("folds.png", "class-map.png", "classes.png", "dates.png", "coverage.png"),
        *("quicklook-S2.png", "series-S2.png"),
    }
    for file in pictures:
        assert imread(file)[..., :3].std((0, 1)).min() > 0.05  # not blank


def test_damage_ends_with_1_and_is_drawn_all_the_same(few, tmp_path, capsys):
    for file in (few / "cube.zarr/S2").glob("[vo]*/c/1/**/*"):
        if file.is_file():
            file.unlink()
    (few / "parcels.parquet").unlink()
    assert command(few, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr().out
    assert "cannot be read" in printed
    assert "not drawn: " in printed
    pictures = {file.name for file in (tmp_path / "out").iterdir()}
    assert pictures == {"folds.png", "dates.png", "coverage.png"}


@pytest.mark.parametrize("table", [True, False])
def test_a_region_without_parcels(few, table):
    Writer(few, GRID, Region(few).dataset).write_numbers(*EVERY, np.zeros((140, 384), np.int32))
    import geopandas

    file = few / "parcels.parquet"
    if table:
        geopandas.read_parquet(file).iloc[:0].to_parquet(file)
    else:
        file.unlink()
        edit(few, lambda content: content.update(folds=None))
    looked = look(few)
    assert not looked.damaged
    lines = [found.text for found in looked.findings]
    assert [line for line in lines if "parcel" in line] == [
        "there are no parcels: it can be predicted, but not trained on"
    ]
    assert command(few) == 0


@pytest.mark.parametrize(
    ("break_it", "code", "text"),
    [
        (lambda r: (r / "dataset.json").write_text("{"), 2, "dataset.json"),
        (lambda r: (r / "region.json").write_text("{}"), 2, "is damaged"),
        (lambda r: (r / "region.json").unlink(), 0, "is not finished"),
    ],
)
def test_unreadable_and_unfinished_ones(region, capsys, break_it, code, text):
    break_it(region)
    assert command(region) == code
    printed = capsys.readouterr()
    assert text in " ".join((printed.out + printed.err).replace("│", " ").split())


@pytest.mark.parametrize("flag", ["--nodata", "--offset"])
def test_what_a_region_says_itself_is_refused(region, capsys, flag):
    assert command(region, flag, "S2=0") == 2
    assert capsys.readouterr().err.startswith(f"error: {flag}: a Region holds")
