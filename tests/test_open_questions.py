"""What the paper leaves open, as arguments: averages of decisions, weights, rates of dropout."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.fusion import average_decisions
from pastis_jax.runs.learning import drop_rates
from pastis_jax.training import count_parameters
from pastis_jax.types import Batch, Embedding, Prediction

LOGITS = {
    "S2": jnp.array([[2.0, 0.0, -1.0], [1.0, 1.0, 5.0]]),
    "S1A": jnp.array([[-3.0, 1.0, 0.0], [9.0, 0.0, 0.0]]),
}


def decided(average, valid=((True, True), (True, True))):
    embeddings = {
        name: Embedding(values=None, valid=jnp.array(own))
        for name, own in zip(LOGITS, valid, strict=True)
    }
    return np.asarray(jax.nn.softmax(average_decisions(LOGITS, embeddings, average)))


def test_decisions_are_averaged_as_asked():
    shares = np.stack([jax.nn.softmax(x) for x in LOGITS.values()])
    np.testing.assert_allclose(decided("probability"), shares.mean(0), rtol=1e-5)
    geometric = np.exp(np.log(shares).mean(0))
    geometric /= geometric.sum(-1, keepdims=True)
    np.testing.assert_allclose(decided("logit"), geometric, rtol=1e-5)
    mean = np.mean([*LOGITS.values()], 0)  # as equation 4 has it
    np.testing.assert_allclose(decided("logit"), jax.nn.softmax(mean), rtol=1e-5)


@pytest.mark.parametrize("average", ["probability", "logit"])
def test_a_missing_modality_has_no_say(average):
    alone = decided(average, valid=((True, False), (False, False)))
    np.testing.assert_allclose(alone[0], jax.nn.softmax(LOGITS["S2"][0]), rtol=1e-5)
    assert np.isfinite(alone).all()  # also of the sample without any


def task_of(name, **options):
    config = train.for_data(configure(name, **options))
    return train.make_task(config, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature)), config


def test_auxiliary_losses_have_their_weight():
    label, real = jnp.array([1, 2]), jnp.array([True, True])
    batch = Batch(series={}, label=label, real=real, number=None)
    logits = jnp.zeros((2, 20))
    part = Prediction(output=logits, valid=real)
    prediction = part.replace(auxiliary={"S2": part, "S1A": part})
    for weight in (0.5, 2.0, 0.0):
        task, _ = task_of("parcel", fusion="late", auxiliary=True, auxiliary_weight=weight)
        losses, _ = task.loss(prediction, batch)
        np.testing.assert_allclose(losses, (1 + 2 * weight) * np.log(20), rtol=1e-5)


def test_rates_of_dropout_are_the_dataset_s_or_given():
    task, config = task_of("parcel", temporal_dropout=True)
    own = drop_rates(task, config.recipe)
    assert own == {name: PASTIS_R[name].drop_rate for name in own}
    _, config = task_of("parcel", temporal_dropout=True, drop_rates=("S2=0.7",))
    assert drop_rates(task, config.recipe) == {**own, "S2": 0.7}
    _, config = task_of("parcel", temporal_dropout=True, drop_rates=("PS=0.7",))
    refused_in_a_line(lambda: drop_rates(task, config.recipe), "`drop_rates`", "PS", "S2")


def test_auxiliary_decoders_of_heatmaps_alone_are_smaller():
    def parameters(**options):
        task, _ = task_of("panoptic", fusion="late", modalities=("S2", "S1A"), **options)
        rngs = {name: jax.random.key(0) for name in ("params", "dropout")}

        def init():
            return task.model().init(rngs, task.example(), train=True)

        params = jax.eval_shape(init)["params"]
        return {name: count_parameters(part) for name, part in params.items()}

    plain, whole = parameters(), parameters(auxiliary=True)
    heatmap = parameters(auxiliary=True, auxiliary_parts="heatmap")
    added = whole.keys() - plain.keys()
    assert len(added) == 2
    assert heatmap.keys() == whole.keys()
    for name in added:
        assert 0 < heatmap[name] < whole[name] / 2
