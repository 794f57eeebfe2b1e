"""L-TAE: the temporal half of every model (Garnot and Landrieu, AALTD 2020)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.nn import DenseBatchNorm, Dropout, GroupNorm, masked_softmax, sinusoidal_day_code
from pastis_jax.nn.norm import rows_mask
from pastis_jax.nn.pixel_features import PixelFeatures
from pastis_jax.types import Embedding, Series


class LTAE(nn.Module):
    """Lightweight temporal attention: reduces the dates of a sequence of features to one vector.

    One learned query per head attends over dates; values are the embedded input cut into heads.
    On images every pixel is a sequence of its own. The attention weights are kept on request::

        embedding, kept = ltae.apply(variables, series, mutable=["intermediates"])
        attention, = kept["intermediates"]["attention"]     # b t n, or b t h w n

    Differs from the reference: masked dates enter neither the input norm nor anything else, so a
    padded series gives what the bare one gives; a series without valid dates stays finite. Input
    projection and keys start He-normal, so attention starts spread over dates. The published module
    draws keys N(0, sqrt(2 / d_k)), and its training scripts draw them again, Xavier-normal, and the
    projection N(0, 1), which starts from almost single dates (`reference_initialisation`).

    Attributes:
      features: Output width ``d``.
      model_features: Width of the embedded input; divisible by `heads`.
      heads: Number of heads ``n``; divides the widths of input and output too.
      key_features: Width of keys and queries.
      dropout: Dropout rate of the output.
      attention_dropout: Dropout rate of the attention weights.
      period: Period of the day code.
      frozen: Whether nothing is learned here: running statistics, no dropout, no gradient.
      axis_name: Mapped device axis, under `pmap`.
    """

    features: int = 128
    model_features: int = 256
    heads: int = 16
    key_features: int = 4
    dropout: float = 0.2
    attention_dropout: float = 0.1
    period: float = 1000.0
    frozen: bool = False
    axis_name: str | None = None

    def __call__(self, series: Series, *, train: bool = False, track: bool = True) -> Embedding:
        """Encodes `series`.

        Args:
          series: Features ``b t c`` or ``b t h w c``, or those of pixels that are made here
            (`nn.pixel_features`).
          train: Draw dropout (stream `dropout`) and use the batch's statistics.
          track: Update running statistics (when training).
        """
        return self.with_attention(series, train=train, track=track)[0]

    @nn.compact
    def with_attention(
        self, series: Series, *, train: bool = False, track: bool = True
    ) -> tuple[Embedding, Float[Array, "b t ... n"] | None]:
        """Encodes `series` and returns the attention that did it, after dropout.

        It is None where features are made a few pixels at a time: it would be as large as they.
        """
        train, attention = train and not self.frozen, None
        if isinstance(series.values, PixelFeatures):
            x = self._in_chunks(series, train)
        else:
            x, attention = self._reduce(series.values, series, train)
        valid = series.valid.any(axis=1)
        x = nn.relu(
            DenseBatchNorm(self.features, self.axis_name, name="mlp")(
                x, rows_mask(valid, x), train=train, track=track
            )
        )
        x = Dropout(self.dropout, self.axis_name)(x, train=train)
        # One time step and one sequence per vector: the groups alone are normalised.
        flat = x.reshape(-1, 1, x.shape[-1])
        flat = GroupNorm(self.heads, name="out_norm")(flat, jnp.ones(flat.shape[:2], bool))
        x = flat.reshape(x.shape)
        if self.frozen:
            x = jax.lax.stop_gradient(x)
        return Embedding(values=x, valid=valid), attention

    def _reduce(self, x, series, train):
        """The dates of `x` to one vector ``d``; and the attention."""
        x = GroupNorm(self.heads, name="in_norm")(x, series.valid)
        return self._attend(x, series.days, series.valid, train=train)

    def _in_chunks(self, series: Series, train: bool) -> Float[Array, "b h w d"]:
        """Reduces the dates of a few pixels at a time, computed again in the backward pass."""
        features = series.values

        def reduce(module, carry, chunk):
            return carry, module._reduce(features.of(chunk), series, train)[0]

        scan = nn.scan(
            nn.remat(reduce, prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
        )
        _, x = scan(self, None, features.chunks())
        return features.image(x)

    def _attend(
        self,
        x: Float[Array, "b t ... c"],
        days: Int[Array, "b t"],
        valid: Bool[Array, "b t"],
        *,
        train: bool,
    ) -> tuple[Float[Array, "b ... d"], Float[Array, "b t ... n"]]:
        """Attention over dates, with every linear map folded that can be.

        The direct order embeds each date, ``e = x W + b + p``, and takes keys ``e K + k``. Only the
        products with the queries are needed, so ``W``, ``K`` and the queries make one ``c n``
        matrix; and as values are linear in `x` too, ``W`` is applied once per head to the weighted
        mean of `x` instead of once per date.
        """
        channels, n, width = x.shape[-1], self.heads, self.model_features
        normal = nn.initializers.normal(math.sqrt(2 / self.key_features))
        kernel = self.param("in_kernel", nn.initializers.he_normal(), (channels, width))
        bias = self.param("in_bias", nn.initializers.zeros, (width,))
        query = self.param("query", normal, (n, self.key_features))
        key_kernel = self.param(
            "key_kernel", nn.initializers.he_normal(), (width, n * self.key_features)
        )
        key_bias = self.param("key_bias", nn.initializers.zeros, (n * self.key_features,))

        scaled = query / math.sqrt(self.key_features)
        to_logit = jnp.einsum("fnk,nk->fn", key_kernel.reshape(width, n, -1), scaled)
        constant = bias @ to_logit + jnp.sum(key_bias.reshape(n, -1) * scaled, -1)
        # The day code of width width/n is the same for every head.
        code = sinusoidal_day_code(days, width // n, period=self.period)
        day_logit = code @ to_logit.reshape(n, width // n, n).sum(0) + constant

        space = (1,) * (x.ndim - 3)
        per_date = (*days.shape, *space)
        logits = x @ (kernel @ to_logit) + day_logit.reshape(*per_date, n)
        attention = masked_softmax(logits, valid.reshape(*per_date, 1), axis=1)
        self.sow("intermediates", "attention", attention)
        attention = Dropout(self.attention_dropout, self.axis_name)(attention, train=train)

        weighted = jnp.einsum("bt...n,bt...c->b...nc", attention, x)
        heads = jnp.einsum("b...nc,cnj->b...nj", weighted, kernel.reshape(channels, n, -1))
        heads += attention.sum(1)[..., None] * bias.reshape(n, -1)
        heads += jnp.einsum("bt...n,btj->b...nj", attention, code)
        return heads.reshape(*heads.shape[:-2], width), attention
