"""The four features of a parcel's outline, as the official table has them."""

from __future__ import annotations


def outline(perimeter: int, pixels: int, height: int, width: int) -> tuple[int, int, float, float]:
    """Describes an outline.

    Args:
      perimeter: In pixel sides.
      pixels: Number of pixels.
      height: Rows of the bounding box.
      width: Columns of it.

    Returns:
      Perimeter, number of pixels, share of the bounding box covered, and perimeter divided by
      pixels: the four GF_ columns.
    """
    cover = pixels / height / width
    return perimeter, pixels, round(cover, 4), round(perimeter / pixels, 4)
