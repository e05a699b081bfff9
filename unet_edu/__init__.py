"""U-Net as its paper of 2015 describes it, one module for each component, in the order of the paper.

Modules are imported when they are first used, so that the geometry and the command line never load torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_MODULES = ("ablations", "augmentation", "cell_tracking", "configuration", "datasets", "fetch", "files", "folder",
            "geometry", "images", "instances", "losses", "metrics", "model", "paper", "progress", "resources",
            "results", "streaming", "synthetic", "teaching", "tiling", "training", "weight_map")  # fmt: skip

__all__ = ["UNet", *_MODULES]


def __getattr__(name):
    if name == "UNet":
        return import_module("unet_edu.model").UNet
    if name in _MODULES:
        return import_module(f"unet_edu.{name}")
    raise AttributeError(f"module 'unet_edu' has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
