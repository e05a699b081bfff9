"""What the book compares the paper's network with: each a few lines on top of `UNet`."""

import json
import math

import torch
import torch.nn.functional as F
from torch import nn

from unet_edu import geometry
from unet_edu.model import Block, UNet, center_crop, initialise, read


def build(name, **size):
    """A network that differs from the paper's in one respect.

    Takes the images that `UNet` takes and gives logits of the same size, so that training, prediction
    and scores are the same for all.

    Parameters
    ----------
    name : one of `NAMES`
    size : in_channels, num_classes, base_channels, depth, dropout, as for `UNet`

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ValueError : an unknown name, or a size that `UNet` refuses
    """
    if name not in BUILDERS:
        raise ValueError(f"name={name!r}: must be one of {', '.join(BUILDERS)}")
    model = BUILDERS[name](**size)
    model.name = name
    return model


def load(path):
    """The network that `save` wrote, whichever it is, in eval mode; errors as in `UNet.load`."""
    metadata, weights = read(path)
    return build(metadata["name"], **json.loads(metadata["architecture"])).restore(metadata, weights)


def release(**size):
    """As in the files the authors released: the last up-convolution keeps its 128 channels."""
    model = UNet(**size)
    width = model.base_channels
    model.up[-1] = nn.ConvTranspose2d(2 * width, 2 * width, 2, stride=2).apply(initialise)
    model.expanding[-1] = Block(3 * width, width).apply(initialise)
    return model


class SamePadding(UNet):
    """Zero padding in every 3x3 convolution, as in popular code: it answers for all it sees.

    So it is shown little more than the pixels it answers for (the next multiple of 2**depth), with
    zeros around them, where the paper's network is shown their true or mirrored surroundings.
    """

    def __init__(self, **size):
        super().__init__(**size)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.padding = (1, 1)

    def check_size(self, height, width):
        """Any multiple of 2**depth: the sizes after cropping in `forward`."""

    def forward(self, x):
        sides = [geometry.output_size(side, self.depth) for side in x.shape[-2:]]
        whole = [-(-side // 2**self.depth) * 2**self.depth for side in sides]
        return center_crop(super().forward(center_crop(x, whole)), sides)


class NoSkip(UNet):
    """Without skips: all that the way up knows of the image comes through the bottom."""

    def __init__(self, **size):
        super().__init__(**size)
        for level, up in enumerate(self.up):
            self.expanding[level] = Block(up.out_channels, up.out_channels).apply(initialise)

    def fuse(self, x, skip):
        return x


class PadToSkip(UNet):
    """The map from below padded with zeros to the size of its skip, as popular code does, instead of a cropped skip.

    It answers for all that it sees but 4 pixels on each side. In the middle, which the paper's network answers
    for, the two are the same network; so it is shown less of the image, and answers up to the zeros.
    """

    def fuse(self, x, skip):
        (height, width), (skip_height, skip_width) = x.shape[-2:], skip.shape[-2:]
        top, left = (skip_height - height) // 2, (skip_width - width) // 2
        x = F.pad(x, (left, skip_width - width - left, top, skip_height - height - top))
        return torch.cat([x, skip], dim=1)

    def forward(self, x):
        sides = [geometry.output_size(side, self.depth) for side in x.shape[-2:]]
        lost = 2 * geometry.margin(self.depth) - 8
        seen = [geometry.input_size(max(1, side - lost), self.depth) for side in sides]
        return center_crop(super().forward(center_crop(x, seen)), sides)


def batch_norm(**size):
    """Batch normalization after every 3x3 convolution, before its ReLU."""
    model = UNet(**size)
    for block in model.modules():
        if isinstance(block, Block):
            block.conv1 = nn.Sequential(block.conv1, nn.BatchNorm2d(block.conv1.out_channels))
            block.conv2 = nn.Sequential(block.conv2, nn.BatchNorm2d(block.conv2.out_channels))
    return model


def xavier(**size):
    """Xavier's initialization, which the summary note names: Gaussian, variance 2 / (incoming + outgoing nodes)."""
    model = UNet(**size)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            taps = math.prod(layer.kernel_size)
            # An output pixel of an up-convolution has one input pixel; an input pixel has four outputs.
            incoming = layer.in_channels * (1 if isinstance(layer, nn.ConvTranspose2d) else taps)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (incoming + layer.out_channels * taps)))
    return model


def pytorch_default(**size):
    """PyTorch's own initialization: uniform, variance 1 / (3 * incoming nodes), 4 * out for an up-convolution."""
    return UNet(**size).apply(lambda layer: layer.reset_parameters() if hasattr(layer, "reset_parameters") else None)


def no_dropout(**size):
    """No drop-out at all."""
    return UNet(**{**size, "dropout": 0.0})


class DropoutEverywhere(UNet):
    """Drop-out after every level of the contracting path, not only at its end."""

    def __init__(self, **size):
        super().__init__(**size)
        for level, block in enumerate(self.contracting[:-1]):  # the deepest two have it already
            self.contracting[level] = nn.Sequential(block, nn.Dropout(self.dropout))


BUILDERS = {
    "paper": UNet, "release": release, "same-padding": SamePadding, "no-skip": NoSkip, "pad-to-skip": PadToSkip,
    "batch-norm": batch_norm, "xavier": xavier, "pytorch-default": pytorch_default, "no-dropout": no_dropout,
    "dropout-everywhere": DropoutEverywhere,
}  # fmt: skip
NAMES = tuple(BUILDERS)
