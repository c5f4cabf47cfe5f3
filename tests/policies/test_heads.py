"""Each head against its formula, and on data of which it is known what should come of it."""

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from handful import InputError
from policies.expert import Expert
from policies.heads import BIN_RANGE, SECOND_STEP, BinsHead, Draws, FlowHead, Head, L1Head, TwoStepHead, make_head
from policies.prefix import Encoded
from policies.sizes import HEADS, Interface, ModelConfig

SMALL = {"image_size": 16, "channels": 8, "width": 32, "heads": 2, "expert_layers": 1, "patch": 1}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def valid_like(actions: Tensor) -> Tensor:
    """Half of the actions, and all but the last number, count."""
    valid = torch.ones_like(actions, dtype=torch.bool)
    valid[:, actions.shape[1] // 2 :] = False
    valid[..., -1] = False
    return valid


def answering(truth: Tensor, off: float, head: Head):
    """A network that is off by a constant: the heads' own error is then known."""

    def predict(actions: Tensor | None, time: Tensor) -> Tensor:
        answer = truth[:, None].expand(-1, time.shape[1], -1, -1) + off
        if isinstance(head, BinsHead):
            return nnf.one_hot(head.bins(answer), head.outputs).float() * 50
        return answer

    return predict


@pytest.mark.parametrize("name", HEADS)
def test_what_is_not_valid_does_not_count(name):
    head = make_head(ModelConfig(head=name, bins=16), 3, "beta")
    actions = torch.randn(4, 6, 3, generator=generator())
    draws, valid = head.draw(actions, generator()), valid_like(actions)
    changed = torch.where(valid, actions, 7.0)

    def predict(given: Tensor | None, time: Tensor) -> Tensor:
        shape = (4, time.shape[1], 6, 3, head.outputs) if head.outputs > 1 else (4, time.shape[1], 6, 3)
        return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)

    first, second = (head.loss(predict, a, valid, draws) for a in (actions, changed))
    torch.testing.assert_close(first, second)


def test_two_step_loss_is_its_formula():
    head, actions = TwoStepHead(2), torch.randn(3, 4, 2, generator=generator())
    draws = head.draw(actions, generator(1))
    asked: list[Tensor] = []

    def predict(given: Tensor | None, time: Tensor) -> Tensor:
        assert given is not None
        asked.extend((given, time))
        return given * 0.5

    loss = head.loss(predict, actions, torch.ones_like(actions, dtype=torch.bool), draws)
    noisy = actions[:, None] + 0.1 * draws.noise
    torch.testing.assert_close(asked[0][:, 0], torch.zeros_like(actions))
    torch.testing.assert_close(asked[0][:, 1:], noisy)
    torch.testing.assert_close(asked[1], torch.tensor([0.0, 0.9, 0.9]).expand(3, 3))
    expected = (actions**2).mean() / 0.81 + ((0.5 * noisy - actions[:, None]) ** 2).mean() / 0.01
    torch.testing.assert_close(loss, expected)


def test_two_steps_feed_the_first_guess_to_the_second():
    def predict(given: Tensor | None, time: Tensor) -> Tensor:
        assert given is not None
        return given + 1 + time[..., None, None]

    found = TwoStepHead(1).sample(predict, torch.full((2, 3, 1), 9.0), steps=5)
    torch.testing.assert_close(found, torch.full((2, 3, 1), 1 + 1 + SECOND_STEP))


def test_regression_loss_is_the_mean_absolute_error():
    actions = torch.randn(3, 4, 2, generator=generator())
    head = L1Head()
    loss = head.loss(answering(actions, -0.25, head), actions, valid_like(actions), head.draw(actions, generator()))
    torch.testing.assert_close(loss, torch.tensor(0.25))


def test_bins_cover_their_range_evenly_and_clip_beyond():
    head = BinsHead(8)
    numbers = torch.tensor([-9.0, -BIN_RANGE, -3.01, -2.99, -0.01, 0.0, 3.99, BIN_RANGE, 9.0])
    assert head.bins(numbers).tolist() == [0, 0, 0, 1, 3, 4, 7, 7, 7]
    inside = torch.linspace(-BIN_RANGE, BIN_RANGE, 101)
    assert (head.centres(head.bins(inside)) - inside).abs().max() <= BIN_RANGE / 8 + 1e-6


def test_bins_of_no_opinion_cost_the_logarithm_of_their_number():
    head, actions = BinsHead(256), torch.randn(3, 4, 2, generator=generator())

    def predict(given: Tensor | None, time: Tensor) -> Tensor:
        return torch.zeros(3, 1, 4, 2, 256)

    loss = head.loss(predict, actions, valid_like(actions), head.draw(actions, generator()))
    torch.testing.assert_close(loss, torch.tensor(256.0).log())


def test_unknown_heads_are_refused():
    with pytest.raises(InputError, match=r"unknown model.head 'flo'.*Did you mean 'flow'"):
        ModelConfig(head="flo")
    with pytest.raises(InputError, match=r"model.bins must be at least 2, got 1"):
        ModelConfig(head="bins", bins=1)


@pytest.mark.parametrize("name", HEADS)
def test_validation_is_the_same_each_time_and_times_are_spread(name):
    head = make_head(ModelConfig(head=name), 3, "beta")
    actions = torch.randn(2, 4, 2, generator=generator())
    one, two = (head.validation_draws(actions, generator(4), 8) for _ in range(2))
    assert torch.equal(one.noise, two.noise)
    assert torch.equal(one.time, two.time)
    if name == "flow":
        torch.testing.assert_close(one.time[0], (torch.arange(8) + 0.5) / 8)


def learn(head: Head, draw_actions, steps: int = 250, rate: float = 5e-3) -> tuple[Expert, Encoded]:
    """An expert that learns (B, 1, 2) actions of which nothing is seen."""
    config = ModelConfig(**SMALL)
    torch.manual_seed(0)
    sizes = {"arm": Interface(1, 2)}
    expert = Expert(config, 32, sizes, 1, head.outputs, head.reads_actions)
    encoded = Encoded(torch.zeros(256, 1, 32), torch.ones(256, 1, dtype=torch.bool), torch.zeros(256, 32))
    optimizer = torch.optim.AdamW(expert.parameters(), lr=rate)
    rng = generator(3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        actions = draw_actions(rng)
        context = expert.look(encoded, torch.zeros(256, dtype=torch.int64))
        draws: Draws = head.draw(actions, rng)
        valid = torch.ones_like(actions, dtype=torch.bool)
        loss = head.loss(lambda a, t, c=context: expert(c, a, t), actions, valid, draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return expert, encoded


def two_modes(rng: torch.Generator) -> Tensor:
    """Both numbers 1 in 70 % of the samples, both -1 in the others, with a little noise."""
    sign = (torch.rand(256, 1, 1, generator=rng) < 0.7).float() * 2 - 1
    return sign + 0.05 * torch.randn(256, 1, 2, generator=rng)


@torch.no_grad()
def made(head: Head, expert: Expert, encoded: Encoded, steps: int = 20) -> Tensor:
    context = expert.look(encoded, torch.zeros(256, dtype=torch.int64))
    noise = torch.randn(256, 1, 2, generator=generator(9))
    return head.sample(lambda a, t: expert(context, a, t), noise, steps)[:, 0]


def test_flow_keeps_both_modes_and_their_shares():
    head = FlowHead(4, "beta")
    found = made(head, *learn(head, two_modes))
    assert ((found.abs() - 1).abs() < 0.35).all(1).float().mean() > 0.85
    assert (found[:, 0] > 0).float().mean() == pytest.approx(0.7, abs=0.12)
    assert (found[:, 0].sign() == found[:, 1].sign()).float().mean() > 0.9


def test_regression_goes_to_the_median():
    head = L1Head()
    torch.testing.assert_close(made(head, *learn(head, two_modes)), torch.ones(256, 2), atol=0.1, rtol=0)


def test_bins_know_both_modes_and_choose_the_likelier():
    head = BinsHead(64)
    expert, encoded = learn(head, two_modes)
    torch.testing.assert_close(made(head, expert, encoded), torch.ones(256, 2), atol=2 * BIN_RANGE / 64, rtol=0)
    with torch.no_grad():
        logits = expert(expert.look(encoded, torch.zeros(256, dtype=torch.int64)), None, torch.zeros(256, 1))
    share = logits[0, 0, 0, 0].softmax(-1)
    middle = head.centres(torch.arange(64))
    assert share[(middle - 1).abs() < 0.3].sum() == pytest.approx(0.7, abs=0.08)
    assert share[(middle + 1).abs() < 0.3].sum() == pytest.approx(0.3, abs=0.08)


def test_two_steps_find_what_is_certain():
    def certain(rng: torch.Generator) -> Tensor:
        return torch.tensor([0.8, -0.4]) + 0.02 * torch.randn(256, 1, 2, generator=rng)

    head = TwoStepHead(3)
    found = made(head, *learn(head, certain))
    torch.testing.assert_close(found, torch.tensor([0.8, -0.4]).expand(256, 2), atol=0.08, rtol=0)
    # Noise does not enter: the same for every row.
    torch.testing.assert_close(found, found[:1].expand(256, 2))
