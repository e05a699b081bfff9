"""All scores of the EM challenge for one prediction."""

from unet_edu.metrics.information import v_info
from unet_edu.metrics.pixel import pixel_error
from unet_edu.metrics.rand import rand_error, v_rand
from unet_edu.metrics.warping import warping_error
from unet_edu.progress import Progress


def em_scores(labels, probability, *, progress=False):
    """The three errors of Table 1 and the two scores of the later board, by name.

    Parameters
    ----------
    labels : (Z, H, W) or (H, W) array, nonzero = cell, 0 = membrane
    probability : array of the same shape, certainty of cell in [0, 1]
    progress : show a progress line

    Returns
    -------
    dict of float: "pixel_error", "rand_error", "warping_error" (0 is perfect), "v_rand", "v_info" (1 is perfect)

    Raises
    ------
    ValueError : shapes that differ or are neither (H, W) nor (Z, H, W), a slice without any cell, negative labels,
        probabilities outside [0, 1]
    """
    scores = (pixel_error, rand_error, warping_error, v_rand, v_info)
    line = Progress(scores, "scoring", "scores", show=progress)
    return {metric.__name__: metric(labels, probability) for metric in line}
