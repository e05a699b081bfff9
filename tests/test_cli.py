import re
import subprocess
import sys
import time

import pytest

from unet_edu import cli, datasets


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [[], ["data"], ["train"], ["predict"], ["evaluate"], ["reproduce"]])
def test_help_loads_neither_torch_nor_numba_nor_numpy(command):
    done = python(
        "import sys; from unet_edu.cli import main\n"
        f"try: main([*{command}, '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(', '.join({'torch', 'numba', 'numpy'} & sys.modules.keys()) or 0)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: unet-edu" in done.stdout


def test_help_is_there_at_once():
    """At most 0.3 s from the command to its help, besides the start of Python itself; the best of three."""

    def seconds(code):
        started = time.perf_counter()
        python(code)
        return time.perf_counter() - started

    shown = min(seconds("from unet_edu.cli import main; main(['--help'])") for _ in range(3))
    assert shown - min(seconds("pass") for _ in range(3)) < 0.3


def test_the_list_of_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(
        re.search(f"\n    {command}\\s", shown) for command in ("data", "train", "predict", "evaluate", "reproduce")
    )


@pytest.mark.parametrize(
    "command",
    [[], ["data"], ["data", "fetch"], ["data", "verify"], ["train"], ["predict"], ["evaluate"], ["reproduce"]],
)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command, "--help"])
    assert exit_.value.code == 0
    example = re.search(r"\nexample: unet-edu (.*)\n", capsys.readouterr().out).group(1).split()
    assert example[: len(command)] == command
    assert cli._parser().parse_args(example)  # it is one


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_help_names_every_real_set(command, capsys):
    with pytest.raises(SystemExit):
        cli.main(["data", command, "--help"])
    assert "NAME isbi2012, phc-u373 or dic-hela" in " ".join(capsys.readouterr().out.split())
    assert cli.REAL.replace(" or ", ", ").split(", ") == list(datasets.REAL)


def test_misuse_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["data"])
    assert exit_.value.code == 2
    assert cli.main(["data", "verify", "nothing"]) == 2
    assert "isbi2012" in capsys.readouterr().err


def test_no_command_is_misuse():
    with pytest.raises(SystemExit) as exit_:
        cli.main([])
    assert exit_.value.code == 2


def test_interruption_is_exit_code_1(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("unet_edu.fetch.problems", interrupted)
    assert cli.main(["data", "verify", "isbi2012"]) == 1
    assert capsys.readouterr().err == "unet-edu: interrupted\n"


def test_damage_is_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr("unet_edu.fetch.problems", lambda *_: ["a.tif was altered"])
    assert cli.main(["data", "verify", "isbi2012"]) == 2
    assert capsys.readouterr() == ("", "unet-edu: a.tif was altered\n")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(ValueError("a=3: must be 4"), 2, "a=3: must be 4"), (TypeError("no"), 2, "no"),
     (FileNotFoundError("gone"), 2, "gone"), (FileExistsError("there"), 2, "there"),
     (NotADirectoryError("file"), 2, "file"), (OSError("disk full"), 1, "disk full"),
     (PermissionError("locked"), 1, "locked"), (ArithmeticError("not finite"), 1, "not finite"),
     (MemoryError(), 1, "out of memory: use a smaller --output-tile"),
     (RuntimeError("CUDA out of memory."), 1, "out of memory: use a smaller")],
)  # fmt: skip
def test_every_failure_has_its_code_and_no_traceback(monkeypatch, capsys, error, code, told):
    def failing(*_):
        raise error

    monkeypatch.setattr("unet_edu.fetch.problems", failing)
    assert cli.main(["data", "verify", "isbi2012"]) == code
    assert capsys.readouterr().err.startswith(f"unet-edu: {told}")


def test_a_fault_of_our_own_is_not_hidden(monkeypatch):
    def broken(*_):
        raise RuntimeError("expected two tensors")

    monkeypatch.setattr("unet_edu.fetch.problems", broken)
    with pytest.raises(RuntimeError):
        cli.main(["data", "verify", "isbi2012"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["train"], "required: --out"),
     (["train", "--out", "o", "--steps", "many"], "--steps: invalid int value: 'many'"),
     (["train", "--out", "o", "--fold", "-1"], "--fold: -1: must be 0 or more"),
     (["train", "--out", "o", "--preset", "fast"], "--preset: invalid choice: 'fast'"),
     (["train", "--out", "o", "--image", "i"], "unrecognized arguments: --image"),
     (["predict", "--weights", "w", "--out", "o"], "required: IMAGE"),
     (["predict", "a.tif", "--weights", "w", "--out", "o", "--threshold", "1.5"], "1.5: must be 0 or more, 1 at most"),
     (["predict", "a.tif", "--weights", "w", "--out", "o", "--threshold", "nan"], "nan: must be 0 or more"),
     (["predict", "a.tif", "--weights", "w", "--out", "o", "--rotations", "0"], "--rotations: 0: must be 1 or more"),
     (["predict", "a.tif", "--weights", "w", "--out", "o", "--min-size", "-1"], "--min-size: -1: must be 0 or more"),
     (["predict", "a.tif", "--weights", "w", "--out", "o", "--min-size", "1.5"], "invalid whole number value: '1.5'"),
     (["predict", "a.tif", "--weights", "w", "--out", "o", "--format", "png"], "--format: invalid choice"),
     (["evaluate", "--test-labels", "l", "--rotations", "0"], "--rotations: 0: must be 1 or more")],
)  # fmt: skip
def test_options_that_make_no_sense(arguments, told, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert told in capsys.readouterr().err


def test_the_package_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "unet_edu", "reproduce", "table2", "--list"], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "of 4 jobs" in done.stdout
