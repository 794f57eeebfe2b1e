"""Products are counted as they are by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from benchmarks.arithmetic import Products, plain_order, products


def test_a_matrix_product():
    found = products(jnp.matmul, jnp.zeros((3, 4)), jnp.zeros((4, 5)))
    assert found == Products(3 * 4 * 5, 4 * (12 + 20 + 15))


def test_a_product_of_batches_in_half_precision():
    a, b = jnp.zeros((7, 3, 4), jnp.bfloat16), jnp.zeros((7, 4, 5), jnp.bfloat16)
    assert products(jnp.matmul, a, b) == Products(7 * 60, 7 * 2 * 47)


def convolve(x, kernel, **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    options = {"window_strides": (1, 1), "padding": "VALID", **options}
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **options)


IMAGE, KERNEL = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))


def test_a_convolution():
    # 6 x 6 pixels, each 3 x 3 x 3 products for 5 channels.
    assert products(convolve, IMAGE, KERNEL).multiply_adds == 2 * 36 * 27 * 5


def test_gradients_of_a_convolution_cost_what_it_does():
    def total(x, kernel):
        return convolve(x, kernel, padding="SAME").sum()

    forward = products(total, IMAGE, KERNEL).multiply_adds
    assert forward == 2 * 64 * 27 * 5
    trained = products(jax.value_and_grad(total, (0, 1)), IMAGE, KERNEL)
    assert trained.multiply_adds == 3 * forward


def test_zeros_between_dilated_pixels_cost_nothing():
    def halved(x):
        return convolve(x, KERNEL, window_strides=(2, 2), padding=((1, 1), (1, 1))).sum()

    forward = products(halved, IMAGE).multiply_adds
    assert forward == 2 * 16 * 27 * 5
    trained = products(jax.value_and_grad(halved), IMAGE)
    assert trained.multiply_adds == 2 * forward


def test_loops_and_choices():
    w = jnp.zeros((4, 4))

    def loop(x):
        return jax.lax.scan(lambda y, _: (y @ w, None), x, length=5)[0]

    def choice(flag, x):
        return jax.lax.cond(flag, lambda y: y @ w @ w, lambda y: y @ w, x)

    assert products(loop, w).multiply_adds == 5 * 64
    assert products(jax.jit(loop), w).multiply_adds == 5 * 64
    assert products(choice, True, w).multiply_adds == 2 * 64
    assert products(jax.grad(lambda x: jax.checkpoint(loop)(x).sum()), w).multiply_adds >= 2 * 320


def test_an_own_gradient_is_counted_once():
    @jax.custom_vjp
    def product(x, y):
        return x @ y

    product.defvjp(lambda x, y: (x @ y, (x, y)), lambda kept, g: (g @ kept[1].T, kept[0].T @ g))
    w = jnp.zeros((4, 4))
    assert products(product, w, w).multiply_adds == 64
    assert products(jax.grad(lambda x: product(x, w).sum()), w).multiply_adds == 3 * 64


def test_the_plain_order_is_chosen_while_it_is_asked_for():
    with plain_order():
        assert jax.default_backend() == "tpu"
    assert jax.default_backend() == "cpu"
