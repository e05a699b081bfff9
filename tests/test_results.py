import json

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
