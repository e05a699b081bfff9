"""Fill in the first page: a figure that a chapter made, and what the book checks and reaches.

Nothing of it is typed: the figure is an output of chapter 10, the numbers come from the chapters, the paper map and
data/results. Like those of `show_runs` they are put in by `make book`, and git never sees them.
"""

from collections import Counter
from pathlib import Path

from nbformat import NotebookNode

from tools import show_paper_map
from tools.show_results import amount, recorded, table
from tools.show_runs import data_of
from unet_edu.reproduce import tables
from unet_edu.reproduce.tables import TARGETS

FIGURE = "<!-- `make book` puts the figure of chapter 10 here -->"
DATA = "<!-- of which data, it puts here -->"
COUNTS = "<!-- `make book` puts the counts here -->"
REACHED = "<!-- `make book` puts what was reached here -->"
CHAPTER = "10_table_1_membranes"
SHOWN = {"EM pixel error": "membranes: pixel error", "EM Rand error": "membranes: Rand error",
         "PhC-U373 SEG": "PhC-U373: SEG", "DIC-HeLa SEG": "DIC-HeLa: SEG",
         "one 512 x 512 image": "512 x 512 pixels in at most"}  # fmt: skip
PROFILES = {"paper": "full width", "cpu": "base width 16"}


def source(executed: dict[Path, NotebookNode]) -> NotebookNode:
    [notebook] = [notebook for chapter, notebook in executed.items() if chapter.stem == CHAPTER]
    return notebook


def figure(notebook: NotebookNode) -> str:
    """The figure with a slider in this chapter, as it stands there."""
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    [html] = [out.data["text/html"] for out in outputs if 'class="explore"' in out.get("data", {}).get("text/html", "")]
    return f"```{{raw}} html\n{html}\n```"


def counts() -> str:
    """How many chapters, claims and statements of the paper there are, and what became of the statements."""
    by_chapter, known = show_paper_map.claims_by_chapter(), show_paper_map.recorded()
    statements = [statement for part in show_paper_map.parts() for statement in part["statement"]]
    of = Counter(show_paper_map.shown_status(statement, known) for statement in statements)
    pending = f"{of[show_paper_map.PENDING]} to be measured, " if of[show_paper_map.PENDING] else ""
    return (
        f"**Checked.** Of {len(statements)} [statements of the paper](appendix/paper_map.md) {of['asserted']} are"
        f" asserted by code, {of['measured']} measured, {pending}{of['deviates']} done or found"
        f" [otherwise](appendix/deviations.md), and {of['cannot be tested here']} cannot be tested with what is public."
        f" {sum(map(len, by_chapter.values()))} claims in {len(by_chapter)} chapters stand beside a cell that fails if"
        " they are wrong."
    )


def reached(jobs: list[dict]) -> str:
    """A few of the targets beside what was reached, by profile, and in a sentence how many of all were missed."""
    by_profile = {profile: [job for job in jobs if job["profile"] == profile] for profile in PROFILES}
    shown = [target for target in TARGETS if target.quantity in SHOWN]
    rows = [["the paper", *(amount(target.paper, target.unit) for target in shown)],
            ["target, full width", *(amount(target.least, target.unit) for target in shown)]]  # fmt: skip
    told = []
    for profile, name in PROFILES.items():
        found = {target: tables.reached(target, by_profile[profile]) for target in TARGETS}
        of = Counter(tables.verdict(target, value) for target, value in found.items())
        if measured := len(TARGETS) - of["not measured"]:
            rows.append([name, *(cell(target, found[target]) for target in shown)])
            told.append(f"At {name} (profile `{profile}`) {of['missed']} of {measured} measured targets are missed.")
        else:
            told.append(f"At {name} (profile `{profile}`) nothing is measured yet.")
    return (
        f"**Reached**, on held-out training images and so not Tables 1 and 2 themselves. {' '.join(told)}"
        f" [All results](appendix/results.md)\n\n{table(['', *SHOWN.values()], rows)}"
    )


def cell(target: tables.Target, value: tables.Value | None) -> str:
    verdict = tables.verdict(target, value)
    return f"{amount(value.mean, target.unit)}, {verdict}" if value else verdict


def fill_in(executed: dict[Path, NotebookNode], page: Path) -> None:
    """Put figure and numbers in place of their marks; a page without them stays as it is."""
    text = page.read_text(encoding="utf-8")
    jobs = [job for experiment in recorded().values() for job in experiment]
    fillings = {
        FIGURE: lambda: figure(source(executed)),
        DATA: lambda: f"of `{data_of(source(executed))}`",
        COUNTS: counts,
        REACHED: lambda: reached(jobs),
    }
    for mark, filling in fillings.items():
        if mark in text:
            text = text.replace(mark, filling())
    page.write_text(text, encoding="utf-8")
