"""What the chapters share: data, profiles, recorded values, source shown live, one drawing style, figures that move."""

from unet_edu.teaching.explore import explore
from unet_edu.teaching.material import load_cells, load_em, trained_network
from unet_edu.teaching.network_drawing import draw_network
from unet_edu.teaching.profiles import choose
from unet_edu.teaching.recording import record
from unet_edu.teaching.source import show_source
from unet_edu.teaching.style import COLOURS, show_images, use_style
from unet_edu.teaching.tiles_drawing import draw_overlap_tile

__all__ = [
    "COLOURS", "choose", "draw_network", "draw_overlap_tile", "explore", "load_cells", "load_em", "record",
    "show_images", "show_source", "trained_network", "use_style",
]  # fmt: skip
