"""The paper map says what the chapters assert: its page is fresh, its claims exist, nothing is asserted by nobody."""

import copy

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from tools import show_paper_map
from tools.chapters import Claim, claims

PARTS, CLAIMS = show_paper_map.parts(), show_paper_map.claims_by_chapter()


def test_the_list_and_the_claims_fit_together():
    assert not show_paper_map.problems(PARTS, CLAIMS)


def test_the_page_is_what_the_list_and_the_chapters_give():
    fresh = show_paper_map.page(PARTS, CLAIMS, show_paper_map.recorded())
    assert show_paper_map.PAGE.read_text(encoding="utf-8") == fresh  # else: python -m tools.show_paper_map


def test_claims_are_read_with_their_sections(tmp_path):
    cells = [new_markdown_cell("# 3. Net\n\n## `explore` it\n\ntext"), new_code_cell("# claim 3.1\nassert True"),
             new_markdown_cell("no heading, # claim 3.7"), new_code_cell("x = 1  # claim 3.8\n# claim 3.2: why"),
             new_markdown_cell("### Last"), new_code_cell("# claim 3.10")]  # fmt: skip
    path = tmp_path / "03_net.ipynb"
    path.write_text(writes(new_notebook(cells=cells)))
    assert claims(path) == [("3.1", "`explore` it"), ("3.2", "`explore` it"), ("3.10", "Last")]
    assert show_paper_map.link(path, claims(path)[0]) == "[3.1](../03_net.ipynb#explore-it)"


def one(**changes):
    """A list of a single statement, which is in order unless changed; None takes a field away."""
    usual = {"where": "Sec. 2", "says": "Two.", "status": "asserted", "claims": ["3.1"], "module": "model"}
    statement = {name: value for name, value in (usual | changes).items() if value is not None}
    return [{"title": "Part", "statement": [statement]}]


CHAPTER = show_paper_map.ROOT / "book" / "03_the_network.ipynb"
FEW = {CHAPTER: [Claim("3.1", "A"), Claim("3.2", "B")]}


@pytest.mark.parametrize(
    "right",
    [{}, {"status": "measured"}, {"status": "measured", "claims": None, "results": "table1"}, {"why": "see [3.2]"},
     {"status": "deviates", "why": "x"}, {"status": "cannot be tested here", "claims": None, "why": "x"}],
)  # fmt: skip
def test_what_is_in_order_passes(right):
    assert not show_paper_map.problems(one(**right), FEW)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"claims": ["3.1", "3.3"]}, "no such claim ['3.3']"), ({"why": "see [3.4]"}, "no such claim ['3.4']"),
     ({"claims": []}, "asserted by no claim"), ({"claims": None}, "asserted by no claim"),
     ({"status": "measured", "claims": None}, "measured nowhere"), ({"status": "sure"}, "no such status 'sure'"),
     ({"status": "to be measured"}, "no such status"), ({"status": "deviates"}, "does not say why"),
     ({"status": "cannot be tested here", "claims": None}, "does not say why"),
     ({"status": "cannot be tested here", "why": "x"}, "checked although it cannot be"),
     ({"module": "modle"}, "no such module"), ({"results": "table3"}, "no such experiment"),
     ({"claim": ["3.1"]}, "unknown fields ['claim']")],
)  # fmt: skip
def test_what_is_wrong_is_told(changes, told):
    [problem] = show_paper_map.problems(one(**changes), FEW)
    assert told in problem
    assert "Sec. 2" in problem


def test_a_claim_that_stands_twice_is_told():
    twice = copy.deepcopy(FEW)
    twice[CHAPTER].append(Claim("3.1", "C"))
    assert show_paper_map.problems(one(), twice) == ["claim 3.1 stands in 2 cells"]


def test_nothing_is_measured_before_it_is_recorded():
    [part] = one(status="measured", claims=None, results="table1")
    [statement] = part["statement"]
    assert show_paper_map.shown_status(statement, set()) == "to be measured"
    assert show_paper_map.shown_status(statement, {"table1"}) == "measured"
    assert "none yet" in show_paper_map.page([part], FEW, set())
    assert "none yet" not in show_paper_map.page([part], FEW, {"table1"})


def test_the_page_counts():
    text = show_paper_map.page(one(why="also [3.2]"), FEW, set())
    assert "## 1 statements" in text
    assert "| asserted | 1 |" in text
    assert "| [3. The network](../03_the_network.ipynb) | 2 | 2 |" in text
    assert "also [3.2](../03_the_network.ipynb#b)" in text
    assert "| all | 2 | 1 |" in show_paper_map.page(one(), FEW, set())
