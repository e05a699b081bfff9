import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from unet_edu import synthetic


@pytest.fixture
def flat(tmp_path):
    """Three images of 12 bits in 16: drawn cells, and plainly brighter than what is around them."""
    frames, instances = synthetic.cells(frames=3, size=96, seed=4)
    for name, image, cells in zip("abc", frames, instances, strict=True):
        for part, pixels in (("images", image * 10 + 1500 * (cells > 0)), ("labels", cells)):
            (tmp_path / part).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / part / f"{name}.tif", pixels.astype(np.uint16))
    return tmp_path


SETTINGS = """
steps = 150
output_tile = 36
base_channels = 8
depth = 1
dropout = 0
warmup = 20
learning_rate = 0.05
momentum = 0.9
seed = 1
weighting = "balance"
precision = "float32"
device = "cpu"
"""


def test_train_predict_evaluate(run, flat):
    """A few seconds are enough for cells that differ in brightness: on the image held out too."""
    (flat / "settings.toml").write_text(SETTINGS)
    folders = "--images", flat / "images", "--labels", flat / "labels"
    assert run("train", *folders, "--out", flat / "out", "--config", flat / "settings.toml")[0] == 0
    weights = flat / "out" / "weights.safetensors"
    assert run("predict", flat / "images", "--weights", weights, "--out", flat / "found", "--device", "cpu")[0] == 0
    files = "--predictions", flat / "found", "--labels", flat / "labels", "--out", flat / "s.json"
    assert run("evaluate", *files)[0] == 0
    found = json.loads((flat / "s.json").read_text())["scores"]
    assert found["a"]["iou"] > 0.9
    trained = json.loads((flat / "out" / "scores.json").read_text())
    assert trained["held_out"] == ["a"]
    assert trained["scores"]["iou"] == pytest.approx(found["a"]["iou"], abs=0.01)
    assert trained["scores"]["seg"] == pytest.approx(found["a"]["seg"], abs=0.01)
    assert run("evaluate", *files, "--metrics", "em")[0] == 0
    assert json.loads((flat / "s.json").read_text())["scores"]["all"]["pixel_error"] < 0.1


def test_as_a_program(flat, weights):
    """The command itself, in a process of its own: results on stdout, all else on stderr, and the exit code."""

    def command(*arguments):
        code = "import sys; from unet_edu.cli import main; sys.exit(main())"
        line = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(line, cwd=flat, capture_output=True, text=True, check=False)

    done = command("predict", "images/a.tif", "--weights", weights, "--out", "found", "--device", "cpu")
    assert done.returncode == 0
    assert done.stdout.startswith("1/1 a: ")
    assert done.stderr == ""
    assert (flat / "found" / "a_labels.tif").exists()
    done = command("evaluate", "--predictions", "found", "--labels", "labels/a.tif", "--metrics", "em")
    assert (done.returncode, done.stdout.split()[0]) == (0, "pixel_error")
    assert "scoring: 5/5 scores" in done.stderr  # not among the results
    done = command("evaluate", "--predictions", "nothing", "--labels", "labels")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "unet-edu: nothing: no such file or folder\n"
