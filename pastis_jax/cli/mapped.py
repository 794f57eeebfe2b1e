"""What `pastis-jax predict` tells of a map that is finished."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from pastis_jax.cli import console
from pastis_jax.text import word

_REPORT = "report.html"


def show(summary: Mapping[str, Any], out: pathlib.Path) -> None:
    """Prints areas by class, largest first, and what to open next.

    Args:
      summary: What map.json holds.
      out: The map.
    """
    console.screen().print(_areas(summary))
    pixels, confidence = summary["pixels"], summary["confidence"]
    if confidence is not None:
        console.say(f"Mean confidence: {confidence:.1f} %.")
    if absent := [of["name"] for of in summary["classes"] if not of["pixels"]]:
        number = len(absent)
        console.say(f"{number} {word(number, 'class', 'classes')} not found: {', '.join(absent)}.")
    if not pixels["classified"]:
        console.say("Nothing was classified.")
    if parcels := summary["parcels"]:
        without = parcels["unclassified"], parcels["nodata"]
        text = f"{parcels['all']:,} parcels: {without[0]:,} unclassified, {without[1]:,} no data."
        console.say(text)
    names = [file["name"] for file in summary["files"]]
    size = sum(file["bytes"] for file in summary["files"]) / 1e6
    console.say(f"{out}: {len(names)} files, {size:,.1f} MB, listed in map.json.")
    layers = [name for name in ("crop.tif", "parcels.gpkg") if name in names]
    text = " and ".join(shlex.quote(str(out / name)) for name in layers)
    report = f", {shlex.quote(str(out / _REPORT))} in a browser" if _REPORT in names else ""
    console.say(f"next: open {text} in QGIS{report}")


def _areas(summary: Mapping[str, Any]) -> Table:
    """Hectares, share and mean confidence by class; what is none comes last."""
    table = console.table(summary["title"], "class", "hectares", "share", "confidence")
    found = [of for of in summary["classes"] if of["pixels"]]
    for of in sorted(found, key=lambda of: -of["pixels"]):
        known = of["confidence"] is not None
        confidence = f"{of['confidence']:.0f} %" if known else "-"
        table.add_row(console.cell(of["name"]), _number(of["hectares"]), _share(of), confidence)
    table.add_section()
    for name, key in (("unclassified", "unclassified"), ("no data", "nodata")):
        of = summary[key]
        table.add_row(name, _number(of["hectares"]), _share(of), "")
    table.caption = "Shares of classes are of what has data, that of no data is of all pixels."
    table.caption_justify = "left"
    return table


def _number(hectares: float) -> str:
    return f"{hectares:,.2f}"


def _share(of: Mapping[str, Any]) -> str:
    return "-" if of["share"] is None else f"{of['share']:.1%}"
