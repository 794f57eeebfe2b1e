"""How QGIS draws the parcels of a map: coloured by class, the style kept in the file itself."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import sqlite3
from xml.etree import ElementTree

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.mapping.blocks import UNCLASSIFIED_COLOUR

STYLES = "layer_styles"
"""Table that QGIS looks for styles in."""
_COLUMNS = (
    *("id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL", "f_table_catalog TEXT(256)"),
    *("f_table_schema TEXT(256)", "f_table_name TEXT(256)", "f_geometry_column TEXT(256)"),
    *("styleName TEXT(30)", "styleQML TEXT", "styleSLD TEXT", "useAsDefault BOOLEAN"),
    *("description TEXT", "owner TEXT(30)", "ui TEXT(30)", "update_time DATETIME"),
)


def add_style(file: pathlib.Path, layer: str, classes: ClassMapping, day: datetime.date) -> None:
    """Adds a style to a GeoPackage, which QGIS takes by default; equal ones give equal bytes.

    Args:
      file: The GeoPackage.
      layer: What is drawn so.
      classes: Of its column `class`.
      day: What the file says of when it was made.
    """
    stamp, style = f"{day}T00:00:00.000Z", style_of(classes)
    row = ("", "", layer, "geom", "classes", style, "", 1, "Colours of classes", "", None, stamp)
    with contextlib.closing(sqlite3.connect(file)) as base, base:
        base.execute(f"CREATE TABLE {STYLES} ({', '.join(_COLUMNS)})")
        marks = ", ".join("?" * len(row))
        base.execute(f"INSERT INTO {STYLES} VALUES (1, {marks})", row)
        base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, "
            "last_change, srs_id) VALUES (?, 'attributes', ?, '', ?, 0)",
            (STYLES, STYLES, stamp),
        )


def style_of(classes: ClassMapping) -> str:
    """The style as QGIS writes it into a .qml: a colour for each class, grey for none."""
    root = ElementTree.Element("qgis", version="3.28.0", styleCategories="Symbology")
    kind = {"type": "categorizedSymbol", "attr": "class", "enableorderby": "0"}
    renderer = ElementTree.SubElement(root, "renderer-v2", kind, forceraster="0", symbollevels="0")
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    named = zip(map(str, range(len(classes.names))), classes.names, classes.colours, strict=True)
    for number, (value, name, colour) in enumerate(
        [*named, ("", "Unclassified, no data", UNCLASSIFIED_COLOUR)]
    ):
        ElementTree.SubElement(
            categories, "category", symbol=str(number), value=value, label=name, render="true"
        )
        symbol = ElementTree.SubElement(
            symbols, "symbol", name=str(number), type="fill", alpha="1", clip_to_extent="1"
        )
        layer = ElementTree.SubElement(symbol, "layer", {"class": "SimpleFill", "locked": "0"})
        layer.attrib |= {"pass": "0", "enabled": "1"}
        options = ElementTree.SubElement(layer, "Option", type="Map")
        for key, text in (
            ("color", "{},{},{},255".format(*colour)),
            ("outline_color", "35,35,35,255"),
            ("outline_style", "solid"),
            ("outline_width", "0.1"),
            ("outline_width_unit", "MM"),
            ("style", "solid"),
        ):
            ElementTree.SubElement(options, "Option", name=key, value=text, type="QString")
    ElementTree.indent(root)
    head = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return head + ElementTree.tostring(root, encoding="unicode") + "\n"
