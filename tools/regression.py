"""Compare what the chapters record with the values of an earlier run: make regression PROFILE=smoke

    python -m tools.regression --profile smoke [--update --reason "why the values are others now"]

Every chapter is run with the profile unless it was already, so a run that was cut off goes on in the chapter
it was in. The earlier values stand in data/results/chapters/PROFILE-DATA-DEVICE.json, each beside the largest
difference that passes: its tolerance, which may be edited there. `null` is for what depends on the machine,
such as seconds: shown, not compared.
"""

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple, TypeGuard

import torch
from nbformat import NotebookNode

from tools.chapters import ROOT, chapters, execute_all, real_data
from unet_edu import results
from unet_edu.files import whole

ABSENT = "absent"  # no value recorded, or none to compare with
FAILURES = {
    "drift": "the value moved by more than its tolerance",
    "missing": "the chapter recorded it earlier and does not any more",
    "new": "nothing to compare it with",
}


class Row(NamedTuple):
    chapter: str
    name: str  # CELL/NAME: two cells of a chapter may record the same name
    value: object
    baseline: object
    tolerance: float | None
    verdict: str  # "holds", "not compared", or one of FAILURES


def recorded(notebook: NotebookNode) -> dict[str, object]:
    """What the cells of an executed chapter gave to `record`, by CELL/NAME; in a loop NAME, NAME#2, ..."""
    values: dict[str, object] = {}
    count: Counter = Counter()
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        for out in cell.outputs:
            for name, value in out.get("metadata", {}).get("unet_edu", {}).get("record", {}).items():
                key = f"{cell.id}/{name}"
                count[key] += 1
                values[key if count[key] == 1 else f"{key}#{count[key]}"] = value
    return values


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def verdict(value: object, baseline: object, tolerance: float | None) -> str:
    if tolerance is None:
        return "not compared"
    if is_number(value) and is_number(baseline):
        return "holds" if abs(value - baseline) <= tolerance else "drift"  # a NaN drifts
    return "holds" if value == baseline else "drift"


def compare(values: dict[str, dict], baseline: dict[str, dict]) -> list[Row]:
    """One row for each value of either side; both by chapter and CELL/NAME."""
    rows = []
    for chapter in [*values, *(name for name in baseline if name not in values)]:
        found, known = values.get(chapter, {}), baseline.get(chapter, {})
        for name in [*found, *(name for name in known if name not in found)]:
            if name not in known:
                rows.append(Row(chapter, name, found[name], ABSENT, None, "new"))
                continue
            expected, tolerance = known[name]["value"], known[name]["tolerance"]
            if name not in found:
                rows.append(Row(chapter, name, ABSENT, expected, tolerance, "missing"))
                continue
            rows.append(Row(chapter, name, found[name], expected, tolerance,
                            verdict(found[name], expected, tolerance)))  # fmt: skip
    return rows


def usual_tolerance(name: str, value: object) -> float | None:
    """Counts and texts are exact. Sums in another order, on another processor, move the rest a little."""
    if "seconds" in name:
        return None
    if not isinstance(value, float):
        return 0
    if abs(value) < 1e-5:
        return 1e-5  # what float32 leaves of two equal computations
    return float(f"{1e-3 * abs(value):.1g}")


def updated(values: dict[str, dict], baseline: dict[str, dict]) -> dict[str, dict]:
    """The new baseline. A tolerance that somebody chose stays as it is."""
    new: dict[str, dict] = {}
    for chapter, found in values.items():
        new[chapter] = {}
        for name, value in found.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{chapter}, {name} = {value}: a baseline holds finite numbers; correct the chapter")
            old = baseline.get(chapter, {}).get(name)
            chosen = old is not None and old["tolerance"] != usual_tolerance(name, old["value"])
            tolerance = old["tolerance"] if old and chosen else usual_tolerance(name, value)
            new[chapter][name] = {"value": value, "tolerance": tolerance}
    return new


def job(profile: str) -> str:
    """PROFILE-DATA-DEVICE: which baseline belongs to a run here."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return f"{profile}-{'+'.join(sorted(real_data())) or 'synthetic'}-{device}"


def read_baseline(name: str, root: Path) -> dict:
    """The earlier run of this name; without any values if there is none."""
    path = root / "data" / "results" / "chapters" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"metrics": {}, "reasons": []}


def shown(value: object) -> str:
    return f"{value:.6g}" if is_number(value) else str(value)


def printed(rows: list[Row]) -> str:
    """The rows as a table of even columns."""
    lines = [("chapter", "value of", "value", "baseline", "tolerance", "verdict")]
    lines += [(r.chapter[:2], r.name, shown(r.value), shown(r.baseline), "" if r.tolerance is None
               else shown(r.tolerance), r.verdict) for r in rows]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)  # fmt: skip


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.regression", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="smoke", choices=["smoke", "cpu", "gpu", "paper"])
    parser.add_argument("--build", type=Path, default=root / "_build", help="default: _build")
    parser.add_argument("--update", action="store_true", help="make the values of this run the new baseline")
    parser.add_argument("--reason", default="", help="why they are others now; kept in the baseline")
    options = parser.parse_args(arguments)
    if options.update != bool(options.reason.strip()):
        parser.error('--update and --reason "why the values are others now" belong together')

    name = job(options.profile)
    executed = execute_all(options.profile, root, options.build.resolve())
    values = {chapter.stem: recorded(notebook) for chapter, notebook in executed.items()}
    broken = [chapter.stem for chapter in chapters(root) if chapter not in executed]
    baseline = read_baseline(name, root)
    if broken:  # what they recorded earlier says nothing now
        known = {chapter: kept for chapter, kept in baseline["metrics"].items() if chapter not in broken}
    else:
        known = baseline["metrics"]
    rows = compare(values, known)
    print(f"\n{printed(rows)}\n")
    report = options.build.resolve() / "regression" / f"{name}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    with whole(report) as partial:
        table = {"job": name, "failed_chapters": broken, "rows": [row._asdict() for row in rows]}
        partial.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"Report: {report}")
    if broken:
        print(f"No comparison of {', '.join(broken)}: see above what failed. Correct that, then run this again;"
              " chapters that ran are not run anew.", file=sys.stderr)  # fmt: skip
        return 1
    if options.update:
        return update(name, values, baseline, options, root)
    return judge(name, rows)


def update(name: str, values: dict, baseline: dict, options: argparse.Namespace, root: Path) -> int:
    date = results.circumstances()["date"]
    path = results.write(
        "chapters",
        name,
        {
            "profile": options.profile,
            "data": {"name": "+".join(sorted(real_data())) or "synthetic"},
            "reasons": [*baseline["reasons"], {"date": date, "reason": options.reason.strip()}],
            "metrics": updated(values, baseline["metrics"]),
        },
        folder=root / "data" / "results",
    )
    print(f"New baseline: {path}. Look at the difference before it is committed: git diff -- {path}")
    return 0


def judge(name: str, rows: list[Row]) -> int:
    """Say what failed and what to do; the exit code."""
    count = Counter(row.verdict for row in rows)
    print(f"{name}: " + ", ".join(f"{count[verdict]} {verdict}" for verdict in count))
    failed = [verdict for verdict in FAILURES if count[verdict]]
    if not rows:
        print("No chapter recorded a value: there is nothing to compare.", file=sys.stderr)
        return 1
    if failed:
        print(f"\n{printed([row for row in rows if row.verdict in FAILURES])}\n")
        for verdict in failed:
            print(f"{verdict}: {FAILURES[verdict]}", file=sys.stderr)
        print("If that is a fault, correct it. If it is meant, write a new baseline and say why:", file=sys.stderr)
        profile = name.split("-")[0]
        print(f'  python -m tools.regression --profile {profile} --update --reason "..."', file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
