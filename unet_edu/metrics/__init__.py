"""The scores of the paper's two tables, exactly as their challenges compute them."""

from unet_edu.metrics.cells import iou, jaccard_of_cells, seg
from unet_edu.metrics.em import em_scores
from unet_edu.metrics.information import v_info, v_info_scores
from unet_edu.metrics.pixel import pixel_error, pixel_f_scores
from unet_edu.metrics.rand import rand_error, rand_f_scores, v_rand, v_rand_scores
from unet_edu.metrics.thinning import thin
from unet_edu.metrics.thresholds import THRESHOLDS, WARPING_THRESHOLDS
from unet_edu.metrics.warping import Mistake, mistakes, warp, warping_counts, warping_error

__all__ = [
    "THRESHOLDS", "WARPING_THRESHOLDS", "Mistake", "em_scores", "iou", "jaccard_of_cells", "mistakes", "pixel_error",
    "pixel_f_scores", "rand_error", "rand_f_scores", "seg", "thin", "v_info", "v_info_scores", "v_rand",
    "v_rand_scores", "warp", "warping_counts", "warping_error",
]  # fmt: skip
