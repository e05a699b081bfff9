import numpy as np
import pytest
import tifffile

from unet_edu import cli, synthetic

TINY = ("--steps", 6, "--output-tile", 20, "--base-channels", 2, "--device", "cpu")


@pytest.fixture(scope="session")
def drawn():
    """Three frames of 12 bits, and their cells."""
    frames, instances = synthetic.cells(frames=3, size=96, seed=4)
    return frames.astype(np.uint16) * 12, instances


@pytest.fixture
def own(tmp_path, drawn):
    """A folder with images and labels, as a microscopist has them."""
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name, image, cells in zip("abc", *drawn, strict=True):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", image)
        tifffile.imwrite(tmp_path / "labels" / f"{name}_mask.tif", cells.astype(np.uint16))
    return tmp_path


@pytest.fixture(scope="session")
def weights(tmp_path_factory, drawn):
    """A network of two channels, hardly trained."""
    place = tmp_path_factory.mktemp("trained")
    for name, image, cells in zip("ab", *(part[:2] for part in drawn), strict=True):
        for part, pixels in (("images", image), ("labels", cells.astype(np.uint16))):
            (place / part).mkdir(exist_ok=True)
            tifffile.imwrite(place / part / f"{name}.tif", pixels)
    arguments = "--images", place / "images", "--labels", place / "labels", "--out", place / "out", *TINY
    assert cli.main(["train", *map(str, arguments)]) == 0
    return place / "out" / "weights.safetensors"


@pytest.fixture
def train(run, own):
    """Train hardly at all on images of one's own; more options may follow."""
    folders = "--images", own / "images", "--labels", own / "labels", "--out", own / "out"
    return lambda *more: run("train", *folders, *TINY, *more)


@pytest.fixture
def run(capsys):
    """Run a command; its exit code, what it printed, and what it said on stderr but for progress."""

    def run(*arguments):
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, "\n".join(line for line in err.splitlines() if line.startswith("unet-edu:"))

    return run
