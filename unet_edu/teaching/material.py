"""The images and the trained network a chapter works on, always named aloud."""

import sys

from unet_edu import configuration, datasets, fetch
from unet_edu.model import UNet
from unet_edu.resources import data_path
from unet_edu.training import TrainingConfig, train


def load_em():
    """The EM challenge's training stack where it is at hand, fetched on Colab, else the synthetic one; prints which."""
    return _load("isbi2012", "synthetic-membranes")


def load_cells(name="dic-hela"):
    """A set of the Cell Tracking Challenge where it is at hand, fetched on Colab, else drawn cells; prints which."""
    return _load(name, "synthetic-cells")


def _load(real, drawn):
    if "google.colab" in sys.modules and not datasets.available(real):
        try:  # a fresh machine each time, with a fast network, and nobody who would type a command
            fetch.fetch(real)
        except (OSError, ValueError) as error:
            print(f"{real} could not be fetched: {error}")
    name = real if datasets.available(real) else drawn
    dataset = datasets.load(name)
    height, width = dataset.images[0].shape
    print(f"Data: {name}, {len(dataset.images)} images of {height} x {width} pixels.\n{dataset.origin}.")
    if name != real:
        print(f"The real images were not found. To use them: unet-edu data fetch {real}")
    return dataset


def trained_network(name, *, retrain=False):
    """A small network trained on the data set of this name, from data/weights/; prints how it was trained.

    With `retrain` it is trained again with the same configuration, from its own random start: some ten minutes on a
    CPU, and scores that differ a little.
    """
    model = UNet.load(data_path(f"weights/{name}.safetensors"))
    if retrain:
        config = configuration.changed(TrainingConfig(), model.card["config"])
        result = train(config, datasets.load(name))
        error = result.scores[-1]["pixel_error"]
        result.model.card = model.card | {
            "summary": f"trained again, {config.steps} steps on {len(result.train)} images of {name} in"
                       f" {result.seconds / 60:.1f} minutes; pixel error on the {len(result.held_out)} images held out"
                       f" (fold {config.fold} of {config.folds}): {error:.4f}",
        }  # fmt: skip
        model = result.model.cpu().eval()
    print(f"Network: {model.card['summary']}")
    return model
