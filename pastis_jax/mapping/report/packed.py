"""Arrays and texts in a page: compressed bytes as text, which browsers unpack by themselves."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

LEVEL = 6
"""Of compression; 9 is three times as slow, and a hundredth smaller."""


def pack(values: np.ndarray) -> dict[str, Any]:
    """Packs an array of whole numbers, row by row.

    Returns:
      `shape`, `type` (the name of its type, little-endian) and `data`, as plain JSON.
    """
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    return {
        "shape": list(values.shape),
        "type": np.dtype(values.dtype).name,
        "data": _text(values.tobytes()),
    }


def pack_json(content: Any) -> dict[str, Any]:
    """Packs plain JSON."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return {"type": "json", "data": _text(text.encode())}


def _text(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, LEVEL)).decode("ascii")


def script_json(content: Any) -> str:
    """Writes plain JSON as it may stand in a script element, whatever texts it holds."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
