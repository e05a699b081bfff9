"""Every chapter: executed once for tests and pages alike, then held to what the book promises of a chapter.

What can be checked without running comes first, so that it fails within a second.
"""

import ast
import re
from collections import Counter
from statistics import median

import nbformat
import pytest

from tools.chapters import CLAIM, chapters, execute
from tools.chapters import claims as claims_of

CHAPTERS = chapters()
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(chapter):
    notebook = nbformat.read(chapter, as_version=4)
    nbformat.validate(notebook)
    return notebook


def claims(chapter):
    return [claim.number for claim in claims_of(chapter)]


@each_chapter
def test_no_outputs_in_git(chapter):
    for cell in code_cells(read(chapter)):
        assert not cell.outputs
        assert cell.execution_count is None


@each_chapter
def test_cell_ids_are_unique(chapter):
    ids = [cell.get("id") for cell in read(chapter).cells]  # the outputs find their way to the page by id
    assert None not in ids
    assert len(set(ids)) == len(ids)


@each_chapter
def test_cells_are_short(chapter):
    lines = [len(cell.source.splitlines()) for cell in code_cells(read(chapter))]
    assert max(lines) <= 30
    assert median(lines) <= 8


@each_chapter
def test_title_carries_the_number_of_the_file(chapter):
    title = read(chapter).cells[0].source.splitlines()[0]
    assert title.startswith(f"# {int(chapter.name[:2])}. ")


@each_chapter
def test_parameters_are_literals(chapter):
    [cell] = [c for c in code_cells(read(chapter)) if "parameters" in c.metadata.get("tags", [])]
    values = {}
    for statement in ast.parse(cell.source).body:  # papermill sets these names; what is derived stays behind
        assert isinstance(statement, ast.Assign), ast.unparse(statement)
        [name] = statement.targets
        values[ast.unparse(name)] = ast.literal_eval(statement.value)
    assert values["PROFILE"] == "smoke"


def test_the_bootstrap_cell_is_the_same_everywhere():
    assert len({code_cells(read(chapter))[0].source for chapter in CHAPTERS}) == 1


@each_chapter
def test_claims_are_asserted(chapter):
    for cell in code_cells(read(chapter)):
        if CLAIM.search(cell.source):
            assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source))), cell.source
    assert len(claims(chapter)) >= 4
    assert {claim.split(".")[0] for claim in claims(chapter)} == {str(int(chapter.name[:2]))}


def test_claims_are_unique():
    count = Counter(claim for chapter in CHAPTERS for claim in claims(chapter))
    assert not [claim for claim, times in count.items() if times > 1]


@each_chapter
def test_chapter_runs_within_its_budget(chapter):
    notebook, seconds, _ = execute(chapter, "smoke")
    assert seconds <= 60
    for cell in code_cells(notebook):
        assert cell.execution_count is not None
        kinds = {(out.output_type, out.get("name")) for out in cell.outputs}
        assert "error" not in {kind for kind, _ in kinds}
        assert ("stream", "stderr") not in kinds, f"a warning that nobody reads:\n{cell.outputs}"


@each_chapter
def test_every_image_has_a_text(chapter):
    for cell in code_cells(execute(chapter, "smoke").notebook):
        shown = [out.data for out in cell.outputs if "data" in out]
        if "image" in cell.metadata.get("mystnb", {}):
            assert any(kind in ("image/png", "text/html") for data in shown for kind in data), cell.source
        if any(kind.startswith("image/") for data in shown for kind in data):
            described = cell.metadata.get("mystnb", {})
            assert described.get("image", {}).get("alt"), cell.source
            assert described.get("figure", {}).get("caption"), cell.source
        html = " ".join(data.get("text/html", "") for data in shown)
        for image in re.findall(r"<img\b[^>]*>", html):
            assert re.search(r"""\balt=["'][^"']""", image), image[:200]
        for drawing in re.findall(r"<svg xmlns.{,1000}", html, re.S):
            assert re.match(r'<svg [^>]*role="img"[^>]*><title>[^<]+</title><desc>[^<]', drawing), drawing[:200]
            assert cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"), cell.source


def prose(text):
    """Of each stretch of text without a table, an equation, a picture or a fold: its heading and its lines of 95."""
    heading, lines = "", 0
    for line in text.split("\n"):
        if line.startswith("#"):
            yield heading, lines
            heading, lines = line.strip("# "), 0
        elif line.startswith(("|", "$$", ":::", "```", "<", "![")):
            yield heading, lines
            lines = 0
        else:
            lines += -(-len(line) // 95)
    yield heading, lines


@each_chapter
def test_no_wall_of_text(chapter):
    text = "\n".join(cell.source if cell.cell_type == "markdown" else "```" for cell in read(chapter).cells)
    lists = ("Self-test", "References")  # to look things up in
    walls = [(heading, lines) for heading, lines in prose(text) if lines > 12 and heading not in lists]
    assert not walls, "cut, or put a figure, a table or a cell between"


@each_chapter
def test_a_number_is_guessed_before_it_is_computed_and_shown_beside_it(chapter):
    cells = read(chapter).cells
    at = next(i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and "**Predict.**" in cell.source)
    later = [ast.parse(re.sub(r"^\s*[%!].*", "", cell.source, flags=re.M)) for cell in cells[at:]
             if cell.cell_type == "code"]  # fmt: skip
    names = [node for tree in later for node in ast.walk(tree) if isinstance(node, ast.Name)]
    guesses = {node.id for node in names if isinstance(node.ctx, ast.Store) and node.id.startswith("guess")}
    assert guesses
    assert guesses <= {node.id for node in names if isinstance(node.ctx, ast.Load)}


@each_chapter
def test_equations_are_numbered_in_their_order(chapter):
    text = "\n".join(cell.source for cell in read(chapter).cells if cell.cell_type == "markdown")
    equations = re.findall(r"\$\$(.+?)\$\$", text, re.S)
    number = int(chapter.name[:2])
    numbers = [f"{number}.{k + 1}" for k in range(len(equations))]
    assert [re.findall(r"\\tag\{(.+?)\}", equation) for equation in equations] == [[n] for n in numbers]
    assert set(re.findall(rf"Equations? \(({number}\.\d+)\)", text)) <= set(numbers)
