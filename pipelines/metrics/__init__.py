"""What results are worth: agreement of simulation with reality, comparisons of policies, each with its error bars.

One module per concept; `docs/metrics.md` explains them. The names below are for scripts:

    from pipelines.metrics import mean_maximum_rank_violation, pearson

    mean_maximum_rank_violation(real=[0.9, 0.6, 0.2], sim=[0.7, 0.5, 0.3])
"""

from pipelines.metrics.agreement import kendall, mean_maximum_rank_violation, pearson, spearman
from pipelines.metrics.conditions import calibration, condition_agreement
from pipelines.metrics.gaps import absolute_gap, sensitivities
from pipelines.metrics.pairs import barnard, holm, mcnemar, paired_difference, unpaired_difference
from pipelines.metrics.sequential import SequentialTest
from pipelines.metrics.success import clopper_pearson_interval, stage_progress
from pipelines.metrics.uncertainty import uncertainty
from pipelines.statistics import wilson_interval

__all__ = [
    "SequentialTest",
    "absolute_gap",
    "barnard",
    "calibration",
    "clopper_pearson_interval",
    "condition_agreement",
    "holm",
    "kendall",
    "mcnemar",
    "mean_maximum_rank_violation",
    "paired_difference",
    "pearson",
    "sensitivities",
    "spearman",
    "stage_progress",
    "uncertainty",
    "unpaired_difference",
    "wilson_interval",
]
