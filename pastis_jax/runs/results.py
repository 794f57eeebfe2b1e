"""result.json as it is read again: whatever is used of it is of the type that was written."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pastis_jax.calibration import BINS
from pastis_jax.errors import UserError
from pastis_jax.json_files import read_object
from pastis_jax.runs.fields import is_integer, is_number, shown
from pastis_jax.tasks import TASKS

FILE = "result.json"
NEEDED = ("task", "test", "fold", "seed")
"""What whoever opens a run reads of it."""
SHOWN = (
    *("title", "val", "epochs", "best_epoch", "parameters", "samples", "seconds", "throughput"),
    "peak_memory_gb",
)
"""What the closing table of a run has beside these."""
_COUNTED = ("true_positive", "false_positive", "false_negative", "iou")


def read(folder: pathlib.Path, *, remedy: str, needed: Collection[str] = NEEDED) -> dict[str, Any]:
    """Reads the result of a run.

    Args:
      folder: Of the run.
      remedy: What to do where it is damaged.
      needed: Fields that must be there.

    Raises:
      UserError: If there is none, or a field is missing or of another type, in one line.
    """
    file = folder / FILE
    try:
        content = read_object(file, remedy=remedy, any_text=True)
        check(content, needed=needed)
    except FileNotFoundError:
        raise UserError("cannot be read (file not found)", where=file, remedy=remedy) from None
    except ValueError as error:
        raise UserError(f"cannot be read ({error})", where=file, remedy=remedy) from error
    return content


def check(content: Mapping[str, Any], *, needed: Collection[str] = NEEDED) -> None:
    """Checks the content of a result.json; fields that nothing reads may be anything.

    Raises:
      ValueError: Naming the first field that is missing or of another type.
    """
    if lacking := sorted({*needed} - content.keys()):
        raise ValueError(f"it lacks {', '.join(lacking)}")
    for name, fits in _FIELDS.items():
        if name in content and not fits(content[name]):
            raise ValueError(f"its {name} is {shown(content[name])}")
    kind = TASKS.get(content.get("task"))
    if kind is None:
        return
    for name in {"test", "val"} & content.keys():
        if lacking := sorted({*kind.scores} - content[name].keys()):
            raise ValueError(f"its {name} lacks {', '.join(lacking)}")
    test = content.get("test", {})
    for name in {"iou", "f1", "per_class"} & test.keys():
        _check_counts(content, len(test[name]))


def _check_counts(content: Mapping[str, Any], classes: int) -> None:
    """Checks that what was counted is of so many classes."""
    rows = content.get("confusion")
    if rows is not None and not (
        _is_list(rows, classes) and all(_is_list(row, classes, is_integer) for row in rows)
    ):
        raise ValueError(f"its confusion is {shown(rows)}, not {classes} rows of as many counts")
    for name in _COUNTED if "counts" in content else ():
        if not _is_list(values := content["counts"].get(name), classes, is_number):
            raise ValueError(f"its counts of {name} are {shown(values)}, not {classes}")


def _is_list(value: Any, size: int, of: Callable[[Any], bool] = lambda _: True) -> bool:
    return isinstance(value, list) and len(value) == size and all(map(of, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 0


def _is_score(value: Any) -> bool:
    return value is None or is_number(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _by_name(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _is_test(value: Any) -> bool:
    """Scores by name, of classes as well."""
    if not isinstance(value, dict):
        return False
    inner = {
        "iou": _by_name(_is_score),
        "f1": _by_name(_is_score),
        "per_class": _by_name(_of_a_class),
    }
    inner["void_rules"] = _by_name(lambda own: _by_name(_is_score)(own) and "PQ" in own)
    return all(inner.get(name, _is_score)(score) for name, score in value.items())


def _of_a_class(value: Any) -> bool:
    return _by_name(_is_score)(value) and {"SQ", "RQ", "PQ"} <= value.keys()


def _is_removed(value: Any) -> bool:
    """Scores by the share of dates that were removed."""
    shares = isinstance(value, dict) and all(re.fullmatch(r"[0-9.e-]{1,24}", x) for x in value)
    return shares and all(_is_test(test) and "mIoU" in test for test in value.values())


def _is_subsets(value: Any) -> bool:
    """Scores by the modalities that are left, joined by +; None where nothing counted."""
    return _by_name(lambda test: test is None or _by_name(_is_score)(test))(value)


def _is_calibration(value: Any) -> bool:
    """What confidences are worth, before and after the temperature."""
    return (
        isinstance(value, dict)
        and is_number(value.get("temperature"))
        and value["temperature"] > 0
        and _is_text(value.get("of"))
        and _is_count(value.get("fitted_on"))
        and all(_is_reliability(value.get(name)) for name in ("before", "after"))
    )


def _is_reliability(value: Any) -> bool:
    """Scores, and a count, mean confidence and accuracy of each bin, these None where it is 0."""
    return (
        isinstance(value, dict)
        and all(_is_score(value.get(name, "")) for name in ("ECE", "NLL", "Brier"))
        and _is_list(value.get("count"), BINS, _is_count)
        and all(_is_list(value.get(x), BINS, _is_score) for x in ("confidence", "accuracy"))
    )


def _of_components(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_score(value.get(x)) for x in ("PQ", "least_area"))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("title", "fusion", "dataset", "samples", "folder", "device", "code"), _is_text
    ),
    **dict.fromkeys(("temporal_dropout", "auxiliary"), _is_truth),
    **dict.fromkeys(("fold", "seed", "epochs", "best_epoch", "parameters"), _is_count),
    "unobserved": _is_count,
    **dict.fromkeys(("seconds", "throughput"), _by_name(is_number)),
    **dict.fromkeys(("test", "val"), _is_test),
    "task": lambda value: _is_text(value) and value in TASKS,
    "data": lambda value: value in ("simulated", "given"),
    "modalities": _is_names,
    "counts": lambda value: isinstance(value, dict),
    "parameters_by_module": _by_name(_is_count),
    **dict.fromkeys(("peak_memory_gb", "modality_dropout"), _is_score),
    "min_confidence": lambda value: is_number(value) and 0 <= value <= 1,
    "calibration": _is_calibration,
    "test_removed_optical": _is_removed,
    "test_subsets": _is_subsets,
    "test_components": _of_components,
}
"""What is read of a result, and whether a value can be it."""
