"""Draws the diagrams of the site: `python docs/figures/draw.py` writes them beside itself.

Each stands on a light ground of its own, so that it can be read in both themes. They are narrow
enough for a telephone.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

HERE = pathlib.Path(__file__).parent
COLOURS = {"S2": "#2e7d32", "S1A": "#1565c0", "S1D": "#c25700"}
INK, SHARED, GROUND, PALE = "#22302a", "#5b4a8a", "#f6f8f4", "#ffffff"
DATES = {"S2": (0, 3, 4, 8, 10, 13), "S1A": (1, 3, 5, 7, 9, 11, 13), "S1D": (0, 2, 4, 6, 8, 10, 12)}
"""Days of the acquisitions of a series that is drawn, of 14."""


class Drawing:
    """Shapes on a light ground, in the order in which they are added."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.shapes: list[str] = []

    def box(
        self, x: float, y: float, w: float, h: float, text: str = "", *, fill: str, size: int = 17
    ) -> None:
        """A box with a name in the middle; several lines are separated by `|`."""
        self.shapes.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="5" fill="{fill}" '
            f'stroke="{INK}" stroke-width="1.2"/>'
        )
        lines = text.split("|") if text else []
        dark = fill not in (PALE, GROUND) and not fill.startswith("#e")
        for i, line in enumerate(lines):
            middle = y + h / 2 + (i - (len(lines) - 1) / 2) * (size + 3)
            self.text(x + w / 2, middle, line, size=size, fill="#ffffff" if dark else INK)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 15,
        fill: str = INK,
        anchor: str = "middle",
        bold: bool = False,
    ) -> None:
        """A line of text; `y` is its middle."""
        weight = ' font-weight="bold"' if bold else ""
        self.shapes.append(
            f'<text x="{x}" y="{y + size * 0.35:.1f}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
        )

    def arrow(self, *points: tuple[float, float], colour: str = INK, dashed: bool = False) -> None:
        """A line through points, with a head at the last one."""
        path = " L".join(f"{x} {y}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.shapes.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dash} '
            f'marker-end="url(#head)"/>'
        )

    def series(self, x: float, y: float, name: str, days: Sequence[int] | None = None) -> None:
        """A series: its name and its dates on a calendar of 56 x 20."""
        self.text(x, y, name, size=16, fill=COLOURS[name], anchor="start", bold=True)
        self.ticks(x + 44, y, DATES[name] if days is None else days, COLOURS[name])

    def ticks(self, x: float, y: float, days: Sequence[float], colour: str) -> None:
        """Dates as strokes on a line of 56."""
        self.shapes.append(f'<path d="M{x} {y + 9}h58" stroke="{INK}" stroke-width="1"/>')
        for day in days:
            self.shapes.append(
                f'<path d="M{x + 1 + 4.2 * day:.1f} {y + 8}v-17" stroke="{colour}" '
                f'stroke-width="2.6"/>'
            )

    def write(self, name: str, title: str) -> None:
        """Writes the SVG file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" role="img" font-family="system-ui, sans-serif">'
            f"<title>{escape(title)}</title>"
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
            'markerHeight="6" orient="auto"><path d="M0 0 8 4 0 8z" fill="#22302a"/></marker>'
            f'</defs><rect width="{self.width}" height="{self.height}" rx="8" fill="{GROUND}"/>'
        )
        text = "\n".join([head, *self.shapes, "</svg>"]) + "\n"
        (HERE / f"{name}.svg").write_text(text, encoding="utf-8")


ROWS = {"S2": 34, "S1A": 94, "S1D": 154}


def _stage(drawing: Drawing, letter: str, x: float) -> None:
    """One encoder or decoder for each modality, with arrows to it."""
    for name, y in ROWS.items():
        drawing.box(x, y - 17, 62, 34, f"{letter} {name}", fill=COLOURS[name], size=15)


def _join(drawing: Drawing, x: float, before: float, text: str) -> None:
    """All modalities lead into one bar, from their place `before` it."""
    for y in ROWS.values():
        drawing.arrow((before, y), (x - 2, y))
    drawing.box(x, 14, 26, 160, fill=SHARED)
    drawing.shapes.append(
        f'<text transform="translate({x + 13} 94) rotate(-90)" text-anchor="middle" '
        f'dominant-baseline="central" font-size="14" fill="#ffffff">{text}</text>'
    )


def _shared(drawing: Drawing, x: float, letters: str) -> None:
    """Parts that all modalities share, and the output."""
    for letter in letters:
        drawing.arrow((x - 24, 94), (x - 2, 94))
        drawing.box(x, 77, 40, 34, letter, fill=SHARED)
        x += 64
    drawing.arrow((x - 24, 94), (x, 94))


def _start(drawing: Drawing) -> None:
    for name, y in ROWS.items():
        drawing.series(12, y, name)


def early() -> Drawing:
    """Channels meet at the dates of S2."""
    drawing = Drawing(560, 188)
    _start(drawing)
    for name in ("S1A", "S1D"):
        y = ROWS[name]
        drawing.arrow((118, y), (136, y))
        drawing.box(138, y - 17, 78, 34, "resample", fill="#e9ecf5", size=15)
        drawing.arrow((216, y), (226, y))
        drawing.ticks(230, y, DATES["S2"], COLOURS[name])
    drawing.arrow((118, 34), (226, 34))
    drawing.ticks(230, 34, DATES["S2"], COLOURS["S2"])
    _join(drawing, 310, 290, "channels")
    _shared(drawing, 360, "STD")
    return drawing


def mid() -> Drawing:
    """Dates meet after the spatial encoders."""
    drawing = Drawing(560, 188)
    _start(drawing)
    for y in ROWS.values():
        drawing.arrow((118, y), (150, y))
    _stage(drawing, "S", 152)
    _join(drawing, 244, 214, "dates")
    drawing.arrow((270, 94), (286, 94))
    drawing.shapes.append(f'<path d="M290 110h92" stroke="{INK}" stroke-width="1"/>')
    merged = sorted((day, name) for name, days in DATES.items() for day in days)
    for i, (_, name) in enumerate(merged):
        drawing.shapes.append(
            f'<path d="M{292 + 4.6 * i:.1f} 109v-28" stroke="{COLOURS[name]}" stroke-width="2.6"/>'
        )
    _shared(drawing, 410, "TD")
    return drawing


def late() -> Drawing:
    """Features meet after the temporal encoders."""
    drawing = Drawing(560, 188)
    _start(drawing)
    for y in ROWS.values():
        drawing.arrow((118, y), (150, y))
        drawing.arrow((214, y), (242, y))
    _stage(drawing, "S", 152)
    _stage(drawing, "T", 244)
    _join(drawing, 338, 306, "features")
    _shared(drawing, 390, "D")
    return drawing


def decision() -> Drawing:
    """Class probabilities meet."""
    drawing = Drawing(560, 188)
    _start(drawing)
    for y in ROWS.values():
        drawing.arrow((118, y), (150, y))
        drawing.arrow((214, y), (242, y))
        drawing.arrow((306, y), (334, y))
    _stage(drawing, "S", 152)
    _stage(drawing, "T", 244)
    _stage(drawing, "D", 336)
    _join(drawing, 430, 398, "mean")
    drawing.arrow((456, 94), (492, 94))
    return drawing


def batch() -> Drawing:
    """From files to a loss."""
    drawing = Drawing(560, 470)
    drawing.text(14, 24, "On the host, in NumPy", anchor="start", bold=True)
    drawing.box(14, 44, 150, 70, "files|one series each", fill=PALE, size=15)
    drawing.arrow((164, 79), (204, 79))
    drawing.box(206, 44, 150, 70, "encode|draw pixels, crop", fill="#e9ecf5", size=15)
    drawing.arrow((356, 79), (396, 79))
    drawing.box(398, 44, 148, 70, "pad|as stored", fill="#e9ecf5", size=15)
    drawing.arrow((472, 114), (472, 148))
    drawing.box(14, 150, 532, 128, fill=PALE)
    drawing.text(30, 170, "Batch: a Series for each modality, and the target", anchor="start")
    for row, (name, here) in enumerate((("S2", 6), ("S1A", 7), ("S1D", 7))):
        y = 198 + 27 * row
        drawing.text(30, y, name, size=15, fill=COLOURS[name], anchor="start", bold=True)
        for date in range(8):
            valid = date < here
            drawing.shapes.append(
                f'<rect x="{80 + 26 * date}" y="{y - 10}" width="22" height="20" rx="2" '
                f'fill="{COLOURS[name] if valid else "#dfe3dc"}"/>'
            )
    drawing.text(300, 198, "values  b t s c  or  b t h w c", size=14, anchor="start")
    drawing.text(300, 225, "days  b t", size=14, anchor="start")
    drawing.text(300, 252, "valid  b t: grey is padding", size=14, anchor="start")
    drawing.text(112, 301, "On the device, in one compiled step", anchor="start", bold=True)
    drawing.arrow((90, 278), (90, 322))
    drawing.box(14, 324, 152, 60, "normalise,|then mask dates", fill="#e9ecf5", size=15)
    drawing.arrow((166, 354), (202, 354))
    drawing.box(204, 324, 152, 60, "model|D . T . S", fill=SHARED, size=15)
    drawing.arrow((356, 354), (392, 354))
    drawing.box(394, 324, 152, 60, "loss and metrics|sum and count", fill="#e9ecf5", size=15)
    drawing.arrow((470, 384), (470, 410), (280, 410), (280, 388), dashed=True)
    drawing.text(375, 428, "gradients", size=14)
    drawing.text(14, 452, "A masked date changes nothing.", size=14, anchor="start")
    return drawing


def utae() -> Drawing:
    """The joint between the spatial and the temporal half of U-TAE."""
    drawing = Drawing(560, 430)
    drawing.box(8, 34, 236, 386, fill="#e8f1e9")
    drawing.box(316, 34, 236, 386, fill="#ece8f4")
    drawing.text(126, 18, "S: each frame by itself", size=16, bold=True)
    drawing.text(434, 18, "T: joins the dates", size=16, bold=True)
    sides = (64, 48, 34, 24)
    for level, side in enumerate(sides):
        y = 84 + 92 * level
        for date in range(4):
            drawing.shapes.append(
                f'<rect x="{40 + 26 * date}" y="{y - side / 2}" width="{side}" height="{side}" '
                f'rx="2" fill="#a9cfae" stroke="{COLOURS["S2"]}" stroke-width="1.2"/>'
            )
        drawing.arrow((40 + 78 + side + 4, y), (374, y))
        if level < 3:
            drawing.arrow((52, y + side / 2), (52, y + 92 - sides[level + 1] / 2 - 2))
            drawing.text(60, y + side / 2 + 14, "half the size", size=13, anchor="start")
            drawing.box(376, y - 17, 80, 34, "weigh", fill=PALE, size=15)
            drawing.arrow((456, y), (478, y))
            drawing.box(480, y - 22, 60, 44, "up", fill=SHARED, size=15)
            drawing.arrow((510, y + 70), (510, y + 24))
            drawing.arrow((416, y + 73), (416, y + 19), colour="#b8560f", dashed=True)
    drawing.box(376, 84 + 276 - 19, 80, 38, "L-TAE", fill=SHARED, size=16)
    drawing.arrow((456, 360), (510, 360), (510, 294))
    drawing.text(280, 216, "b t h w d", size=14)
    drawing.text(280, 236, "4 levels", size=14)
    drawing.text(434, 404, "attention of every head and date", size=13, fill="#b8560f")
    drawing.arrow((510, 62), (510, 40))
    return drawing


def region() -> Drawing:
    """What a Region holds, and how its cube is cut."""
    drawing = Drawing(560, 400)
    drawing.text(14, 22, "cube.zarr/S2/values (t, c, y, x)", anchor="start", bold=True)
    for i in range(3):
        x, y = 14 + 12 * i, 44 + 12 * i
        drawing.box(x, y, 216, 216, fill=PALE)
    x0, y0 = 38, 68
    for i in range(8):
        for j in range(8):
            fill = ("#a9cfae", "#a9c6e8", "#f0c99b", "#cdb9dd")[i // 4 * 2 + j // 4]
            drawing.shapes.append(
                f'<rect x="{x0 + 27 * j}" y="{y0 + 27 * i}" width="27" height="27" fill="{fill}" '
                f'stroke="{INK}" stroke-width="0.5"/>'
            )
    for x, y, w, h in ((x0 + 98, y0, 20, 216), (x0, y0 + 98, 216, 20)):
        drawing.shapes.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="#dfe3dc" fill-opacity="0.9"/>'
        )
    drawing.text(146, 308, "a date for each layer", size=14)
    drawing.text(146, 330, "one shard: a file of 1024 x 1024", size=14)
    drawing.text(146, 352, "one cell: a chunk of 128 x 128", size=14)
    drawing.text(146, 374, "colours: folds, grey: the zone between", size=14)
    drawing.text(292, 22, "beside it", anchor="start", bold=True)
    entries = (
        ("S2/mask", "clear, clouded, unknown", "#e9ecf5"),
        ("S2/time", "days since the season began", "#e9ecf5"),
        ("parcels/numbers", "the parcel of each pixel", "#e8f1e9"),
        ("parcels.parquet", "outline, crop, fold", "#e8f1e9"),
        ("dataset.json", "modalities, classes, folds", PALE),
        ("region.json", "grid; written last", PALE),
    )
    for i, (name, about, fill) in enumerate(entries):
        y = 44 + 56 * i
        drawing.box(292, y, 254, 48, f"{name}|{about}", fill=fill, size=14)
    return drawing


DRAWINGS: dict[Callable[[], Drawing], str] = {
    early: "Early fusion: radar is resampled to the dates of S2, channels are joined, then S, T, D",
    mid: "Mid fusion: S for each modality, dates are stacked, then T and D",
    late: "Late fusion: S and T for each modality, features are joined, then D",
    decision: "Decision fusion: S, T and D for each modality, then the mean",
    batch: "The path of a batch: encoded and padded on the host, masked and used on the device",
    utae: "U-TAE in two halves: a pyramid of each frame, and what joins the dates",
    region: "A Region: a cube in chunks and shards, and the tables beside it",
}


def main() -> None:
    """Writes all drawings."""
    for draw, title in DRAWINGS.items():
        draw().write(draw.__name__, title)


if __name__ == "__main__":
    main()
