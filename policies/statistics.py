"""Which statistics the numbers of a row are normalised with: a rule that is stated, stored and hashed with the policy.

    union        those of all data of the row's robot, each store counting with its weight
    per_domain   those of the row's robot in the row's domain; where a domain is not said, or has none of its own: union
    NAME         those of one store of the blend, or of one domain alone, e.g. of what is real

Robots never share statistics: their joints mean different things.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handful import InputError, unknown_name
from policies.normalisation import ActionSpace, Normaliser
from trajectories.canonical import canonical_json, sha256

UNION, PER_DOMAIN = "union", "per_domain"
RULES = (UNION, PER_DOMAIN)


@dataclass(frozen=True)
class RobotStatistics:
    """The statistics of all robots that a policy drives."""

    # The rule they were made by.
    rule: str
    # Embodiment -> statistics; the order gives the robot's index.
    robots: Mapping[str, Normaliser]
    # Embodiment -> domain -> statistics of its own; empty unless the rule is "per_domain".
    domains: Mapping[str, Mapping[str, Normaliser]] = field(default_factory=dict)

    def of(self, embodiment: str, domain: str | None) -> Normaliser:
        """The statistics for rows of one robot in one domain; None: it is not said.

        Raises:
            InputError: a robot that there are no statistics of.
        """
        if embodiment not in self.robots:
            raise unknown_name("embodiment", embodiment, self.robots)
        own = self.domains.get(embodiment, {})
        return own[domain] if domain is not None and domain in own else self.robots[embodiment]

    @property
    def hash(self) -> str:
        """SHA-256 of all numbers, and of the domains they are for."""
        record: dict[str, Any] = {name: n.to_json() for name, n in self.robots.items()}
        if self.domains:
            record["/domains"] = _domains_to_json(self.domains)
        return sha256(canonical_json(record, "statistics"))

    def to_json(self) -> dict[str, Any]:
        """The part of a checkpoint's JSON about statistics."""
        return {
            "normalisation": self.rule,
            "embodiments": list(self.robots),
            "statistics": {name: n.to_json() for name, n in self.robots.items()},
            "domain_statistics": _domains_to_json(self.domains),
            "statistics_hash": self.hash,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "RobotStatistics":
        """The inverse of `to_json`; what earlier versions wrote is "union".

        Raises:
            InputError: the record says nothing about statistics for one of its embodiments.
        """
        statistics = record.get("statistics", {})
        names = record.get("embodiments", [])
        missing = [name for name in names if name not in statistics]
        if missing or not names:
            raise InputError(f"the checkpoint has no normalisation statistics for {', '.join(missing) or 'any robot'}")
        domains = {
            name: {domain: Normaliser.from_json(value) for domain, value in own.items()}
            for name, own in record.get("domain_statistics", {}).items()
        }
        robots = {name: Normaliser.from_json(statistics[name]) for name in names}
        return cls(record.get("normalisation", UNION), robots, domains)


def require_rule(rule: str, paths: Iterable[str], domains: Iterable[str]) -> None:
    """Refuse a rule that is none, and names neither a store nor a domain of the blend."""
    known = [*RULES, *paths, *domains]
    if rule not in known:
        raise unknown_name("normalisation", rule, known)


def fit_statistics(
    rule: str,
    batches: Sequence[Mapping[str, Any]],
    paths: Sequence[str],
    space: ActionSpace,
    horizon: int,
    waypoints: tuple[int, ...],
) -> RobotStatistics:
    """Statistics by a rule over windows in the loader's layout, for each embodiment that occurs, by sorted name.

    Args:
        rule: see the module's docstring.
        batches: windows of all stores.
        paths: of the stores, by their numbers in `source`.
        space: what actions are relative to.
        horizon: actions per chunk.
        waypoints: steps ahead of the auxiliary head.

    Raises:
        InputError: an unknown rule; no window at all, or none of a robot in what the rule names.
    """
    robots = sorted({name for batch in batches for name in batch["embodiment"]})
    domains = sorted({name for batch in batches for name in batch["domain"]})
    if not robots:
        raise InputError("statistics need at least one window of data; there is none")
    require_rule(rule, paths, domains)

    def fit(embodiment: str, domain: str | None = None, source: int | None = None) -> Normaliser | None:
        parts = []
        for batch in batches:
            chosen = np.array([name == embodiment for name in batch["embodiment"]])
            if domain is not None:
                chosen &= np.array([name == domain for name in batch["domain"]])
            if source is not None:
                chosen &= batch["source"] == source
            if chosen.any():
                parts.append(rows_of(batch, chosen, int(batch["joints"][np.argmax(chosen)])))
        return Normaliser.fit(space, parts, horizon, waypoints) if parts else None

    named = {} if rule in RULES else {"source": paths.index(rule)} if rule in paths else {"domain": rule}
    whole: dict[str, Normaliser] = {}
    for name in robots:
        found = fit(name, **named)
        if found is None:
            raise InputError(f"normalisation is '{rule}', which has no data of '{name}'; use union or per_domain")
        whole[name] = found
    if rule != PER_DOMAIN:
        return RobotStatistics(rule, whole)
    own = {name: {d: n for d in domains if (n := fit(name, domain=d)) is not None} for name in robots}
    return RobotStatistics(rule, whole, own)


def rows_of(batch: Mapping[str, Any], rows: np.ndarray, joints: int) -> dict[str, np.ndarray]:
    """The numbers of some rows of a batch, all of one arm, without the columns that other arms have; proprio now."""
    proprio = batch["proprio"][rows][..., : joints + 10]
    return {
        "proprio": proprio if proprio.ndim == 2 else proprio[:, -1],
        "action": batch["action"][rows][..., : joints + 1],
        "action_tool": batch["action_tool"][rows],
        "action_mask": batch["action_mask"][rows],
    }


def _domains_to_json(domains: Mapping[str, Mapping[str, Normaliser]]) -> dict[str, Any]:
    return {name: {domain: n.to_json() for domain, n in own.items()} for name, own in domains.items()}
