"""Draw what a split and a merger cost, and print the table beside it: python -m tools.draw_metrics"""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import ndimage
from skimage.metrics import adapted_rand_error

from tools.chapters import ROOT
from unet_edu import synthetic
from unet_edu.metrics import Mistake, em_scores, mistakes
from unet_edu.teaching import COLOURS, use_style

COLUMNS = ["pixel_error", "rand_error", "warping_error", "v_rand", "v_info"]


def cases():
    """A drawn truth of 160 x 160 pixels, and predictions of it that are wrong in one way each."""
    truth = synthetic.membranes(slices=1, size=160, seed=5)[1][0] > 0
    merger, split = truth.copy(), truth.copy()
    merger[88:91, 54:74] = True  # three rows of a membrane
    split[108:, 38:40] = False  # two columns of a cell
    wide = ndimage.binary_erosion(truth, np.ones((3, 3)), border_value=1)
    return truth, {"the truth itself": truth, "one merger": merger, "one split": split,
                   "membranes two pixels wider": wide, "nothing but membrane": truth & False}  # fmt: skip


def table():
    """Markdown table: a column for each case, a row for each score and for scikit-image's."""
    truth, predictions = cases()
    cells = ndimage.label(truth)[0]
    rows = [["", *predictions], ["---"] * (1 + len(predictions)), ["wrong pixels"], *([f"`{c}`"] for c in COLUMNS),
            ["skimage `adapted_rand_error`"]]  # fmt: skip
    for predicted in predictions.values():
        scores = em_scores(truth, predicted)
        peer = adapted_rand_error(cells, ndimage.label(predicted)[0])[0]
        numbers = [f"{scores[column]:.{5 if column == 'warping_error' else 4}f}" for column in COLUMNS]
        for row, number in zip(rows[2:], [np.count_nonzero(truth != predicted), *numbers, f"{peer:.4f}"], strict=True):
            row.append(str(number))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    use_style()
    truth, predictions = cases()
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.7))
    for axis, name in zip(axes, list(predictions)[1:4], strict=True):
        predicted, found = predictions[name], mistakes(truth, predictions[name])
        picture = np.where(predicted[..., None], 1.0, 0.25) * np.ones(3)
        picture[truth != predicted] = to_rgb(COLOURS["accent"])
        for kind in (Mistake.MERGE, Mistake.SPLIT):
            picture[ndimage.binary_dilation(found == kind, iterations=2)] = to_rgb(COLOURS["wrong"])
        scores = em_scores(truth, predicted)
        axis.imshow(picture)
        axis.set_title(f"{name.capitalize()}\npixel error {scores['pixel_error']:.4f}, "
                       f"V_rand {scores['v_rand']:.3f}", fontsize=10)  # fmt: skip
        axis.set_axis_off()
    png = io.BytesIO()
    figure.savefig(png, dpi=110)
    plt.close(figure)
    Image.open(png).convert("RGB").save(ROOT / "web" / "split_and_merger.webp", quality=90)
    print(table())


if __name__ == "__main__":
    main()
