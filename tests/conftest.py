import numpy as np
import pytest
import tifffile
import torch

from unet_edu import datasets

torch.set_num_threads(1)  # the networks of these tests are too small to share out


def real(name):
    """A real set; tests that need it are skipped where it is not at hand."""
    if not datasets.available(name):
        pytest.skip(f"{name} is not here: unet-edu data fetch {name}")
    return datasets.load(name)


@pytest.fixture(scope="session")
def isbi2012():
    return real("isbi2012")


@pytest.fixture(scope="session")
def phc_u373():
    return real("phc-u373")


@pytest.fixture(scope="session")
def dic_hela():
    return real("dic-hela")


@pytest.fixture
def tiny_cells(tmp_path, monkeypatch):
    """Two sequences of small frames in the place of dic-hela; returns the folder that holds the set.

    In frame 003 of the first, cells 7 and 9 touch, and of the cell right of them there is only silver truth.
    """
    silver = np.zeros((130, 140), np.uint16)
    silver[55:70, 55:65], silver[55:70, 65:75], silver[60:75, 74:85] = 1, 2, 5
    labels = np.select([silver == 1, silver == 2], [7, 9], 0).astype(np.uint16)
    markers = np.zeros((130, 140), np.uint16)
    markers[60:63, 58:61], markers[60:63, 68:71], markers[66:69, 79:82] = 1, 2, 5
    rng = np.random.default_rng(0)
    entry = {**datasets.REAL["dic-hela"], "files": {}}
    for sequence, frame in (("01", "003"), ("01", "010"), ("02", "003")):
        parts = {f"{sequence}/t{frame}.tif": rng.integers(0, 256, (130, 140), dtype=np.uint8),
                 f"{sequence}_GT/SEG/man_seg{frame}.tif": labels,
                 f"{sequence}_GT/TRA/man_track{frame}.tif": markers,
                 f"{sequence}_ST/SEG/man_seg{frame}.tif": silver}  # fmt: skip
        for file, pixels in parts.items():
            path = tmp_path / "data" / "dic-hela" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, pixels, compression="zlib")
            entry["files"][file] = {"shape": [130, 140], "dtype": str(pixels.dtype),
                                    "pixels_sha256": datasets.pixels_sha256([pixels])}  # fmt: skip
        labels = np.where(labels == 9, 300, labels)  # the next frame's ids need not be those of this one
    monkeypatch.setitem(datasets.REAL, "dic-hela", entry)
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data"
