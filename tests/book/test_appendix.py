"""The hand-written pages of the appendix: links lead where they say, terms are those that the chapters use."""

import re

import nbformat
import pytest
from myst_parser.mdit_to_docutils.base import default_slugify

from tools.chapters import HEADING, ROOT, chapters
from tools.show_paper_map import claims_by_chapter, link
from unet_edu import ablations
from unet_edu.reproduce.plans import EXPERIMENTS, PROFILES

APPENDIX = ROOT / "book" / "appendix"
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
DEVIATIONS, GLOSSARY = ((APPENDIX / f"{name}.md").read_text(encoding="utf-8") for name in ("deviations", "glossary"))


def prose(path):
    """The Markdown of a page or of a chapter."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def sections(path):
    return {default_slugify(heading.replace("`", "")) for heading in HEADING.findall(prose(path))}


def broken(text, folder):
    """Links within the book that lead to no page, or to no heading of it."""
    for _, target in LINK.findall(text):
        if "://" not in target:
            name, _, section = target.partition("#")
            if not (folder / name).is_file() or (section and section not in sections(folder / name)):
                yield target


@pytest.mark.parametrize("page", sorted(APPENDIX.glob("*.md")), ids=lambda path: path.stem)
def test_links_lead_somewhere(page):
    assert not list(broken(page.read_text(encoding="utf-8"), APPENDIX))


def test_a_broken_link_is_noticed():
    page, section = "../03_the_net.ipynb", "../03_the_network.ipynb#no-such-section"
    text = f"[a]({page}) [b]({section}) [c](../03_the_network.ipynb#what-the-skips-carry) [d](https://example.org)"
    assert list(broken(text, APPENDIX)) == [page, section]


def test_a_claim_leads_to_its_own_section():
    links = {claim.number: link(chapter, claim) for chapter, found in claims_by_chapter().items() for claim in found}
    named = [match for match in LINK.finditer(DEVIATIONS) if re.fullmatch(r"\d+\.\d+", match[1])]
    assert len(named) > 60
    for match in named:
        assert match[0] == links[match[1]]


def rows(text):
    """Cells of the table rows of a page, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if " see |" not in line]


def test_every_deviation_is_told_for_everybody_and_leads_on():
    for row in rows(DEVIATIONS):
        assert len(row) in (7, 4)  # a comparison; an addition of ours
        assert all(row), row[0]
        assert LINK.search(row[-1]), row[0]


def test_ablations_have_the_names_of_the_queue():
    queued = {job.variant for job in EXPERIMENTS["ablations"]("paper", PROFILES["paper"]["ablations"])}
    named = [name for row in rows(DEVIATIONS) for part in re.findall(r"ablations? (`.*)", row[-1])
             for name in re.findall("`([^`]+)`", part)]  # fmt: skip
    assert len(named) > 10
    assert not set(named) - queued - set(ablations.NAMES)


def terms():
    inside = GLOSSARY.partition("```{glossary}\n")[2].partition("```")[0]
    return re.findall(r"^(\S.*)$", inside, re.M)


def test_terms_are_in_order():
    assert len(terms()) > 50
    assert terms() == sorted(set(terms()), key=str.casefold)


@pytest.mark.parametrize("term", terms())
def test_every_term_is_used_in_a_chapter(term):
    words = " ".join(reversed(term.split(", ")))  # "Component, connected"
    assert any(re.search(rf"\b{re.escape(words)}", prose(chapter), re.I) for chapter in chapters()), term


def test_every_term_leads_to_its_explanation():
    entries = re.split(r"^\S.*\n", GLOSSARY.partition("```{glossary}\n")[2].partition("\n```")[0], flags=re.M)[1:]
    assert len(entries) == len(terms())
    for term, entry in zip(terms(), entries, strict=True):
        assert LINK.search(entry), term
