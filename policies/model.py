"""The policy network: images, an instruction and proprioception in, a chunk of actions out by flow matching.

Two parts, run at different rates. The *prefix* looks once per decision: each camera's image becomes a few keypoint
tokens (a small convolutional stem, tuned to the instruction by FiLM, then spatial soft-argmax: *where* is the thing the
words mean, and what is there), joined by word, proprioception, embodiment and domain tokens in a small transformer. The
*expert* is a transformer over the H action tokens that is run once per integration step and attends to the prefix,
whose keys and values are computed once and kept. Flow time modulates it through AdaLN-Zero.

Flow time runs from 0 (noise) to 1 (data), see `policies.flow`. Everything in and out of the network is normalised
(`policies.normalisation`); no object pose ever enters. Shapes: B samples, F flow times per sample, H actions, A action
numbers, W words, S pixels.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from handful import InputError, unknown_name
from policies.flow import integrate


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network. The data's own sizes (words, dims) are arguments of `FlowPolicy`."""

    # Side of the square image that the stem sees [pixels], a multiple of 4; frames are resized to it.
    image_size: int = 64
    # Channels of the stem's first convolution; the others have twice as many.
    channels: int = 32
    # Keypoints (= image tokens) per camera that look for fixed features.
    keypoints: int = 16
    # Keypoints per camera that look for what the instruction says.
    named_keypoints: int = 8
    # Width of every token.
    width: int = 96
    # Attention heads of prefix and expert.
    heads: int = 4
    # Transformer layers over the prefix.
    prefix_layers: int = 1
    # Transformer layers of the action expert.
    expert_layers: int = 3
    # Hidden width of the feed-forward layers, as a multiple of `width`.
    mlp_ratio: int = 2
    # Actions per token of the expert; divides the horizon.
    patch: int = 4
    # Longest instruction [words].
    words: int = 24

    def __post_init__(self) -> None:
        if self.image_size % 4 or self.image_size < 16:
            raise InputError(f"model.image_size must be a multiple of 4 and >= 16, got {self.image_size}")
        if self.width % (2 * self.heads):
            raise InputError(f"model.width must be a multiple of 2 * heads = {2 * self.heads}, got {self.width}")
        for name in (
            "channels",
            "keypoints",
            "named_keypoints",
            "prefix_layers",
            "expert_layers",
            "mlp_ratio",
            "patch",
            "words",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} must be >= 1, got {getattr(self, name)}")
        if self.channels % 8:
            raise InputError(f"model.channels must be a multiple of 8 (group norm), got {self.channels}")


@dataclass(frozen=True)
class Interface:
    """What one embodiment's numbers look like to the network."""

    # Proprioception numbers.
    proprio: int
    # Action numbers.
    action: int


@dataclass
class Observation:
    """One batch of what the policy sees."""

    images: dict[str, Tensor]  # camera -> (B, 3, S, S) float in [0, 1]
    words: Tensor  # (B, W) int64, 0 = padding
    proprio: Tensor  # (B, P) float, normalised, zero-padded to the widest embodiment
    embodiment: Tensor  # (B,) int64
    domain: Tensor  # (B,) int64, 0 = not said


@dataclass
class Context:
    """The prefix, computed once per decision: what the expert attends to."""

    keys: list[Tensor]  # per expert layer (B, heads, T, width / heads)
    values: list[Tensor]
    mask: Tensor  # (B, T) bool, true where attended
    summary: Tensor  # (B, width)
    embodiment: Tensor  # (B,) int64


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of (N, heads, Q, C) on (N, heads, K, C), mask (N, K) true = attended, to (N, Q, heads * C)."""
    bias = None if mask is None else mask[:, None, None, :]
    out = nnf.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return out.transpose(1, 2).flatten(2)


class PrefixBlock(nn.Module):
    """A pre-norm transformer layer with a key mask."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        w = config.width
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(w), nn.LayerNorm(w)
        self.qkv, self.out = nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.mlp = nn.Sequential(nn.Linear(w, w * config.mlp_ratio), nn.GELU(), nn.Linear(w * config.mlp_ratio, w))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(attend(q, k, v, mask))
        return x + self.mlp(self.norm2(x))


class ExpertBlock(nn.Module):
    """Joint attention of action tokens on the cached prefix and on each other, modulated by flow time (AdaLN-Zero)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        w = config.width
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(w, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(w, elementwise_affine=False)
        self.norm_prefix = nn.LayerNorm(w)
        self.kv_prefix = nn.Linear(w, 2 * w)
        self.qkv, self.out = nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.mlp = nn.Sequential(nn.Linear(w, w * config.mlp_ratio), nn.GELU(), nn.Linear(w * config.mlp_ratio, w))
        self.modulation = nn.Linear(w, 6 * w)

    def cache(self, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the (B, T, width) prefix for this layer."""
        k, v = self.kv_prefix(self.norm_prefix(prefix)).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, k_prefix: Tensor, v_prefix: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """x, (N, H, width); prefix (N, heads, T, C); mask (N, T + H); condition (N, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, -1)
        h = self.norm1(x) * (1 + scale1) + shift1
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = attend(q, torch.cat([k_prefix, k], 2), torch.cat([v_prefix, v], 2), mask)
        x = x + gate1 * self.out(h)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


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

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, S, S) in [0, 1], text (B, width) -> tokens (B, K, width), places (B, K, 2) in [-1, 1]."""
        colours = nnf.pixel_unshuffle(image * 4 - 2, 2).contiguous(memory_format=torch.channels_last)
        x = nnf.relu(self.norms[0](self.convolutions[0](colours)))
        for convolution, norm, film in zip(self.convolutions[1:], self.norms[1:], self.film, strict=True):
            scale, shift = film(text)[:, :, None, None].chunk(2, 1)
            x = nnf.relu(norm(convolution(x)) * (1 + scale) + shift)
        x = torch.cat([x, nnf.pixel_unshuffle(colours, 2)], 1)
        query = self.query(text).unflatten(-1, (self.named, self.KEY)) / math.sqrt(self.KEY)
        logits = torch.cat([self.maps(x).flatten(2), query @ self.key(x).flatten(2)], 1)
        attention = (self.SHARPNESS * logits).softmax(-1)  # (B, keypoints, cells)
        where = attention @ self.grid
        what = attention @ x.flatten(2).transpose(1, 2)
        return self.token(torch.cat([what, 2 * where], -1)) + self.name, where


class FlowPolicy(nn.Module):
    """The whole network. See the module's docstring."""

    def __init__(
        self,
        config: ModelConfig,
        cameras: tuple[str, ...],
        embodiments: Mapping[str, Interface],
        domains: int,
        vocabulary: int,
        horizon: int,
        waypoints: int = 0,
        seed: int = 0,
    ):
        """Build with seeded initial weights.

        Args:
            config: sizes.
            cameras: names of the cameras it sees, in the order of their tokens.
            embodiments: name -> its numbers; the order gives the index in `Observation.embodiment`.
            domains: number of known domains; index 0 is kept for "not said".
            vocabulary: number of word ids, padding and unknown included.
            horizon: H, actions per chunk.
            waypoints: future tool positions that the auxiliary head predicts, 0 for none.
            seed: of the initial weights.
        """
        super().__init__()
        if not cameras:
            raise InputError("a policy needs at least one camera")
        if horizon % config.patch:
            raise InputError(f"model.patch must divide the horizon, {horizon}, got {config.patch}")
        w = config.width
        self.config, self.cameras, self.horizon = config, cameras, horizon
        self.embodiments = dict(embodiments)
        self.action_size = max(e.action for e in embodiments.values())
        self.word = nn.Embedding(vocabulary, w)
        self.word_position = nn.Parameter(torch.zeros(config.words, w))
        self.reader = PrefixBlock(config)
        self.eyes = nn.ModuleDict({camera: Eye(config) for camera in cameras})
        self.embodiment = nn.Embedding(len(embodiments), w)
        self.domain = nn.Embedding(domains + 1, w)
        self.plan = nn.Parameter(torch.zeros(w))
        # Where everything is, in one vector: turning places into motion is geometry, and a plain MLP learns it sooner
        # than attention does.
        places = 2 * len(cameras) * (config.keypoints + config.named_keypoints)
        self.fuse = nn.Sequential(nn.Linear(places + 2 * w, 2 * w), nn.SiLU(), nn.Linear(2 * w, w))
        self.proprio_in = nn.ModuleDict({name: nn.Linear(e.proprio, w) for name, e in embodiments.items()})
        sizes = {name: config.patch * e.action for name, e in embodiments.items()}
        self.action_in = nn.ModuleDict({name: nn.Linear(size, w) for name, size in sizes.items()})
        self.action_out = nn.ModuleDict({name: nn.Linear(w, size) for name, size in sizes.items()})
        self.action_position = nn.Parameter(torch.zeros(horizon // config.patch, w))
        self.prefix = nn.ModuleList([PrefixBlock(config) for _ in range(config.prefix_layers)])
        self.prefix_norm = nn.LayerNorm(w)
        self.time = nn.Sequential(nn.Linear(w, w), nn.SiLU(), nn.Linear(w, w))
        self.expert = nn.ModuleList([ExpertBlock(config) for _ in range(config.expert_layers)])
        self.final_norm = nn.LayerNorm(w, elementwise_affine=False)
        self.final_modulation = nn.Linear(w, 2 * w)
        self.waypoints: nn.Linear | None = nn.Linear(w, 3 * waypoints) if waypoints else None
        self._initialise(seed)

    def _initialise(self, seed: int) -> None:
        """Seeded: He for convolutions, Xavier for linear layers, small normal tables, zero modulations and outputs."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            elif "norm" in name and parameter.ndim == 1:
                nn.init.ones_(parameter)
            elif any(part in name for part in ("modulation", "action_out")):
                nn.init.zeros_(parameter)
            elif name.startswith(("word.", "domain.", "embodiment.")) or not name.endswith("weight"):
                # Words start large enough to be told apart: the stem's FiLM has to find the colour in them.
                nn.init.normal_(parameter, std=0.5 if name == "word.weight" else 0.02, generator=generator)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)

    def _by_embodiment(self, layers: nn.ModuleDict, x: Tensor, index: Tensor, size: int | None) -> Tensor:
        """Apply each row's own linear layer. `size`: number of outputs to pad to; None: all give the same."""
        groups, results = [], []
        for i, layer in enumerate(cast(Iterable[nn.Linear], layers.values())):
            rows = (index == i).nonzero()[:, 0] if len(layers) > 1 else torch.arange(len(x), device=x.device)
            y = layer(x[rows][..., : layer.in_features])
            groups.append(rows)
            results.append(nnf.pad(y, (0, size - y.shape[-1])) if size else y)
        return torch.cat(results)[torch.cat(groups).argsort()]

    def encode(self, observation: Observation) -> Context:
        """Run the prefix: everything that does not depend on flow time."""
        for camera in self.cameras:
            if camera not in observation.images:
                raise unknown_name("camera", camera, observation.images)
        said = observation.words > 0
        words = self.reader(self.word(observation.words) + self.word_position[: said.shape[1]], said)
        text = (words * said[..., None]).sum(1) / said.sum(1, keepdim=True).clamp(min=1)
        state = self._by_embodiment(self.proprio_in, observation.proprio, observation.embodiment, None)
        seen = [self.eyes[c](observation.images[c], text) for c in self.cameras]
        places = torch.cat([where.flatten(1) for _, where in seen], 1)
        geometry = self.fuse(torch.cat([2 * places, text, state], 1))
        singles = [
            self.plan + text + geometry,
            state,
            self.embodiment(observation.embodiment),
            self.domain(observation.domain),
        ]
        tokens = [torch.stack(singles, 1), *(token for token, _ in seen), words]
        prefix = torch.cat(tokens, 1)
        mask = torch.cat([said.new_ones(len(text), prefix.shape[1] - said.shape[1]), said], 1)
        for block in self.prefix:
            prefix = block(prefix, mask)
        prefix = self.prefix_norm(prefix)
        cached = [cast(ExpertBlock, block).cache(prefix) for block in self.expert]
        summary = prefix[:, 0] + geometry
        return Context([k for k, _ in cached], [v for _, v in cached], mask, summary, observation.embodiment)

    def velocity(self, context: Context, actions: Tensor, time: Tensor, valid: Tensor | None = None) -> Tensor:
        """The velocity at noisy actions.

        Args:
            context: the prefix of B samples.
            actions: (B, F, H, A) noisy actions, normalised.
            time: (B, F) flow time in [0, 1], 0 = noise.
            valid: (B, H) bool, false for padded actions, which nothing then attends to; None: all are valid.

        Returns:
            (B, F, H, A) velocity d action / d time.
        """
        b, f, h, _ = actions.shape
        half = self.config.width // 2
        rates = torch.exp(torch.linspace(0.0, math.log(200.0), half, device=time.device))
        angles = time.flatten()[:, None] * rates
        condition = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        condition = nnf.silu(condition + context.summary.repeat_interleave(f, 0))
        valid = valid if valid is not None else context.mask.new_ones(b, h)
        # A token may hold valid and padded actions: what stands in the padded ones must not reach the others.
        actions = actions * valid[:, None, :, None]
        # Number by number, then action by action: a robot with fewer numbers uses the first ones.
        patches = actions.unflatten(2, (-1, self.config.patch)).transpose(-1, -2).flatten(-2)
        x = self._by_embodiment(self.action_in, patches, context.embodiment, None) + self.action_position
        x = x.flatten(0, 1)
        # A token with a padded action in it is attended to as long as one of its actions is valid.
        valid = valid.unflatten(1, (-1, self.config.patch)).any(-1)
        mask = torch.cat([context.mask, valid], 1).repeat_interleave(f, 0)
        for block, k, v in zip(self.expert, context.keys, context.values, strict=True):
            x = block(x, k.repeat_interleave(f, 0), v.repeat_interleave(f, 0), mask, condition)
        shift, scale = self.final_modulation(condition)[:, None].chunk(2, -1)
        x = (self.final_norm(x) * (1 + scale) + shift).unflatten(0, (b, f))
        x = self._by_embodiment(self.action_out, x, context.embodiment, self.config.patch * self.action_size)
        return x.unflatten(-1, (self.action_size, self.config.patch)).transpose(-1, -2).flatten(2, 3)

    def foretell(self, context: Context) -> Tensor:
        """Where the tool will be at the waypoints, (B, waypoints, 3), normalised displacements."""
        if self.waypoints is None:
            raise InputError("this policy has no waypoint head; give `waypoints` when it is built")
        return self.waypoints(context.summary).unflatten(-1, (-1, 3))

    @torch.no_grad()
    def sample(self, observation: Observation, noise: Tensor, steps: int) -> Tensor:
        """Integrate (B, H, A) noise to normalised actions with `steps` Euler steps."""
        context = self.encode(observation)
        return integrate(lambda x, t: self.velocity(context, x[:, None], t[:, None])[:, 0], noise, steps)
