import sys

from unet_edu import progress
from unet_edu.progress import Progress, clock


def test_items_pass_through_in_silence(capsys):
    assert list(Progress(range(3), "counting", "numbers", show=False)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_log_has_first_and_last_line(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    for item in (line := Progress(range(4), "training", "steps")):
        line.note = f"loss {item}"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("training: 1/4 steps")
    assert "left" in lines[0]
    assert lines[-1].startswith("training: 4/4 steps")
    assert lines[-1].endswith("in all, loss 3")


def test_the_line_is_ended_when_the_work_fails(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    try:
        for _ in Progress(range(4), "training", "steps"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert capsys.readouterr().err.endswith("\n")


def test_clock():
    assert [clock(s) for s in (0, 59.9, 75, 3600)] == ["0:00", "0:59", "1:15", "60:00"]
