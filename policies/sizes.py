"""How large the network is, and what one embodiment's numbers look like to it."""

from dataclasses import dataclass
from typing import Literal

from handful import InputError, unknown_name

HeadName = Literal["flow", "mip", "l1", "bins"]
HEADS: tuple[HeadName, ...] = ("flow", "mip", "l1", "bins")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network. The data's own sizes (words, dims) are arguments of `policies.model.VLA`."""

    # How actions are learnt: flow matching, two-step regression, L1 regression, or discrete bins.
    head: HeadName = "flow"
    # Bins per action number, where the head is "bins".
    bins: int = 256
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
    # Whether telling the stage shapes what is seen, or only reads it; see `policies.stage`.
    stage_teaches: bool = False
    # Actions per token of the expert; divides the horizon.
    patch: int = 4
    # Longest instruction [words].
    words: int = 24
    # Observations that the policy looks at: the latest, and those before it.
    history: int = 1
    # From one of them to the next [control steps].
    history_stride: int = 4
    # Whether earlier images are looked at, or earlier proprioception alone; each costs a look of every eye.
    history_images: bool = True

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise unknown_name("model.head", self.head, HEADS)
        if self.bins < 2:
            raise InputError(f"model.bins must be at least 2, got {self.bins}")
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
            "history",
            "history_stride",
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
