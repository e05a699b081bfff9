"""The network of Fig. 1: valid convolutions, cropped skips, logits smaller than the image."""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from unet_edu import geometry
from unet_edu.files import whole


class Block(nn.Module):
    """Two 3x3 valid convolutions, each followed by a ReLU: (N, C, H, W) -> (N, D, H - 4, W - 4)."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3)

    def forward(self, x):
        x = F.relu(self.conv1(x), inplace=True)  # in place: no second map of the full size, the same gradient
        return F.relu(self.conv2(x), inplace=True)


class UNet(nn.Module):
    """U-Net as the paper describes it (Sec. 2, Fig. 1).

    Maps images (N, in_channels, H, W) to logits (N, num_classes, H - 184, W - 184) at depth 4.
    H and W must be 16 k + 60, at least 188, so that every pooling acts on an even size (Sec. 2);
    anything else raises ValueError with the nearest valid sizes. No softmax inside: the loss wants logits.

    Parameters
    ----------
    in_channels : channels of the image
    num_classes : channels of the logits
    base_channels : features of the first level, doubled at each pooling; the paper: 64
    depth : number of poolings; the paper: 4
    dropout : probability of dropping a feature after the two deepest levels of the contracting path
        ("at the end of the contracting path", Sec. 3.1, which gives no number)

    Attributes
    ----------
    scale, offset : integer images become (image - offset) / scale before the network sees them; 255 and 0 unless
        set otherwise
    """

    name = "paper"  # networks that differ, in `ablations`, have other names

    def __init__(self, in_channels=1, num_classes=2, *, base_channels=64, depth=4, dropout=0.5):
        super().__init__()
        for name, value in dict(in_channels=in_channels, num_classes=num_classes,
                                base_channels=base_channels).items():  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}={value}: a convolution needs channels; use 1 or more")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: a probability below 1 is needed; use 0 or more, such as 0.5")
        self.in_channels, self.num_classes, self.base_channels = in_channels, num_classes, base_channels
        self.depth, self.dropout, self.scale, self.offset = depth, dropout, 255.0, 0.0
        geometry.margin(depth)  # refuses a depth below 1
        widths = [base_channels * 2**level for level in range(depth + 1)]  # 64, 128, 256, 512, 1024
        self.contracting = nn.ModuleList(map(Block, [in_channels, *widths[:-2]], widths[:-1]))
        self.bottom = Block(widths[-2], widths[-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths[:-1])
        )
        self.expanding = nn.ModuleList(Block(2 * width, width) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base_channels, num_classes, 1)
        self.apply(initialise)

    def forward(self, x):
        self.check_size(*x.shape[-2:])
        skips = []
        for level, block in enumerate(self.contracting):         # x: (N, C, H, W)
            x = block(x)                                         # (N, 2C, H - 4, W - 4)
            if level == self.depth - 1:
                x = F.dropout(x, self.dropout, self.training)
            skips.append(x)
            x = F.max_pool2d(x, 2)                               # half the size
        x = F.dropout(self.bottom(x), self.dropout, self.training)
        for up, block in zip(self.up, self.expanding, strict=True):
            x = F.relu(up(x), inplace=True)                      # twice the size, half the channels
            x = block(self.fuse(x, skips.pop()))
        return self.head(x)                                      # (N, num_classes, H - 184, W - 184)

    def fuse(self, x, skip):
        """The map from below beside the middle of the skip: (N, C, H, W), (N, C, H', W') -> (N, 2C, H, W)."""
        return torch.cat([x, center_crop(skip, x.shape[-2:])], dim=1)

    def check_size(self, height, width):
        """ValueError with the nearest valid sizes if a pooling would meet an odd size."""
        geometry.output_size(height, self.depth)
        geometry.output_size(width, self.depth)

    def save(self, path, **card):
        """Write the weights as safetensors, with architecture, scale, offset and `card` in the metadata.

        The card is free: what the net was trained on, its scores, its terms; values must fit JSON.
        The file appears under its name only when it is complete.
        """
        architecture = {name: getattr(self, name) for name in ARCHITECTURE}
        metadata = {"architecture": json.dumps(architecture), "scale": json.dumps(self.scale),
                    "offset": json.dumps(self.offset), "card": json.dumps(card), "name": self.name}  # fmt: skip
        with whole(path) as partial:
            partial.write_bytes(save({name: w.contiguous() for name, w in self.state_dict().items()}, metadata))

    @classmethod
    def load(cls, path) -> UNet:
        """The network that `save` wrote, on the CPU, in eval mode; half-precision files become float32.

        The card stands in its attribute `card`. Raises FileNotFoundError, or ValueError for a file of
        something else, also of a network of `ablations`: those are for `ablations.load`.
        """
        metadata, weights = read(path)
        if metadata["name"] != cls.name:
            raise ValueError(f"{path}: holds the network {metadata['name']!r}; use unet_edu.ablations.load")
        return cls(**json.loads(metadata["architecture"])).restore(metadata, weights)

    def restore(self, metadata, weights):
        """Take up weights, scale, offset and card as `read` found them; returns the network in eval mode."""
        self.scale, self.card = json.loads(metadata["scale"]), json.loads(metadata["card"])
        self.offset = json.loads(metadata.get("offset", "0.0"))
        if all(weight.dtype == torch.float64 for weight in weights.values()):
            self.double()
        self.load_state_dict(weights)
        return self.eval()


def read(path):
    """Metadata and weights of a file that `UNet.save` wrote, two dictionaries; errors as in `UNet.load`."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error}); save it again") from error
    if "architecture" not in metadata:
        raise ValueError(f"{path}: holds weights but no U-Net architecture; use a file that UNet.save wrote")
    return {"name": "paper", **metadata}, weights


ARCHITECTURE = ("in_channels", "num_classes", "base_channels", "depth", "dropout")


def center_crop(x, size):
    """The central `size` = (H, W) of x (..., H', W'): what the skip keeps of the contracting path."""
    (tall, wide), (height, width) = x.shape[-2:], size
    top, left = (tall - height) // 2, (wide - width) // 2
    return x[..., top : top + height, left : left + width]


def initialise(layer):
    """Gaussian weights of standard deviation sqrt(2 / N), N incoming nodes of one neuron (Sec. 3); biases 0."""
    if isinstance(layer, nn.Conv2d):
        incoming = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    elif isinstance(layer, nn.ConvTranspose2d):
        incoming = layer.in_channels  # kernel 2, stride 2: every output pixel has one input pixel
    else:
        return
    nn.init.normal_(layer.weight, std=(2 / incoming) ** 0.5)
    nn.init.zeros_(layer.bias)
