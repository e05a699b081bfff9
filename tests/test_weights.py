"""The small trained networks that travel with the library are what their cards say."""

import numpy as np
import pytest
from safetensors import safe_open

from unet_edu import UNet, datasets, metrics
from unet_edu.configuration import changed
from unet_edu.instances import of_cell
from unet_edu.reproduce import scores
from unet_edu.resources import data_path
from unet_edu.tiling import predict
from unet_edu.training import TrainingConfig

FILES = sorted(data_path("weights").glob("*.safetensors"))
SETS = {"isbi2012", "phc-u373", "dic-hela", "synthetic-membranes"}


def test_there_is_one_for_each_set():
    assert {path.stem for path in FILES} == SETS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_network_is_small_and_says_where_it_comes_from(path):
    assert path.stat().st_size <= 5e6
    with safe_open(path, "pt") as file:
        assert all(file.get_slice(name).get_dtype() == "F16" for name in file.keys())  # noqa: SIM118
    card = UNet.load(path).card
    assert card["data"] == path.stem
    assert card["summary"].startswith("base width 16")
    assert card["terms"]
    assert not set(card["train"]) & set(card["held_out"])
    config = changed(TrainingConfig(), card["config"])  # a chapter trains it again with this
    dataset = datasets.load(path.stem) if datasets.available(path.stem) else None
    assert config.base_channels == 16
    if dataset:
        assert dataset.split(config.fold, config.folds) == (card["train"], card["held_out"])


@pytest.mark.parametrize("name", ["phc_u373", "dic_hela"])
def test_a_network_of_cells_scores_what_its_card_says(name, request):
    """To three percent: the card's scores were computed before the weights were halved, in bfloat16."""
    dataset = request.getfixturevalue(name)
    model = UNet.load(data_path(f"weights/{dataset.name}.safetensors"))
    held_out = model.card["held_out"]
    found, _ = scores.scores(dataset, held_out, [of_cell(predict(model, dataset.images[i])) for i in held_out])
    assert found == pytest.approx(model.card["metrics"], rel=0.03)


def test_the_em_network_works_on_tissue_that_it_never_saw():
    model, drawn = UNet.load(data_path("weights/isbi2012.safetensors")), datasets.load("synthetic-membranes")
    shown = [0, 5]
    truth = np.stack([drawn.classes[i] for i in shown]) > 0
    found = np.stack([of_cell(predict(model, drawn.images[i])) for i in shown])
    threshold = np.stack([drawn.images[i] for i in shown]) / 255
    assert metrics.pixel_error(truth, found) < metrics.pixel_error(truth, threshold) / 2
    assert metrics.v_rand(truth, found) > metrics.v_rand(truth, threshold) + 0.1
    tried = model.card["tried_on"]
    assert tried["network"]["pixel_error"] == pytest.approx(metrics.pixel_error(truth, found), rel=0.3)
