"""What is in the world and what counts as done; importing this registers the Gymnasium environments.

`gymnasium.make("handful/StackThree-v0", domain="sim")`, or `gymnasium.make_vec("handful/Lift-v0", num_envs=64)` for a
batch. Registration only names the environments' modules; nothing of them is imported before one is made.
"""

from gymnasium.envs.registration import register

# Name of the environment -> task.
TASKS = {
    "Lift": "lift",
    "Stack": "stack",
    "StackThree": "stack_three",
    "Square": "square",
    "PickPlace": "pick_place",
}

for _name, _task in TASKS.items():
    register(
        id=f"handful/{_name}-v0",
        entry_point="scenes.environment:TaskEnvironment",
        vector_entry_point="scenes.vector:VectorTaskEnvironment",
        kwargs={"task": _task},
    )
