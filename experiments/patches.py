"""What experiments on patches share: their data, and the halves of U-TAE."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from experiments import arguments, common, datasets
from experiments.patch_arguments import Config
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.nomenclature import MODALITIES, REFERENCE_DATE, split_folds
from pastis_jax.data.patches.encoding import PatchEncoding, frame_capacity
from pastis_jax.data.patches.prepare import PatchSource, prepare_patches
from pastis_jax.models import LTAE, FrameEncoder, TemporalUNet

SUMMER = 5, 6, 7, 8
"""Months in which most crops are on the fields, and skies clearest."""


@dataclasses.dataclass(frozen=True)
class Data(datasets.Data):
    """The patches of a run.

    Attributes:
      classes: Classes of the labels.
      size: Rows and columns ``h w`` of a patch.
      most_instances: Most parcels of a patch.
    """

    classes: ClassMapping
    size: tuple[int, int]
    most_instances: int

    @property
    def evaluation_encoding(self) -> PatchEncoding:
        """Of whole patches."""
        return self.encode.for_evaluation()

    def picture(self, record: Mapping[str, Any], modality: str) -> np.ndarray:
        """One image ``h w c`` of a record in the stored unit: the median over the dates in use.

        Of many dates, it shows neither clouds nor speckle.
        """
        chosen = record[modality]["values"][self._dates_in_use(record, modality)]
        return np.median(chosen, axis=0).transpose(1, 2, 0).astype(np.float32)

    def clear_day(self, record: Mapping[str, Any]) -> int:
        """Day of the clearest optical acquisition of a record, since 2018-09-01.

        Of those in use from May to August (of all, if there are none), that with the lowest 90th
        percentile of blue reflectance: clouds are bright in blue, on part of the patch too. Pixels
        without data count as cloudy.
        """
        used = self._dates_in_use(record, "S2")
        months = [date_of(day).month for day in record["S2"]["days"][used]]
        summer = used[np.isin(months, SUMMER)]
        candidates = summer if len(summer) else used
        sensor = MODALITIES["S2"]
        blue = record["S2"]["values"][candidates, sensor.channels.index("B2")].astype(np.float32)
        blue = np.where(blue == sensor.nodata, np.inf, blue).reshape(len(candidates), -1)
        brightness = np.percentile(blue, 90, axis=1, method="higher")
        return int(record["S2"]["days"][candidates[brightness.argmin()]])

    def observation(
        self, record: Mapping[str, Any], modality: str, day: int
    ) -> tuple[np.ndarray, int]:
        """The acquisition in use nearest to `day`: ``h w c`` in the stored unit, and its day."""
        used = self._dates_in_use(record, modality)
        days = record[modality]["days"]
        nearest = used[np.abs(days[used] - day).argmin()]
        values = record[modality]["values"][nearest]
        return values.transpose(1, 2, 0).astype(np.float32), int(days[nearest])

    def _dates_in_use(self, record, modality):
        days = record[modality]["days"]
        return np.asarray(self.encode.acquisitions(modality, days, record["patch"]))

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover the training patches once, in area."""
        crop = self.encode.crop
        covering = 1 if crop is None else math.prod(self.size) / crop**2
        return max(1, round(covering * len(self.sources["train"]) / self.batch_size))


def load(config: Config, *, instances: bool = False) -> Data:
    """Finds, checks and opens the patches of a completed `config`.

    Args:
      config: Completed.
      instances: Whether batches have panoptic targets too.

    Raises:
      UserError: For every mistake in the data, or a `config` that does not fit them.
    """
    classes = ClassMapping.official()
    if config.class_mapping is not None:
        classes = ClassMapping.read(config.class_mapping)
    root, prepared = common.find_data(config, common.simulated_patches, prepare_patches)
    folds = split_folds(config.fold)
    sources = {
        split: prepared.source(ids, in_memory=config.cache, instances=instances)
        for split, ids in folds.items()
    }
    encode = PatchEncoding(
        lengths={m: prepared.lengths[m] for m in config.modalities},
        statistics=prepared.statistics(folds["train"]),
        size=prepared.size,
        crop=config.crop or None,
        flips=config.flips,
        turns=config.turns,
        date=config.date,
        classes=classes,
        instances=prepared.most_instances if instances else None,
    )
    side, least = config.crop or min(prepared.size), 2 ** (len(config.encoder_widths) - 1) + 1
    arguments.refuse(
        (
            side < least,
            "--crop" if config.crop else "--encoder-widths",
            f"{len(config.encoder_widths)} stages need {least} pixels, the images have {side}",
            "give larger crops or fewer stages",
        )
    )
    for modality in config.modalities:
        fewest = min(int(source.dates[modality].min()) for source in sources.values())
        number = config.date if isinstance(config.date, int) else 0
        arguments.refuse(
            (
                not -fewest <= number < fewest,
                "--date",
                f"a patch has only {fewest} dates of {modality}, none of number {number}",
                f"give {-fewest} to {fewest - 1}, or a day YYYY-MM-DD",
            )
        )
    common.say_sources(sources, folds, root, "patches")
    if config.cache:
        total = sum(source.nbytes for source in sources.values())
        common.say(f"--cache: up to {total / 1e9:.1f} GB of patches will be kept in memory.")
    return Data(
        root,
        sources,
        encode,
        **arguments.batches(config),
        classes=classes,
        size=prepared.size,
        most_instances=prepared.most_instances,
    )


def capacity(
    config: Config,
    sources: Sequence[PatchSource],
    rates: Mapping[str, float] | None = None,
    *,
    train: bool,
) -> dict[str, int | None]:
    """Frames that a model needs room for, by modality: as `most_frames`, or None for all.

    Of sharded batches the frames stay where they are, on all devices, and are all encoded.
    """
    if config.parallel == "jit" and jax.device_count() > 1:
        return dict.fromkeys(config.modalities)
    return most_frames(config, sources, rates, train=train)


def most_frames(
    config: Config,
    sources: Sequence[PatchSource],
    rates: Mapping[str, float] | None = None,
    *,
    train: bool,
) -> dict[str, int]:
    """Most valid frames of a batch, or of the parts it is taken in, by modality.

    Temporal dropout leaves no more. The same on any number of devices, but for mapped models, each
    of which has a device's share.

    Args:
      config: Completed.
      sources: Where batches come from.
      rates: Of temporal dropout, by modality.
      train: Whether for the batches of training, or of validation and test.
    """
    if train:
        placement, size = arguments.placement(config), config.batch_size
    else:
        placement = arguments.evaluation_placement(config)
        size = arguments.evaluation_size(config)
    share = -(-size // placement.parts)
    if config.parallel == "pmap":
        share = placement.padded(size) // (placement.devices * placement.parts)

    def most(modality):
        dates = [s.dates[modality] if config.date is None else np.ones(len(s)) for s in sources]
        kept = 1 - (rates or {}).get(modality, 0.0)
        return max(frame_capacity(one, share, kept) for one in dates)

    return {m: most(m) for m in config.modalities}


def tested_capacity(config: Config, data: Data) -> dict[str, int | None]:
    """The same for the batches of validation and test."""
    return capacity(config, [data.sources["val"], data.sources["test"]], train=False)


def build_halves(
    config: Config, capacity: Mapping[str, int | None]
) -> tuple[Callable[[str], FrameEncoder], Callable[[], TemporalUNet]]:
    """Returns what makes the spatial half of U-TAE for a modality, and the temporal half.

    Args:
      config: Sizes; completed.
      capacity: Room for valid frames by modality.
    """
    ltae = functools.partial(
        LTAE,
        model_features=config.model_features,
        heads=config.heads,
        key_features=config.key_features,
    )

    def spatial(modality: str) -> FrameEncoder:
        return FrameEncoder(
            config.encoder_widths,
            config.encoder_norm,
            capacity.get(modality),
            remat=config.remat,
            dtype=dtype(config),
            axis_name=arguments.axis_name(config),
        )

    def temporal() -> TemporalUNet:
        return TemporalUNet(
            config.decoder_widths,
            config.aggregation,
            ltae,
            remat=config.remat,
            dtype=dtype(config),
            axis_name=arguments.axis_name(config),
        )

    return spatial, temporal


def date_of(day: int) -> datetime.date:
    """The date of a day since 2018-09-01."""
    return REFERENCE_DATE + datetime.timedelta(days=int(day))


def dtype(config: Config) -> DTypeLike:
    """Type of the convolutions."""
    return jnp.bfloat16 if config.bf16 else jnp.float32
