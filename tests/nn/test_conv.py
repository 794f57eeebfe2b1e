"""Convolutions: every way to compute them is the same function."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.nn import conv, conv_cpu, norm_cpu
from pastis_jax.nn.norm import image_group_norm


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


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (4, 2)])
@pytest.mark.parametrize(("groups", "relu"), [(4, True), (8, False)])
def test_the_norm_for_a_cpu_changes_nothing(size, stride, groups, relu, monkeypatch):
    """Values and gradients equal those of one step after the other, float64."""
    h, w = (6, 8) if stride == 2 else (5, 7)
    monkeypatch.setattr(conv_cpu, "PIXELS_PER_GROUP", 2 * h * w)  # Does not divide five frames.
    with jax.enable_x64():
        draw = iter(jax.random.split(jax.random.key(0), 6))
        # Far from zero, where variances of single passes lose their digits.
        x = 5 + jax.random.normal(next(draw), (5, h, w, 3), jnp.float64)
        kernel = jax.random.normal(next(draw), (size, size, 3, 8), jnp.float64)
        vectors = [jax.random.normal(next(draw), 8, jnp.float64) for _ in range(3)]
        upstream = jax.random.normal(next(draw), (5, h // stride, w // stride, 8), jnp.float64)

        def plain(x, kernel, bias, scale, offset):
            y = conv.convolve(x, kernel, stride=stride) + bias
            z = image_group_norm(y, scale, offset, groups=groups)
            return jax.nn.relu(z) if relu else z

        def ours(*arguments):
            how = norm_cpu.How(stride, groups, relu, jnp.float64)
            return norm_cpu.convolve_and_normalise(*arguments, how)

        def both(function):
            z, pull_back = jax.vjp(function, x, kernel, *vectors)
            return z, *pull_back(upstream)

        found = jax.jit(both, static_argnums=0)(ours)
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        expected = jax.jit(both, static_argnums=0)(plain)
        chex.assert_trees_all_close(found, expected, atol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("norm", ["group", "instance"])
def test_a_layer_is_the_same_on_every_platform(norm, dtype, monkeypatch):
    """Values and gradients; a result of another type, frames that take more than one turn."""
    # Without ReLU: where its input rounds to the other side of zero, gradients differ.
    layer = conv.ConvNorm(8, norm=norm, relu=False, dtype=dtype, result=jnp.float32)
    x = jax.random.normal(jax.random.key(0), (9, 32, 32, 8))
    variables = layer.init(jax.random.key(1), x, jnp.ones(9, bool), True)

    def both(backend):
        monkeypatch.setattr(jax, "default_backend", lambda: backend)

        @jax.jit
        def run(variables, x):
            z, pull_back = jax.vjp(
                lambda *a: layer.apply(*a, jnp.ones(9, bool), True), variables, x
            )
            return z, *pull_back(jnp.cos(jnp.arange(z.size, dtype=z.dtype)).reshape(z.shape))

        return run(variables, x)

    ours, plain = both("cpu"), both("gpu")
    chex.assert_trees_all_equal_dtypes(ours, plain)
    # Gradients are sums over 9216 pixels; that of the bias is 0 but for rounding.
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        tolerance = 1e-4 if dtype == jnp.float32 else 2e-2
        np.testing.assert_allclose(a, b, atol=tolerance * max(1, float(jnp.abs(b).max())))


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
