import subprocess
import sys

import pytest

from unet_edu import cli, datasets


def test_help_does_not_load_torch():
    code = (
        "import sys; from unet_edu.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "data" in done.stdout


@pytest.mark.parametrize("command", [[], ["data"], ["data", "fetch"], ["data", "verify"]])
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command, "--help"])
    assert exit_.value.code == 0
    assert f"example: unet-edu {' '.join(command)}".rstrip() in capsys.readouterr().out


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
