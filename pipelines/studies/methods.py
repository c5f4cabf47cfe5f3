"""The methods paragraph of a study: what was done, said from its specification and from what was made."""

from collections.abc import Mapping
from typing import Any

from pipelines.studies.spec import StudySpec

_BUDGETS = {
    "steps": "{amount:,.0f} optimiser steps each",
    "epochs": "{amount:g} passes over all of its demos each",
    "minutes": "{amount:g} minutes by the clock each",
    "real_exposure": "as many steps as show each recorded step of its real demos {amount:g} times",
}


def methods(spec: StudySpec, record: Mapping[str, Any], seconds_per_sim: float) -> list[str]:
    """Paragraphs, as a paper would have them.

    Args:
        spec: the study.
        record: what `study.json` says of it.
        seconds_per_sim: processor time of a synthetic demo [s], for the cost.
    """
    return [_data(spec, record["sources"]), _training(spec), _evaluation(spec), _cost(spec, seconds_per_sim)]


def _data(spec: StudySpec, sources: Mapping[str, Mapping[str, Any]]) -> str:
    real, sim = sources["real"], sources["sim"]
    said = [f"Policies were trained to do '{spec.task}' with the robot '{spec.embodiment}'."]
    operators = " and ".join(_OPERATORS.get(name, name) for name in real["operator"])
    surrogate = ", a simulated surrogate of reality, seen with its camera errors" if real["surrogate"] else ""
    said.append(
        f"As real data served {real['episodes']:,} demos from {', '.join(real['domain'])}{surrogate}, {operators}; "
        f"as synthetic data {sim['episodes']:,} demos from {', '.join(sim['domain'])}."
    )
    generate = spec.sim.generate
    if generate is not None:
        seeds = {None: "the demos that come with the task", "real": "the real demos that are not held out"}.get(
            generate.demos, generate.demos
        )
        said.append(f"The latter were generated from {seeds} (algorithm '{generate.algorithm}', seed {generate.seed}).")
    said.append(
        f"Cells cross {_listed(spec.grid.n_real)} real with {_listed(spec.grid.n_sim)} synthetic demos; subsets are "
        f"nested (seed {spec.grid.subset_seed}). Where a cell has both, real samples have the share "
        f"{_listed(spec.grid.weights)} ('natural': by recorded steps)."
    )
    return " ".join(said)


def _training(spec: StudySpec) -> str:
    training = spec.training
    budget = _BUDGETS[training.budget.rule].format(amount=training.budget.amount)
    overrides = f", with {', '.join(training.overrides)}" if training.overrides else ""
    token = "were told the domain of their samples" if training.domain_token else "were never told a domain"
    return (
        f"Each cell was trained with the preset '{training.preset}'{overrides} for {budget}, with training seeds "
        f"{_listed(spec.grid.seeds)}; policies {token}. Normalisation: {training.normalisation or 'the default rule'}. "
        f"The checkpoint measured is {training.choose or 'the last'}, in its averaged weights; no demo of a cell was "
        "held out from it."
    )


def _evaluation(spec: StudySpec) -> str:
    wanted, said = spec.evaluation, []
    if wanted.domains:
        stop = wanted.stopping.half_width
        ended = (
            "a number fixed beforehand"
            if stop is None
            else f"or fewer, where the 95 % interval had come to {100 * stop:g} points on either side"
        )
        guided = "" if wanted.guidance is None else f", guided over the domain with weight {wanted.guidance:g}"
        said.append(
            f"Each policy was rolled out in {wanted.episodes:,} scenes ({ended}) of {_listed(wanted.domains)}, the "
            f"same for all (seed {wanted.seed}){guided}; success is judged strictly, at the end."
        )
    if wanted.held_out:
        said.append(
            f"The action error was measured on {wanted.held_out} real demos that no cell learnt from; it does not rank "
            "policies."
        )
    said.append(
        "Intervals are at 95 %, for another training run on other scenes: noise of training seeds is pooled over cells "
        "on the arcsine scale. Gains are paired by scene, with p-values after Holm."
    )
    return " ".join(said)


def _cost(spec: StudySpec, seconds_per_sim: float) -> str:
    cost = spec.cost
    return (
        f"Costs: {cost.minutes_per_real:g} minutes of a person at {cost.operator_hour:g} an hour per real demo, "
        f"{seconds_per_sim:.3g} s of a processor at {cost.processor_hour:g} an hour per synthetic one, and a training."
    )


_OPERATORS = {
    "human": "recorded by a person",
    "script": "recorded by a script, not by a person",
    "policy": "recorded by a policy",
    "augmentation": "themselves generated",
}


def _listed(values: tuple[Any, ...]) -> str:
    shown = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
