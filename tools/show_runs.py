"""Fill in the two pages that tell of the run the book was made from: status and regression.

Their text stands in book/appendix; the numbers differ with every run, so `make book` puts them in, and git never
sees them.
"""

from pathlib import Path

from nbformat import NotebookNode

from tools import regression
from tools.chapters import CLAIM, title
from tools.show_results import table

HERE = "<!-- `make book` puts the numbers here -->"


def link(chapter: Path, notebook: NotebookNode) -> str:
    return f"[{title(notebook)}](../{chapter.name})"


def claims_passed(notebook: NotebookNode) -> int:
    """Claims in cells that ran to their end; an assertion that failed would have ended the chapter."""
    ran = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count is not None]
    return sum(len(CLAIM.findall(cell.source)) for cell in ran)


def data_of(notebook: NotebookNode) -> str:
    """The data sets that the chapter says it shows."""
    printed = [out.text for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs
               if out.output_type == "stream"]  # fmt: skip
    lines = [line for text in printed for line in text.splitlines() if line.startswith("Data: ")]
    return ", ".join(dict.fromkeys(line.removeprefix("Data: ").split(",")[0] for line in lines)) or "its own"


def status(executed: dict[Path, NotebookNode]) -> str:
    rows = []
    for chapter, notebook in executed.items():
        run = notebook.metadata["unet_edu"]
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        rows.append([link(chapter, notebook), run["profile"], f"{run['seconds']:.1f}", claims_passed(notebook),
                     data_of(notebook), run["device"], versions, run["date"]])  # fmt: skip
    heads = ["chapter", "profile", "seconds", "claims passed", "data", "device", "versions", "date"]
    claims, seconds = sum(row[3] for row in rows), sum(float(row[2]) for row in rows)
    return (
        f"{len(rows)} chapters ran from the first cell to the last in {seconds / 60:.1f} minutes; {claims} claims"
        f" passed and none failed.\n\n{table(heads, rows)}"
    )


def comparison(executed: dict[Path, NotebookNode], root: Path) -> str:
    [profile] = {notebook.metadata["unet_edu"]["profile"] for notebook in executed.values()}
    name = regression.job(profile)
    baseline = regression.read_baseline(name, root)
    values = {chapter.stem: regression.recorded(notebook) for chapter, notebook in executed.items()}
    rows = regression.compare(values, baseline["metrics"])
    if not baseline["reasons"]:
        return f"There is no baseline `{name}` yet, so the {len(rows)} values of this run were compared with nothing.\n"
    held = sum(row.verdict == "holds" for row in rows)
    failed = [row for row in rows if row.verdict in regression.FAILURES]
    text = [
        f"Baseline `{name}` of {baseline['date']}, commit `{baseline['commit']}`: of {len(rows)} values {held} hold,"
        f" {len(failed)} do not, and {len(rows) - held - len(failed)} are not compared.\n",
        "Why the baseline is what it is:\n",
        "".join(f"- {entry['date']}: {entry['reason']}\n" for entry in baseline["reasons"]),
    ]
    for chapter, notebook in executed.items():
        own = [[f"`{row.name}`", regression.shown(row.value), regression.shown(row.baseline), limit(row.tolerance),
                row.verdict] for row in rows if row.chapter == chapter.stem]  # fmt: skip
        if own:
            text += [f"## {title(notebook)}\n", table(["value of", "value", "baseline", "tolerance", "verdict"], own)]
    return "\n".join(text)


def limit(tolerance: float | None) -> str:
    return "" if tolerance is None else regression.shown(tolerance)


def fill_in(executed: dict[Path, NotebookNode], root: Path, target: Path) -> None:
    """Put the numbers of these chapters into the pages laid out in `target`."""
    pages = target / "book" / "appendix"
    for page, text in (("status.md", status(executed)), ("regression.md", comparison(executed, root))):
        if (pages / page).is_file():
            written = (pages / page).read_text(encoding="utf-8")
            if HERE not in written:
                raise ValueError(f"{page}: no line {HERE!r}; add it where the numbers belong")
            (pages / page).write_text(written.replace(HERE, text), encoding="utf-8")
