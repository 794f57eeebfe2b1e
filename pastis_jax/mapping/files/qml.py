"""Styles of the rasters of a map: QGIS takes NAME.qml beside NAME.tif by itself."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from pastis_jax.files import write_whole
from pastis_jax.mapping.files.rasters import Raster, rasters_of
from pastis_jax.mapping.files.summary import hexadecimal
from pastis_jax.mapping.made import Made

Colour = tuple[int, int, int]
RAMP: tuple[Colour, ...] = (
    *((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81)),
    (253, 231, 37),
)
"""Colours from the least to the most, viridis: also told apart in grey and by the colour blind."""


def write_styles(made: Made, out: pathlib.Path) -> None:
    """Writes the style of each raster of a map but for `probabilities`, whose bands are many.

    Args:
      made: The map.
      out: Folder to write in.
    """
    crop, *numbers, dates = rasters_of(made)[:4]
    names = {value: (name, crop.colours[value]) for value, name in crop.names.items()}
    write_whole(out / f"{crop.name}.qml", paletted(names))
    for raster in numbers:
        write_whole(out / f"{raster.name}.qml", ramp(raster, range(0, 101, 20), " %"))
    most = max(len(one.days) for one in made.season.acquired.values())
    steps = sorted({round(most * place / 5) for place in range(6)})
    write_whole(out / f"{dates.name}.qml", ramp(dates, steps))


def paletted(entries: Mapping[int, tuple[str, Colour]]) -> bytes:
    """A style of classes: names and colours by value; what has none is transparent."""
    root, renderer = _begin("paletted")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, (name, colour) in entries.items():
        shown = {"value": str(value), "label": name, "color": hexadecimal(colour)}
        ElementTree.SubElement(palette, "paletteEntry", {**shown, "alpha": "255"})
    return _text(root)


def ramp(raster: Raster, steps: Sequence[int], unit: str = "") -> bytes:
    """A style of numbers, of the first band: colours from the first to the last step, linear.

    Args:
      raster: What is shown.
      steps: Values that the legend names, rising; the first is the least.
      unit: Follows each of them in the legend.
    """
    least, most = steps[0], max(steps[-1], steps[0] + 1)
    ends = {"classificationMin": str(least), "classificationMax": str(most)}
    root, renderer = _begin("singlebandpseudocolor", **ends)
    shader = ElementTree.SubElement(renderer, "rastershader")
    shape = {"colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0"}
    shape |= {"minimumValue": str(least), "maximumValue": str(most), "labelPrecision": "0"}
    ramped = ElementTree.SubElement(shader, "colorrampshader", shape)
    for value in steps:
        colour = _between((value - least) / (most - least))
        shown = {"value": str(value), "label": f"{value}{unit}", "color": hexadecimal(colour)}
        ElementTree.SubElement(ramped, "item", {**shown, "alpha": "255"})
    return _text(root)


def _between(place: float) -> Colour:
    """The colour of the ramp at a place, 0 to 1."""
    low = min(int(place * (len(RAMP) - 1)), len(RAMP) - 2)
    part = place * (len(RAMP) - 1) - low
    ends = zip(RAMP[low], RAMP[low + 1], strict=True)
    red, green, blue = (round(a + (b - a) * part) for a, b in ends)
    return red, green, blue


def _begin(kind: str, **more: str) -> tuple[ElementTree.Element, ElementTree.Element]:
    """The root of a style, and its renderer of the first band."""
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    shown = {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", {**shown, **more})
    ElementTree.SubElement(renderer, "rasterTransparency")
    return root, renderer


def _text(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    return b"<!DOCTYPE qgis>\n" + ElementTree.tostring(root, "utf-8") + b"\n"
