"""Styles for QGIS, by their text and, where it is installed, by QGIS itself."""

from __future__ import annotations

import json
import subprocess
from xml.etree import ElementTree

import pytest
from drawn_map import make_map

from benchmarks import map_picture
from pastis_jax.mapping.blocks import UNCLASSIFIED, UNCLASSIFIED_COLOUR
from pastis_jax.mapping.files import qml, rasters
from pastis_jax.mapping.files.summary import hexadecimal


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A map, and the folder of its rasters and styles."""
    root = tmp_path_factory.mktemp("map")
    made, _ = make_map(root / "blocks")
    (root / "map").mkdir()
    rasters.write_rasters(made, root / "map")
    qml.write_styles(made, root / "map")
    content = {"region": {"name": "drawn"}}
    (root / "map" / "map.json").write_text(json.dumps(content))
    return made, root / "map"


def renderer(file):
    return ElementTree.fromstring(file.read_text()).find("pipe/rasterrenderer")


def test_classes_have_their_names_and_colours(drawn):
    made, out = drawn
    of = renderer(out / "crop.qml")
    assert of.get("type") == "paletted"
    entries = {
        int(e.get("value")): (e.get("label"), e.get("color")) for e in of.iter("paletteEntry")
    }
    classes = zip(made.classes.names, made.classes.colours, strict=True)
    expected = {i: (name, hexadecimal(colour)) for i, (name, colour) in enumerate(classes)}
    expected[UNCLASSIFIED] = (rasters.UNKNOWN, hexadecimal(UNCLASSIFIED_COLOUR))
    assert entries == expected


def test_names_are_no_markup():
    name = 'Rye & <oats> "mixed"'
    root = ElementTree.fromstring(qml.paletted({1: (name, (1, 2, 255))}))
    (entry,) = root.iter("paletteEntry")
    assert entry.attrib == {"value": "1", "label": name, "color": "#0102ff", "alpha": "255"}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("confidence", ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        ("margin", ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        ("dates", ["0", "1", "2", "3"]),
    ],
)
def test_numbers_have_a_ramp(drawn, name, labels):
    _, out = drawn
    of = renderer(out / f"{name}.qml")
    assert of.get("type") == "singlebandpseudocolor"
    items = [*of.iter("item")]
    assert [item.get("label") for item in items] == labels
    assert (items[0].get("color"), items[-1].get("color")) == ("#440154", "#fde725")
    (shader,) = of.iter("colorrampshader")
    assert shader.get("maximumValue") == items[-1].get("value")


def test_probabilities_have_no_style(drawn):
    _, out = drawn
    styled = {path.stem for path in out.glob("*.qml")}
    assert styled == {"crop", "confidence", "margin", "dates"}


def has_qgis():
    command = [map_picture.PYTHON, "-c", "import qgis.core"]
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return False


@pytest.mark.long
@pytest.mark.parametrize("name", ["crop", "confidence"])
def test_qgis_takes_the_style_by_itself(drawn, name, tmp_path):
    if not has_qgis():
        pytest.skip("without QGIS")
    _, out = drawn
    read = map_picture.draw(out, tmp_path / "picture.png", name)
    assert read["crs"] == "EPSG:32631"
    kind = "paletteEntry" if name == "crop" else "item"
    of = renderer(out / f"{name}.qml")
    assert read["renderer"] == of.get("type")
    legend = [[item.get("label"), item.get("color")] for item in of.iter(kind)]
    assert read["legend"] == legend
    assert (tmp_path / "picture.png").stat().st_size < 200_000
