"""Draw the picture of the README from synthetic tissue: python -m tools.draw_overview"""

import io

import matplotlib.pyplot as plt
from PIL import Image

from tools.chapters import ROOT
from unet_edu import datasets
from unet_edu.teaching import show_images, trained_network, use_style
from unet_edu.tiling import predict


def main():
    use_style()
    dataset = datasets.load("synthetic-membranes")
    model = trained_network(dataset.name)
    i = model.card["held_out"][0]  # a slice the network was not trained on
    pictures = [dataset.images[i], predict(model, dataset.images[i])[1], dataset.classes[i]]
    figure, _ = show_images(pictures, ["image", "certainty of cell", "truth"], width=3)
    png = io.BytesIO()
    figure.savefig(png, dpi=110)
    plt.close(figure)
    Image.open(png).convert("RGB").save(ROOT / "web" / "overview.webp", quality=85)


if __name__ == "__main__":
    main()
