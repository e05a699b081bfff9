import math

import pytest

from unet_edu.reproduce import tables
from unet_edu.reproduce.tables import TARGETS, Value


def job(variant="paper", seed=0, data="isbi2012", rotations=1, fold=0, experiment="table1", **metrics):
    return {"experiment": experiment, "variant": variant, "seed": seed, "fold": fold, "data": {"name": data},
            "rotations": rotations, "profile": "paper", "peak_memory_bytes": 7, "metrics": metrics}  # fmt: skip


def test_values_are_means_and_ranges_over_folds_and_seeds():
    jobs = [job(fold=0, seg=0.1), job(fold=1, seg=0.4), job(fold=2, seg=0.1), job("modern", seg=0.9), job(iou=1.0)]
    found = tables.values(jobs, "seg")
    assert found["paper",] == pytest.approx((0.2, 0.1, 0.4, 3))
    assert found["modern",] == (0.9, 0.9, 0.9, 1)


def test_values_are_told_apart_by_the_fields_named():
    jobs = [job(data="phc-u373", seg=0.1), job(data="dic-hela", seg=0.2), job(data="dic-hela", rotations=7, seg=0.3)]
    assert tables.values(jobs, "seg", by=("data",))["dic-hela",].jobs == 2
    assert list(tables.values(jobs, "seg", by=("data", "rotations"))) == [
        ("phc-u373", 1), ("dic-hela", 1), ("dic-hela", 7)
    ]  # fmt: skip


def test_a_value_shows_its_spread_only_if_there_is_one():
    assert f"{Value(0.5, 0.25, 0.75, 3)}" == "0.5000 (0.2500 to 0.7500)"
    assert f"{Value(0.5, 0.5, 0.5, 1):.2f}" == "0.50"


def test_effects_are_paired_by_seed():
    """Differences 1, 2 and 3: mean 2, and by Student's t with 2 degrees of freedom 2 -+ 4.3027 / sqrt(3)."""
    jobs = [job(seed=s, v_rand=10.0 * s) for s in range(3)] + [job("x", s, v_rand=10.0 * s + s + 1) for s in range(3)]
    effect = tables.effects(jobs, "v_rand")["x"]
    assert effect.mean == pytest.approx(2)
    assert effect.high - 2 == 2 - effect.low == pytest.approx(4.302653 / math.sqrt(3))
    assert effect.seeds == 3
    assert "paper" not in tables.effects(jobs, "v_rand")


def test_an_effect_of_one_seed_has_no_interval_and_one_of_another_seed_no_effect():
    jobs = [job(seed=0, seg=0.5), job("one", 0, seg=0.25), job("other", 5, seg=0.1)]
    assert tables.effects(jobs, "seg") == {"one": (-0.25, -math.inf, math.inf, 1)}


def test_targets_are_met_by_the_mean():
    error = next(t for t in TARGETS if t.metric == "rand_error")  # at least 0.0382, aim 0.030
    share = next(t for t in TARGETS if t.metric == "v_rand")  # at least 0.980, aim 0.986
    for target, mean, expected in [
        (error, 0.0383, "missed"), (error, 0.0382, "reached"), (error, 0.030, "aim reached"),
        (share, 0.979, "missed"), (share, 0.980, "reached"), (share, 0.987, "aim reached"),
    ]:  # fmt: skip
        assert tables.verdict(target, Value(mean, 0, 1, 3)) == expected
    assert tables.verdict(share, None) == "not measured"


def test_what_is_reached_is_taken_from_the_jobs_that_say_it():
    target = {t.quantity: t for t in TARGETS}
    table1 = [
        job(rotations=1, rand_error=0.5),
        job(rotations=7, rand_error=0.1),
        job("modern", rotations=7, rand_error=0),
    ]
    assert tables.reached(target["EM Rand error"], table1).mean == 0.1
    assert tables.reached(target["EM Rand error"], table1, "modern").mean == 0
    table2 = [job(data=data, seg=seg, experiment="table2") for data, seg in
              [("phc-u373", 0.2), ("dic-hela", 0.4), ("dic-hela", 0.6)]]  # fmt: skip
    table2.append(job(data="dic-hela", seg=1.0, experiment="ablations"))
    assert tables.reached(target["DIC-HeLa SEG"], table2) == (0.5, 0.4, 0.6, 2)
    measured = {"steps_per_second": 3.0}, {"seconds_to_level": None}, {"seconds_per_image": 0.5}
    time = [job(experiment="time", **metrics) for metrics in measured]
    assert tables.reached(target["peak memory of training"], time).mean == 7
    assert tables.reached(target["training to the paper's pixel error"], time) is None
    assert tables.reached(target["one 512 x 512 image"], time).mean == 0.5


def test_the_level_is_reached_at_the_first_score_as_good():
    curve = [{"step": 10, "pixel_error": 0.2}, {"step": 20, "pixel_error": 0.1}, {"step": 30, "pixel_error": 0.05}]
    trained = {"scores": curve, "steps": 40, "seconds": 80.0}
    assert tables.time_to(0.1, trained) == (20, 40.0)
    assert tables.time_to(0.04, trained) is None


def test_targets_are_ordered():
    for target in TARGETS:
        least, aim = (target.aim, target.least) if target.larger_is_better else (target.least, target.aim)
        assert least >= aim
