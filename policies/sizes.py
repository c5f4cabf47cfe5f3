"""How large the network is, and what one embodiment's numbers look like to it."""

from dataclasses import dataclass

from handful import InputError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network. The data's own sizes (words, dims) are arguments of `policies.model.VLA`."""

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
