"""What learns from trajectories: the flow-matching policy, its training and its checkpoints."""

import importlib
import importlib.util

# PyTorch loads Triton late, and Triton's LLVM crashes the process if Mesa's software renderer has loaded its own
# before. The other way round both work, so Triton goes first wherever a policy and a renderer may share a process.
if importlib.util.find_spec("triton") is not None:
    importlib.import_module("triton")
