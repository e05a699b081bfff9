"""What the recorded jobs say together: means, spreads, effects, and the targets they were to reach."""

import math
import statistics
from collections import defaultdict
from typing import Any, NamedTuple

from scipy import stats

from unet_edu import paper


class Value(NamedTuple):
    """A score over several jobs."""

    mean: float
    lowest: float
    highest: float
    jobs: int

    def __format__(self, spec):
        """The mean, with the lowest and highest in parentheses if there are several jobs."""
        spec = spec or ".4f"
        spread = f" ({self.lowest:{spec}} to {self.highest:{spec}})" if self.jobs > 1 else ""
        return f"{self.mean:{spec}}{spread}"


class Effect(NamedTuple):
    """What a changed recipe adds to a score: mean over seeds of the difference to the paper's with the same seed."""

    mean: float
    low: float  # of the 95 % interval by Student's t; infinite with a single seed
    high: float
    seeds: int


def values(jobs, metric, by=("variant",)):
    """Mean and range of a metric over folds and seeds.

    Parameters
    ----------
    jobs : list of results, as `results.read` gives them; those without the metric are left out
    metric : name of a score
    by : what the jobs are told apart by: names of fields; "data" stands for the name of the data set

    Returns
    -------
    dict of Value, by the tuple of the fields' values, in the order of the jobs
    """
    found = defaultdict(list)
    for job in jobs:
        if metric in job["metrics"]:
            found[tuple(job["data"]["name"] if field == "data" else job[field] for field in by)].append(
                job["metrics"][metric]
            )
    return {key: Value(statistics.mean(v), min(v), max(v), len(v)) for key, v in found.items()}


def effects(jobs, metric):
    """What every variant of the ablations changes in a metric, each against the paper's recipe with the same seed.

    Parameters
    ----------
    jobs : list of results of "ablations", of one profile and one data set
    metric : name of a score

    Returns
    -------
    dict of Effect by variant, in the order of the jobs; variants without a common seed with "paper" are left out
    """
    scores = {(job["variant"], job["seed"]): job["metrics"][metric] for job in jobs}
    differences = defaultdict(list)
    for (variant, seed), score in scores.items():
        if variant != "paper" and ("paper", seed) in scores:
            differences[variant].append(score - scores["paper", seed])
    return {variant: _effect(found) for variant, found in differences.items()}


def _effect(differences):
    mean, count = statistics.mean(differences), len(differences)
    if count == 1:
        return Effect(mean, -math.inf, math.inf, 1)
    half = stats.t.ppf(0.975, count - 1) * statistics.stdev(differences) / math.sqrt(count)
    return Effect(mean, mean - half, mean + half, count)


def time_to(level, job):
    """Step and seconds of training at which a job's held-out pixel error first was at most `level`, or None."""
    step = next((score["step"] for score in job["scores"] if score["pixel_error"] <= level), None)
    return None if step is None else (step, job["seconds"] * step / job["steps"])


class Target(NamedTuple):
    """What a quantity should reach, and where among the results it is found."""

    quantity: str
    paper: float
    least: float
    aim: float
    experiment: str
    metric: str
    data: str = "isbi2012"
    rotations: int | None = None
    larger_is_better: bool = False
    unit: str = ""
    note: str = ""  # how the paper's number differs from ours


HELD_OUT = "membranes, paper: the challenge's test stack; here: blocks held out of the training stack, perhaps easier"
BY_SEQUENCE = "cells, paper: the challenge's hidden frames; here: the annotated frames of the other sequence"
EM, BOARD, CELLS = (table["u-net"] for table in (paper.TABLE1, paper.LATER_BOARD, paper.TABLE2))
STACK: dict[str, Any] = {"data": "isbi2012", "rotations": 7, "note": HELD_OUT}
MORE: dict[str, Any] = {"larger_is_better": True}
SEQUENCES: dict[str, Any] = {**MORE, "note": BY_SEQUENCE}
TARGETS = (
    Target("EM pixel error", EM["pixel_error"], 0.050, 0.040, "table1", "pixel_error", **STACK),
    Target("EM Rand error", EM["rand_error"], 0.0382, 0.030, "table1", "rand_error", **STACK),
    Target("EM warping error", EM["warping_error"], 0.000353, 0.00025, "table1", "warping_error", **STACK),
    Target("EM V_rand, thinned", BOARD["v_rand"], 0.980, 0.986, "table1", "v_rand", **STACK, **MORE),
    Target("EM V_info, thinned", BOARD["v_info"], 0.988, 0.991, "table1", "v_info", **STACK, **MORE),
    Target("PhC-U373 SEG", CELLS["phc-u373"], 0.9203, 0.94, "table2", "seg", "phc-u373", **SEQUENCES),
    Target("DIC-HeLa SEG", CELLS["dic-hela"], 0.7756, 0.86, "table2", "seg", "dic-hela", **SEQUENCES),
    Target("training to the paper's pixel error", 3600 * paper.TIME["training_hours"], 300, 60, "time",
           "seconds_to_level", unit="s", note="training, paper: 10 hours in all"),
    Target("one 512 x 512 image", paper.TIME["image_seconds_below"], 0.02, 0.01, "time", "seconds_per_image",
           unit="s", note="image, paper: less than 1 s"),
    Target("peak memory of training", 1e9 * paper.TIME["memory_gb"], 6e9, 3e9, "time", "peak_memory_bytes",
           unit="B", note="memory, paper: it fits a card of 6 GB"),
)  # fmt: skip


def reached(target, jobs, variant="paper"):
    """Value of a target's quantity over the jobs of one profile, None if none of them holds it."""
    fitting = [
        job for job in jobs
        if job["experiment"] == target.experiment and job["variant"] == variant and job["data"]["name"] == target.data
        and target.rotations in (None, job.get("rotations"))
    ]  # fmt: skip
    if target.metric == "peak_memory_bytes":  # of the job that measures a step
        fitting = [{**job, "metrics": {target.metric: job[target.metric]}} for job in fitting
                   if "steps_per_second" in job["metrics"]]  # fmt: skip
    fitting = [job for job in fitting if job["metrics"].get(target.metric) is not None]
    return next(iter(values(fitting, target.metric).values()), None)


def verdict(target, value):
    """ "aim reached", "reached" or "missed" for the mean of a Value; "not measured" for None."""
    if value is None:
        return "not measured"

    def as_good_as(limit):
        return value.mean >= limit if target.larger_is_better else value.mean <= limit

    return "aim reached" if as_good_as(target.aim) else "reached" if as_good_as(target.least) else "missed"
