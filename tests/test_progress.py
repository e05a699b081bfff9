import sys
import types

from unet_edu import progress
from unet_edu.progress import Progress, clock


def test_items_pass_through_in_silence(capsys):
    assert list(Progress(range(3), "counting", "numbers", show=False)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_log_has_first_and_last_line(capsys, monkeypatch):
    for item in (line := Progress(range(4), "training", "steps")):
        line.note = f"loss {item}"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("training: 1/4 steps")
    assert "left" in lines[0]
    assert lines[-1].startswith("training: 4/4 steps")
    assert lines[-1].endswith("in all, loss 3")


def test_a_single_item_has_no_line(capsys):
    """It would be there only when all is done; two items have one."""
    assert list(Progress(["all"], "predicting", "tiles")) == ["all"]
    assert capsys.readouterr().err == ""
    assert list(Progress([1, 2], "predicting", "tiles")) == [1, 2]
    assert "predicting: 2/2 tiles" in capsys.readouterr().err


def test_the_line_is_ended_when_the_work_fails(capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    try:
        for _ in Progress(range(4), "training", "steps"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert capsys.readouterr().err.endswith("\n")


def test_clock():
    assert [clock(s) for s in (0, 59.9, 75, 3600)] == ["0:00", "0:59", "1:15", "60:00"]


def test_rate_and_time_left(monkeypatch):
    line = Progress(range(10), "training", "steps", show=False)
    line._started = 0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: 20.0)
    assert line._text(4) == "training: 4/10 steps, 0.2/s, 0:30 left"
    assert line._text(10) == "training: 10/10 steps, 0.5/s, 0:20 in all"


def test_a_log_is_not_flooded(capsys, monkeypatch):
    list(Progress(range(100), "training", "steps"))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_terminal_line_replaces_itself(capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    line = progress.status_line()
    line.write("long")
    line.close("end")
    assert capsys.readouterr().err == "\rlong\x1b[K\rend\x1b[K\n"


def test_a_notebook_output_is_replaced(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda data, raw: shown.append(("update", data["text/plain"])))
    display = types.ModuleType("IPython.display")
    display.display = lambda data, **_: shown.append(("display", data["text/plain"])) or handle
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(kernel=None))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    line = progress.status_line()
    for text in "abc":
        line.write(text)
    assert shown == [("display", "a"), ("update", "b"), ("update", "c")]
