"""Which instances tell what the probabilities of their classes are worth."""

from __future__ import annotations

import types

import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.tasks import PanopticModel, PanopticTask
from pastis_jax.types import (
    Batch,
    InstancePrediction,
    MaskFit,
    PanopticPrediction,
    PanopticTarget,
    Prediction,
)

CLASSES = ClassMapping.of(PASTIS_R.nomenclature)
NUMBER = len(CLASSES.names)
FOUND = {  # found, confidence, true instance, IoU
    "counts": (True, 0.5, 1, 0.6),
    "wrong class": (True, 0.9, 2, 0.9),
    "is void": (True, 0.9, 3, 0.9),
    "overlaps little": (True, 0.9, 1, 0.5),
    "is not sure": (True, 0.1, 1, 0.9),
    "is none": (False, 0.9, 1, 0.9),
    "has no parcel": (True, 0.9, 0, 0.0),
}


def made(real=True, valid=True):
    """A prediction of one image, all its instances of class 1, and a batch of three parcels."""
    found, confidence, instance, iou = (jnp.array([x]) for x in zip(*FOUND.values(), strict=True))
    slots = len(FOUND)
    logits = np.zeros((1, slots, NUMBER + 1), np.float32)
    logits[..., 1], logits[..., -1] = 2.0, 9.0  # void has one too, which is left out
    zeros = jnp.zeros((1, slots))
    instances = InstancePrediction(
        centre=jnp.zeros((1, slots, 2), jnp.int32),
        found=found,
        confidence=confidence,
        size=jnp.ones((1, slots, 2)),
        logits=logits,
        box=jnp.zeros((1, slots, 4), jnp.int32),
        dropped=jnp.zeros(1, jnp.int32),
        masks=jnp.zeros((1, slots, 4, 4), bool),
        fit=MaskFit(instance, zeros, zeros, iou),
    )
    image = jnp.zeros((1, 4, 4))
    target = PanopticTarget(
        heatmap=image,
        instances=image.astype(jnp.int32),
        zones=image.astype(jnp.int32),
        size=jnp.ones((1, 3, 2)),
        label=jnp.array([[1, 2, CLASSES.void]]),
        real=jnp.ones((1, 3), bool),
    )
    batch = Batch({}, image.astype(jnp.int32), jnp.array([real]), jnp.zeros(1, jnp.int32), target)
    return Prediction(PanopticPrediction(image, image, instances), jnp.array([valid])), batch


def task():
    return PanopticTask(PanopticModel(fusion="single", modalities=("S2",)), PASTIS_R, CLASSES)


def test_instances_that_match_a_parcel_count():
    metric, _ = task().metrics(types.SimpleNamespace(most_instances=3))["quality"]
    asked = {"min_confidence": jnp.float32(0.2), "temperature": 1.0, "fit": 1.0}
    counted = metric(*made(), **asked)
    assert counted.before.count.sum() == counted.fit.count == 2
    assert counted.before.correct.sum() == 1
    share = np.exp(2) / (np.exp(2) + NUMBER - 1)
    assert counted.before.confidence.sum() == pytest.approx(2 * share, rel=1e-5)
    for options in ({"real": False}, {"valid": False}):
        assert metric(*made(**options), **asked).before.count.sum() == 0


def test_probabilities_of_instances_are_at_the_temperature():
    prediction, _ = made()
    given = task().answer(prediction, min_confidence=0.2, temperature=2.0).probability
    assert given.shape == (1, len(FOUND), NUMBER)
    assert given[0, 0, 1] == pytest.approx(np.e / (np.e + NUMBER - 1), rel=1e-5)
    unseen = task().answer(made(valid=False)[0], min_confidence=0.2).probability
    assert np.isnan(unseen).all()
    assert task().output(prediction, min_confidence=0.2).probability is None
