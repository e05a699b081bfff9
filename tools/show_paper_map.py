"""Write the paper map from its list and from the claims in the chapters: python -m tools.show_paper_map

The list, book/appendix/paper_map.toml, is written by hand: a statement of the paper and the claims that check it. The
page, paper_map.md beside it, is derived; a test compares the two.
"""

import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import nbformat
from myst_parser.mdit_to_docutils.base import default_slugify

from tools.chapters import ROOT, Claim, chapters, claims, title
from tools.show_results import table
from unet_edu.reproduce.plans import EXPERIMENTS

LIST = ROOT / "book" / "appendix" / "paper_map.toml"
PAGE = LIST.with_suffix(".md")
STATUSES = {
    "asserted": "the claims are cells that fail if it does not hold; they run whenever the book is made",
    "measured": "a number was reached, in a chapter or in the recorded results; it may be another than the paper's",
    "to be measured": "nothing is recorded yet",
    "deviates": "this book does or finds something else, and says what",
    "cannot be tested here": "something is missing that nobody outside can have, and the page says what",
}
PENDING = "to be measured"  # derived, never written into the list
FIELDS = {"where", "says", "status", "claims", "module", "results", "why"}

HEAD = """# Paper map

What [the paper](https://arxiv.org/abs/1505.04597) states that can be checked, in our words and in its order, and what
checks it. The number of a claim leads to the section of the chapter where a cell asserts it. How open details were
settled is on the page of [deviations](deviations.md).

The page is made by `python -m tools.show_paper_map`, from a list and from the claims that are in the chapters. A test
fails if a claim is named that does not exist, or if something is called asserted and no cell asserts it.
"""


def parts():
    """The list: parts of the paper, each with its statements."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))["part"]


def claims_by_chapter(root: Path = ROOT):
    return {chapter: claims(chapter) for chapter in chapters(root)}


def recorded():
    """Experiments of which there are results."""
    return {path.parent.name for path in (ROOT / "data" / "results").glob("*/*.json")}


MENTION = re.compile(r"\[(\d+\.\d+)\](?!\()")  # [6.5] in a remark: that claim, linked


def numbers(statement):
    """The claims that check a statement, and those that its remark mentions."""
    return statement.get("claims", []) + MENTION.findall(statement.get("why", ""))


def problems(parts, by_chapter):
    """What is wrong with the list or the claims, one sentence each; empty when all is well."""
    count = Counter(claim.number for found in by_chapter.values() for claim in found)
    wrong = [f"claim {number} stands in {times} cells" for number, times in count.items() if times > 1]
    for statement in (statement for part in parts for statement in part["statement"]):
        named, status = statement.get("claims", []), statement["status"]
        missing = [number for number in numbers(statement) if number not in count]
        wrong += [
            f"{statement['where']}, {statement['says']!r}: {what}"
            for what, holds in {
                f"unknown fields {sorted(statement.keys() - FIELDS)}": statement.keys() <= FIELDS,
                f"no such status {status!r}": status in STATUSES.keys() - {PENDING},
                f"no such claim {missing}": not missing,
                "asserted by no claim": status != "asserted" or named,
                "measured nowhere": status != "measured" or named or "results" in statement,
                "checked although it cannot be": status != "cannot be tested here" or not named,
                "does not say why": "why" in statement or status not in ("deviates", "cannot be tested here"),
                "no such experiment": statement.get("results", "time") in EXPERIMENTS,
                "no such module": module_exists(statement.get("module")),
            }.items()
            if not holds
        ]
    return wrong


def module_exists(name):
    library = ROOT / "unet_edu"
    return name is None or (library / f"{name}.py").is_file() or (library / name / "__init__.py").is_file()


def page(parts, by_chapter, recorded):
    """Markdown of the whole page."""
    links = {claim.number: link(chapter, claim) for chapter, found in by_chapter.items() for claim in found}
    count = Counter(shown_status(statement, recorded) for part in parts for statement in part["statement"])
    statuses = [[status, count[status], meaning] for status, meaning in STATUSES.items() if count[status]]
    text = [HEAD, f"## {count.total()} statements\n", table(["status", "statements", "means"], statuses)]
    for part in parts:
        rows = [row(statement, links, recorded) for statement in part["statement"]]
        heads = ["where", "what the paper states", "status", "claims", "module", "remark"]
        text += [f"## {part['title']}\n", table(heads, rows)]
    return "\n".join([*text, ledger(parts, by_chapter)])


def row(statement, links, recorded):
    module, experiment = statement.get("module"), statement.get("results")
    remark = MENTION.sub(lambda mention: links[mention[1]], statement.get("why", ""))
    if experiment:
        state = "" if experiment in recorded else ", none yet"
        remark += f"{' ' if remark else ''}([results](results.md): `{experiment}`{state})"
    return [statement["where"], statement["says"], shown_status(statement, recorded),
            ", ".join(links[number] for number in statement.get("claims", [])),
            f"{{py:mod}}`{module} <unet_edu.{module}>`" if module else "", remark]  # fmt: skip


def shown_status(statement, recorded):
    """A measurement of which neither a chapter nor the results know anything is one to be made."""
    known = statement.get("claims") or statement.get("results") in recorded
    return PENDING if statement["status"] == "measured" and not known else statement["status"]


def link(chapter: Path, claim: Claim):
    """Link from the appendix to the section in which the claim stands."""
    return f"[{claim.number}](../{chapter.name}#{default_slugify(claim.section.replace('`', ''))})"


def ledger(parts, by_chapter):
    """How many claims every chapter has, and how many of them check a statement of the paper."""
    named = {number for part in parts for statement in part["statement"] for number in numbers(statement)}
    rows = [[f"[{title(nbformat.read(chapter, 4))}](../{chapter.name})", len(found),
             sum(claim.number in named for claim in found)]
            for chapter, found in by_chapter.items()]  # fmt: skip
    rows.append(["all", *(sum(row[column] for row in rows) for column in (1, 2))])
    return (
        "## Claims by chapter\n\nMost claims are not about the paper's sentences but about what follows from them: what"
        " breaks without a component, what a score does not see, what goes wrong with images of one's own.\n\n"
        + table(["chapter", "claims", "of them on this page"], rows)
    )


if __name__ == "__main__":
    listed, found = parts(), claims_by_chapter()
    if wrong := problems(listed, found):
        sys.exit("\n".join(wrong))
    PAGE.write_text(page(listed, found, recorded()), encoding="utf-8")
    print(PAGE)
