"""The tool chain itself, on a book of one tiny chapter: it fails when it must and does nothing twice."""

import ast
import re
import shutil
import sys
import tomllib
from itertools import chain

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools import build_book
from tools.chapters import ROOT, ChapterError, chapters, execute
from tools.show_docstrings import readable

PARAMETERS = new_code_cell('PROFILE = "smoke"', metadata={"tags": ["parameters"]})
FIGURE = new_code_cell(
    "from matplotlib import pyplot as plt\nplt.imshow([[0, 1]]);",
    metadata={"mystnb": {"image": {"alt": "Two pixels"}, "figure": {"caption": "Black and white"}}},
)
SCRIPTS = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]*)\"")


def write(book, *sources):
    """Write the chapter of the book: the parameters cell, then these code cells."""
    cells = [new_markdown_cell("# 1. A chapter\n\n$x^2$"), PARAMETERS]
    cells += [new_code_cell(source) if isinstance(source, str) else source for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, book / "book" / "01_chapter.ipynb")


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder laid out as this repository, with one chapter."""
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.delenv("UNET_EDU_PYTHON", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for folder in ("book", "unet_edu", "data"):
        (tmp_path / folder).mkdir()
    for folder in ("web", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    (tmp_path / "unet_edu" / "geometry.py").write_text("MARGIN = 92\n")
    (tmp_path / "book" / "index.md").write_text("# A book\n")
    toc = {"format": "jb-book", "root": "book/index"}
    toc["parts"] = [{"caption": "Part", "chapters": [{"file": "book/01_chapter.ipynb"}]}]
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    write(tmp_path, "print(1 + 1)")
    return tmp_path


def run(book, profile="smoke"):
    [chapter] = chapters(book)
    return execute(chapter, profile, root=book)


def test_unchanged_chapter_is_not_run_again(book):
    first, second = run(book), run(book)
    assert not first.fresh
    assert second.fresh
    assert second.seconds == first.seconds
    assert run(book, "cpu").fresh is False


@pytest.mark.parametrize(
    "file", ["unet_edu/geometry.py", "unet_edu/new.py", "data/w.safetensors", "constraints.txt"]
)
def test_whatever_the_outputs_depend_on_runs_it_again(book, file):
    run(book)
    (book / file).write_text("MARGIN = 93\n")
    assert not run(book).fresh
    assert run(book).fresh


def test_other_data_runs_it_again(book, monkeypatch):
    run(book)
    stack = book / "data sets" / "isbi2012" / "train-volume.tif"
    stack.parent.mkdir(parents=True)
    stack.write_bytes(b"II*")
    monkeypatch.setenv("UNET_EDU_DATA", str(book / "data sets"))
    assert not run(book).fresh
    assert run(book).fresh


def test_failing_cell_fails_and_leaves_nothing(book):
    write(book, "fine = 1", "assert fine == 2, 'one is not two'")
    with pytest.raises(ChapterError, match=r"(?s)assert fine == 2.*AssertionError: one is not two"):
        run(book)
    assert not [path for path in (book / "_build").rglob("*") if path.is_file()]


def test_earlier_success_does_not_hide_a_failure(book):
    run(book)
    write(book, "assert False")
    for _ in range(2):
        with pytest.raises(ChapterError):
            run(book)
    assert not list((book / "_build").rglob("*.ipynb"))


def test_kernel_is_this_interpreter_in_an_empty_folder_with_the_data(book, monkeypatch):
    (book / "sets").mkdir()
    monkeypatch.chdir(book)
    monkeypatch.setenv("UNET_EDU_DATA", "sets")
    write(book, "import os, sys\nprint([sys.executable, os.listdir(), os.environ['UNET_EDU_DATA'], PROFILE])")
    printed = run(book, "cpu").notebook.cells[-1].outputs[0].text
    assert ast.literal_eval(printed) == [sys.executable, [], str(book / "sets"), "cpu"]


def test_broken_chapter_leaves_no_book(book, capsys):
    (book / "_build" / "html").mkdir(parents=True)  # of an earlier build
    write(book, "1 / 0")
    assert build_book.main([], root=book) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert not (book / "_build" / "html").exists()


def test_a_warning_fails_the_build_every_time(book):
    write(book, new_markdown_cell("[nowhere](#nowhere)"))
    for _ in range(2):
        assert build_book.main([], root=book) != 0
        assert not (book / "_build" / "html").exists()


def test_pages(book, capsys):
    write(book, "for i in range(3):\n    print(f'\\rstep {i}', end='')", FIGURE)
    assert build_book.main(["--profile", "cpu"], root=book) == 0
    assert "synthetic" in capsys.readouterr().out
    html = book / "_build" / "html"
    assert "book/index.html" in (html / "index.html").read_text()
    page = (html / "book" / "01_chapter.html").read_text()
    assert 'alt="Two pixels"' in page
    assert "Black and white" in page
    assert "step 2" in page
    assert "step 1" not in page  # a line that replaces itself stands once
    assert re.findall('<span class="s2">"(\\w+)"', page) == ["smoke"]  # what papermill injected stays away
    assert "colab.research.google.com/github/unet-edu/unet-edu/blob/main/book/01_chapter.ipynb" in page
    for file in html.rglob("*.html"):
        assert not SCRIPTS.findall(file.read_text())  # nothing is asked of another server
    assert (html / "_static" / re.search(r'_static/(mathjax/[^"]+\.js)', page)[1]).is_file()


def test_docstring_becomes_text_and_lists():
    source = ["Sizes.", "", "Parameters", "----------", "size : in pixels,", "    at least 1", "", "Returns",
              "-------", "(H, W) array"]  # fmt: skip
    assert readable(source) == [
        "Sizes.", "", "**Parameters**", "", "- ``size``: in pixels,", "  at least 1", "", "**Returns**", "",
        "- (H, W) array",
    ]  # fmt: skip


# What is set up with pip, with conda, and pinned is the same.


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {plain(pin.name): str(pin.specifier).removeprefix("==") for pin in pinned}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_dependency_is_pinned_within_its_range():
    extras = project()["optional-dependencies"].values()
    for requirement in map(Requirement, chain(project()["dependencies"], *extras)):
        assert requirement.specifier.contains(pins()[plain(requirement.name)]), str(requirement)


def test_conda_environment_agrees():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == project()["name"]
    python, pip, extra = environment["dependencies"]
    assert SpecifierSet(project()["requires-python"]).contains(python.removeprefix("python="))
    assert pip == "pip"
    assert extra == {"pip": ["-c constraints.txt", "-e .[book]"]}


def test_the_address_is_the_same_wherever_it_has_to_stand():
    address = project()["urls"]["Repository"]
    assert yaml.safe_load((ROOT / "_config.yml").read_text())["repository"] == {"url": address, "branch": "main"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == address
    known = {file: {address} for file in ("pyproject.toml", "_config.yml", "CITATION.cff")}
    known["README.md"] = {address, address.replace("https://github.com/", "https://colab.research.google.com/github/")}
    sources = chain(*((ROOT / folder).rglob("*") for folder in ("book", "unet_edu", "tools", "web", "benchmarks")))
    kinds = (".py", ".md", ".ipynb", ".html", ".bib", ".css")
    for path in [*(ROOT / file for file in known), *(path for path in sources if path.suffix in kinds)]:
        name = path.relative_to(ROOT).as_posix()
        own = set(re.findall(r"https://[\w./]*/unet-edu/unet-edu\b", path.read_text(encoding="utf-8")))
        # A notebook must work without anything beside it, so its first cell has to know where the library is.
        assert own == (known.get(name) or ({address} if path.suffix == ".ipynb" else set())), name
