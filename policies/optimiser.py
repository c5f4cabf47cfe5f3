"""How weights move: AdamW, its learning rate over the run, which weights stay, and the average that is the policy."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from handful import unknown_name
from policies.config import TrainConfig


def learning_rate(config: TrainConfig, fraction: float) -> float:
    """The rate after a share of the run: linear warm-up, then cosine (Loshchilov and Hutter, 2017)."""
    if fraction < config.warmup:
        return config.learning_rate * (fraction + 0.02 * config.warmup) / (1.02 * config.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * (fraction - config.warmup) / (1 - config.warmup)))
    return config.learning_rate * (config.final_rate + (1 - config.final_rate) * cosine)


def freeze(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Let some modules keep their weights. Returns the names of all parameters that do.

    Args:
        network: whose modules.
        names: a module's path, as "prefix.eyes", or its last part where only one of the two upper levels has it.

    Raises:
        InputError: there is no such module; lists those there are.
    """
    paths = [
        name
        for name, module in network.named_modules()
        if name and name.count(".") < 2 and next(module.parameters(), None) is not None
    ]
    last = [name.rpartition(".")[2] for name in paths]
    short = {end: path for end, path in zip(last, paths, strict=True) if last.count(end) == 1}
    frozen = []
    for name in names:
        path = name if name in paths else short.get(name)
        if path is None:
            raise unknown_name("module to freeze", name, paths)
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.startswith(path + "."):
                parameter.requires_grad_(False)
                frozen.append(parameter_name)
    return sorted(set(frozen))


def make_optimizer(config: TrainConfig, network: nn.Module) -> torch.optim.AdamW:
    """AdamW over the weights that are not frozen; tables, biases and gains are not decayed."""
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim > 1 and n.endswith("weight")]
    kept = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in kept]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int, ema: float) -> None:
    """Move the average towards the weights, quickly at first; `step` is the number of steps before this one."""
    decay = min(ema, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
