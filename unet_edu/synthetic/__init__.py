"""Synthetic stand-ins for the paper's data: the truth comes first, and the image is drawn from it."""

from unet_edu.synthetic.culture import cells
from unet_edu.synthetic.neuropil import membranes

__all__ = ["cells", "membranes"]
