"""Pictures of jobs: mistakes and outlines in their colors, and nothing of the data set's images."""

import numpy as np
import pytest
from PIL import Image

from unet_edu import datasets
from unet_edu.reproduce import pictures
from unet_edu.reproduce.pictures import MEMBRANE, SPLIT, TRUE, WHITE, WRONG


def near(picture, color):
    """Where WebP left about this color."""
    return (abs(picture.astype(int) - color) < 60).all(2)


@pytest.fixture
def drawn(tmp_path):
    def draw(name, predict):
        dataset = datasets.load(name)
        pictures.write(tmp_path / "a.webp", dataset, [0, 1], [predict(dataset, i) for i in (0, 1)])
        return np.asarray(Image.open(tmp_path / "a.webp").convert("RGB"))

    return draw


def test_membranes_show_mergers_red_and_splits_blue(drawn):
    def predict(dataset, i):
        cell = np.asarray(dataset.classes[i]) > 0
        if i == 0:
            cell[100:156] = True  # membranes wiped out: mergers
            cell[:60, ::16] = False  # walls through cells: splits
        return cell.astype(np.float32)

    picture = drawn("synthetic-membranes", predict)
    worst, best = picture[:, :256], picture[:, 264:]
    assert near(worst[100:156], WRONG).any()
    assert near(worst[:60], SPLIT).any()
    assert not near(worst[170:], WRONG).any()
    assert not (near(best, WRONG) | near(best, SPLIT)).any()
    truth = np.asarray(datasets.load("synthetic-membranes").classes[1]) > 0
    assert (near(best, (WHITE,) * 3)[truth]).mean() > 0.95  # paper where there is cell: no gray values of the image
    assert (near(best, MEMBRANE)[~truth]).mean() > 0.95


def test_cells_show_true_outlines_under_predicted_ones(drawn):
    def predict(dataset, i):
        return (np.asarray(dataset.classes[i]) > 0) * np.float32(i)  # nothing found on the first

    picture = drawn("synthetic-cells", predict)
    worst, best = np.hsplit(picture, [picture.shape[1] // 2])
    assert near(worst, TRUE).any()
    assert not near(worst, WRONG).any()
    assert near(best, WRONG).any()
    inside = (near(picture, (WHITE,) * 3) | near(picture, TRUE) | near(picture, WRONG)).mean()
    assert inside > 0.9  # the rest is the brink of lines
