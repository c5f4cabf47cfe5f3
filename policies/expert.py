"""The action expert: a transformer over the tokens of a chunk of actions that attends to the prefix.

It runs once per integration step, the prefix once per decision: `Expert.look` computes the prefix's keys and values for
every layer, and `Expert.forward` uses them again and again. Flow time and the prefix's summary modulate it through
AdaLN-Zero (Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023).

Shapes: B samples, F flow times per sample, H actions, A action numbers, T tokens of the prefix.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from handful import InputError
from policies.layers import PerEmbodiment, attend, perceptron
from policies.prefix import Encoded
from policies.sizes import Interface, ModelConfig


@dataclass
class Context:
    """The prefix as the expert keeps it: computed once per decision."""

    keys: list[Tensor]  # per expert layer (B, heads, T, width / heads)
    values: list[Tensor]
    mask: Tensor  # (B, T) bool, true where attended
    summary: Tensor  # (B, width)
    embodiment: Tensor  # (B,) int64
    # How strongly the domain is meant. Unless it is 1, the second half of the rows is the first without its domain.
    guidance: float = 1.0


class ExpertBlock(nn.Module):
    """Joint attention of action tokens on the cached prefix and on each other, modulated by flow time (AdaLN-Zero)."""

    def __init__(self, config: ModelConfig, prefix_width: int):
        super().__init__()
        w = config.width
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(w, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(w, elementwise_affine=False)
        self.norm_prefix = nn.LayerNorm(prefix_width)
        self.kv_prefix = nn.Linear(prefix_width, 2 * w)
        self.qkv, self.out = nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.mlp = perceptron(w, config.mlp_ratio)
        self.modulation = nn.Linear(w, 6 * w)

    def cache(self, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the (B, T, prefix width) prefix for this layer."""
        k, v = self.kv_prefix(self.norm_prefix(prefix)).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, k_prefix: Tensor, v_prefix: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """x, (B, F, H, width); prefix (B, heads, T, C); `mask` as `attend` takes it; condition (B, F, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, :, None].chunk(6, -1)
        h = torch.addcmul(shift1, self.norm1(x), 1 + scale1)
        q, k, v = self.qkv(h.flatten(1, 2)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = attend(q, torch.cat([k_prefix, k], 2), torch.cat([v_prefix, v], 2), mask)
        x = torch.addcmul(x, gate1, self.out(h).view_as(x))
        h = torch.addcmul(shift2, self.norm2(x), 1 + scale2)
        return torch.addcmul(x, gate2, self.mlp(h))


class Expert(nn.Module):
    """From a prefix, actions and flow times to numbers per action. See the module's docstring."""

    def __init__(
        self,
        config: ModelConfig,
        prefix_width: int,
        embodiments: Mapping[str, Interface],
        horizon: int,
        outputs: int = 1,
        reads_actions: bool = True,
    ):
        """Build.

        Args:
            config: sizes.
            prefix_width: of the prefix's tokens and summary.
            embodiments: name -> its numbers.
            horizon: H, actions per chunk.
            outputs: numbers given per action number.
            reads_actions: whether it is given actions; otherwise its tokens start as their places in the chunk.

        Raises:
            InputError: actions per token do not divide the horizon.
        """
        super().__init__()
        if horizon % config.patch:
            raise InputError(f"model.patch must divide the horizon, {horizon}, got {config.patch}")
        w, self.width, self.patch = config.width, config.width, config.patch
        self.numbers = max(e.action for e in embodiments.values())
        sizes = {name: config.patch * e.action for name, e in embodiments.items()}
        self.position = nn.Parameter(torch.zeros(horizon // config.patch, w))
        self.outputs = outputs
        self.action_in = PerEmbodiment(sizes, dict.fromkeys(sizes, w)) if reads_actions else None
        self.action_out = PerEmbodiment(dict.fromkeys(sizes, w), {name: outputs * n for name, n in sizes.items()})
        self.time = nn.Sequential(nn.Linear(w, w), nn.SiLU(), nn.Linear(w, w))
        # A prefix of another width is brought to the expert's.
        self.summary = nn.Identity() if prefix_width == w else nn.Linear(prefix_width, w)
        self.blocks = nn.ModuleList([ExpertBlock(config, prefix_width) for _ in range(config.expert_layers)])
        self.final_norm = nn.LayerNorm(w, elementwise_affine=False)
        self.final_modulation = nn.Linear(w, 2 * w)

    def look(self, encoded: Encoded, embodiment: Tensor) -> Context:
        """Keep what the layers need of the prefix; embodiment (B,)."""
        cached = [cast(ExpertBlock, block).cache(encoded.tokens) for block in self.blocks]
        keys, values = [k for k, _ in cached], [v for _, v in cached]
        return Context(keys, values, encoded.mask, self.summary(encoded.summary), embodiment)

    def forward(self, context: Context, actions: Tensor | None, time: Tensor, valid: Tensor | None = None) -> Tensor:
        """What the network says at some actions and flow times.

        Args:
            context: the prefix of B samples.
            actions: (B, F, H, A), normalised; None where it reads none.
            time: (B, F) flow time in [0, 1], 0 = noise.
            valid: (B, H) bool, false for padded actions, which nothing then attends to; None: all are valid.

        Returns:
            (B, F, H, A), or (B, F, H, A, outputs) where there is more than one; zero in the numbers that a row's
            embodiment does not have.
        """
        b, f = time.shape
        rates = torch.exp(torch.linspace(0.0, math.log(200.0), self.width // 2, device=time.device))
        angles = time.flatten()[:, None] * rates
        condition = self.time(torch.cat([angles.sin(), angles.cos()], -1)).unflatten(0, (b, f))
        condition = nnf.silu(condition + context.summary[:, None])
        valid = valid if valid is not None else context.mask.new_ones(b, len(self.position) * self.patch)
        if self.action_in is None or actions is None:
            x = self.position.expand(b, f, -1, -1)
        else:
            # A token may hold valid and padded actions: what stands in the padded ones must not reach the others.
            actions = actions * valid[:, None, :, None]
            # Number by number, then action by action: a robot with fewer numbers uses the first ones.
            patches = actions.unflatten(2, (-1, self.patch)).transpose(-1, -2).flatten(-2)
            x = self.action_in(patches, context.embodiment) + self.position
        # A token with a padded action in it is attended to as long as one of its actions is valid.
        valid = valid.unflatten(1, (-1, self.patch)).any(-1)
        mask = self._mask(context.mask, valid, f)
        for block, k, v in zip(self.blocks, context.keys, context.values, strict=True):
            x = block(x, k, v, mask, condition)
        shift, scale = self.final_modulation(condition)[:, :, None].chunk(2, -1)
        x = self.action_out(torch.addcmul(shift, self.final_norm(x), 1 + scale), context.embodiment)
        x = x.unflatten(-1, (self.numbers, self.patch, self.outputs)).transpose(-2, -3).flatten(2, 3)
        return x[..., 0] if self.outputs == 1 else x

    @staticmethod
    def _mask(prefix: Tensor, valid: Tensor, times: int) -> Tensor:
        """Which of (T + F * H) keys each of F * H action tokens attends to, (B, F * H, T + F * H), or (B, T + H).

        The chunks at a sample's F flow times stand side by side: they share the prefix's keys, which so need no copies,
        and do not see each other.
        """
        if times == 1:
            return torch.cat([prefix, valid], 1)
        tokens = valid.shape[1]
        own = torch.eye(times, dtype=torch.bool, device=valid.device).repeat_interleave(tokens, 1)
        own = own[:, None].expand(-1, tokens, -1).flatten(0, 1)
        of_actions = own & valid.repeat(1, times)[:, None]
        return torch.cat([prefix[:, None].expand(-1, times * tokens, -1), of_actions], 2)
