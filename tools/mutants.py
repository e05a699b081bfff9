"""Plant the faults of book/appendix/mutants.toml in the library one at a time, and see which claim turns red.

    python -m tools.mutants                   # all of them; a run that was cut off goes on
    python -m tools.mutants --sample 5        # the first five that are quick
    python -m tools.mutants --only weight     # those whose name, file or claim has this in it
    python -m tools.mutants --list            # what there is
    python -m tools.mutants --write           # the page, from the list and the claims in the chapters

A fault is planted in a copy of the library. The claim's chapter runs with that copy up to the cell of the claim,
where an AssertionError must stop it. These chapters, of a sample only the first, also run without a fault, and
nothing may stop them.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools.chapters import CLAIM, ROOT, ChapterError, key, numbered, run, title
from tools.show_paper_map import claims_by_chapter, link
from tools.show_results import table
from unet_edu.files import whole

LIST = Path("book/appendix/mutants.toml")
GREEN = "green"  # no claim turned red

HEAD = """# Planted faults

A claim that no fault can turn red says nothing, and from the claim alone one does not see it. That is how checks in
exercise notebooks come to pass wrong answers: they ask for a shape, or for a loss that falls, and get both with labels
that do not fit their image.

So {count} faults are planted in the library, one at a time; many are common in code that is called a U-Net. For each, a
chapter is run with the faulty library, and the claim named here must be the first to fail. `make mutants` does all of
it, and every change of this book is checked with a few of them. What is replaced by what stands in
`{list}`; this page is made from it by `python -m tools.mutants --write`.
"""


class Mutant(NamedTuple):
    name: str  # the fault, in words
    file: str  # of the library, such as "metrics/cells.py"; "": no fault
    old: str  # text that occurs there once, ...
    new: str  # ... and what takes its place
    claim: str  # "6.8": the first that must turn red
    quick: bool = False  # red within seconds: may be in a sample

    @property
    def chapter(self) -> int:
        return int(self.claim.split(".")[0])


def listed(root: Path = ROOT) -> list[Mutant]:
    return [Mutant(**entry) for entry in tomllib.loads((root / LIST).read_text(encoding="utf-8"))["mutant"]]


def problems(mutants: list[Mutant], root: Path = ROOT) -> list[str]:
    """What is wrong with the list, one sentence each; empty when all is well."""
    known = {claim.number for found in claims_by_chapter(root).values() for claim in found}
    count = Counter(mutant.name for mutant in mutants)
    wrong = [f"{name!r} stands {times} times in the list" for name, times in count.items() if times > 1]
    for mutant in mutants:
        path = root / "unet_edu" / mutant.file
        times = path.read_text(encoding="utf-8").count(mutant.old) if path.is_file() else 0
        if times != 1:
            wrong.append(f"{mutant.name!r}: what it replaces occurs {times} times in {mutant.file}, must be once")
        if mutant.claim not in known:
            wrong.append(f"{mutant.name!r}: there is no claim {mutant.claim}")
        if mutant.old == mutant.new:
            wrong.append(f"{mutant.name!r}: replaces a text by itself")
    return wrong


def controls(mutants: list[Mutant]) -> list[Mutant]:
    """For each chapter of these faults, a run without any, up to the last of their claims."""
    last: dict[int, Mutant] = {}
    for mutant in mutants:
        before = last.get(mutant.chapter, mutant)
        last[mutant.chapter] = max(before, mutant, key=lambda m: int(m.claim.split(".")[1]))
    return [Mutant(f"no fault, chapter {number}", "", "", "", last[number].claim) for number in sorted(last)]


def copied(folder: Path, root: Path = ROOT) -> None:
    """The library in a folder of its own, its data beside it."""
    # What numba has compiled comes along: it goes by the date and the size of each file, which are copied.
    shutil.copytree(root / "unet_edu", folder / "unet_edu", ignore=shutil.ignore_patterns("*.pyc"))
    if (root / "data").exists():
        (folder / "data").symlink_to((root / "data").resolve())


@contextmanager
def planted(mutant: Mutant, folder: Path, root: Path = ROOT) -> Iterator[None]:
    """The fault in the copied library; afterwards the file is as it was, its date too."""
    right, faulty = (place / "unet_edu" / mutant.file for place in (root, folder))
    if mutant.file:
        faulty.write_text(right.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
    yield
    if mutant.file:
        shutil.copy2(right, faulty)


def up_to(chapter: Path, claim: str, folder: Path) -> NotebookNode:
    """The chapter as far as this claim, and before it a check that the library is that of the folder."""
    notebook = nbformat.read(chapter, as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells)
                if cell.cell_type == "code" and claim in CLAIM.findall(cell.source))  # fmt: skip
    wanted = str(folder / "unet_edu" / "__init__.py")
    check = new_code_cell(f"assert __import__('unet_edu').__file__ == {wanted!r}, 'another library was imported'")
    notebook.cells = [check, *notebook.cells[: last + 1]]
    return notebook


def outcome(mutant: Mutant, folder: Path, root: Path = ROOT) -> str:
    """What the fault did: the number of the claim that turned red, GREEN, or what else went wrong in words."""
    chapter = numbered(mutant.chapter, root)
    with planted(mutant, folder, root):
        try:
            run(up_to(chapter, mutant.claim, folder), chapter.name, "smoke")
        except ChapterError as error:
            last = str(error).strip().splitlines()[-1]
            number = CLAIM.search(error.cell)
            if not number:
                return f"outside of any claim ({last})"
            return number[1] if error.raised == "AssertionError" else f"in claim {number[1]} ({last})"
    return GREEN


def finding(mutant: Mutant, red: str) -> str:
    """What is wrong with an outcome; empty if it is as the list says."""
    if not mutant.file:
        return "" if red == GREEN else f"fails without any fault: {red}"
    if red == GREEN:
        return f"survives: claim {mutant.claim} does not see it"
    if not CLAIM.match(f"# claim {red}"):
        return f"dies of something else than a claim's assertion, {red}"
    return "" if red == mutant.claim else f"turns claim {red} red, not {mutant.claim}"


def seconds_and_finding(mutant: Mutant, folder: Path, root: Path = ROOT) -> tuple[float, str]:
    """Seconds of the run, and what is wrong. A run that ended as it should is kept in _build and not repeated."""
    chapter = numbered(mutant.chapter, root)
    fault = json.dumps(mutant._replace(quick=False))
    name = hashlib.sha256(f"{key(chapter, 'smoke', root)} {fault}".encode()).hexdigest()
    kept = root / "_build" / "mutants" / f"{name}.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))["seconds"], ""
    started = time.monotonic()
    wrong = finding(mutant, outcome(mutant, folder, root))
    seconds = round(time.monotonic() - started, 1)
    if not wrong:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole(kept) as partial:
            partial.write_text(json.dumps({**mutant._asdict(), "seconds": seconds}), encoding="utf-8")
    return seconds, wrong


def page(mutants: list[Mutant], root: Path = ROOT) -> str:
    """Markdown of the whole page."""
    by_chapter = claims_by_chapter(root)
    rows = []
    for mutant in mutants:
        chapter = numbered(mutant.chapter, root)
        [claim] = (claim for claim in by_chapter[chapter] if claim.number == mutant.claim)
        where = f"{title(nbformat.read(chapter, 4))}: {claim.section}"
        rows.append([mutant.name, f"`{mutant.file}`", link(chapter, claim), where])
    heads = ["fault", "in", "claim", "where it turns red"]
    return HEAD.format(count=len(mutants), list=LIST) + "\n" + table(heads, rows)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="faults with this in their name, file or claim")
    parser.add_argument("--sample", type=int, metavar="N", help="the first N that are quick")
    parser.add_argument("--list", action="store_true", help="show the faults, run nothing")
    parser.add_argument("--write", action="store_true", help="write the page, run nothing")
    options = parser.parse_args(arguments)

    mutants = listed(root)
    if wrong := problems(mutants, root):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    if options.write:
        target = (root / LIST).with_suffix(".md")
        target.write_text(page(mutants, root), encoding="utf-8")
        print(target)
        return 0
    chosen = [m for m in mutants if any(options.only in text for text in (m.name, m.file, m.claim))]
    if options.sample is not None:
        chosen = [mutant for mutant in chosen if mutant.quick][: options.sample]
    if not chosen or len(chosen) < (options.sample or 0):
        parser.error(f"the list has {len(chosen)} such faults")
    if options.list:
        print("\n".join(f"{mutant.claim:6} {mutant.file:24} {mutant.name}" for mutant in chosen))
        return 0
    without = controls(chosen)
    return check([*(without if options.sample is None else without[:1]), *chosen], root)


def check(mutants: list[Mutant], root: Path) -> int:
    """Run them all, a line for each; the exit code."""
    total, failed = 0.0, 0
    with tempfile.TemporaryDirectory() as place, mock.patch.dict(os.environ):
        folder = Path(place).resolve()
        copied(folder, root)
        os.environ.pop("UNET_EDU_PYTHON", None)  # an environment that holds a library of its own
        os.environ["PYTHONPATH"] = str(folder)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # faults of one second and of one size would not be told apart
        for number, mutant in enumerate(mutants, 1):
            print(f"{number:3}/{len(mutants)} {mutant.name:66}", end=" ", flush=True)
            seconds, wrong = seconds_and_finding(mutant, folder, root)
            expected = f"claim {mutant.claim} red" if mutant.file else f"green up to claim {mutant.claim}"
            print(f"{seconds:5.1f} s  {wrong.upper()[:1] + wrong[1:] or expected}", flush=True)
            total, failed = total + seconds, failed + bool(wrong)
    print(f"{len(mutants) - failed} of {len(mutants)} runs as the list says, in {total / 60:.1f} minutes")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
