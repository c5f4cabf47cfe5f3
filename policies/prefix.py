"""The prefix: what the policy sees, reads and feels, encoded once per decision.

Each camera's image becomes a few keypoint tokens (a small convolutional stem, tuned to the instruction by FiLM, then
spatial soft-argmax: *where* is the thing the words mean, and what is there), joined by word, proprioception, embodiment
and domain tokens in a small transformer. Any module that keeps to `Prefix` can stand in its place, e.g. a pretrained
vision-language model; the action expert needs no more than its tokens and a summary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from handful import InputError, unknown_name
from policies.layers import Block, PerEmbodiment
from policies.sizes import Interface, ModelConfig


@dataclass
class Observation:
    """One batch of what the policy sees. With a history, T observations, the oldest first, the last one now."""

    images: dict[str, Tensor]  # camera -> (B, 3, S, S) or (B, T, 3, S, S) float in [0, 1]
    words: Tensor  # (B, W) int64, 0 = padding
    proprio: Tensor  # (B, P) or (B, T, P) float, normalised, zero-padded to the widest embodiment
    embodiment: Tensor  # (B,) int64
    domain: Tensor  # (B,) int64, 0 = not said
    history_mask: Tensor | None = None  # (B, T) bool, false before the episode's start; None: there is no history

    def latest(self) -> "Observation":
        """What is seen now, without what was before."""
        images = {camera: image[:, -1] if image.ndim == 5 else image for camera, image in self.images.items()}
        proprio = self.proprio[:, -1] if self.proprio.ndim == 3 else self.proprio
        return replace(self, images=images, proprio=proprio, history_mask=None)

    def doubled_without_domain(self) -> "Observation":
        """The rows, then the same rows with their domain unsaid."""

        def twice(value: Tensor) -> Tensor:
            return torch.cat([value, value])

        return Observation(
            {camera: twice(image) for camera, image in self.images.items()},
            twice(self.words),
            twice(self.proprio),
            twice(self.embodiment),
            torch.cat([self.domain, torch.zeros_like(self.domain)]),
            None if self.history_mask is None else twice(self.history_mask),
        )


@dataclass
class Encoded:
    """What a prefix makes of B observations."""

    tokens: Tensor  # (B, T, width)
    mask: Tensor  # (B, T) bool, true where attended
    summary: Tensor  # (B, width)


class Prefix(Protocol):
    """What the action expert asks of a prefix; an `nn.Module` that has these."""

    # Width of its tokens and of its summary.
    width: int

    def __call__(self, observation: Observation) -> Encoded:
        """Encode B observations; row by row, so that no row depends on another."""
        ...


class Eye(nn.Module):
    """One camera's stem: image and instruction to keypoint tokens.

    Convolutions at a quarter of the resolution, two of them scaled and shifted per channel by the instruction (FiLM);
    then attention maps over the grid, some of fixed features, some the product of the instruction with what is seen. A
    keypoint's token holds where its map is centred and the features found there. The raw colours join the features, and
    the maps start sharp: without both, finding the cube of the named colour begins with a plateau of hundreds of steps.
    """

    # Width of the keys that the instruction is compared with.
    KEY = 32
    # Factor on the maps' logits: at 1 the first maps are flat, and a flat map's centre teaches nothing.
    SHARPNESS = 4.0

    grid: Tensor
    picks: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        c, d = config.channels, 2 * config.channels
        self.named = config.named_keypoints
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(12, c, 3, 2, 1), nn.Conv2d(c, d, 3, 1, 1), nn.Conv2d(d, d, 3, 1, 1)]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(8, c), nn.GroupNorm(8, d), nn.GroupNorm(8, d)])
        self.film = nn.ModuleList([nn.Linear(config.width, 2 * d), nn.Linear(config.width, 2 * d)])
        features = d + 48
        self.maps = nn.Conv2d(features, config.keypoints, 1)
        self.query = nn.Linear(config.width, self.named * self.KEY)
        self.key = nn.Conv2d(features, self.KEY, 1)
        self.token = nn.Linear(features + 2, config.width)
        self.name = nn.Parameter(torch.zeros(config.keypoints + self.named, config.width))
        side = config.image_size // 4
        line = (torch.arange(side) + 0.5) / side * 2 - 1
        grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).flip(-1).reshape(side * side, 2)
        self.register_buffer("grid", grid, persistent=False)
        # Kernels that pick one of 3 x 4 x 4 pixels each, in the order of two unshufflings by 2.
        picks = torch.eye(48).view(48, 3, 4, 4)
        order = torch.arange(48).view(3, 2, 2, 2, 2).permute(0, 2, 4, 1, 3).flatten()
        self.register_buffer("picks", picks[order].contiguous(memory_format=torch.channels_last), persistent=False)

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, S, S) in [0, 1], text (B, width) -> tokens (B, K, width), places (B, K, 2) in [-1, 1].

        Everything lies in memory channels last: it is what convolutions like best, and what makes a list of cells a
        view. Colours and features are kept apart, because joining them would copy both.
        """
        x, colours = self._start(image * 4 - 2)
        x = nnf.relu_(self.norms[0](x))
        for convolution, norm, film in zip(self.convolutions[1:], self.norms[1:], self.film, strict=True):
            scale, shift = film(text)[:, :, None, None].chunk(2, 1)
            x = nnf.relu_(torch.addcmul(shift, norm(convolution(x)), 1 + scale))
        features = x.flatten(2).transpose(1, 2)
        d = features.shape[-1]
        weight = torch.cat([self.maps.weight, self.key.weight])[:, :, 0, 0]
        bias = torch.cat([_bias(self.maps), _bias(self.key)])
        seen = nnf.linear(features, weight[:, :d]) + nnf.linear(colours, weight[:, d:], bias)
        fixed, key = seen.split([self.maps.out_channels, self.KEY], -1)
        query = self.query(text).unflatten(-1, (self.named, self.KEY)) / math.sqrt(self.KEY)
        logits = torch.cat([fixed.transpose(1, 2), query @ key.transpose(1, 2)], 1)
        attention = (self.SHARPNESS * logits).softmax(-1)  # (B, keypoints, cells)
        where = attention @ self.grid
        what = [attention @ features, attention @ colours]
        return self.token(torch.cat([*what, 2 * where], -1)) + self.name, where

    def _start(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The first convolution, (B, c, S/4, S/4), and the image's blocks of 4x4 pixels as cells, (B, cells, 48).

        The first convolution is over blocks of 2x2 pixels as channels, which is one over pixels with kernels of 6x6;
        and picking blocks of pixels is one with a single 1 in each kernel. Both are quicker than moving pixels about.
        """
        first = cast(nn.Conv2d, self.convolutions[0])
        kernels = first.weight.unflatten(1, (3, 2, 2)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        x = nnf.conv2d(image, kernels.contiguous(memory_format=torch.channels_last), _bias(first), stride=4, padding=2)
        return x, nnf.conv2d(image, self.picks, stride=4).flatten(2).transpose(1, 2)


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer.bias, Tensor)
    return layer.bias


class KeypointPrefix(nn.Module):
    """The prefix that is trained from scratch. See the module's docstring."""

    def __init__(
        self,
        config: ModelConfig,
        cameras: tuple[str, ...],
        embodiments: Mapping[str, Interface],
        domains: int,
        vocabulary: int,
    ):
        """Build; for the arguments see `policies.model.VLA`."""
        super().__init__()
        w = self.width = config.width
        self.cameras = cameras
        self.word = nn.Embedding(vocabulary, w)
        self.word_position = nn.Parameter(torch.zeros(config.words, w))
        self.reader = Block(w, config.heads, config.mlp_ratio)
        self.eyes = nn.ModuleDict({camera: Eye(config) for camera in cameras})
        self.embodiment = nn.Embedding(len(embodiments), w)
        self.domain = nn.Embedding(domains + 1, w)
        self.plan = nn.Parameter(torch.zeros(w))
        # Where everything is, in one vector: turning places into motion is geometry, and a plain MLP learns it sooner
        # than attention does.
        places = 2 * len(cameras) * (config.keypoints + config.named_keypoints)
        self.fuse = nn.Sequential(nn.Linear(places + 2 * w, 2 * w), nn.SiLU(), nn.Linear(2 * w, w))
        self.proprio_in = PerEmbodiment({k: e.proprio for k, e in embodiments.items()}, dict.fromkeys(embodiments, w))
        self.blocks = nn.ModuleList([Block(w, config.heads, config.mlp_ratio) for _ in range(config.prefix_layers)])
        self.norm = nn.LayerNorm(w)
        self.history, self.history_images = config.history, config.history_images
        # Added to the tokens of earlier observations, the oldest first.
        self.age = nn.Parameter(torch.zeros(config.history - 1, w)) if config.history > 1 else None

    def forward(self, observation: Observation) -> Encoded:
        """Everything that depends on the observation alone."""
        for camera in self.cameras:
            if camera not in observation.images:
                raise unknown_name("camera", camera, observation.images)
        said = observation.words > 0
        words = self.reader(self.word(observation.words) + self.word_position[: said.shape[1]], said)
        text = (words * said[..., None]).sum(1) / said.sum(1, keepdim=True).clamp(min=1)
        now = observation.latest()
        state = self.proprio_in(now.proprio, now.embodiment)
        seen = [self.eyes[c](now.images[c], text) for c in self.cameras]
        places = torch.cat([where.flatten(1) for _, where in seen], 1)
        geometry = self.fuse(torch.cat([2 * places, text, state], 1))
        singles = [self.plan + text + geometry, state, self.embodiment(now.embodiment), self.domain(now.domain)]
        tokens = [torch.stack(singles, 1), *(token for token, _ in seen), words]
        masks = [said.new_ones(len(text), sum(t.shape[1] for t in tokens[:-1])), said]
        if self.age is not None:
            past, mask = self._past(observation, text, self.age)
            tokens, masks = [*tokens, past], [*masks, mask]
        x, shown = torch.cat(tokens, 1), torch.cat(masks, 1)
        for block in self.blocks:
            x = block(x, shown)
        x = self.norm(x)
        return Encoded(x, shown, x[:, 0] + geometry)

    def _past(self, observation: Observation, text: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, width) of the earlier observations, and which of them (B, N) are of this episode."""
        earlier = self.history - 1
        mask = observation.history_mask
        if mask is None or mask.shape[1] != self.history:
            given = 1 if mask is None else mask.shape[1]
            raise InputError(f"the policy looks at {self.history} observations at a time (model.history), got {given}")
        states = self.proprio_in(observation.proprio[:, :earlier], observation.embodiment) + age
        tokens, masks = [states], [mask[:, :earlier]]
        for camera in self.cameras if self.history_images else ():
            image = observation.images[camera][:, :earlier].flatten(0, 1)
            token, _ = self.eyes[camera](image, text.repeat_interleave(earlier, 0))
            token = token.unflatten(0, (-1, earlier)) + age[:, None]
            tokens.append(token.flatten(1, 2))
            masks.append(mask[:, :earlier].repeat_interleave(token.shape[2], 1))
        return torch.cat(tokens, 1), torch.cat(masks, 1)
