from pipelines.metrics import flags


def test_scenes_that_were_trained_on_are_counted():
    evaluation = {"namespace": "generation", "seed": 0, "scenes": range(100)}
    training = [
        {"namespace": "generation", "seed": 0, "scenes": range(90, 2000)},
        {"namespace": "generation", "seed": 1, "scenes": range(100)},
        {"namespace": "evaluation", "seed": 0, "scenes": range(100)},
        {"namespace": "generation", "seed": 0, "scenes": range(500, 600)},
    ]
    assert flags.shared_scenes(evaluation, training) == [
        "10 of 100 scenes (namespace generation, seed 0) were trained on"
    ]


def test_rows_without_a_digest_are_no_repeats():
    assert flags.repeats([{"digest": ""}, {"digest": ""}, {}, {"digest": "x"}]) == []


def test_unknown_versions_are_no_mixture():
    assert flags.mixed_versions(["3.17.0", None, "3.17.0"]) == []


def test_six_policies_are_enough_not_to_be_told():
    assert flags.few_policies(6) == []
    assert len(flags.few_policies(5)) == 1
