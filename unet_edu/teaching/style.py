"""One drawing style through the book: the same thing has the same colour everywhere."""

import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito's colours, told apart with every kind of colour vision and, by their lightness, in grey.
COLOURS = {
    "contracting": "#0072B2",
    "expanding": "#E69F00",
    "skip": "#999999",
    "right": "#009E73",
    "wrong": "#D55E00",
    "reference": "#000000",
    "accent": "#CC79A7",
}


def use_style():
    """Set matplotlib's defaults for the figures of the book."""
    plt.rcParams.update({
        "figure.figsize": (6.4, 3.2), "figure.dpi": 110, "figure.constrained_layout.use": True,
        "figure.facecolor": "white", "savefig.facecolor": "white",
        "font.size": 10, "axes.titlesize": 11, "axes.titlelocation": "left", "axes.titleweight": "bold",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False,
        "lines.linewidth": 1.8, "legend.frameon": False, "image.cmap": "gray", "image.interpolation": "nearest",
        "axes.prop_cycle": plt.cycler(color=[c for name, c in COLOURS.items() if name != "reference"]),
    })  # fmt: skip


def show_images(images, titles, *, width=2.4, vmin=None, vmax=None):
    """Draw images side by side under their titles, without axes; returns figure and axes.

    images : list of (H, W) or (H, W, 3) arrays; each has its own grey range unless vmin and vmax are given
    """
    height = width * max(np.shape(image)[0] / np.shape(image)[1] for image in images)
    figure, axes = plt.subplots(1, len(images), figsize=(width * len(images), height + 0.4), squeeze=False)
    for axis, image, title in zip(axes[0], images, titles, strict=True):
        axis.imshow(image, vmin=vmin, vmax=vmax)
        axis.set_title(title)
        axis.set_axis_off()
    return figure, axes[0]
