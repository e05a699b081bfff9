import json
import os
import re
import subprocess

import pytest

from unet_edu import results


def test_a_record_knows_where_it_comes_from(tmp_path, monkeypatch):
    path = results.write("time", "step", {"seconds": 1.5, "metrics": {"pixel_error": 0.06}}, tmp_path)
    assert path == tmp_path / "time" / "step.json"
    record = json.loads(path.read_text())
    assert {"experiment", "job", "complete", "seconds", "device", "versions", "commit", "date"} <= record.keys()
    assert record["versions"]["torch"]
    assert [p.name for p in path.parent.iterdir()] == ["step.json"]
    monkeypatch.setattr(results, "data_path", lambda name: tmp_path / name.removeprefix("results/"))
    assert results.read("time") == [record]


def test_incomplete_jobs_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "data_path", lambda name: tmp_path / name.removeprefix("results/"))
    results.write("time", "b", {"complete": False}, tmp_path)
    results.write("time", "a", {}, tmp_path)
    assert [job["job"] for job in results.read("time")] == ["a"]


def test_nothing_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "data_path", lambda name: tmp_path / name)
    with pytest.raises(FileNotFoundError, match="run the experiment first"):
        results.read("time")


def test_jobs_come_in_the_order_of_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "data_path", lambda name: tmp_path / name.removeprefix("results/"))
    for job in "bca":
        results.write("time", job, {}, tmp_path)
    assert [job["job"] for job in results.read("time")] == ["a", "b", "c"]


def test_an_interrupted_record_has_no_name(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("cut short")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="cut short"):
        results.write("time", "step", {}, tmp_path)
    assert not (tmp_path / "time" / "step.json").exists()


def test_commit_and_date(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "__file__", str(tmp_path / "results.py"))
    assert results.circumstances()["commit"] is None  # no checkout
    (tmp_path / "results.py").write_text("")
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b commit -m a"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    made = results.circumstances()
    assert re.fullmatch("[0-9a-f]{12}", made["commit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"])
    (tmp_path / "results.py").write_text("changed")
    assert results.circumstances()["commit"] == made["commit"] + "+changes"
