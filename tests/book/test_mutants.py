"""The list of planted faults fits the library and the chapters; the tool that runs them tells red from green."""

import contextlib
import shutil

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import mutants
from tools.chapters import ROOT
from tools.mutants import GREEN, LIST, Mutant, controls, finding

MUTANTS = mutants.listed()


def test_the_list_fits_the_library_and_the_chapters():
    assert not mutants.problems(MUTANTS)


def test_the_page_is_what_the_list_and_the_chapters_give():
    page = (ROOT / LIST).with_suffix(".md")
    assert page.read_text(encoding="utf-8") == mutants.page(MUTANTS)  # else: python -m tools.mutants --write


def test_there_are_enough_faults_in_all_parts():
    assert len(MUTANTS) >= 20
    assert {m.chapter for m in MUTANTS} >= set(range(1, 15))
    assert sum(m.quick for m in MUTANTS) >= 4


AREA = "def area(height, width):\n    return height * width\n"
CELLS = [new_markdown_cell("# 1. Area\n\n## Sides"), new_code_cell("from unet_edu.area import area"),
         new_code_cell("# claim 1.1\nassert area(2, 3) == 6"), new_code_cell("# claim 1.2\nassert area(1, 1) == 1"),
         new_code_cell("# claim 1.3\nraise ValueError('beyond the claims of the list')")]  # fmt: skip
RIGHT = {"a sum": ("height + width", "1.1"), "never below 4": ("max(height * width, 4)", "1.2")}
WRONG = {
    "none": ("width * height", "1.2", "Survives: claim 1.2 does not see it"),
    "early": ("height + width", "1.2", "Turns claim 1.1 red, not 1.2"),
    "crash": ("height / 0", "1.1", "than a claim's assertion, in claim 1.1 (ZeroDivisionError: division by zero)"),
    "import": ("height * width\nraise ImportError('oh')", "1.1", "outside of any claim (ImportError: oh)"),
    "assert": ("height * width\nassert False, 'no'", "1.1", "outside of any claim (AssertionError: no)"),
}


def faults(root, parts):
    lines = [f"[[mutant]]\nname = {name!r}\nfile = 'area.py'\nold = 'height * width'\nnew = '''{new}'''\n"
             f"claim = '{claim}'\n" for name, (new, claim, *_) in parts.items()]  # fmt: skip
    (root / LIST).write_text("".join(lines))


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A library of one function, a chapter with claims about it, a list of faults that they see."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("UNET_EDU_PYTHON", "/nowhere/python")  # must not matter
    (tmp_path / LIST).parent.mkdir(parents=True)
    (tmp_path / "unet_edu").mkdir()
    (tmp_path / "unet_edu/__init__.py").touch()
    (tmp_path / "unet_edu/area.py").write_text(AREA)
    (tmp_path / "constraints.txt").touch()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=CELLS, metadata={"kernelspec": kernel}), tmp_path / "book/01_area.ipynb")
    toc = {"parts": [{"chapters": [{"file": "book/01_area.ipynb"}]}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    faults(tmp_path, RIGHT)
    return tmp_path


def forbidden(*arguments):
    raise AssertionError("run again")


def test_a_fault_that_is_seen_is_kept_and_not_run_again(book, monkeypatch, capsys):
    assert mutants.main([], root=book) == 0
    said = capsys.readouterr().out
    assert "no fault, chapter 1" in said
    assert "green up to claim 1.2" in said
    assert "claim 1.1 red" in said
    assert "3 of 3 runs as the list says" in said
    assert (book / "unet_edu/area.py").read_text() == AREA

    with monkeypatch.context() as patch:
        patch.setattr(mutants, "run", forbidden)
        assert mutants.main([], root=book) == 0
        assert mutants.main(["--only", "never"], root=book) == 0
        assert "2 of 2 runs" in capsys.readouterr().out.splitlines()[-1]
        (book / "unet_edu/area.py").write_text(AREA + "\n")  # another library: nothing that is kept counts
        with pytest.raises(AssertionError, match="run again"):
            mutants.main([], root=book)


def test_whatever_else_happens_is_told(book, capsys):
    faults(book, WRONG)
    assert mutants.main([], root=book) == 1
    lines = capsys.readouterr().out.splitlines()
    for (name, (*_, told)), line in zip(WRONG.items(), lines[1:], strict=False):
        assert f"/6 {name} " in line
        assert told in line
    assert "1 of 6 runs as the list says" in lines[-1]
    assert len([*(book / "_build/mutants").iterdir()]) == 1  # only what went well is kept


def test_a_chapter_that_fails_without_a_fault_is_told(book, capsys):
    (book / "unet_edu/area.py").write_text(AREA + "\nassert False\n")
    assert mutants.main(["--only", "a sum"], root=book) == 1
    assert "Fails without any fault: outside of any claim (AssertionError" in capsys.readouterr().out


def test_another_library_is_noticed(book, monkeypatch, capsys):
    monkeypatch.setattr(mutants, "copied", lambda folder, root: shutil.copytree(book / "unet_edu", folder / "other"))
    monkeypatch.setattr(mutants, "planted", lambda *arguments: contextlib.nullcontext())
    assert mutants.main(["--only", "a sum"], root=book) == 1
    assert capsys.readouterr().out.count("another library was imported") == 2


def test_findings_in_words():
    fault, none = Mutant("a", "a.py", "b", "c", "6.8"), Mutant("none", "", "", "", "6.8")
    assert not finding(fault, "6.8")
    assert not finding(none, GREEN)
    assert "survives" in finding(fault, GREEN)
    assert "6.80" in finding(fault, "6.80")
    assert "without any fault" in finding(none, "6.8")


def test_each_chapter_also_runs_without_a_fault():
    some = [Mutant("", "a.py", "", "", claim) for claim in ("6.9", "6.12", "6.8", "11.5")]
    assert [control.claim for control in controls(some)] == ["6.12", "11.5"]
    assert not any(control.file for control in controls(some))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [({"old": "depth"}, "must be once"), ({"old": "no such text"}, "occurs 0 times"), ({"file": "modle.py"}, "0 times"),
     ({"claim": "1.99"}, "no claim 1.99"), ({"new": MUTANTS[0].old}, "by itself"),
     ({"name": MUTANTS[1].name}, "stands 2 times")],
)  # fmt: skip
def test_what_is_wrong_with_the_list_is_told(spoil, told):
    [problem] = mutants.problems([MUTANTS[0]._replace(**spoil), *MUTANTS[1:]])
    assert told in problem


def test_a_sample_is_always_the_same(capsys):
    assert mutants.main(["--list", "--sample", "4"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        m.claim for m in MUTANTS if m.quick
    ][:4]
    with pytest.raises(SystemExit):
        mutants.main(["--list", "--sample", "1000"])
