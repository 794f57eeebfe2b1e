"""Series, batches and outputs: what every part of the library passes to the next.

Axis letters, here and everywhere: b batch, t dates, s sampled pixels, c channels, h w space,
n heads, d features, k classes, g geometric features, i instances. Channels are last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from flax import struct
from jaxtyping import Array, Bool, Float, Int, Num, PyTree

Outside = Literal["extrapolate", "hold", "mask"]
"""What stands before the first and after the last observed date of a series that is resampled: the
line through the two outermost days, as published, without bound; the nearest observed value; or
nothing, as the date is masked."""
Average = Literal["probability", "logit"]
"""What decision fusion averages: class probabilities, or their logarithms."""


@struct.dataclass
class Series:
    """One modality of a batch: an irregular time series whose validity is carried, never inferred.

    Attributes:
      values: Pixel sets ``b t s c``, images ``b t h w c``, or a pytree of features with leading
        ``b t`` or, packed, ``f``. Normalised, so without unit, but for what `Run.predict` takes.
      days: ``b t``, int32, days since the start of the season; arbitrary where not valid.
      valid: ``b t``, True for a real, undropped acquisition.
      pixels: ``b s``, True for a real pixel of a pixel set; None for images and features.
      geometric: ``b g``, static features of the parcel's outline; None when not used.
      frames: ``f``, int32, the dates that packed features hold (`nn.packing`); None for all.

    Examples:
      One parcel of 5 pixels and 2 channels; the last of its 3 dates is padding.

      >>> import numpy as np
      >>> series = Series(
      ...     values=np.zeros((1, 3, 5, 2), np.float32),
      ...     days=np.array([[4, 14, 0]]),
      ...     valid=np.array([[True, True, False]]),
      ...     pixels=np.ones((1, 5), bool),
      ... )
      >>> int(series.valid.sum())
      2
    """

    values: PyTree[Float[Array, "b t ..."]] | PyTree[Float[Array, "f ..."]]
    days: Int[Array, "b t"]
    valid: Bool[Array, "b t"]
    pixels: Bool[Array, "b s"] | None = None
    geometric: Float[Array, "b g"] | None = None
    frames: Int[Array, " f"] | None = None


@dataclasses.dataclass(frozen=True)
class Marks:
    """How stored values tell that nothing was observed. A program is compiled for each.

    Attributes:
      value: What marks a missing observation; None for none, and for NaN.
      nan: Whether NaN marks one.
      infinite: Whether NaN and -inf mark one: of decibels.
      zero: Whether an acquisition is missing that is 0 wherever it is not marked.
    """

    value: float | None = None
    nan: bool = False
    infinite: bool = False
    zero: bool = False


@struct.dataclass
class Stored:
    """One modality of a batch as it is stored: what travels to the device, `nn.raw` makes a
    `Series` of it there.

    Attributes:
      values: Pixel sets ``b t c s`` or images ``b t c h w``, of 16 bits where they are stored so.
      days: ``b t``, int32, days since the start of the season; arbitrary where not valid.
      valid: ``b t``, True for a real acquisition. One of which a channel was observed nowhere is
        not valid in the `Series`, whatever is said here.
      mean: ``b c``, float32, mean of each channel of what is stored: without the offset.
      deviation: ``b c``, float32, standard deviation of each channel; 0 of blank samples alone.
      pixels: ``b s``, True for a real pixel of a pixel set; None for images.
      geometric: ``b g``, as a `Series` has them; None when not used.
      marks: What tells that nothing was observed.
    """

    values: Num[Array, "b t c ..."]
    days: Int[Array, "b t"]
    valid: Bool[Array, "b t"]
    mean: Float[Array, "b c"]
    deviation: Float[Array, "b c"]
    pixels: Bool[Array, "b s"] | None = None
    geometric: Float[Array, "b g"] | None = None
    marks: Marks = struct.field(pytree_node=False, default=Marks())


@struct.dataclass
class Embedding:
    """What a temporal encoder returns: the features of a whole series.

    Attributes:
      values: ``b d``, maps ``b h w d``, or a pytree of these.
      valid: ``b``, True where the series had at least one valid date.

    Examples:
      >>> import numpy as np
      >>> embedding = Embedding(values=np.zeros((2, 128)), valid=np.array([True, False]))
      >>> embedding.values.shape
      (2, 128)
    """

    values: PyTree[Float[Array, "b ..."]]
    valid: Bool[Array, " b"]


@struct.dataclass
class Prediction:
    """What a fusion scheme returns.

    Attributes:
      output: What the decoder returns: logits ``b k`` or ``b h w k``, unnormalised
        log-probabilities, or a `PanopticPrediction`.
      valid: ``b``, True where at least one date of one modality was valid.
      auxiliary: Predictions of the auxiliary decoders by modality; empty at inference.

    Examples:
      >>> import numpy as np
      >>> prediction = Prediction(output=np.zeros((2, 18)), valid=np.array([True, True]))
      >>> prediction.output.argmax(-1).shape, prediction.auxiliary
      ((2,), {})
    """

    output: PyTree[Array]
    valid: Bool[Array, " b"]
    auxiliary: Mapping[str, Prediction] = struct.field(default_factory=dict)


@struct.dataclass
class PanopticTarget:
    """Panoptic truth of a batch of images.

    Attributes:
      heatmap: ``b h w``, float32, centerness, exactly 1 at each centre.
      instances: ``b h w``, int32, instance of each pixel from 1, 0 on background.
      zones: ``b h w``, int32, instance whose Gaussian is highest at the pixel, 0 in an image
        without any.
      size: ``b i 2``, float32, occupied rows and columns of each instance, pixels.
      label: ``b i``, int32, class index of each instance, void the number of classes; arbitrary
        where not real.
      real: ``b i``, slots that hold an instance: instance number = slot + 1.
      dropped: ``b``, int32, instances left out for want of slots; None where nobody counted.
    """

    heatmap: Float[Array, "b h w"]
    instances: Int[Array, "b h w"]
    zones: Int[Array, "b h w"]
    size: Float[Array, "b i 2"]
    label: Int[Array, "b i"]
    real: Bool[Array, "b i"]
    dropped: Int[Array, " b"] | None = None


@struct.dataclass
class MaskFit:
    """How predicted masks agree with the true instances that their centres were matched with.

    Attributes:
      instance: ``b i``, int32, the true instance, from 1; 0 for none.
      cross_entropy: ``b i``, sum over the pixels of the box.
      pixels: ``b i``, number of pixels of the box.
      iou: ``b i``, of the thresholded mask and the whole true instance.
    """

    instance: Int[Array, "b i"]
    cross_entropy: Float[Array, "b i"]
    pixels: Float[Array, "b i"]
    iou: Float[Array, "b i"]


@struct.dataclass
class InstancePrediction:
    """What is predicted at each centre.

    Attributes:
      centre: ``b i 2``, int32, row and column; arbitrary, like all below, where not found.
      found: ``b i``, slots that hold a centre.
      confidence: ``b i``, heatmap at the centre.
      size: ``b i 2``, rows and columns, pixels.
      logits: ``b i k``, of the instance's class.
      box: ``b i 4``, int32, top, left, bottom, right; half open, inside the image.
      dropped: ``b``, int32, number of centres beyond the slots.
      masks: ``b i h w``, bool; None in training.
      fit: Agreement with the target; None without one.
    """

    centre: Int[Array, "b i 2"]
    found: Bool[Array, "b i"]
    confidence: Float[Array, "b i"]
    size: Float[Array, "b i 2"]
    logits: Float[Array, "b i k"]
    box: Int[Array, "b i 4"]
    dropped: Int[Array, " b"]
    masks: Bool[Array, "b i h w"] | None = None
    fit: MaskFit | None = None


@struct.dataclass
class PanopticPrediction:
    """What a panoptic decoder returns.

    Attributes:
      heatmap: ``b h w``, centerness, 0 to 1.
      saliency: ``b h w``, what all instances have in common, as a logit; None while warming up.
      instances: What is predicted at the centres; None while warming up.
    """

    heatmap: Float[Array, "b h w"]
    saliency: Float[Array, "b h w"] | None = None
    instances: InstancePrediction | None = None


@struct.dataclass
class PanopticMap:
    """Panoptic map of a batch of images; slots are in falling order of confidence.

    Attributes:
      instances: ``b h w``, int32, slot + 1 of each pixel's instance, 0 on background.
      semantic: ``b h w``, int32, class of the pixel, 0 on background.
      label: ``b i``, int32, class of each slot.
      confidence: ``b i``, 0 to 1.
      box: ``b i 4``, int32, top, left, bottom, right; half open.
      kept: ``b i``, slots that have pixels on the map.
      dropped: ``b``, int32, number of centres beyond the slots.
      probability: ``b i k``, of each class, in what a run predicts; None elsewhere.

    Examples:
      An image of 1 x 3 pixels: an instance of class 4 on two of them, then background.

      >>> import numpy as np
      >>> found = PanopticMap(
      ...     instances=np.array([[[1, 1, 0]]]),
      ...     semantic=np.array([[[4, 4, 0]]]),
      ...     label=np.array([[4]]),
      ...     confidence=np.array([[0.9]]),
      ...     box=np.array([[[0, 0, 1, 2]]]),
      ...     kept=np.array([[True]]),
      ...     dropped=np.array([0]),
      ... )
      >>> int((found.instances == 1).sum())
      2
    """

    instances: Int[Array, "b h w"]
    semantic: Int[Array, "b h w"]
    label: Int[Array, "b i"]
    confidence: Float[Array, "b i"]
    box: Int[Array, "b i 4"]
    kept: Bool[Array, "b i"]
    dropped: Int[Array, " b"]
    probability: Float[Array, "b i k"] | None = None


@struct.dataclass
class Batch:
    """A batch of parcels (or patches).

    Attributes:
      series: By modality, as it is stored or normalised.
      label: ``b`` (or ``b h w``), int32 class index.
      real: ``b``, False for the samples that only fill up the last batch.
      number: ``b``, int32, number of the record in the source that the sample was made from.
      panoptic: Panoptic truth; None for other tasks.

    Examples:
      >>> import numpy as np
      >>> batch = Batch(
      ...     series={},
      ...     label=np.array([3, 0]),
      ...     real=np.array([True, False]),
      ...     number=np.array([7, 0]),
      ... )
      >>> batch.label[batch.real].tolist()
      [3]
    """

    series: Mapping[str, Series | Stored]
    label: Int[Array, "b ..."]
    real: Bool[Array, " b"]
    number: Int[Array, " b"]
    panoptic: PanopticTarget | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What the decoder gets beside the embedding, by keyword."""
        return {} if self.panoptic is None else {"target": self.panoptic}


Sample = Batch
"""One sample: the same fields without the axis ``b``, which encodings make of a record."""


class SpatialEncoder(Protocol):
    """S: encodes every acquisition by itself."""

    def __call__(self, series: Series, *, train: bool) -> Series: ...


class TemporalEncoder(Protocol):
    """T: reduces the dates of a feature series.

    `track=False` leaves running statistics alone: for calls that only supervise.
    """

    def __call__(self, series: Series, *, train: bool, track: bool = True) -> Embedding: ...


class Decoder(Protocol):
    """D: maps an embedding, and what else it is given, to logits."""

    def __call__(self, embedding: Embedding, *, train: bool, **given: Any) -> PyTree[Array]: ...
