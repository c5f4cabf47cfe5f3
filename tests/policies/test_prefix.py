"""Another prefix than the built-in one, as a pretrained vision-language model would be plugged in."""

import torch
from torch import Tensor, nn

from policies.model import VLA
from policies.prefix import Encoded, Eye, Observation
from policies.samples import Sample
from tests.policies.test_model import TINY, make_observation, make_policy


class Frozen(nn.Module):
    """Stands for a pretrained backbone: a token of the image and one of the words, of its own width; never learns."""

    width = 20

    def __init__(self):
        super().__init__()
        self.see, self.read = nn.Linear(3, self.width), nn.Embedding(9, self.width)
        self.requires_grad_(False)

    def forward(self, observation: Observation) -> Encoded:
        seen = self.see(observation.images["front"].mean((2, 3)))
        tokens = torch.stack([seen, self.read(observation.words).mean(1)], 1)
        return Encoded(tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool), tokens.mean(1))


def make_sample(batch: int, seed: int = 0) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    seen = make_observation(batch)
    return Sample(
        images={},
        words=seen.words,
        proprio=seen.proprio,
        embodiment=seen.embodiment,
        domain=seen.domain,
        actions=torch.randn(batch, 6, 4, generator=generator),
        valid=torch.ones(batch, 6, dtype=torch.bool),
        waypoints=torch.randn(batch, 2, 3, generator=generator),
        subtask=torch.zeros(batch, dtype=torch.int64),
        progress=torch.zeros(batch),
    )


def step(policy: VLA, optimizer: torch.optim.Optimizer) -> float:
    sample = make_sample(8)
    draws = policy.draw(sample, torch.Generator().manual_seed(1))
    loss = policy.loss(make_observation(8), sample, draws).total
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def test_a_frozen_prefix_of_another_width_takes_the_place_of_the_built_in_one():
    torch.manual_seed(0)
    prefix = Frozen()
    before = {name: value.clone() for name, value in prefix.state_dict().items()}
    policy = make_policy(prefix=prefix)
    assert sum(p.numel() for p in policy.parameters()) < sum(p.numel() for p in make_policy().parameters())
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=3e-3)
    losses = [step(policy, optimizer) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]
    assert all((value == before[name]).all() for name, value in policy.prefix.state_dict().items())
    actions = policy.sample(make_observation(3), torch.randn(3, 6, 4), steps=2)
    assert actions.shape == (3, 6, 4)
    assert actions.isfinite().all()


def test_what_the_frozen_prefix_sees_reaches_the_actions():
    torch.manual_seed(0)
    policy = make_policy(prefix=Frozen())
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(20):
        step(policy, optimizer)
    seen, noise = make_observation(2), torch.zeros(2, 6, 4)
    dark = Observation(**{**vars(seen), "images": {"front": 0 * seen.images["front"]}})
    difference: Tensor = policy.sample(seen, noise, 3) - policy.sample(dark, noise, 3)
    assert difference.abs().max() > 1e-4


def test_the_built_in_prefix_has_the_width_of_its_tokens():
    policy = make_policy()
    encoded = policy.prefix(make_observation(2))
    assert encoded.tokens.shape[-1] == encoded.summary.shape[-1] == policy.prefix.width == TINY.width
    assert encoded.mask.shape == encoded.tokens.shape[:2]


def test_an_eye_starts_on_blocks_of_pixels():
    torch.manual_seed(0)
    eye, image = Eye(TINY), torch.rand(3, 3, TINY.image_size, TINY.image_size)
    first, cells = eye._start(image)
    blocks = nn.functional.pixel_unshuffle(image, 2)
    torch.testing.assert_close(first, eye.convolutions[0](blocks))
    of_cells = nn.functional.pixel_unshuffle(blocks, 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(cells, of_cells, rtol=0, atol=0)
