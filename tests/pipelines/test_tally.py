"""Counts of what came of scenes: by outcome, by subtask and by the demo that served them."""

from pipelines.tally import Tally


def trial(start: int, subtask: int, outcome: str, demos: list[int | None]) -> dict:
    return {"start": start, "subtask": subtask, "outcome": outcome, "demos": demos, "latched": False}


def record(scene: int, *tries: dict) -> dict:
    attempts = [trial["outcome"] for trial in tries]
    return {"scene": scene, "outcome": attempts[-1], "attempts": attempts, "tries": list(tries), "latched": False}


# Done at once; missed its grasp, then went on from there; dropped, and nothing more could be done.
RECORDS = [
    record(0, trial(0, 1, "success", [2, 3])),
    record(1, trial(0, 0, "grasp_missed", [2]), trial(0, 1, "success", [1, 3])),
    record(2, trial(0, 1, "object_dropped", [1, 3]), trial(1, 1, "unreachable", [None])),
]


def counted(records: list[dict]) -> Tally:
    tally = Tally()
    tally.add(records)
    return tally


def test_scenes_and_first_tries_are_counted():
    tally = counted(RECORDS)
    assert (tally.scenes, tally.kept, tally.first, tally.tries) == (3, 2, 1, 5)
    assert tally.outcomes == {"success": 2, "unreachable": 1}


def test_a_subtask_is_done_where_the_try_went_on_beyond_it():
    plain = counted(RECORDS).to_plain(["grasp", "place"])
    assert plain["subtasks"] == [
        {"name": "grasp", "tries": 4, "done": 3, "causes": {"grasp_missed": 1}},
        {"name": "place", "tries": 4, "done": 2, "causes": {"object_dropped": 1, "unreachable": 1}},
    ]


def test_a_demo_answers_for_the_subtasks_that_it_served():
    plain = counted(RECORDS).to_plain(["grasp", "place"])
    assert plain["sources"] == [
        {"demo": 1, "served": 2, "done": 2},
        {"demo": 2, "served": 2, "done": 1},
        {"demo": 3, "served": 3, "done": 2},
    ]


def test_the_worst_demo_is_the_one_that_is_surely_worst():
    # One failure of one says less than twenty of thirty.
    once = [record(0, trial(0, 0, "grasp_missed", [7]))]
    often = [record(i, trial(0, 0, "grasp_missed" if i <= 20 else "success", [4])) for i in range(1, 31)]
    assert counted(once + often).worst_demo() == 4
    assert counted(RECORDS[:1]).worst_demo() is None


def test_the_note_has_rates_with_their_n():
    assert (
        counted(RECORDS).note(["grasp", "place"])
        == "grasp 75.0 % of 4, place 50.0 % of 4, worst source: demo 2 50.0 % of 2"
    )


def test_what_is_taken_back_leaves_no_trace():
    tally = counted(RECORDS)
    tally.add(RECORDS[1:], -1)
    assert tally == counted(RECORDS[:1])


def test_records_without_tries_are_counted_as_well():
    tally = counted([{"scene": 0, "outcome": "success", "attempts": ["success"]}])
    assert (tally.scenes, tally.kept) == (1, 1)
    assert tally.note(["grasp"]) == ""
