"""Statistics are held against the values beside them, and folds against each other."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from refusal import refused_in_a_line

from pastis_jax.data import survey
from pastis_jax.data.inspection import inspect_data
from pastis_jax.data.modality import Modality
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches import PatchFolder, prepare_patches
from pastis_jax.data.pixel_sets import PixelSetFolder, prepare_pixel_sets
from pastis_jax.data.statistics import fold_statistics_from_norm
from pastis_jax.data.survey import Survey
from pastis_jax.data.surveyed import check_run
from pastis_jax.errors import DataError

OPTICAL, RADAR = PASTIS_R["S2"], PASTIS_R["S1A"]
FILE = pathlib.Path("NORM_PARCEL_S2_set.json")
SPLITS = PASTIS_R.split()

KINDS = {
    "pixel sets": (pixel_set_factory.make_pixel_set, prepare_pixel_sets, "NORM_PARCEL_{}_set.json"),
    "patches": (patch_factory.make_patches, prepare_patches, "NORM_{}_patch.json"),
}


@pytest.fixture(scope="module", params=KINDS)
def prepared_before(request, tmp_path_factory):
    """A folder that was prepared, its kind, and where."""
    make, prepare, pattern = KINDS[request.param]
    folder = tmp_path_factory.mktemp("survey")
    root = make(folder / "set")
    prepare(root, cache=folder / "cache", progress=False)
    return root, lambda **kw: prepare(root, cache=folder / "cache", progress=False, **kw), pattern


def change(norm, channel=0, **moments):
    for name, value in moments.items():
        norm["Fold_3"][name][channel] = value


IMPOSSIBLE = {
    "std 1e-300": lambda norm: change(norm, std=1e-300),
    "mean 1e300": lambda norm: change(norm, mean=1e300),
    "std 1e-6": lambda norm: change(norm, std=1e-6),
    "std 1e300": lambda norm: change(norm, std=1e300),
    "divided": lambda norm: [
        own.update({key: [x / 10000 for x in own[key]] for key in own}) for own in norm.values()
    ],
    "divided by 255": lambda norm: [
        own.update({key: [x / 255 for x in own[key]] for key in own}) for own in norm.values()
    ],
    "of radar": lambda norm: [
        own.update(mean=[-11.0, *own["mean"][1:]], std=[2.0, *own["std"][1:]])
        for own in norm.values()
    ],
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_statistics_that_cannot_be_of_these_values(case, prepared_before):
    """Also where the folder itself was checked before, and in what `inspect` lists."""
    root, prepare, pattern = prepared_before
    file = root / pattern.format("S2")
    before = file.read_text()
    norm = json.loads(before)
    IMPOSSIBLE[case](norm)
    file.write_text(json.dumps(norm))
    try:
        for modalities in (("S2",), None):
            with pytest.raises(DataError, match=r"Fold_\d gives B2 a mean .*, measured") as got:
                prepare(modalities=modalities)
            text = str(got.value)
            assert text.startswith(f"{file}: ")
            assert text.endswith("add `compute_statistics` to compute them from the data")
            assert "\n" not in text
        prepare(modalities=("S1A",))  # which it does not concern
        prepare(compute_statistics=True)
        found = [finding.text for finding in inspect_data(root, progress=False).findings]
        assert text in found
    finally:
        file.write_text(before)


def test_statistics_of_a_run(prepared_before):
    _, prepare, _ = prepared_before
    prepared = prepare(compute_statistics=None)
    moments = {"S2": (np.full(10, 2000.0), np.full(10, 1000.0))}
    moments |= dict.fromkeys(("S1A", "S1D"), (np.array([-11.0, -18, 7]), np.full(3, 2.0)))
    prepared.check_statistics(moments)
    assert prepared.notes(SPLITS, moments) == ()
    moments["S1D"] = (np.full(3, 0.1), np.full(3, 0.1))
    match = f"{prepared.root}: the run gives VV a mean of 0.1"
    refused_in_a_line(lambda: prepared.check_statistics(moments), match, "was trained on")
    shifted = dataclasses.replace(prepared.survey["S2"].modality, offset=1e5)
    offset = {"S2": dataclasses.replace(prepared.survey["S2"], modality=shifted)}
    with pytest.raises(DataError, match="the run gives B2"):  # in the unit, with the offset
        check_run(offset, moments, prepared.root)


def test_what_differs_between_parcels_alone():
    """A height, say: by the published rule, its statistics are of what differs within a parcel."""
    height = Modality("H", ("height",), "float32", "none")
    rng, gathered = np.random.default_rng(0), Survey([height], PASTIS_R.folds)
    for number in range(40):
        values = rng.uniform(0, 900) + rng.normal(0, 0.5, (1, 1, 30))
        fold = number % 5 + 1
        gathered.add(fold, number, gathered.measure({"H": (values.astype("f4"), None)}))
    dataset = dataclasses.replace(PASTIS_R, modalities=(height,))
    own = survey.from_json(gathered.to_json(), dataset)["H"]
    statistics = {fold: (one.mean, one.within) for fold, one in own.folds.items()}
    own.check(statistics, where=FILE, whose="Fold_{}", remedy="")
    tiny = {fold: (mean, std / 1e6) for fold, (mean, std) in statistics.items()}
    with pytest.raises(DataError, match="Fold_1 gives height"):
        own.check(tiny, where=FILE, whose="Fold_{}", remedy="")


# Folds beside each other


def surveyed(modality=OPTICAL, *, patches=20, change=None, days=12):
    """A survey of drawn folds; `change` makes others of the values of a fold."""
    rng = np.random.default_rng(0)
    gathered = Survey([modality], PASTIS_R.folds)
    spectrum = np.array([400, 650, 600, 1000, 2200, 2700, 2900, 3000, 2300, 1500.0])
    for number in range(patches):
        fold = number % 5 + 1
        clouds = rng.random((days, 1, 1)) < 0.25
        values = spectrum[:, None] * rng.lognormal(0, 0.3, (days, 10, 40)) + 5000 * clouds
        values = change(values, fold) if change else values
        measured = gathered.measure({modality.name: (values.astype(modality.dtype), None)})
        gathered.add(fold, number, measured)
    dataset = dataclasses.replace(PASTIS_R, modalities=(modality,))
    return survey.from_json(json.loads(json.dumps(gathered.to_json())), dataset)[modality.name]


def statistics_of(own):
    return {fold: (one.mean, one.spread) for fold, one in own.folds.items()}


def test_nothing_is_odd_about_folds_that_are_alike():
    own = surveyed()
    own.check(statistics_of(own), where=FILE, whose="Fold_{}", remedy="")
    assert list(own.notes(statistics_of(own))) == []


@pytest.mark.parametrize("folds", [(5,), (4, 5), (1,)])
def test_an_offset_in_some_folds(folds):
    own = surveyed(change=lambda values, fold: values + 1000 * (fold in folds))
    notes = list(own.notes())
    assert len(notes) == len(folds)
    for fold, note in zip(folds, notes, strict=True):
        assert f"S2: in fold {fold} the median of every channel lies" in note
        assert "above that of the other folds" in note
        assert "`offset` S2=-1000" in note
        assert "\n" not in note
    low, high = (float(word) for word in note.split(" lies ")[1].split(" above")[0].split(" to "))
    assert 800 < low <= high < 1200


def test_a_reflectance_below_one_has_the_offset_too():
    modality = dataclasses.replace(OPTICAL, dtype="float32", unit="reflectance", nodata=None)
    own = surveyed(modality, change=lambda values, fold: values / 1e4 + 0.1 * (fold == 5))
    (note,) = own.notes()
    assert "`offset` S2=-0.1" in note


@pytest.mark.parametrize(
    "change",
    [
        lambda values, fold: values + 1500 * (fold == 5) * (np.arange(12) < 9)[:, None, None],
        lambda values, fold: values * (1.4 if fold == 5 else 1),  # another soil
        lambda values, fold: values + 300 * (fold == 5),  # haze
    ],
)
def test_what_is_no_offset(change):
    assert list(surveyed(change=change).notes()) == []


def test_channels_of_a_fold_in_another_order():
    own = surveyed(change=lambda values, fold: values[:, ::-1] if fold == 5 else values)
    (note,) = own.notes()
    assert "the channel means in fold 5 run unlike those of the other folds" in note


def test_channels_in_another_order_than_the_statistics():
    own = surveyed(change=lambda values, fold: values[:, ::-1])
    assert list(own.notes()) == []
    for mine in (True, False):
        (note,) = own.notes(statistics_of(surveyed()), own=mine)
        assert "run unlike those that it is normalised with" in note


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ((8, 9, 0, 1, 2, 3, 4, 5, 6, 7), (True, True)),  # sorted by name
        ((0, 1, 2, 6, 3, 4, 5, 7, 8, 9), (True, False)),  # 10 m first
        ((2, 1, 0, 3, 4, 5, 6, 7, 8, 9), (False, False)),  # red, green, blue
    ],
)
def test_orders_that_can_be_told(order, told):
    """Against statistics of these values, and in one fold against the others."""
    own = surveyed(change=lambda values, fold: values[:, list(order)])
    assert bool([*own.notes(statistics_of(surveyed()))]) is told[0]
    one = surveyed(change=lambda values, fold: values[:, list(order)] if fold == 2 else values)
    assert bool([*one.notes()]) is told[1]


def test_statistics_of_other_data():
    """Where many patches tell; a few do not, nor is a run of other data told of."""
    own = surveyed(patches=200, days=30)
    off = {fold: (mean + 0.3 * std, std) for fold, (mean, std) in statistics_of(own).items()}
    (note,) = own.notes(off)
    assert "statistics of other data, or of the other layout?" in note
    assert "the mean of B" in note
    assert list(own.notes(off, own=False)) == []
    assert list(own.notes(statistics_of(own))) == []
    few = surveyed(patches=5)
    assert list(few.notes(off)) == []


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("scale", [1, 10000])
def test_an_offset_in_all_folds(mine, scale):
    """Against statistics without it, of NORM files or of a run; and the other way round."""
    modality = OPTICAL
    if scale == 1:
        modality = dataclasses.replace(OPTICAL, dtype="float32", unit="reflectance", nodata=None)

    def made(offset=0.0, modality=modality):
        return surveyed(modality, change=lambda values, fold: values * scale / 1e4 + offset)

    plain, later = made(), made(0.1 * scale)
    (note,) = later.notes(statistics_of(plain), own=mine)
    assert "S2: the mean of every channel lies" in note
    assert "above that which it is normalised with" in note
    assert note.endswith(f"give `offset` S2={-0.1 * scale:g}")
    (note,) = plain.notes(statistics_of(later), own=mine)
    assert "below that which" in note
    assert note.endswith(f"give `offset` S2={0.1 * scale:g}")
    twice = made(modality=dataclasses.replace(modality, offset=-0.1 * scale))
    (note,) = twice.notes(statistics_of(later), own=mine)  # taken away where there was none
    assert note.endswith("give `offset` S2=0")
    assert list(later.notes(statistics_of(later), own=mine)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda values, fold: values + 5000 * (np.arange(12) % 5 == 0)[:, None, None],  # clouds
        lambda values, fold: values + 300,  # haze
        lambda values, fold: values * 1.4,  # another soil
        lambda values, fold: values + 1000 * (np.arange(10) < 8)[:, None],
    ],
)
def test_what_is_no_offset_in_all_folds(change):
    own, usual = surveyed(change=change), statistics_of(surveyed())
    assert list(own.notes(usual, own=False)) == []
    assert not any("every channel" in note for note in own.notes(usual))


# Acquisitions of 0 alone


@pytest.mark.parametrize("kind", KINDS)
def test_acquisitions_of_zero_are_counted(kind, tmp_path):
    make, prepare, _ = KINDS[kind]
    root = make(tmp_path / "set")
    total = 0
    for number, file in enumerate(sorted((root / "DATA_S2").iterdir())):
        values = np.load(file)
        total += len(values)
        if number < 3:
            values[1] = 0
            np.save(file, values)
    prepared = prepare(root, cache=tmp_path / "cache", progress=False)
    (note,) = [note for note in prepared.notes(SPLITS) if "acquisitions" in note]
    assert note == (
        f"3 of {total:,} acquisitions of S2 are 0 in every channel at every pixel: they count as "
        "missing"
    )
    assert note in [finding.text for finding in inspect_data(root, progress=False).findings]


def test_items_without_anything():
    gathered = Survey([OPTICAL], PASTIS_R.folds)
    measured = gathered.measure({"S2": (np.zeros((3, 10, 0), np.int16), None)})
    gathered.add(1, 1, measured)
    measured = gathered.measure({"S2": (np.full((3, 10, 4), -10000, np.int16), None)})
    gathered.add(1, 2, measured)
    own = survey.from_json(gathered.to_json(), PASTIS_R)["S2"]
    assert own.folds == {}
    assert (own.acquisitions, own.blank, own.error) == (6, 0, None)
    assert list(own.notes({})) == []


# The official data


@pytest.mark.skipif("PASTIS_R_PIXELSET" not in os.environ, reason="needs PASTIS_R_PIXELSET")
@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="needs PASTIS_R_PATCHES")
@pytest.mark.parametrize("kind", KINDS)
def test_the_real_samples(kind):
    """Statistics of all of PASTIS-R pass, and so do, which nobody can tell, those of the patches
    among so few pixel sets."""
    roots = {
        "pixel sets": pathlib.Path(os.environ["PASTIS_R_PIXELSET"]),
        "patches": pathlib.Path(os.environ["PASTIS_R_PATCHES"]),
    }
    root, gathered = roots[kind], Survey(PASTIS_R.modalities, PASTIS_R.folds)
    if kind == "pixel sets":
        folder = PixelSetFolder(root)
        items = ((parcel, parcel.patch, folder.read(parcel)) for parcel in folder.parcels)
    else:
        folder = PatchFolder(root)
        items = ((patch, patch.id, folder.check(patch)[0]) for patch in folder.patches.values())
    for item, patch, series in items:
        gathered.add(item.fold, patch, gathered.measure(series))
    for name, own in survey.from_json(gathered.to_json(), PASTIS_R).items():
        assert own.blank == 0
        for layout, (_, _, pattern) in KINDS.items():
            file = roots[layout] / pattern.format(name)
            statistics = fold_statistics_from_norm(file, own.modality, PASTIS_R.folds)
            own.check(statistics, where=file, whose="Fold_{}", remedy="")
            assert list(own.notes(statistics)) == []


@pytest.mark.parametrize("dates", [1, 3, 16, 32, 33, 64, 300])
@pytest.mark.parametrize("size", [(128, 128), (16, 16), (24, 40), (1, 7), (60, 1)])
def test_values_are_looked_at_in_all_rows_and_columns(size, dates):
    step = max(1, dates * size[0] * size[1] // survey._VALUES)
    places = survey._places(size[0] * size[1], step)
    assert len(places) == max(size[0] * size[1] // step, 1)
    assert len(np.unique(places)) == len(places)
    for axis, of in enumerate(np.unravel_index(places, size)):
        # Of four parts of an axis, each has its share where there are places enough.
        parts = np.bincount(of * 4 // size[axis], minlength=4)
        assert size[axis] < 4 or len(places) < 24 or parts.min() >= len(places) / 16
    np.testing.assert_array_equal(places, survey._places(size[0] * size[1], step))
