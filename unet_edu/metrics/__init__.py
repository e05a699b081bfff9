"""The scores of the paper's two tables, exactly as their challenges compute them."""

from unet_edu.metrics.pixel import pixel_error
from unet_edu.metrics.thresholds import THRESHOLDS

__all__ = ["THRESHOLDS", "pixel_error"]
