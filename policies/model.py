"""The policy network: images, an instruction and proprioception in, a chunk of actions out.

Two parts, run at different rates. The *prefix* (`policies.prefix`) looks once per decision. The *expert*
(`policies.expert`) is run once per integration step and attends to the prefix, whose keys and values are computed once
and kept. A *head* (`policies.heads`) says what the expert's numbers mean. The order of weights, losses and sampling is
here.

Everything in and out of the network is normalised (`policies.normalisation`); no object pose ever enters. Shapes: B
samples, F flow times per sample, H actions, A action numbers, W words, S pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from handful import InputError
from policies.expert import Context, Expert
from policies.flow import TimeLaw
from policies.heads import Draws, make_head
from policies.prefix import KeypointPrefix, Observation, Prefix
from policies.samples import Sample
from policies.sizes import Interface, ModelConfig
from policies.stage import Stage, StageHead
from policies.tensors import to_device

# The order in which initial weights are drawn, by the start of their names; all others follow. A seed keeps its weights
# while modules move and optional ones come and go.
_DRAWN = (
    "prefix.word_position",
    "prefix.plan",
    "expert.position",
    "prefix.word.",
    "prefix.reader.",
    "prefix.eyes.",
    "prefix.embodiment.",
    "prefix.domain.",
    "prefix.fuse.",
    "prefix.proprio_in.",
    "expert.action_in.",
    "prefix.blocks.",
    "expert.time.",
    "expert.blocks.",
    "expert.final_modulation.",
    "waypoints.",
)


@dataclass
class Losses:
    """What one training step minimises."""

    # The weighted sum.
    total: Tensor
    # Its parts, before they are weighted: "head", the loss of the actions; "waypoint", where there are waypoints;
    # "subtask" and "progress", where sentences of subtasks are known.
    parts: dict[str, Tensor]


class VLA(nn.Module):
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
        waypoint_weight: float = 0.5,
        subtasks: int = 0,
        stage_weight: float = 0.1,
        flow_times: int = 4,
        time_law: TimeLaw = "beta",
        seed: int = 0,
        prefix: Prefix | None = None,
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
            waypoint_weight: weight of its loss.
            subtasks: sentences of subtasks that it can say, 0 for none; see `policies.stage`.
            stage_weight: weight of the losses of saying them and of telling the progress.
            flow_times: drawn per sample in training; the observation is encoded once for all of them.
            time_law: the law they follow.
            seed: of the initial weights.
            prefix: a module to stand in for the one trained from scratch, with weights of its own; None: that one.
        """
        super().__init__()
        if not cameras:
            raise InputError("a policy needs at least one camera")
        self.config, self.cameras, self.horizon = config, cameras, horizon
        self.embodiments = dict(embodiments)
        self.action_size = max(e.action for e in embodiments.values())
        self.head = make_head(config, flow_times, time_law)
        self.waypoint_weight, self.stage_weight = waypoint_weight, stage_weight
        self.prefix = prefix or KeypointPrefix(config, cameras, embodiments, domains, vocabulary)
        outputs, reads = self.head.outputs, self.head.reads_actions
        self.expert = Expert(config, self.prefix.width, embodiments, horizon, outputs, reads)
        self.waypoints: nn.Linear | None = nn.Linear(config.width, 3 * waypoints) if waypoints else None
        self.stage = StageHead(config.width, subtasks, config.stage_teaches) if subtasks else None
        # Which numbers each embodiment's actions have.
        sizes = torch.tensor([e.action for e in embodiments.values()])
        self.register_buffer("numbers", torch.arange(self.action_size) < sizes[:, None], persistent=False)
        self._initialise(seed, foreign=prefix is not None)

    numbers: Tensor

    def _initialise(self, seed: int, foreign: bool) -> None:
        """Seeded: He for convolutions, Xavier for linear layers, small normal tables, zero modulations and outputs."""
        generator = torch.Generator().manual_seed(seed)
        named = [(name, p) for name, p in self.named_parameters() if not (foreign and name.startswith("prefix."))]

        def place(name: str) -> int:
            return next((i for i, start in enumerate(_DRAWN) if name.startswith(start)), len(_DRAWN))

        for name, parameter in sorted(named, key=lambda pair: place(pair[0])):
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            elif "norm" in name and parameter.ndim == 1:
                nn.init.ones_(parameter)
            elif any(part in name for part in ("modulation", "action_out")):
                nn.init.zeros_(parameter)
            elif name in (
                "prefix.word.weight",
                "prefix.domain.weight",
                "prefix.embodiment.weight",
            ) or not name.endswith("weight"):
                # Words start large enough to be told apart: the stem's FiLM has to find the colour in them.
                std = 0.5 if name == "prefix.word.weight" else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the parts of the loss, in order."""
        waypoint = () if self.waypoints is None else ("waypoint",)
        return ("head", *waypoint, *(() if self.stage is None else ("subtask", "progress")))

    def draw(self, sample: Sample, generator: torch.Generator) -> Draws:
        """The random numbers of one training step, from a generator on the CPU."""
        return self.head.draw(sample.actions, generator)

    def loss(self, observation: Observation, sample: Sample, draws: Draws) -> Losses:
        """The losses of one batch; a plain function of tensors that lie on one device.

        Args:
            observation: what the policy sees of the batch, disturbed as training wants it.
            sample: the same batch; actions, what of them is valid, and the targets of auxiliary heads.
            draws: from `draw`.
        """
        context = self.encode(observation)
        parts = {"head": self._head_loss(context, sample, draws)}
        total = parts["head"]
        if self.waypoints is not None:
            parts["waypoint"] = nnf.smooth_l1_loss(self.foretell(context), sample.waypoints)
            total = total + self.waypoint_weight * parts["waypoint"]
        if self.stage is not None:
            told = self.stage.losses(context.summary, sample.subtask, sample.progress)
            parts |= told
            total = total + self.stage_weight * (told["subtask"] + told["progress"])
        return Losses(total, parts)

    @torch.no_grad()
    def validation_loss(
        self, observation: Observation, sample: Sample, generator: torch.Generator, times: int = 8
    ) -> Tensor:
        """The head's loss, averaged over what is valid, at `times` fixed flow times and the generator's noise.

        It compares the same head at different steps or on different data. Different heads measure different things.
        """
        draws = to_device(self.head.validation_draws(sample.actions, generator, times), sample.actions.device)
        return self._head_loss(self.encode(observation), sample, draws)

    def _head_loss(self, context: Context, sample: Sample, draws: Draws) -> Tensor:
        valid = sample.valid[:, :, None] & self.numbers[context.embodiment][:, None]

        def predict(actions: Tensor | None, time: Tensor) -> Tensor:
            return self.expert(context, actions, time, sample.valid)

        return self.head.loss(predict, sample.actions, valid, draws)

    def encode(self, observation: Observation, guidance: float = 1.0) -> Context:
        """Run the prefix: once per decision.

        Args:
            observation: B rows.
            guidance: how strongly the domain is meant, see `decode`. Unless it is 1, the rows are followed by the same
                rows with their domain unsaid, in one pass.
        """
        if guidance != 1:
            observation = observation.doubled_without_domain()
        context = self.expert.look(self.prefix(observation), observation.embodiment)
        return replace(context, guidance=guidance)

    def foretell(self, context: Context) -> Tensor:
        """Where the tool will be at the waypoints, (B, waypoints, 3), normalised displacements."""
        if self.waypoints is None:
            raise InputError("this policy has no waypoint head; give `waypoints` when it is built")
        return self.waypoints(context.summary).unflatten(-1, (-1, 3))

    def tell(self, context: Context) -> Stage:
        """What is being done, and how far it is."""
        if self.stage is None:
            raise InputError("this policy tells no stage: its data has no sentences of subtasks")
        return self.stage(context.summary)

    @torch.no_grad()
    def decode(self, context: Context, noise: Tensor, steps: int) -> Tensor:
        """Normalised actions (B, H, A) from an encoded prefix and as much standard normal noise.

        Zero in the numbers that a row's embodiment does not have. With guidance g the expert's numbers are n(none) +
        g (n(domain) - n(none)) at every step: classifier-free guidance (Ho and Salimans 2022, whose w is g - 1) over
        the domain; 1 is off, 0 leaves the domain open.
        """
        guidance, rows = context.guidance, len(noise)

        def predict(actions: Tensor | None, time: Tensor) -> Tensor:
            if guidance == 1:
                return self.expert(context, actions, time)
            twice = None if actions is None else torch.cat([actions, actions])
            told, untold = self.expert(context, twice, torch.cat([time, time])).chunk(2)
            return untold + guidance * (told - untold)

        return self.head.sample(predict, noise, steps) * self.numbers[context.embodiment[:rows]][:, None]

    def sample(self, observation: Observation, noise: Tensor, steps: int, guidance: float = 1.0) -> Tensor:
        """`encode`, then `decode`."""
        with torch.no_grad():
            return self.decode(self.encode(observation, guidance), noise, steps)
