"""The page of results says what is recorded, missed targets included."""

import pytest
from PIL import Image

from tools import show_results
from unet_edu import paper, results
from unet_edu.resources import data_path


def job(experiment, variant="paper", profile="cpu", seed=0, data="isbi2012", rotations=1, **metrics):
    return {"experiment": experiment, "job": f"{variant}-{seed}", "variant": variant, "profile": profile, "seed": seed,
            "fold": 0, "data": {"name": data}, "rotations": rotations, "metrics": metrics, "steps": 7, "seconds": 3.2,
            "scores": [{"step": 2, "pixel_error": 0.0612}, {"step": 7, "pixel_error": 0.0611}],
            "peak_memory_bytes": 1, "device": "Abacus", "threads": 4, "versions": {"torch": "2"}, "commit": "abc",
            "date": "2026-01-01"}  # fmt: skip


EM = {"pixel_error": 0.05, "rand_error": 0.2, "warping_error": 0.0003, "v_rand": 0.9, "v_info": 0.992}
RECORDED = {
    "table1": [job("table1", rotations=1, **EM), job("table1", rotations=7, **EM)],
    "table2": [job("table2", data="phc-u373", seg=0.9, iou=0.95)],
    "ablations": [job("ablations", seed=s, **EM) for s in range(3)]
    + [job("ablations", "no-skip", seed=s, **{**EM, "v_rand": 0.8 + s / 100}) for s in range(3)],
    "time": [],
}


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_page_is_what_is_recorded():
    page = show_results.PAGE.read_text(encoding="utf-8")
    assert page == show_results.page(show_results.recorded())  # else: python -m tools.show_results


def test_verdicts_stand_beside_paper_target_and_value():
    page = show_results.page(RECORDED)
    assert lines(page, "| EM pixel error")[0].startswith(
        "| EM pixel error | 0.0611 | 0.05 | 0.04 | not measured | 0.05: reached |"
    )
    assert "| 0.2: missed |" in lines(page, "| EM Rand error")[0]
    assert "| 0.992: aim reached |" in lines(page, "| EM V_info")[0]
    assert "hidden frames" in lines(page, "- cells, paper:")[0]
    assert lines(page, "| training to the paper's")[0].count("not measured") == 2
    assert "| 10 h | 5 min | 1 min |" in page


def test_the_step_at_which_the_papers_level_was_reached():
    assert "| `paper-0` | 7 of 7 | 3.2 s |" in show_results.page(RECORDED)


def test_every_ablation_stands_beside_its_change():
    row = lines(show_results.page(RECORDED), "| no-skip")[0]
    assert "| 0.8100 | -0.0900 (-0.1148 to -0.0652) |" in row  # 0.01 * 4.3027 / sqrt(3) on either side
    assert "| paper | 3 | 0.0500 |  |" in show_results.page(RECORDED)


def test_every_job_has_a_row_with_its_origin():
    page = show_results.page(RECORDED)
    assert lines(page, "| `table2/paper-0`")[0].endswith("| 7 | 3 | Abacus, 4 threads | 2 | `abc` | 2026-01-01 |")
    jobs = [one for experiment in show_results.recorded().values() for one in experiment]
    shown = show_results.PAGE.read_text(encoding="utf-8")
    assert all(f"`{one['experiment']}/{one['job']}`" in shown for one in jobs)


def test_the_papers_own_row_is_named_as_one_of_hidden_images():
    page = show_results.page(RECORDED)
    assert str(paper.TABLE1["u-net"]["warping_error"]) in lines(page, "| the paper, hidden test slices")[0]


@pytest.mark.parametrize("experiment", ["table1", "table2", "ablations"])
def test_recorded_jobs_are_whole(experiment):
    """What the queue must have written for each, and no job of another experiment among them."""
    jobs = [one for one in results.read(experiment) if one["profile"] != "smoke"]
    assert len({one["job"] for one in jobs}) == len(jobs) > 0
    for one in jobs:
        assert one["experiment"] == experiment
        assert one["commit"]
        assert not one["commit"].endswith("+changes")
        assert len(one["data"]["train"]) == len(set(one["data"]["train"]) - set(one["data"]["held_out"])) > 0
        if one["metrics"]:
            assert all(0 <= value <= 1 for value in one["metrics"].values())
            picture = data_path(f"results/{experiment}/{one['job']}.webp")
            assert min(Image.open(picture).size) >= 256
