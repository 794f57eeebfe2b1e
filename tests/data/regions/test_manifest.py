"""The manifest is read as it was written, and refused by its line."""

from __future__ import annotations

import dataclasses
import datetime
import math

import pytest

from pastis_jax.data.regions import Layer, read_manifest, write_manifest
from pastis_jax.errors import DataError

LAYER = Layer(
    "a.tif", "1", "S2", "B2", datetime.date(2024, 2, 29), "8", "reflectance x 10000", -1000.0
)


@pytest.mark.parametrize(
    ("modality", "channel"), [("S1D", "HH"), ("S2", "B1"), ("weather", "VV"), ("S3", "Oa01")]
)
def test_channels_of_other_modalities_are_free(tmp_path, modality, channel):
    layer = dataclasses.replace(LAYER, modality=modality, channel=channel)
    write_manifest([layer], tmp_path / "manifest.csv")
    assert read_manifest(tmp_path / "manifest.csv")[0].channel == channel


def test_what_was_written_is_read(tmp_path):
    layers = [
        LAYER,
        dataclasses.replace(LAYER, band="2", channel="B3", offset=0.1 + 0.2, nodata=math.nan),
        dataclasses.replace(LAYER, path="b, c.nc", band="S2-L2A-B02[11]", offset=None, orbit=""),
        dataclasses.replace(LAYER, path="m.tif", channel="mask", unit="scl", nodata=0.0),
    ]
    write_manifest(layers, tmp_path / "manifest.csv")
    read = read_manifest(tmp_path / "manifest.csv")
    expected = [dataclasses.replace(x, path=str(tmp_path / x.path)) for x in layers]
    assert list(map(repr, read)) == list(map(repr, expected))
    assert read[0].acquisition == ("S2", datetime.date(2024, 2, 29), "8")
    assert [layer.is_mask for layer in read] == [False, False, False, True]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"date": "2024-13-01"}, "date '2024-13-01' is not a day"),
        ({"band": "0"}, "band '0' is no number from 1 and no variable"),
        ({"unit": "metres"}, "unit 'metres' is none of"),
        ({"channel": ""}, "channel is empty"),
        ({"offset": "1_0"}, "'1_0' is not a number"),
        ({"offset": "inf"}, "offset inf is not finite"),
        ({"channel": "mask"}, "unit 'reflectance x 10000' is none of scl"),
        ({"modality": "S\x1b2"}, "modality"),
        ({"channel": "VV"}, "channel 'VV' is none of S2, which has B1, B2,"),
        ({"modality": "S1A", "channel": "B99"}, "channel 'B99' is none of S1A, which has VV, VH"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, change, fault):
    row = {
        **{"path": "a.tif", "band": "1", "modality": "S2", "channel": "B2", "date": "2024-01-01"},
        **{"orbit": "", "unit": "reflectance x 10000", "offset": "0", "nodata": ""},
    }
    file = tmp_path / "manifest.csv"
    lines = [",".join(row), ",".join(row.values()), ",".join((row | change).values())]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"manifest.csv: line 3: ") as error:
        read_manifest(file)
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it lacks the columns path, band, modality, channel, date, orbit, unit, offset"),
        (
            "path,band,channel,date,orbit,unit,offset,nodata\n",
            "it lacks the column modality; give the manifest",
        ),
        (
            "path,band,modality,channel,date,orbit,unit,offset,nodata,mine,also\n",
            "it has the columns 'mine, also' beside path, band, modality",
        ),
        (
            "path,band,modality,channel,date,orbit,unit,offset,nodata,unit\n",
            "column unit occurs twice",
        ),
        (
            "path;band;modality;channel;date;orbit;unit;offset;nodata\n",
            "its columns are separated by semicolons, not by commas; write it with commas",
        ),
        ("path,band,modality,channel,date,orbit,unit,offset,nodata\n", "lists no layer"),
        (
            "path,band,modality,channel,date,orbit,unit,offset,nodata\n"
            + 2 * "a.tif,1,S2,B2,2024-01-01,,,,\n",
            "line 3: is the same layer as line 2",
        ),
        (
            "path,band,modality,channel,date,orbit,unit,offset,nodata\na.tif,1,S2,B2\n",
            "line 2: has 4 fields where there are 9 columns",
        ),
    ],
)
def test_what_is_no_manifest(tmp_path, text, fault):
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read_manifest(tmp_path / "manifest.csv")
    assert fault in str(error.value)
    assert "\n" not in str(error.value)
