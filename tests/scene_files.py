"""Small rasters and products as users have them, 8 x 8 pixels."""

from __future__ import annotations

import datetime

import numpy as np
import rasterio
import rasterio.crs
import rasterio.enums

from pastis_jax.data.regions.sources.find import find_layers
from pastis_jax.data.regions.sources.given import Given

SIDE = 8
CORNER = (600000.0, 4900020.0)


DAY = datetime.date(2023, 9, 14)
TEN = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
PLAIN = Given(unit={"S2": "reflectance x 10000"}, offset={"S2": 0.0})
"""What multi-band files of reflectance do not say themselves."""


def only(folder, given=PLAIN):
    """The one layer of a folder."""
    (layer,) = find_layers([folder], given=given).layers
    return layer


def channels(found, modality="S2"):
    """The channels of a modality that were found."""
    return {layer.channel for layer in found.layers if layer.modality == modality}


def numbers(bands=1, dtype="uint16", first=1000, side=SIDE):
    """Numbers that differ at every pixel, (bands, side, side)."""
    return (first + np.arange(bands * side * side)).reshape(bands, side, side).astype(dtype)


def write(
    path, values=None, *, names=(), crs="EPSG:32631", pixel=10.0, corner=CORNER, nodata=None,
    scale=None, offset=None, driver=None, colours=None, units=None, tags=None, transform=None,
):  # fmt: skip
    """Writes a raster; returns its path."""
    values = numbers(max(1, len(names))) if values is None else np.asarray(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    if driver is None:
        driver = {".tif": "GTiff", ".jp2": "JP2OpenJPEG"}[path.suffix.lower()]
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    profile = dict(
        driver=driver, count=values.shape[0], height=values.shape[1], width=values.shape[2],
        dtype=values.dtype, nodata=nodata, crs=crs,
        transform=transform or rasterio.Affine(pixel, 0, corner[0], 0, -pixel, corner[1]),
    )  # fmt: skip
    if colours:
        profile["photometric"] = "RGB"
    with rasterio.open(path, "w", **profile, **lossless) as file:
        file.write(values)
        if names:
            file.descriptions = tuple(names)
        if scale is not None:
            file.scales, file.offsets = [scale] * file.count, [offset or 0.0] * file.count
        if units:
            file.units = (units,) * file.count
        if tags:
            file.update_tags(**tags)
    return path


TILE, SENSED = "T31TFJ", "20230914T104629"
FINE, COARSE = ("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12", "SCL")


def metadata(baseline="05.09", offsets=True, quantification=10000, orbit="8"):
    """The part of a Sen2Cor product's metadata that is read, in its own form."""
    lines = "".join(
        f'<BOA_ADD_OFFSET band_id="{k}">-{1000 + k}</BOA_ADD_OFFSET>' for k in range(13)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product.xsd">
<n1:General_Info><Product_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake><SENSING_ORBIT_NUMBER>{orbit}</SENSING_ORBIT_NUMBER></Datatake></Product_Info>
<Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>
<BOA_QUANTIFICATION_VALUE unit="none">{quantification}</BOA_QUANTIFICATION_VALUE>
<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
</QUANTIFICATION_VALUES_LIST>
{f"<BOA_ADD_OFFSET_VALUES_LIST>{lines}</BOA_ADD_OFFSET_VALUES_LIST>" if offsets else ""}
</Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>"""


def safe(root, *, baseline="0509", sensed=SENSED, xml=None, granule="A042992", driver=None):
    """Writes a Sen2Cor product; returns its folder."""
    name = f"S2A_MSIL2A_{sensed}_N{baseline}_R008_{TILE}_{sensed[:8]}T164821.SAFE"
    images = root / name / "GRANULE" / f"L2A_{TILE}_{granule}_{sensed}" / "IMG_DATA"
    for bands, metres in ((FINE, 10), (COARSE + FINE[:3], 20), (("B01", "B09", "B02"), 60)):
        for band in (*bands, "TCI", "AOT") if metres == 20 else bands:
            file = images / f"R{metres}m" / f"{TILE}_{sensed}_{band}_{metres}m.jp2"
            values = numbers(dtype="uint8" if band in ("SCL", "TCI") else "uint16", first=0)
            values = values % 12 if band == "SCL" else values
            write(file, values, pixel=float(metres), driver=driver)
    (images.parent / "QI_DATA").mkdir()
    (images.parent / "QI_DATA" / f"{TILE}_{sensed}_PVI.jp2").touch()
    if xml is not None:
        (root / name / "MTD_MSIL2A.xml").write_text(xml)
    return root / name
