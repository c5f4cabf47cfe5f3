"""What is in the world and what counts as done; importing this registers the Gymnasium environments.

`gymnasium.make("handful/StackThree-v0", domain="sim")`, or `handful/Lift-v0`. Registration only names the environment's
module; nothing of it is imported before an environment is made.
"""

from gymnasium.envs.registration import register

for _name, _task in (("Lift", "lift"), ("StackThree", "stack_three")):
    register(id=f"handful/{_name}-v0", entry_point="scenes.environment:TaskEnvironment", kwargs={"task": _task})
