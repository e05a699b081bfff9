"""The values that chapters record, compared with those of an earlier run: a drift must turn it red."""

import json
import math

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import chapters, regression, show_runs
from tools.chapters import ROOT

PARAMETERS = new_code_cell('PROFILE = "smoke"', metadata={"tags": ["parameters"]})
SCORE = """# claim 1.1
import numpy as np
from unet_edu import metrics
from unet_edu.teaching import record
print("Data: synthetic-cells, 2 images")
truth = np.arange(64).reshape(8, 8) % 3 > 0
error = metrics.pixel_error(truth, np.where(truth, 0.9, 0.2){})
assert 0 <= error <= 1
record(pixel_error=error, pixels=truth.size)"""
REASON = ["--update", "--reason", "first values"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Two chapters; the second says when it is run."""
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.delenv("UNET_EDU_PYTHON", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "book").mkdir()
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    write(tmp_path, "01_score", SCORE.format(""))
    note = f"open({str(tmp_path / 'runs')!r}, 'a').write('.')"
    write(tmp_path, "02_loss", f"from unet_edu.teaching import record\n{note}\nrecord(loss=0.5, seconds=3.2)")
    files = [{"file": f"book/{name}.ipynb"} for name in ("01_score", "02_loss")]
    toc = {"format": "jb-book", "root": "book/index", "parts": [{"caption": "Part", "chapters": files}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    return tmp_path


def write(book, name, source):
    cells = [new_markdown_cell(f"# {int(name[:2])}. {name}"), PARAMETERS, new_code_cell(source, id="c-score")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), book / "book" / f"{name}.ipynb")


def run(book, *arguments):
    return regression.main(list(arguments), root=book)


def report(book):
    [path] = (book / "_build" / "regression").glob("*.json")
    return {row["name"]: row for row in json.loads(path.read_text())["rows"]}


def test_a_planted_drift_turns_it_red(book, capsys):
    assert run(book) == 1  # nothing to compare with
    assert "new: nothing to compare it with" in capsys.readouterr().err
    assert run(book, *REASON) == 0
    assert run(book) == 0
    assert report(book)["c-score/pixel_error"]["verdict"] == "holds"

    write(book, "01_score", SCORE.format(" - 0.9 * (np.arange(64).reshape(8, 8) == 7)"))  # one pixel of 64 misjudged
    assert run(book) == 1
    row = report(book)["c-score/pixel_error"]
    assert (row["verdict"], row["baseline"]) == ("drift", 0.0)
    assert row["value"] == pytest.approx(1 / 83, rel=1e-6)  # 1 - 2 * 41 / (2 * 41 + 1)
    said = capsys.readouterr()
    assert "c-score/pixel_error" in said.out
    assert '--profile smoke --update --reason "..."' in said.err

    assert run(book, "--update", "--reason", "one pixel more") == 0
    assert run(book) == 0
    [baseline] = (book / "data" / "results" / "chapters").glob("*.json")
    kept = json.loads(baseline.read_text())
    assert [entry["reason"] for entry in kept["reasons"]] == ["first values", "one pixel more"]
    assert (kept["experiment"], kept["profile"], kept["complete"]) == ("chapters", "smoke", True)
    assert kept["job"] == baseline.stem == regression.job("smoke")
    assert baseline.stem.startswith("smoke-synthetic-")


def test_what_ran_is_not_run_again_and_what_was_cut_off_is(book, monkeypatch, capsys):
    calls = []
    execute = chapters.run

    def cut_off(notebook, name, profile):
        calls.append(name)
        if calls == ["01_score.ipynb", "02_loss.ipynb"]:
            raise KeyboardInterrupt
        return execute(notebook, name, profile)

    monkeypatch.setattr(chapters, "run", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run(book)
    assert run(book, *REASON) == 0
    assert calls == ["01_score.ipynb", "02_loss.ipynb", "02_loss.ipynb"]
    assert (book / "runs").read_text() == "."
    assert run(book) == 0  # the new baseline, which lies among the data, makes no chapter run anew
    assert len(calls) == 3
    assert "01_score" in capsys.readouterr().out


def test_a_chapter_that_fails_is_red_and_updates_nothing(book, capsys):
    assert run(book, *REASON) == 0
    write(book, "01_score", "assert False")
    for arguments in ([], ["--update", "--reason", "no"]):
        assert run(book, *arguments) == 1
        assert "No comparison of 01_score" in capsys.readouterr().err
    [baseline] = (book / "data" / "results" / "chapters").glob("*.json")
    assert "first values" in baseline.read_text()
    assert "01_score" in json.loads(baseline.read_text())["metrics"]
    assert set(report(book)) == {"c-score/loss", "c-score/seconds"}


def test_a_reason_is_asked_for(book, capsys):
    for arguments in (["--update"], ["--update", "--reason", " "], ["--reason", "why"]):
        with pytest.raises(SystemExit) as end:
            run(book, *arguments)
        assert end.value.code == 2
    assert "belong together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "baseline", "tolerance", "verdict"),
    [
        (1.5, 1.0, 0.5, "holds"),
        (1.5000001, 1.0, 0.5, "drift"),
        (0.4999, 1.0, 0.5, "drift"),
        (92, 92, 0, "holds"),
        (93, 92, 0, "drift"),
        (math.nan, 1.0, 0.5, "drift"),
        (math.inf, 1.0, 0.5, "drift"),
        (None, 1.0, 0.5, "drift"),
        ("cell", "cell", 0, "holds"),
        ("cell", "wall", 0, "drift"),
        (99.0, 1.0, None, "not compared"),
    ],
)
def test_verdicts(value, baseline, tolerance, verdict):
    assert regression.verdict(value, baseline, tolerance) == verdict


def test_missing_and_new_values_are_named():
    known = {"01": {"a/x": {"value": 1, "tolerance": 0}}, "02": {"b/y": {"value": 2, "tolerance": None}}}
    rows = regression.compare({"01": {"a/z": 1}, "03": {"c/x": 3}}, known)
    assert [(row.chapter, row.name, row.verdict) for row in rows] == [
        ("01", "a/z", "new"), ("01", "a/x", "missing"), ("03", "c/x", "new"), ("02", "b/y", "missing"),
    ]  # fmt: skip
    assert regression.judge("smoke-synthetic-cpu", rows) == 1
    assert regression.judge("smoke-synthetic-cpu", []) == 1


def test_a_value_recorded_in_a_loop_is_kept_each_time():
    outputs = [nbformat.v4.new_output("display_data", metadata={"unet_edu": {"record": {"x": i}}}) for i in range(3)]
    notebook = new_notebook(cells=[new_code_cell("", id="c", outputs=outputs)])
    assert regression.recorded(notebook) == {"c/x": 0, "c/x#2": 1, "c/x#3": 2}


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [("c/pixels", 64, 0), ("c/seconds", 1.5, None), ("c/loss", 0.5, 5e-4), ("c/loss", -0.5, 5e-4),
     ("c/rounding", 3e-7, 1e-5), ("c/rounding", 0.0, 1e-5), ("c/even", True, 0)],
)  # fmt: skip
def test_usual_tolerances(name, value, tolerance):
    assert regression.usual_tolerance(name, value) == tolerance


def test_a_chosen_tolerance_outlives_an_update():
    old = {"01": {"c/a": {"value": 0.5, "tolerance": 0.2}, "c/b": {"value": 0.5, "tolerance": 5e-4},
                  "c/gone": {"value": 1, "tolerance": 0}, "c/t": {"value": 4.0, "tolerance": None}}}  # fmt: skip
    new = regression.updated({"01": {"c/a": 5.0, "c/b": 5.0, "c/t": 9.0}}, old)["01"]
    assert new == {"c/a": {"value": 5.0, "tolerance": 0.2}, "c/b": {"value": 5.0, "tolerance": 5e-3},
                   "c/t": {"value": 9.0, "tolerance": None}}  # fmt: skip
    with pytest.raises(ValueError, match="c/a = nan: a baseline holds finite numbers"):
        regression.updated({"01": {"c/a": math.nan}}, {})


def test_the_pages_tell_of_the_run(book):
    assert run(book, *REASON) == 0
    pages = book / "stage" / "book" / "appendix"
    pages.mkdir(parents=True)
    for page in ("status.md", "regression.md"):
        (pages / page).write_text((ROOT / "book" / "appendix" / page).read_text())
    executed = {path: chapters.execute(path, "smoke", root=book).notebook for path in chapters.chapters(book)}
    show_runs.fill_in(executed, book, book / "stage")

    status = (pages / "status.md").read_text()
    assert "2 chapters ran" in status
    assert "1 claims passed" in status
    [first] = [line for line in status.splitlines() if "01_score" in line]
    cells = [cell.strip() for cell in first.split("|")]
    run_of = next(iter(executed.values())).metadata["unet_edu"]
    assert cells[1:3] == ["[1. 01_score](../01_score.ipynb)", "smoke"]
    assert cells[4:6] == ["1", "synthetic-cells"]
    assert cells[6] == run_of["device"]
    assert f"torch {run_of['versions']['torch']}" in cells[7]
    assert cells[8] == run_of["date"]

    compared = (pages / "regression.md").read_text()
    assert "of 4 values 3 hold, 0 do not, and 1 are not compared" in compared
    assert "first values" in compared
    assert "| `c-score/loss` | 0.5 | 0.5 | 0.0005 | holds |" in compared
    assert show_runs.HERE not in status + compared


def test_claims_count_only_where_they_ran():
    ran, waiting = new_code_cell("# claim 1.1\nx\n# claim 1.2", execution_count=1), new_code_cell("# claim 1.3")
    assert show_runs.claims_passed(new_notebook(cells=[ran, waiting])) == 2
