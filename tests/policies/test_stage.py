"""Saying what is being done and how far it is."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as nnf

from handful import InputError
from policies.stage import StageHead, Subtasks
from tests.policies.test_model import TINY, disturbed, make_observation, make_policy, two_robots_sample

RED = {"lift the red cube": ("pick up the red cube", "hold it")}
BLUE = {"lift the blue cube": ("pick up the blue cube", "hold it")}


def test_a_sentence_is_found_by_instruction_and_subtask():
    subtasks = Subtasks.build({**RED, **BLUE})
    assert subtasks.sentences == ("hold it", "pick up the blue cube", "pick up the red cube")
    assert subtasks.sentences[subtasks.index("lift the red cube", 0)] == "pick up the red cube"
    assert subtasks.index("lift the red cube", 1) == subtasks.index("lift the blue cube", 1) == 0
    assert subtasks.index("lift the red cube", 2) == subtasks.index("lift the green cube", 0) == -1
    assert subtasks.index("lift the red cube", -1) == -1
    assert Subtasks.from_json(subtasks.to_json()) == subtasks


def test_joining_leaves_the_old_sentences_in_their_places():
    old = Subtasks.build(RED)
    both = old.joined(Subtasks.build(BLUE))
    assert both.sentences == (*old.sentences, "pick up the blue cube")
    assert both.sentences[both.index("lift the blue cube", 0)] == "pick up the blue cube"
    assert both.index("lift the red cube", 0) == old.index("lift the red cube", 0)


def test_rows_without_a_sentence_do_not_count():
    head = StageHead(8, 3, teaches=True)
    summary = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    subtask, progress = torch.tensor([0, -1, 2, -1]), torch.tensor([0.0, 0.2, 0.4, 1.0])
    found = head.losses(summary, subtask, progress)
    stage = head(summary)
    torch.testing.assert_close(found["subtask"], nnf.cross_entropy(stage.sentences[[0, 2]], subtask[[0, 2]]))
    torch.testing.assert_close(found["progress"], ((stage.progress - progress) ** 2).mean())
    nothing = head.losses(summary, torch.full((4,), -1), progress)["subtask"]
    assert nothing == 0


@pytest.mark.parametrize("teaches", [False, True])
def test_it_teaches_the_prefix_only_if_asked_to(teaches):
    policy = disturbed(make_policy(replace(TINY, stage_teaches=teaches), subtasks=3))
    stage = policy.tell(policy.encode(make_observation(3)))
    assert stage.sentences.shape == (3, 3)
    assert ((stage.progress >= 0) & (stage.progress <= 1)).all()
    (stage.sentences.sum() + stage.progress.sum()).backward()
    assert all(p.grad is not None for name, p in policy.named_parameters() if name.startswith("stage."))
    assert any(p.grad is not None for p in policy.prefix.parameters()) == teaches


def test_its_losses_are_parts_of_the_whole_and_do_not_change_the_others():
    plain = disturbed(make_policy(embodiments=make_policy().embodiments))
    telling = make_policy(subtasks=3, stage_weight=0.5)
    telling.load_state_dict({**telling.state_dict(), **plain.state_dict()})
    seen, sample = make_observation(3), two_robots_sample(make_observation(3))
    sample = replace(sample, actions=sample.actions[..., :4])
    draws = plain.draw(sample, torch.Generator().manual_seed(0))
    without, found = plain.loss(seen, sample, draws), telling.loss(seen, sample, draws)
    assert telling.loss_names == tuple(found.parts) == ("head", "waypoint", "subtask", "progress")
    assert found.parts["head"] == without.parts["head"]
    added = 0.5 * (found.parts["subtask"] + found.parts["progress"])
    torch.testing.assert_close(found.total, without.total + added)
    (one,) = torch.autograd.grad(without.total, plain.prefix.get_parameter("plan"))
    (other,) = torch.autograd.grad(found.total, telling.prefix.get_parameter("plan"))
    torch.testing.assert_close(one, other)


def test_a_policy_without_sentences_tells_no_stage():
    policy = make_policy()
    with pytest.raises(InputError, match="tells no stage: its data has no sentences of subtasks"):
        policy.tell(policy.encode(make_observation(1)))
