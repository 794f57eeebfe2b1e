"""Samples that lack a modality, every observation or plausible values: masked, counted, listed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from refusal import refused_in_a_line, with_value

from pastis_jax.cli import config, inspect, train
from pastis_jax.cli.instances import write_instances
from pastis_jax.data.gaps import any_observed
from pastis_jax.data.inspection import inspect_data
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.capacity import frame_capacity
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import ArgumentError, DataError


class Kind(NamedTuple):
    """One of the two layouts: how it is made and prepared, and samples of its second fold."""

    make: Callable
    prepare: Callable
    samples: tuple[int, ...]
    task: str


KINDS = {
    "pixel sets": Kind(
        pixel_set_factory.make_pixel_set, prepare_pixel_sets, (10002001, 10002002), "parcel"
    ),
    "patches": Kind(patch_factory.make_patches, prepare_patches, (10002,), "semantic"),
}
"""Of the second fold's three parcels, the first is void."""


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def root(kind, tmp_path):
    return kind.make(tmp_path / "data")


@pytest.fixture
def prepare(kind, tmp_path):
    def prepare(root, **arguments):
        return kind.prepare(root, cache=tmp_path / "cache", progress=False, **arguments)

    return prepare


def take_away(root, modality, dates=None):
    """The second patch, or its parcels, lacks a modality."""
    file = root / "metadata.geojson"
    document = json.loads(file.read_text())
    properties = document["features"][1]["properties"]
    properties[f"dates-{modality}"] = dates
    if dates is None:
        del properties[f"dates-{modality}"]
    file.write_text(json.dumps(document))
    for array in (root / f"DATA_{modality}").glob(f"{modality}_10002*"):
        array.unlink()


def change(root, modality, sample, f):
    file = root / f"DATA_{modality}" / f"{modality}_{sample}.npy"
    np.save(file, f(np.load(file)))


@pytest.mark.parametrize("dates", [None, {}, "", "{}", "null", math.nan])
def test_a_modality_may_be_absent(dates, kind, root, prepare):
    take_away(root, "S1D", dates)
    prepared = prepare(root)
    assert prepared.gaps.absent == prepared.gaps.unobserved == {"S1D": {2: kind.samples}}
    assert prepared.gaps.skipped == {}
    record = prepared.source([2])[0]
    values, days = record["S1D"]["values"], record["S1D"]["days"]
    assert days.shape == (0,)
    assert values.shape == (0, 3, *record["S2"]["values"].shape[2:])
    assert len(record["S2"]["days"]) > 0
    assert prepare(root).gaps == prepared.gaps  # read again


def test_a_sample_without_anything(kind, root, prepare):
    for name in PASTIS_R.names:
        take_away(root, name)
    prepared = prepare(root)
    assert prepared.gaps.without_dates(PASTIS_R.names, [1, 2, 3]) == [*kind.samples]
    assert all(len(prepared.source([2])[0][name]["days"]) == 0 for name in PASTIS_R.names)


def test_statistics_are_of_those_that_have_it(kind, root, prepare):
    expected = prepare(root, compute_statistics=True).statistics([1, 3])
    take_away(root, "S1D")
    prepared = prepare(root, compute_statistics=True)
    for got, wanted in zip(prepared.statistics([1, 3])["S1D"], expected["S1D"], strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("computed", [True, False])
def test_a_fold_without_a_modality_does_not_count_for_its_statistics(computed, kind, root, prepare):
    take_away(root, "S1D")
    file = root / ("NORM_PARCEL_S1D_set.json" if kind.task == "parcel" else "NORM_S1D_patch.json")
    norm = json.loads(file.read_text())
    del norm["Fold_2"]
    file.write_text(json.dumps(norm))
    prepared = prepare(root, compute_statistics=computed)
    for got, wanted in zip(
        prepared.statistics([1, 2, 3])["S1D"], prepared.statistics([1, 3])["S1D"], strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
    (note,) = prepared.notes({"train": (1, 2, 3), "val": (4,), "test": (5,)})
    assert note.startswith("no sample of fold 2 has S1D: it is normalised by the statistics of f")
    refused_in_a_line(
        lambda: prepared.statistics([2]), "S1D has no measured value in fold 2", "`modalities`"
    )
    del norm["Fold_3"]
    file.write_text(json.dumps(norm))
    refused_in_a_line(lambda: prepare(root), "lacks 'Fold_3'")
    texts = [finding.text for finding in inspect_data(root, progress=False).findings]
    assert [text for text in texts if "lacks" in text and "Fold_3" not in text] == []


@pytest.mark.parametrize("what", ["no dates", "empty folder", "damaged"])
def test_what_is_not_asked_for_is_not_looked_at(what, root, prepare):
    if what == "no dates":
        take_away(root, "S1D", {"0": "yesterday"})
    else:
        for file in (root / "DATA_S1D").iterdir():
            file.unlink() if what == "empty folder" else file.write_bytes(b"cut")
    assert prepare(root, modalities=["S2"]).modalities == ("S2",)
    with pytest.raises(DataError, match=r"S1D|yesterday"):
        prepare(root)


def test_an_empty_folder_that_is_asked_for_is_refused(root, prepare):
    shutil.rmtree(root / "DATA_S1A")
    (root / "DATA_S1A").mkdir()
    refused_in_a_line(
        lambda: prepare(root, modalities=["S1A"]), "DATA_S1A: no series of S1A", "`modalities`"
    )


def test_dates_without_a_file_are_a_damaged_copy(kind, root, prepare):
    (root / "DATA_S1D" / f"S1D_{kind.samples[0]}.npy").unlink()
    refused_in_a_line(lambda: prepare(root), "file not found", f"S1D_{kind.samples[0]}.npy")


def test_a_void_parcel_may_lack_files(tmp_path):
    root = pixel_set_factory.make_pixel_set(tmp_path / "data")
    (void,) = [row[0] for row in pixel_set_factory.read_rows(root) if row[2:4] == ["19", "2"]]
    (root / "DATA_S2" / f"S2_{void}.npy").unlink()
    prepared = prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)
    assert prepared.gaps.absent == {}
    assert prepared.counts[2][19] == 1
    assert not inspect_data(root, progress=False).damaged


@pytest.mark.parametrize(("modality", "mark"), [("S1D", np.nan), ("S1D", 0), ("S2", -10000)])
def test_a_series_that_is_missing_throughout_is_absent(modality, mark, kind, root, prepare):
    """As exporters fill the gaps of a satellite; a channel alone is damaged."""
    for sample in kind.samples:
        change(root, modality, sample, lambda a: np.full_like(a, mark))
    prepared = prepare(root, compute_statistics=True)
    assert prepared.gaps.absent == prepared.gaps.unobserved == {modality: {2: kind.samples}}
    assert prepared.gaps.skipped == {}
    for got, wanted in zip(
        prepared.statistics([1, 2, 3])[modality],
        prepared.statistics([1, 3])[modality],
        strict=True,
    ):
        np.testing.assert_array_equal(got, wanted)
    looked = inspect_data(root, progress=False)
    assert not looked.damaged
    assert any(f"have no {modality}, which single" in finding.text for finding in looked.findings)


# Without an observed date


def blind(values, nodata=-10000):
    """Each date lacks a channel, and each channel has dates."""
    values = values.copy()
    for date in range(len(values)):
        values[date, date % 2] = nodata
    return values


def test_dates_are_observed_in_every_channel_or_not():
    modality, values = PASTIS_R["S2"], np.full((4, 10, 5), 900, np.int16)
    assert any_observed(values, modality)
    assert not any_observed(blind(values), modality)
    assert not any_observed(values[:0], modality)
    assert any_observed(values[..., :0], modality)  # a parcel without a pixel
    values[:, 3, :4] = -10000
    assert any_observed(values, modality)
    assert any_observed(np.full((1, 3, 5), -10000.0), PASTIS_R["S1A"])  # which has no mark


def test_samples_without_an_observed_date_are_found(kind, root, prepare):
    change(root, "S2", kind.samples[-1], blind)
    gaps = prepare(root).gaps
    assert gaps.absent == {}
    assert gaps.unobserved == {"S2": {2: kind.samples[-1:]}}
    assert gaps.without_dates(["S2"], [2]) == [*kind.samples[-1:]]
    assert gaps.without_dates(["S2", "S1A"], [1, 2]) == []


# Implausible values


@pytest.mark.parametrize("number", [0, -1])
def test_implausible_samples_are_left_out_on_request(number, kind, root, prepare):
    sample = kind.samples[number]
    change(root, "S1A", sample, lambda a: with_value(a, np.inf))
    refused_in_a_line(lambda: prepare(root), f"S1A_{sample}.npy: NaN", "`skip_implausible`")
    before = prepare(root, modalities=["S2"])
    kept = prepare(root, modalities=["S2"], skip_implausible=True)
    assert kept.gaps.skipped == {}
    assert kept.fingerprint.name != before.fingerprint.name
    if kind.task == "parcel":
        prepared = prepare(root, skip_implausible=True)
        source = prepared.source([2])
        left = [source.identifier(i) for i in range(len(source))]
        assert left == [one for one in kind.samples if one != sample]
        assert sum(prepared.counts[2].values()) == 2  # one of them void
        assert sum(map(len, (prepare(root, modalities=["S2"]).source([2]),))) == 2
    else:
        prepared = prepare(root, skip_implausible=True)
        assert prepared.patches == {1: 1, 2: 0, 3: 1, 4: 1, 5: 1}
        with pytest.raises(DataError, match="no patch in fold 2"):
            prepared.source([2])
    assert prepared.gaps.skipped == {sample: f"S1A_{sample}.npy: NaN or infinite values"}
    assert prepare(root, skip_implausible=True).gaps == prepared.gaps
    finding = next(one for one in inspect_data(root, progress=False).findings if one.damage)
    assert f"S1A_{sample}.npy" in finding.text


def test_an_implausible_void_parcel_is_left_out_too(tmp_path):
    root = pixel_set_factory.make_pixel_set(tmp_path / "data")
    void = [int(row[0]) for row in pixel_set_factory.read_rows(root) if row[2] == "19"]
    for parcel in void:
        change(root, "S2", parcel, lambda a: with_value(a.astype("i4"), 32768))
    cache = tmp_path / "cache"
    prepared = prepare_pixel_sets(root, cache=cache, skip_implausible=True, progress=False)
    assert {*prepared.gaps.skipped} == {*void}
    assert len(prepared.source([1, 2, 3, 4, 5])) == 15 - len(void)


@pytest.mark.parametrize("damage", ["unreadable", "shape"])
def test_other_damage_is_refused_all_the_same(damage, kind, root, prepare):
    file = root / "DATA_S2" / f"S2_{kind.samples[0]}.npy"
    if damage == "unreadable":
        file.write_bytes(file.read_bytes()[:100])
    else:
        np.save(file, np.load(file)[:, 1:])
    refused_in_a_line(lambda: prepare(root, skip_implausible=True), file.name)


def test_the_only_patch_with_a_modality_is_left_out(tmp_path):
    root = patch_factory.make_patches(tmp_path / "data")
    for number in range(4):
        patch_factory.edit_patch(root, number, **{"dates-S1D": None})
        (root / "DATA_S1D" / f"S1D_{10001 + number}.npy").unlink()
    change(root, "S1D", 10005, lambda a: with_value(a, np.inf))
    cache = tmp_path / "cache"
    prepared = prepare_patches(root, cache=cache, skip_implausible=True, progress=False)
    assert prepared.lengths["S1D"] == 1
    assert {*prepared.gaps.skipped} == {10005}


def test_nothing_but_implausible_samples(kind, root, prepare):
    for file in (root / "DATA_S2").iterdir():
        np.save(file, np.load(file) // 255)
    which = "12 crop parcels" if kind.task == "parcel" else "5 patches"
    refused_in_a_line(
        lambda: prepare(root, skip_implausible=True),
        f"values of all {which} are implausible; look at them by pastis-jax inspect",
    )


# What a run makes of it


def opened(kind, root, tmp_path, **leaves):
    """The splits of a run, and what is told of what they lack."""
    given = train.for_data(
        config.configure(kind.task, data=root, cache_dir=tmp_path / "cache", **leaves)
    )
    splits, _ = train.open_splits(given)
    return splits, [note for note in splits.notes if "ParcelIDs" not in note]


@pytest.mark.parametrize("how", ["no dates", "all missing"])
def test_schemes_that_mask_take_it_and_others_refuse(how, kind, root, tmp_path):
    if how == "no dates":
        take_away(root, "S1D")
    for sample in kind.samples if how == "all missing" else ():
        change(root, "S1D", sample, lambda a: np.full_like(a, np.nan))
    count, samples = len(kind.samples), "parcels" if kind.task == "parcel" else "patches"
    splits, lines = opened(kind, root, tmp_path, fusion="late")
    total = sum(map(len, splits.sources.values()))
    assert lines == [f"{count} of {total} {samples} have no S1D: masked"]
    assert splits.absent == {"S1D": count}
    batch = next(splits.alone("train", total))
    place = [splits.sources["train"].identifier(n) for n in range(len(splits.sources["train"]))]
    for name, series in batch.series.items():
        lacks = np.array([name == "S1D" and one in kind.samples for one in place])
        assert (series.valid.any(1)[: len(place)] == ~lacks).all()
        assert not series.values[: len(place)][lacks].any()
    for fusion, modalities in (("early", ("S2", "S1D")), ("single", ("S1D",))):
        refused_in_a_line(
            lambda f=fusion, m=modalities: opened(kind, root, tmp_path, fusion=f, modalities=m),
            f"{count} of {total} {samples} have no S1D, which {fusion} fusion needs: 10002",
            "`split_lists`",
        )
    assert opened(kind, root, tmp_path, fusion="early", modalities=("S2", "S1A"))[1] == []


def test_a_split_without_any_observed_date_is_refused(kind, root, tmp_path):
    """Where every optical date lacks a band, early fusion would learn nothing."""
    files = (root / "DATA_S2").iterdir()
    for sample in [file.stem[3:] for file in files if file.stem[7] in "123"]:
        change(root, "S2", sample, blind)
    refused_in_a_line(
        lambda: opened(kind, root, tmp_path, fusion="early"), "no date of S2 is valid", "of train"
    )
    splits, lines = opened(kind, root, tmp_path, fusion="mid")
    train, total = len(splits.sources["train"]), sum(map(len, splits.sources.values()))
    samples = "parcels" if kind.task == "parcel" else "patches"
    assert lines == [f"{train} of {total} {samples} have no valid date of S2: masked"]
    assert train > 0


def test_a_modality_that_was_never_observed_is_as_absent(kind, root, tmp_path):
    """Early fusion would take its zeros for backscatter; others mask it, and say so."""
    for sample in kind.samples:
        change(root, "S1D", sample, lambda values: blind(values, np.nan))
    samples = "parcels" if kind.task == "parcel" else "patches"
    for fusion in ("mid", "late"):
        splits, lines = opened(kind, root, tmp_path, fusion=fusion)
        total, count = sum(map(len, splits.sources.values())), len(kind.samples)
        masked = f"{count} of {total} {samples} have no valid date of S1D: masked"
        assert lines == [masked]
    refused_in_a_line(
        lambda: opened(kind, root, tmp_path, fusion="early", modalities=("S2", "S1D")),
        f"{count} of {total} {samples} have no valid date of S1D, which early fusion needs: 10002",
        "`split_lists`",
    )
    # Where the dates are its own, nothing is known of the sample, which does not count.
    _, lines = opened(kind, root, tmp_path, fusion="early", modalities=("S1D", "S2"))
    assert [line for line in lines if "do not count: 10002" in line]


def test_unobserved_and_skipped_samples_are_told(kind, tmp_path):
    many = {"parcels_per_fold": 6} if kind.task == "parcel" else {"patches_per_fold": 2}
    root = kind.make(tmp_path / "data", **many)
    odd = kind.samples[-1]
    change(root, "S2", odd, blind)
    other = 10003002 if kind.task == "parcel" else 10003
    change(root, "S2", other, lambda a: a // 255)
    _, lines = opened(
        kind, root, tmp_path, fusion="single", modalities=("S2",), skip_implausible=True
    )
    samples = "parcels" if kind.task == "parcel" else "patches"
    assert f"{samples} of train have no date at which every channel was observed" in lines[0]
    assert lines[0].startswith("1 of ")
    assert lines[0].endswith(f": {odd}")
    told = f"{samples} left out for implausible values: 1 ({other}); result.json lists"
    assert lines[1].startswith(told)
    assert len(lines) == 2


@pytest.mark.parametrize("value", [0, 19])
@pytest.mark.parametrize(("fold", "split"), [(4, "val"), (1, "train")])
def test_patches_without_a_crop_are_refused(value, fold, split, tmp_path):
    root = patch_factory.make_patches(tmp_path / "data")
    for number in (1, 2, 3) if split == "train" else (fold,):
        file = root / "ANNOTATIONS" / f"TARGET_{10000 + number}.npy"
        target = np.load(file)
        target[0] = value
        np.save(file, target)
    refused_in_a_line(
        lambda: opened(KINDS["patches"], root, tmp_path, fusion="late"),
        f"every pixel of {split}, fold",
        "is void" if value else "is background or void",
    )


def test_one_date_of_a_sample_without_any(tmp_path):
    root = patch_factory.make_patches(tmp_path / "data")
    take_away(root, "S1D")
    for date in (-1, "2018-12-01"):
        splits, _ = opened(KINDS["patches"], root, tmp_path, fusion="late", date=date)
        batch = next(splits.alone("train", 3))
        assert batch.series["S1D"].valid.tolist() == [[True], [False], [True]]
    with pytest.raises(ArgumentError, match="a patch has only"):
        opened(KINDS["patches"], root, tmp_path, fusion="late", date=9)


def test_inspection_counts_what_is_lacking(kind, root, tmp_path):
    take_away(root, "S1D")
    change(root, "S2", kind.samples[-1], blind)
    for file in (root / "DATA_S1A").iterdir():
        file.unlink()
    looked = inspect_data(root, progress=False)
    texts = " ".join(finding.text for finding in looked.findings)
    assert not looked.damaged
    assert "have no S1D, which single and early fusion of it need: 10002" in texts
    assert "1 of" in texts
    assert "have no date at which every channel was observed" in texts
    assert "DATA_S1A holds nothing: name the other modalities" in texts
    assert 0 in looked.sensed["S1D"].dates
    inspect.draw(looked, tmp_path)
    assert (tmp_path / "dates.png").stat().st_size > 5000


def test_there_is_room_for_a_frame_where_no_sample_has_one():
    assert frame_capacity(np.zeros(3), 2) == frame_capacity(np.zeros(3), 2, 0.6) == 1


def test_instances_are_made_without_looking_at_series(tmp_path):
    root = patch_factory.make_patches(tmp_path / "data")
    (root / "DATA_S1D" / "S1D_10002.npy").unlink()
    assert write_instances(root, overwrite=False, progress=False) == 5
    (root / "ANNOTATIONS" / "TARGET_10002.npy").unlink()
    refused_in_a_line(
        lambda: write_instances(root, overwrite=True, progress=False), "TARGET_10002.npy"
    )


def test_the_table_of_parcels_is_not_needed_for_gaps_of_patches(tmp_path):
    """Identifiers that are text are told as they are."""
    root = patch_factory.make_patches(tmp_path / "data")
    patch_factory.edit_patch(root, 1, ID_PATCH="P-7", **{"dates-S1A": None})
    for name in ("DATA_S2/S2", "DATA_S1D/S1D", "ANNOTATIONS/TARGET", "ANNOTATIONS/ParcelIDs"):
        (root / f"{name}_10002.npy").rename(root / f"{name}_P-7.npy")
    (root / "DATA_S1A" / "S1A_10002.npy").unlink()
    prepared = prepare_patches(root, cache=tmp_path / "cache", progress=False)
    assert prepared.gaps.absent == {"S1A": {2: ("P-7",)}}
