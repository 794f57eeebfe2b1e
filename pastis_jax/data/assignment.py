"""Which samples to train on, validate on and test on, as lists in place of folds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping

from pastis_jax.data.dataset import SPLITS, Dataset
from pastis_jax.data.layout import resolve
from pastis_jax.data.metadata import Identifier, parse_identifier
from pastis_jax.data.reading import read_json
from pastis_jax.errors import DataError

_FORM = 'write {"train": [...], "val": [...], "test": [...]}, lists of identifiers'


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Lists of samples, parcels or patches: each is in one of them, or is left out.

    Attributes:
      file: Where they were read from.
      split: Split of each sample.

    Examples:
      >>> import tempfile
      >>> file = pathlib.Path(tempfile.mkdtemp()) / "lists.json"
      >>> _ = file.write_text('{"train": [1, 2], "val": ["P-07"], "test": [4]}')
      >>> dict(Assignment.read(file).split)
      {1: 'train', 2: 'train', 'P-07': 'val', 4: 'test'}
    """

    file: pathlib.Path
    split: Mapping[Identifier, str]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Assignment:
        """Reads lists of identifiers from a JSON file with `train`, `val` and `test`.

        Raises:
          DataError: If the file is missing, not of this form, or has a sample twice.
        """
        path = resolve(path)
        content = read_json(path, kind="a JSON file", remedy=_FORM)
        if not isinstance(content, dict) or content.keys() != {*SPLITS}:
            raise DataError(f"not an object of {', '.join(SPLITS)}", where=path, remedy=_FORM)
        split: dict[Identifier, str] = {}
        for name in SPLITS:
            if not isinstance(content[name], list) or not content[name]:
                raise DataError(f"{name} is not a list of samples", where=path, remedy=_FORM)
            for value in content[name]:
                try:
                    identifier = parse_identifier(value)
                except ValueError as error:
                    raise DataError(f"{name}: {error}", where=path, remedy=_FORM) from error
                if identifier in split:
                    fault = f"{identifier} is in {split[identifier]} and in {name}"
                    raise DataError(fault, where=path, remedy="leave it in one of them")
                split[identifier] = name
        return cls(path, split)

    @property
    def digest(self) -> str:
        """Changes with the lists, and with nothing else."""
        text = json.dumps(sorted((str(i), split) for i, split in self.split.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, list[Identifier]]:
        """Returns the lists as `read` takes them."""
        return {name: [i for i, own in self.split.items() if own == name] for name in SPLITS}

    def dataset(self, dataset: Dataset) -> Dataset:
        """Returns `dataset` with the three splits as its folds."""
        train, val, test = SPLITS
        return dataclasses.replace(dataset, folds=SPLITS, splits=((train,), (val,), (test,)))

    def check(self, known: Iterable[Identifier], samples: str) -> None:
        """Refuses lists of samples that are not there.

        Args:
          known: Identifiers of those that are.
          samples: What they are, in plural.

        Raises:
          DataError: Naming the first.
        """
        known = {*known}
        unknown = [identifier for identifier in self.split if identifier not in known]
        if unknown:
            fault = f"{len(unknown)} of its {samples} are not in the data, {unknown[0]} first"
            raise DataError(fault, where=self.file, remedy="correct the lists")
