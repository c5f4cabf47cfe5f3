"""Layers that prefix and expert are made of."""

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of (N, heads, Q, C) on (N, heads, K, C) to (N, Q, heads * C).

    `mask` is true where attended: (N, K), or (N, Q, K) where queries differ; None: everywhere.
    """
    bias = None if mask is None else mask[:, None, None] if mask.ndim == 2 else mask[:, None]
    out = nnf.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return out.transpose(1, 2).flatten(2)


def perceptron(width: int, ratio: int) -> nn.Sequential:
    """A transformer's feed-forward layer, `ratio` times as wide inside."""
    return nn.Sequential(nn.Linear(width, width * ratio), nn.GELU(), nn.Linear(width * ratio, width))


class Block(nn.Module):
    """A pre-norm transformer layer with a key mask."""

    def __init__(self, width: int, heads: int, ratio: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = perceptron(width, ratio)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (N, T, width), mask (N, T) true = attended."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(attend(q, k, v, mask))
        return x + self.mlp(self.norm2(x))


class PerEmbodiment(nn.ModuleDict):
    """A linear layer for each embodiment, where their numbers enter or leave: all else is shared.

    Rows are zero-padded to the widest embodiment: each layer reads the first numbers of its rows, and what it gives is
    padded with zeros.
    """

    def __init__(self, inputs: Mapping[str, int], outputs: Mapping[str, int]):
        """Numbers in and out, by embodiment."""
        super().__init__({name: nn.Linear(size, outputs[name]) for name, size in inputs.items()})
        self.size = max(outputs.values())

    def forward(self, x: Tensor, embodiment: Tensor) -> Tensor:
        """x (B, ..., widest input), embodiment (B,) the index of each row's layer -> (B, ..., widest output)."""
        layers = [cast(nn.Linear, layer) for layer in self.values()]
        if len(layers) == 1:
            return layers[0](x)
        groups, results = [], []
        for i, layer in enumerate(layers):
            rows = (embodiment == i).nonzero()[:, 0]
            out = layer(x[rows][..., : layer.in_features])
            groups.append(rows)
            results.append(nnf.pad(out, (0, self.size - out.shape[-1])))
        return torch.cat(results)[torch.cat(groups).argsort()]
