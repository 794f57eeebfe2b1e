"""Convolutions: every way to compute them is the same function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.nn import conv, conv_cpu


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (4, 2)])
@pytest.mark.parametrize(("h", "w"), [(4, 4), (4, 10), (8, 6)])
def test_the_order_for_a_cpu_changes_nothing(h, w, size, stride, monkeypatch):
    """Values and gradients equal those of the padded convolution, float64."""
    # Groups of frames that do not divide their number; few enough pixels for a test.
    monkeypatch.setattr(conv_cpu, "PIXELS_PER_GROUP", 2 * h * w // stride**2)
    with jax.enable_x64():
        x = jax.random.normal(jax.random.key(0), (5, h, w, 3), jnp.float64)
        kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 4), jnp.float64)

        def both():
            def objective(x, kernel):
                y = conv.convolve(x, kernel, stride=stride)
                return jnp.sum(jnp.sin(y)), y

            return jax.jit(jax.value_and_grad(objective, argnums=(0, 1), has_aux=True))(x, kernel)

        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
        ours = both()
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        padded = both()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), ours, padded)


def test_transposed_convolution_is_the_gradient_of_the_strided_one():
    """Away from the border, which the strided one reflects."""
    with jax.enable_x64():
        x = jax.random.normal(jax.random.key(0), (1, 5, 5, 2), jnp.float64)
        kernel = jax.random.normal(jax.random.key(1), (4, 4, 2, 3), jnp.float64)
        y = conv.convolve_transposed(x, kernel)
        assert y.shape == (1, 10, 10, 3)
        flipped = kernel[::-1, ::-1].swapaxes(2, 3)
        _, pull_back = jax.vjp(lambda z: conv.convolve(z, flipped, stride=2), jnp.zeros_like(y))
        np.testing.assert_allclose(pull_back(x)[0][:, 2:-2, 2:-2], y[:, 2:-2, 2:-2], atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_zeros_around_the_image(size):
    """Values and gradients of the plain convolution."""
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = (
        jax.random.normal(keys[0], (2, 4, 7, 3)),
        jax.random.normal(keys[1], (size, size, 3, 2)),
    )

    def plain(x, kernel):
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)

    @jax.jit
    def both():
        results = []
        for function in (conv.convolve_same, plain):
            y, pull = jax.vjp(function, x, kernel)
            results.append(jax.tree.leaves((y, pull(jax.random.normal(keys[2], y.shape)))))
        return results

    for ours, theirs in zip(*both(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
