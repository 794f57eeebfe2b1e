"""What QGIS shows of a map: its layers opened without a word about styles, drawn with a legend.

Run by a Python that has QGIS, the system's:  python3 qgis_picture.py MAP PICTURE RASTER
`benchmarks.map_picture` does so. Prints what QGIS has read of the raster, as JSON.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import (
    QgsApplication,
    QgsFillSymbol,
    QgsLayoutExporter,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemScaleBar,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsLegendStyle,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsSingleSymbolRenderer,
    QgsUnitTypes,
    QgsVectorLayer,
)

WIDTH, HEIGHT, MAP = 180, 126, 126
"""Of the page, and the map's width, millimetres."""
_MARGIN, _DPI = 2, 120
_SIZES = {
    **{QgsLegendStyle.Title: 10, QgsLegendStyle.Group: 8, QgsLegendStyle.Subgroup: 8},
    QgsLegendStyle.SymbolLabel: 7,
}
"""Of the legend's letters, points."""
_BARS = [0, *(digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 5))]
"""Lengths of a scale, kilometres."""
_MILLIMETRES = QgsUnitTypes.LayoutMillimeters


def layers(folder: pathlib.Path, raster: str) -> list:
    """Opens a raster of a map, and its parcels; styles are what QGIS finds beside them.

    Raises:
      SystemExit: If QGIS cannot open one.
    """
    opened = [QgsRasterLayer(str(folder / f"{raster}.tif"), raster)]
    if (parcels := folder / "parcels.gpkg").is_file():
        opened.append(QgsVectorLayer(f"{parcels}|layername=parcels", "parcels", "ogr"))
    for layer in opened:
        if not layer.isValid():
            raise SystemExit(f"{layer.source()}: QGIS cannot open it")
    return opened


def shown(layer) -> dict:
    """What QGIS has read of a raster: renderer and legend."""
    items = [(label, colour.name()) for label, colour in layer.renderer().legendSymbologyItems()]
    return {"crs": layer.crs().authid(), "renderer": layer.renderer().type(), "legend": items}


def outlined(layer) -> None:
    """Draws parcels by their outlines, so that the raster below them is seen."""
    outline = {"style": "no", "outline_color": "#202020", "outline_width": "0.08"}
    layer.setRenderer(QgsSingleSymbolRenderer(QgsFillSymbol.createSimple(outline)))


def draw(opened: list, picture: pathlib.Path, title: str) -> None:
    """Draws layers, the first one lowest, with legend and scale."""
    project = QgsProject.instance()
    for layer in opened:
        project.addMapLayer(layer)
    project.setCrs(opened[0].crs())
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    page = layout.pageCollection().page(0)
    page.setPageSize(QgsLayoutSize(WIDTH, HEIGHT, _MILLIMETRES))
    drawn = QgsLayoutItemMap(layout)
    layout.addLayoutItem(drawn)
    drawn.attemptMove(QgsLayoutPoint(_MARGIN, _MARGIN, _MILLIMETRES))
    drawn.attemptResize(QgsLayoutSize(MAP - 2 * _MARGIN, HEIGHT - 2 * _MARGIN, _MILLIMETRES))
    drawn.setCrs(opened[0].crs())
    drawn.setLayers(opened[::-1])
    drawn.setExtent(opened[0].extent())
    drawn.zoomToExtent(opened[0].extent())
    drawn.setFrameEnabled(True)
    legend = QgsLayoutItemLegend(layout)
    legend.setTitle(title)
    legend.setLinkedMap(drawn)
    legend.attemptMove(QgsLayoutPoint(MAP, _MARGIN, _MILLIMETRES))
    for style, size in _SIZES.items():
        font = legend.styleFont(style)
        font.setPointSizeF(size)
        legend.setStyleFont(style, font)
    legend.setSymbolHeight(3)
    legend.setSymbolWidth(5)
    legend.rstyle(QgsLegendStyle.Symbol).setMargin(QgsLegendStyle.Top, 1.4)
    layout.addLayoutItem(legend)
    bar, wide = QgsLayoutItemScaleBar(layout), opened[0].extent().width() / 1000
    layout.addLayoutItem(bar)
    bar.setStyle("Line Ticks Up")
    bar.setLinkedMap(drawn)
    bar.setUnits(QgsUnitTypes.DistanceKilometers)
    bar.setUnitLabel("km")
    bar.setNumberOfSegments(1)
    bar.setNumberOfSegmentsLeft(0)
    bar.setUnitsPerSegment(max(kilometres for kilometres in _BARS if kilometres <= wide / 4))
    written = bar.textFormat()
    written.setSize(8)
    bar.setTextFormat(written)
    bar.setHeight(1.5)
    bar.attemptMove(QgsLayoutPoint(MAP, HEIGHT - 12, _MILLIMETRES))
    settings = QgsLayoutExporter.ImageExportSettings()
    settings.dpi = _DPI
    settings.generateWorldFile = False
    result = QgsLayoutExporter(layout).exportToImage(str(picture), settings)
    if result != QgsLayoutExporter.Success:
        raise SystemExit(f"{picture}: QGIS cannot draw it ({result})")


def main() -> None:
    """Draws, and prints what QGIS has read."""
    folder, picture, raster = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    application = QgsApplication([], False)
    application.initQgis()
    try:
        opened = layers(folder, raster)
        print(json.dumps(shown(opened[0])))
        for layer in opened[1:]:
            outlined(layer)
        draw(opened, picture, json.loads((folder / "map.json").read_text())["region"]["name"])
    finally:
        QgsProject.instance().clear()
        application.exitQgis()


if __name__ == "__main__":
    main()
