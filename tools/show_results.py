"""Write the page of results from what is recorded: python -m tools.show_results

Every number of book/appendix/results.md is derived here from data/results; a test compares the two.
"""

import math
from pathlib import Path

from unet_edu import paper, results
from unet_edu.reproduce import tables
from unet_edu.reproduce.tables import TARGETS

PAGE = Path(__file__).parents[1] / "book" / "appendix" / "results.md"
PROFILES = {"paper": "full width, three seeds", "gpu": "full width, one seed", "cpu": "base width 16, on a CPU"}
EM = {"pixel_error": "pixel error", "rand_error": "Rand error", "warping_error": "warping error", "v_rand": "V_rand",
      "v_info": "V_info"}  # fmt: skip
DIGITS = {"warping_error": ".6f", "v_rand": ".4f", "v_info": ".4f"}

HEAD = """# Results

Every row on this page is derived from the files of `data/results/`, one for each finished job, by `python -m
tools.show_results`. A value is the mean over folds and seeds; in parentheses stand the lowest and the highest job. The
list at the end names the device, the versions and the commit of each.

None of the scores is the paper's Table 1 or 2. The EM scores are those of blocks held out of the 30 training slices,
which may be easier than the challenge's test slices; the scores of the cells are those of the annotated frames of one
sequence by a network trained on the other, while the challenge keeps its test frames to itself. Whoever has the EM
challenge's archive with the labels of the test slices gets the real row by `unet-edu evaluate --test-labels FILE`.
"""


def page(recorded):
    """Markdown of the whole page; `recorded` holds the jobs by experiment."""
    jobs = [job for experiment in recorded.values() for job in experiment]
    parts = [HEAD, targets(jobs), em(recorded["table1"]), cells(recorded["table2"]), ablations(recorded["ablations"]),
             every_job(jobs)]  # fmt: skip
    return "\n".join(parts)


def targets(jobs):
    """Target, paper, reached and verdict of every quantity; what was not measured at full width says so."""
    rows = []
    for target in TARGETS:
        shown = [target.quantity, *(amount(x, target.unit) for x in (target.paper, target.least, target.aim))]
        for profile in ("paper", "cpu"):
            value = tables.reached(target, [job for job in jobs if job["profile"] == profile])
            reached = f"{amount(value.mean, target.unit)}: " if value else ""
            shown.append(reached + tables.verdict(target, value))
        rows.append(shown)
    notes = dict.fromkeys(target.note for target in TARGETS)
    heads = ["quantity", "paper", "at least", "aim", "full width", "base width 16"]
    return (
        "## Targets\n\nThe targets were set for the network of full width on a data-center GPU, by the paper's recipe"
        " and with 7 rotations. What is worse than *at least* is missed. The last column shows how near a network with"
        f" a sixteenth of the parameters comes on a CPU.\n\n{table(heads, rows)}\nWhat differs from the paper:\n\n"
        + "".join(f"- {note}\n" for note in notes)
    )


def em(jobs):
    rows = [["the paper, hidden test slices", "", "", *row_of_paper()]]
    level = paper.TABLE1["u-net"]["pixel_error"]
    found = {metric: tables.values(jobs, metric, by=("profile", "variant", "rotations")) for metric in EM}
    for key in found["v_rand"]:
        profile, variant, rotations = key
        rows.append([f"{variant}, {PROFILES[profile]}", rotations, found["v_rand"][key].jobs,
                     *(format(found[metric][key], DIGITS.get(metric, ".4f")) for metric in EM)])  # fmt: skip
    heads = ["recipe", "rotations", "jobs", *EM.values()]
    return (
        "## Table 1: membranes\n\nHeld-out blocks of the training stack, three folds; one threshold for all slices of a"
        " fold, as the challenge does it ([chapter 10](../10_table_1_membranes.ipynb#the-table)). V_rand and V_info are"
        f" those of the board that replaced the paper's, after thinning.\n\n{table(heads, rows)}\nWhen the"
        f" pixel error of the held-out slices, scored ten times in training, first was the paper's {level} or less:\n\n"
        + table(["job", "step", "after training"], curves(jobs, level))
    )


def curves(jobs, level):
    for job in jobs:
        if job["rotations"] == 1 and job["metrics"]:
            step, seconds = tables.time_to(level, job) or ("never", None)
            yield f"`{job['job']}`", f"{step} of {job['steps']}", amount(seconds, "s") if seconds else ""


def row_of_paper():
    reported = {**paper.TABLE1["u-net"], **paper.LATER_BOARD["u-net"]}
    return [str(reported[metric]) for metric in EM]


def cells(jobs):
    rows = [["the paper, hidden frames, \"average IOU\"", name, "", str(paper.TABLE2["u-net"][name]), ""]
            for name in ("phc-u373", "dic-hela")]  # fmt: skip
    by = "profile", "variant", "data"
    seg, iou = (tables.values(jobs, metric, by) for metric in ("seg", "iou"))
    for key in seg:
        profile, variant, name = key
        rows.append([f"{variant}, {PROFILES[profile]}", name, seg[key].jobs, f"{seg[key]}", f"{iou[key]}"])
    return (
        "## Table 2: cells\n\nTrained on one sequence, scored on the annotated frames of the other, both ways; the mean"
        " of the two is what the challenge reports. Unknown pixels do not count in IOU. What the paper calls"
        " average IOU is most likely SEG ([chapter 11](../11_table_2_cells.ipynb#which-number-is-the-papers)).\n\n"
        + table(["recipe", "data", "jobs", "SEG", "IOU"], rows)
    )


def ablations(jobs):
    """The change of the most telling score against the paper's recipe with the same seeds, by profile and data set."""
    text = [
        "## Ablations\n\nOne thing changed at a time, at equal steps, on one fold. The change is the mean over seeds"
        " of the difference to the paper's recipe with the same seed; the interval is that of Student's t at 95 %. It"
        " holds for these steps and this width: longer trainings may order the variants otherwise ([chapter"
        " 12](../12_ablations.ipynb#would-they-come-out-the-same-after-longer-training)).\n"
    ]
    for profile, data in dict.fromkeys((job["profile"], job["data"]["name"]) for job in jobs):
        some = [job for job in jobs if (job["profile"], job["data"]["name"]) == (profile, data)]
        metrics = ("seg", "iou") if "seg" in some[0]["metrics"] else ("pixel_error", "v_rand", "v_info")
        found = {metric: tables.values(some, metric) for metric in metrics}
        changes = {metric: tables.effects(some, metric) for metric in metrics}
        rows = []
        for (variant,), value in found[metrics[0]].items():
            shown = [variant, value.jobs]
            for metric in metrics:
                shown += [f"{found[metric][variant,].mean:.4f}", change(changes[metric].get(variant))]
            rows.append(shown)
        names = [EM.get(metric, metric.upper()) for metric in metrics]
        heads = ["variant", "seeds", *(head for name in names for head in (name, "change"))]
        steps = some[0]["steps"]
        text += [f"### {data}, {PROFILES[profile]}, {steps} steps\n", table(heads, rows)]
    return "\n".join(text)


def change(effect):
    if effect is None:
        return ""
    if math.isinf(effect.low):
        return f"{effect.mean:+.4f}"
    return f"{effect.mean:+.4f} ({effect.low:+.4f} to {effect.high:+.4f})"


def every_job(jobs):
    rows = []
    for job in jobs:
        scores = ", ".join(f"{EM.get(name, name)} {number(value)}" for name, value in job.get("metrics", {}).items())
        where = f"{job['device']}, {job['threads']} threads" if "threads" in job else job["device"]
        rows.append([f"`{job['experiment']}/{job['job']}`", scores, job.get("steps", ""),
                     f"{job['seconds']:.0f}" if "seconds" in job else "", where, job["versions"]["torch"],
                     f"`{job['commit']}`", job["date"]])  # fmt: skip
    heads = ["job", "scores", "steps", "seconds of training", "device", "torch", "commit", "date"]
    return (
        "## Every job\n\nSeconds were taken while the machine did other work too, unless the experiment is `time`.\n\n"
        + table(heads, rows)
    )


def number(value):
    return "never" if value is None else f"{value:.4g}"


def amount(value, unit):
    """A number with its unit: seconds as they are or as minutes and hours, bytes as GB."""
    if unit == "s":
        return f"{value / 3600:g} h" if value >= 3600 else f"{value / 60:.3g} min" if value >= 60 else f"{value:.3g} s"
    return f"{value / 1e9:.3g} GB" if unit == "B" else f"{value:.4g}"


def table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return ":::{div} wide\n" + "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines) + "\n:::\n"


def recorded():
    """All recorded jobs of the queue, by experiment; those of the smoke profile say nothing."""
    return {
        name: [job for job in results.read(name) if "variant" in job and job["profile"] in PROFILES]
        for name in ("table1", "table2", "ablations", "time")
    }


if __name__ == "__main__":
    PAGE.write_text(page(recorded()), encoding="utf-8")
    print(PAGE)
