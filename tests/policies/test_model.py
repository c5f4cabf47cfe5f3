from dataclasses import replace

import numpy as np
import pytest
import torch

from handful import InputError
from policies.flow import interpolate, masked_mean
from policies.model import VLA
from policies.prefix import Observation
from policies.samples import Sample
from policies.sizes import HEADS, Interface, ModelConfig

TINY = ModelConfig(
    image_size=16, channels=8, keypoints=4, named_keypoints=4, width=32, heads=2, expert_layers=1, patch=2
)


def make_policy(config: ModelConfig = TINY, seed: int = 0, **changes) -> VLA:
    settings = {"cameras": ("front",), "embodiments": {"arm": Interface(13, 4)}, "domains": 2, "vocabulary": 9}
    return VLA(config, **{**settings, "horizon": 6, "waypoints": 2, "seed": seed, **changes})


def make_observation(batch: int, words: int = 5, side: int = 16, seed: int = 0) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    return Observation(
        images={"front": torch.rand(batch, 3, side, side, generator=generator)},
        words=torch.randint(1, 9, (batch, words), generator=generator),
        proprio=torch.randn(batch, 13, generator=generator),
        embodiment=torch.zeros(batch, dtype=torch.int64),
        domain=torch.zeros(batch, dtype=torch.int64),
    )


def disturbed(policy: VLA) -> VLA:
    """Move every parameter, so that gates and outputs that start at zero let information through."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return policy


def test_padded_actions_change_neither_the_velocity_of_valid_ones_nor_the_loss():
    policy, seen = disturbed(make_policy()), make_observation(2)
    context = policy.encode(seen)
    valid = torch.tensor([[True] * 3 + [False] * 3] * 2)
    actions, time = torch.randn(2, 3, 6, 4), torch.rand(2, 3)
    other = actions.clone()
    other[:, :, 3:] = 50.0
    first = policy.expert(context, actions, time, valid)
    second = policy.expert(context, other, time, valid)
    torch.testing.assert_close(first[:, :, :3], second[:, :, :3])
    shown = valid[:, None, :, None]
    torch.testing.assert_close(masked_mean(first**2, shown), masked_mean(second**2, shown))


def test_padding_of_the_instruction_changes_nothing():
    policy, seen = disturbed(make_policy()), make_observation(2, words=5)
    longer = Observation(**{**vars(seen), "words": torch.cat([seen.words, torch.zeros(2, 6, dtype=torch.int64)], 1)})
    noise = torch.randn(2, 6, 4)
    torch.testing.assert_close(policy.sample(seen, noise, 3), policy.sample(longer, noise, 3))


def test_word_order_matters():
    policy, seen = disturbed(make_policy()), make_observation(1)
    turned = Observation(**{**vars(seen), "words": seen.words.flip(1)})
    noise = torch.randn(1, 6, 4)
    assert (policy.sample(seen, noise, 3) - policy.sample(turned, noise, 3)).abs().max() > 1e-4


def test_flow_times_of_one_sample_do_not_see_each_other():
    policy, seen = disturbed(make_policy()), make_observation(2)
    context = policy.encode(seen)
    actions, time = torch.randn(2, 3, 6, 4), torch.rand(2, 3)
    together = policy.expert(context, actions, time)
    alone = policy.expert(context, actions[:, 1:2], time[:, 1:2])
    torch.testing.assert_close(together[:, 1:2], alone)


def test_initial_velocity_is_zero_and_initial_weights_follow_the_seed():
    policy = make_policy(seed=3)
    out = policy.expert(policy.encode(make_observation(2)), torch.randn(2, 1, 6, 4), torch.rand(2, 1))
    assert (out == 0).all()
    same, other = make_policy(seed=3).state_dict(), make_policy(seed=4).state_dict()
    assert all((value == same[name]).all() for name, value in policy.state_dict().items())
    assert any((value != other[name]).any() for name, value in policy.state_dict().items())


def test_every_parameter_learns():
    policy, seen = disturbed(make_policy(domains=2)), make_observation(4)
    context = policy.encode(seen)
    loss = policy.expert(context, torch.randn(4, 2, 6, 4), torch.rand(4, 2)).square().mean()
    (loss + policy.foretell(context).square().mean()).backward()
    silent = [name for name, p in policy.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert silent == []


def test_embodiments_of_different_sizes_share_a_batch():
    sizes = {"arm": Interface(13, 4), "long": Interface(17, 8)}
    policy = disturbed(make_policy(embodiments=sizes))
    seen = make_observation(3)
    seen.proprio = torch.cat([seen.proprio, torch.zeros(3, 4)], 1)
    seen.embodiment = torch.tensor([1, 0, 1])
    noise = torch.randn(3, 6, 8)
    mixed = policy.sample(seen, noise, 2)
    alone = Observation(seen.images, seen.words, seen.proprio, torch.tensor([0, 0, 0]), seen.domain)
    torch.testing.assert_close(mixed[1], policy.sample(alone, noise, 2)[1])
    assert (mixed[0] - policy.sample(alone, noise, 2)[0]).abs().max() > 1e-3


def two_robots() -> tuple[VLA, Observation]:
    """A policy for two robots, and three scenes of the wider, the narrower and the wider one."""
    policy = disturbed(make_policy(embodiments={"arm": Interface(13, 4), "long": Interface(17, 8)}))
    seen = make_observation(3)
    seen.proprio = torch.cat([seen.proprio, torch.zeros(3, 4)], 1)
    seen.embodiment = torch.tensor([1, 0, 1])
    return policy, seen


def two_robots_sample(seen: Observation) -> Sample:
    generator = torch.Generator().manual_seed(2)
    return Sample(
        {},
        seen.words,
        seen.proprio,
        seen.embodiment,
        seen.domain,
        torch.randn(3, 6, 8, generator=generator),
        torch.ones(3, 6, dtype=torch.bool),
        torch.randn(3, 2, 3, generator=generator),
        torch.tensor([0, -1, 2]),
        torch.tensor([0.0, 0.5, 1.0]),
    )


def test_numbers_that_a_robot_does_not_have_are_zero_in_its_actions():
    policy, seen = two_robots()
    actions = policy.sample(seen, torch.randn(3, 6, 8), 2)
    assert (actions[1, :, 4:] == 0).all()
    assert (actions[[0, 2]][..., 4:] != 0).any()


def test_numbers_that_a_robot_does_not_have_count_in_no_loss():
    policy, seen = two_robots()
    sample = two_robots_sample(seen)
    draws = policy.draw(sample, torch.Generator().manual_seed(3))
    first = policy.loss(seen, sample, draws)
    other = replace(sample, actions=sample.actions.clone())
    other.actions[1, :, 4:] = 50.0
    second = policy.loss(seen, other, draws)
    torch.testing.assert_close(first.total, second.total)
    # Over the numbers that there are: 2 rows of 8 and 1 row of 4.
    context = policy.encode(seen)
    noisy, velocity = interpolate(sample.actions, draws.noise, draws.time)
    error = (policy.expert(context, noisy, draws.time, sample.valid) - velocity) ** 2
    there = torch.tensor([8, 4, 8])[:, None, None, None] > torch.arange(8)
    torch.testing.assert_close(first.parts["head"], error[there.expand_as(error)].mean())


@pytest.mark.parametrize("head", HEADS)
def test_every_head_trains_samples_and_validates(head):
    policy = disturbed(make_policy(replace(TINY, head=head, bins=8), embodiments={"arm": Interface(13, 8)}))
    seen = make_observation(3)
    sample = two_robots_sample(seen)
    losses = policy.loss(seen, sample, policy.draw(sample, torch.Generator().manual_seed(3)))
    assert tuple(losses.parts) == policy.loss_names == ("head", "waypoint")
    torch.testing.assert_close(losses.total, losses.parts["head"] + 0.5 * losses.parts["waypoint"])
    losses.total.backward()
    assert [name for name, p in policy.named_parameters() if p.grad is None or not p.grad.abs().any()] == []
    actions = policy.sample(seen, torch.randn(3, 6, 8), 2)
    assert actions.shape == (3, 6, 8)
    found = [policy.validation_loss(seen, sample, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert found[0] == found[1] > 0


def test_guidance_of_one_is_the_domain_and_of_zero_is_none():
    policy, seen = disturbed(make_policy()), make_observation(3)
    seen.domain = torch.tensor([1, 2, 0])
    noise = torch.randn(3, 6, 4)
    plain = policy.sample(seen, noise, 3)
    open_ = policy.sample(replace(seen, domain=torch.zeros(3, dtype=torch.int64)), noise, 3)
    torch.testing.assert_close(policy.sample(seen, noise, 3, guidance=0.0), open_)
    torch.testing.assert_close(policy.sample(seen, noise, 3, guidance=1 + 1e-7), plain)
    assert (policy.sample(seen, noise, 3, guidance=3.0)[:2] - plain[:2]).abs().max() > 1e-3
    # Where no domain is said there is nothing to guide by.
    torch.testing.assert_close(policy.sample(seen, noise, 3, guidance=3.0)[2], plain[2])


def test_guidance_goes_on_along_the_difference_that_the_domain_makes():
    policy, seen = disturbed(make_policy()), make_observation(2)
    seen.domain = torch.tensor([1, 2])
    noise, time = torch.randn(2, 6, 4), torch.zeros(2, 1)
    told = policy.expert(policy.encode(seen), noise[:, None], time)[:, 0]
    untold = policy.expert(policy.encode(replace(seen, domain=seen.domain * 0)), noise[:, None], time)[:, 0]
    torch.testing.assert_close(
        policy.sample(seen, noise, 1, guidance=2.5), noise + untold + 2.5 * (told - untold), atol=1e-4, rtol=1e-4
    )


def with_history(seen: Observation, length: int, seed: int = 3) -> Observation:
    """The same now, after `length` - 1 other observations."""
    generator = torch.Generator().manual_seed(seed)
    rows = len(seen.proprio)
    images = {c: torch.rand(rows, length, *i.shape[1:], generator=generator) for c, i in seen.images.items()}
    proprio = torch.randn(rows, length, 13, generator=generator)
    for camera, image in images.items():
        image[:, -1] = seen.images[camera]
    proprio[:, -1] = seen.proprio
    return replace(seen, images=images, proprio=proprio, history_mask=torch.ones(rows, length, dtype=torch.bool))


def test_a_policy_without_history_looks_at_the_latest_alone():
    policy, seen, noise = disturbed(make_policy()), make_observation(2), torch.randn(2, 6, 4)
    torch.testing.assert_close(policy.sample(with_history(seen, 3), noise, 2), policy.sample(seen, noise, 2))


@pytest.mark.parametrize("images", [True, False])
def test_what_was_before_counts_where_it_is_of_the_episode(images):
    policy = disturbed(make_policy(replace(TINY, history=3, history_images=images)))
    seen, noise = make_observation(2), torch.randn(2, 6, 4)
    one, other = with_history(seen, 3), with_history(seen, 3, seed=4)
    assert (policy.sample(one, noise, 2) - policy.sample(other, noise, 2)).abs().max() > 1e-4
    for given in (one, other):
        given.history_mask = torch.tensor([[False, False, True]] * 2)
    torch.testing.assert_close(policy.sample(one, noise, 2), policy.sample(other, noise, 2))
    same_states = replace(other, proprio=one.proprio, history_mask=torch.ones(2, 3, dtype=torch.bool))
    one.history_mask = same_states.history_mask
    differs = (policy.sample(one, noise, 2) - policy.sample(same_states, noise, 2)).abs().max() > 1e-4
    assert bool(differs) == images


def test_order_in_the_history_matters():
    policy = disturbed(make_policy(replace(TINY, history=3)))
    seen, noise = with_history(make_observation(2), 3), torch.randn(2, 6, 4)
    turn = torch.tensor([1, 0, 2])
    turned = replace(seen, images={c: i[:, turn] for c, i in seen.images.items()}, proprio=seen.proprio[:, turn])
    assert (policy.sample(seen, noise, 2) - policy.sample(turned, noise, 2)).abs().max() > 1e-4


def test_history_leaves_the_other_initial_weights_alone():
    plain, longer = make_policy().state_dict(), make_policy(replace(TINY, history=2)).state_dict()
    assert set(longer) - set(plain) == {"prefix.age"}
    assert all(torch.equal(value, longer[name]) for name, value in plain.items())


def test_a_history_of_another_length_is_refused():
    policy = make_policy(replace(TINY, history=3))
    with pytest.raises(InputError, match=r"looks at 3 observations at a time \(model.history\), got 2"):
        policy.encode(with_history(make_observation(1), 2))
    with pytest.raises(InputError, match="got 1"):
        policy.encode(make_observation(1))


def test_missing_camera_is_named():
    seen = make_observation(1)
    seen.images = {"wrst": seen.images["front"]}
    with pytest.raises(InputError, match="unknown camera 'front'; there is: wrst"):
        make_policy().encode(seen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 30}, "image_size must be a multiple of 4"),
        ({"width": 30}, "width must be a multiple of 2 \\* heads"),
        ({"channels": 12}, "channels must be a multiple of 8"),
        ({"keypoints": 0}, "keypoints must be >= 1"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**change)


def draw_squares(rng: np.random.Generator, count: int) -> tuple[Observation, torch.Tensor]:
    """Three coloured squares on noise and the name of one of them; and where that one is."""
    colours = np.array([[0.9, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.9]])
    images = rng.uniform(0.3, 0.6, (count, 32, 32, 3))
    places = np.stack([rng.permutation(16)[:3] for _ in range(count)])
    for image, row in zip(images, places, strict=True):
        for colour, place in zip(colours, row, strict=True):
            y, x = 8 * (place // 4) + rng.integers(3), 8 * (place % 4) + rng.integers(3)
            image[y : y + 5, x : x + 5] = colour + rng.uniform(-0.1, 0.1, 3)
    named = rng.integers(3, size=count)
    place = places[np.arange(count), named]
    where = np.stack([place % 4, place // 4], -1) / 1.5 - 1
    words = np.stack([np.full(count, 2), 3 + named], -1)
    seen = Observation(
        {"front": torch.from_numpy(images.transpose(0, 3, 1, 2)).float()},
        torch.from_numpy(words),
        torch.zeros(count, 13),
        torch.zeros(count, dtype=torch.int64),
        torch.zeros(count, dtype=torch.int64),
    )
    return seen, torch.from_numpy(where).float()


def test_learns_in_seconds_which_square_the_words_mean():
    rng = np.random.default_rng(0)
    config = ModelConfig(
        image_size=32, channels=16, keypoints=4, named_keypoints=4, width=32, heads=2, expert_layers=1, patch=2
    )
    policy = make_policy(config, waypoints=1)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    for _ in range(120):
        seen, where = draw_squares(rng, 32)
        error = policy.foretell(policy.encode(seen))[:, 0, :2] - where
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
    seen, where = draw_squares(rng, 128)
    with torch.no_grad():
        error = (policy.foretell(policy.encode(seen))[:, 0, :2] - where).square().mean()
    # Who cannot read does best with the mean of the three squares, whose squared error is about 2/3 of the variance.
    assert error < 0.3 * where.var(0).mean()
