import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from unet_edu import UNet, cli, commands, configuration, datasets, metrics, training
from unet_edu.commands.train import PRESETS, one_class
from unet_edu.instances import from_probability
from unet_edu.tiling import predict


def test_what_a_training_leaves(train, own):
    code, out, _ = train("--steps", 8, "--seed", 3)
    assert code == 0
    left = sorted(path.name for path in (own / "out").iterdir())
    assert left == ["config.toml", "scores.json", "weights.safetensors"]
    model = UNet.load(own / "out" / "weights.safetensors")
    scores = json.loads((own / "out" / "scores.json").read_text())
    assert model.base_channels == 2
    for record in (model.card, scores):
        assert record["data"] == "folder images"
        assert record["train"] == ["b", "c"]
        assert record["held_out"] == ["a"]
        assert record["scores"].keys() == {"pixel_error", "iou", "seg"}
    assert "commit" not in json.dumps(model.card)
    assert scores["curve"] == [{"step": 8, "pixel_error": scores["scores"]["pixel_error"]}]
    assert "3 images of the folder images; labels: one number for each cell\n96 x 96 pixels" in out
    assert model.card["summary"] in out
    assert f"next: unet-edu predict IMAGES --weights {own / 'out' / 'weights.safetensors'} --out" in out


def test_the_gray_values_are_those_of_the_images(train, own):
    out = train()[1]
    pixels = np.stack([tifffile.imread(path) for path in (own / "images").iterdir()])
    brightest = max(np.percentile(image, 99.9) for image in pixels)
    assert f"gray values up to about {brightest:g};" in out
    model = UNet.load(own / "out" / "weights.safetensors")
    config = tomllib.loads((own / "out" / "config.toml").read_text())
    assert (model.offset, model.scale) == pytest.approx((pixels.mean(), brightest - pixels.mean()))
    assert (config["offset"], config["scale"]) == (model.offset, model.scale)
    assert model.offset > 1000


def test_the_configuration_kept_trains_the_same_network(train, own, run):
    train("--fold", "2", "--weighting", "balance", "--learning-rate", 1e-3)
    config = configuration.read(own / "out" / "config.toml", training.TrainingConfig())
    assert (config.steps, config.output_tile, config.base_channels) == (6, 20, 2)
    assert (config.fold, config.folds, config.weighting, config.learning_rate) == (2, 3, "balance", 1e-3)
    folders = "--images", own / "images", "--labels", own / "labels", "--out", own / "again"
    assert run("train", *folders, "--config", own / "out" / "config.toml", "--preset", "paper")[0] == 0
    first, again = (UNet.load(own / place / "weights.safetensors") for place in ("out", "again"))
    assert torch.equal(first.head.weight, again.head.weight)
    assert first.card == again.card


def test_options_go_over_the_file_and_the_file_over_the_preset(train, own):
    (own / "c.toml").write_text("steps = 9\nmomentum = 0.5\noutput_tile = 4\nwarmup = 3\n")
    train("--config", own / "c.toml", "--weighting", "none")
    config = tomllib.loads((own / "out" / "config.toml").read_text())
    assert (config["weighting"], config["clip_norm"]) == ("none", PRESETS["laptop"].clip_norm)
    assert (config["steps"], config["momentum"], config["output_tile"], config["warmup"]) == (6, 0.5, 20, 3)


def test_the_paper_is_another_preset(train, own):
    train("--preset", "paper", "--base-channels", 1)
    config = configuration.read(own / "out" / "config.toml", training.LAPTOP)
    changed = replace(training.TrainingConfig(), steps=6, output_tile=20, base_channels=1, device="cpu", folds=3)
    assert config == replace(changed, scale=config.scale, offset=config.offset)


def test_scores_are_those_of_the_images_held_out(train, own, drawn):
    train("--fold", "1")
    model = UNet.load(own / "out" / "weights.safetensors")
    cell = 1 - predict(model, drawn[0][1])[0]
    found, truth = from_probability(cell), drawn[1][1]
    scores = model.card["scores"]
    assert scores["iou"] == pytest.approx(metrics.iou(truth > 0, found > 0), abs=0.01)
    assert scores["seg"] == pytest.approx(metrics.seg(truth, found), abs=0.01)
    assert scores["pixel_error"] == pytest.approx(metrics.pixel_error(truth, cell), abs=0.01)


def test_unknown_pixels_are_not_scored(run, own, monkeypatch):
    """Cells that are left out of the truth, but marked, cost no IOU."""
    monkeypatch.setattr(training, "score", lambda *_: {"pixel_error": 0.0})
    monkeypatch.setattr("unet_edu.commands.train.predict", lambda _, image: np.stack([image < 900, image >= 900]) * 1.0)
    for path in (own / "images").iterdir():
        image = np.full((96, 96), 100, np.uint16)
        image[10:30, 10:30] = image[50:70, 50:70] = 1000
        tifffile.imwrite(path, image)
    for path in (own / "labels").iterdir():
        labels = np.zeros((96, 96), np.uint16)
        labels[10:30, 10:30], labels[50:70, 50:70] = 1, 99
        tifffile.imwrite(path, labels)
    folders = "--images", own / "images", "--labels", own / "labels", "--steps", 1, "--output-tile", 4
    code, out, _ = run("train", *folders, "--base-channels", 1, "--out", own / "out", "--unknown", 99)
    assert code == 0
    assert "iou 1.000, seg 1.000" in out
    assert "1 to 1 cells an image, 5% of the known pixels are cell, 4% are unknown" in out


def test_fold_none_trains_on_everything(train, own):
    assert train("--fold", "none")[0] == 0
    scores = json.loads((own / "out" / "scores.json").read_text())
    assert (scores["train"], scores["held_out"], scores["scores"]) == (["a", "b", "c"], [], {})


def test_one_image_is_trained_on_without_scores(train, own):
    for name in "bc":
        (own / "images" / f"{name}.tif").unlink()
        (own / "labels" / f"{name}_mask.tif").unlink()
    code, _, err = train()
    assert code == 0
    assert "there is one image, so none is held out and there will be no scores" in err
    assert json.loads((own / "out" / "scores.json").read_text())["train"] == ["a"]


def test_images_smaller_than_the_tile_are_mirrored(train, own):
    for part in ("images", "labels"):
        for path in (own / part).iterdir():
            tifffile.imwrite(path, np.pad(tifffile.imread(path)[40:65, 40:57], 1))
    assert train("--output-tile", 84)[0] == 0


def test_a_data_set_by_name(run, tmp_path):
    arguments = "--steps", 1, "--output-tile", 4, "--base-channels", 1, "--device", "cpu"
    code, *_ = run("train", "synthetic-cells", "--out", tmp_path / "new" / "out", *arguments)
    assert code == 0
    card = UNet.load(tmp_path / "new" / "out" / "weights.safetensors").card
    assert (card["data"], card["held_out"]) == ("synthetic-cells", list(range(6)))
    model = UNet.load(tmp_path / "new" / "out" / "weights.safetensors")
    dataset = datasets.load("synthetic-cells")
    assert (model.scale, model.offset) == (dataset.scale, dataset.offset)


def interrupted(monkeypatch, step):
    """The training is cut off before this step."""
    advance = training._Run.advance

    def cut_off(run, *tile):
        if run.step == step:
            raise KeyboardInterrupt
        advance(run, *tile)

    monkeypatch.setattr(training._Run, "advance", cut_off)


def test_after_an_interruption_the_same_command_goes_on(train, own, monkeypatch):
    (own / "c.toml").write_text("checkpoint_every = 2\n")
    out = own / "out"
    train("--config", own / "c.toml")
    expected = UNet.load(out / "weights.safetensors").head.weight
    for path in out.iterdir():
        path.unlink()
    with monkeypatch.context() as patch:
        interrupted(patch, 5)
        code, _, err = train("--config", own / "c.toml")
        assert (code, err) == (1, f"unet-edu: the same command goes on from {out}/checkpoint.pt\nunet-edu: interrupted")
    assert [path.name for path in out.iterdir()] == ["checkpoint.pt"]
    steps = []
    advance = training._Run.advance
    monkeypatch.setattr(training._Run, "advance", lambda run, *tile: steps.append(run.step) or advance(run, *tile))
    code, _, err = train("--config", own / "c.toml")
    assert (code, steps) == (0, [4, 5])
    assert f"going on from {out / 'checkpoint.pt'}" in err
    assert torch.equal(UNet.load(out / "weights.safetensors").head.weight, expected)
    assert not (out / "checkpoint.pt").exists()


@pytest.mark.parametrize("step", [0, 1])
def test_an_interruption_before_the_first_checkpoint_says_so_by_saying_less(train, own, monkeypatch, step):
    interrupted(monkeypatch, step)
    assert train()[::2] == (1, "unet-edu: interrupted")
    assert list((own / "out").iterdir()) == []


def test_another_configuration_does_not_go_on(train, own, monkeypatch):
    (own / "c.toml").write_text("checkpoint_every = 2\n")
    with monkeypatch.context() as patch:
        interrupted(patch, 3)
        train("--config", own / "c.toml")
    code, _, err = train("--config", own / "c.toml", "--seed", 1)
    assert code == 2
    assert "checkpoint.pt: a checkpoint of another configuration (seed=0 instead of 1)" in err


def test_a_crash_while_writing_leaves_no_weights(train, own, monkeypatch):
    """And the checkpoint, from which the same command ends in no time."""

    def full(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("unet_edu.commands.write_json", full)
        code, _, err = train()
    assert code == 1
    assert err.endswith("unet-edu: no space left on device")
    assert sorted(path.name for path in (own / "out").iterdir()) == ["checkpoint.pt", "config.toml"]
    monkeypatch.setattr(training._Run, "advance", lambda *_: pytest.fail("it trained again"))
    assert train()[0] == 0


def test_a_finished_training_is_not_overwritten(train, own):
    train()
    before = (own / "out" / "weights.safetensors").read_bytes()
    code, _, err = train("--seed", 1)
    assert code == 2
    assert "weights.safetensors: there is a finished training; use another --out, or delete it" in err
    assert (own / "out" / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(("color", "cell"), [("background", 0.2), ("cell", 0.8)])
@pytest.mark.parametrize(("spread", "told"), [(0.02, "train longer (--steps), check that the labels belong"),
                                              (0.002, "it has gone blind, its units pass nothing on")])  # fmt: skip
@pytest.mark.parametrize(("fold", "weighting"), [("0", "full"), ("none", "none")])
def test_a_network_that_tells_nothing_apart_is_named(train, monkeypatch, color, cell, spread, told, fold, weighting):
    def flat(_, image, **__):
        probability = np.full(image.shape, cell)
        probability[5] += spread
        return np.stack([1 - probability, probability])

    for module in ("unet_edu.commands.train", "unet_edu.training"):
        monkeypatch.setattr(f"{module}.predict", flat)
    code, _, err = train("--fold", fold, "--weighting", weighting)
    assert code == 0
    assert ("--weighting balance" in err) == (spread > 0.01 and weighting == "none")
    assert f"the network calls every pixel {color}: {told}" in err
    assert ("smaller --learning-rate than 0.005" in err) == (spread < 0.01)


def test_one_class_is_measured_by_what_there_is():
    classes = np.repeat([0, 1, -1], [800, 200, 500])
    found = np.zeros(10000, bool)
    found[:19] = True
    assert one_class(classes, found)  # 0.19 % where there are 20 %
    found[:21] = True
    assert not one_class(classes, found)
    found[:] = True
    assert one_class(classes, found)
    found[:81] = False
    assert not one_class(classes, found)
    assert not one_class(np.ones(5), np.ones(5, bool))


@pytest.mark.parametrize(
    ("more", "told"),
    [(["--output-tile", 195], "output_tile=195"), (["--base-channels", 0], "base_channels=0"),
     (["--steps", -1], "steps=-1: must be 0 or more"), (["--fold", 3], "fold=3: must be 0 to 2, or None"),
     (["--learning-rate", -1], "-1"), (["--device", "gpu"], "device 'gpu': not on this computer"),
     (["--device", "cuda:9"], "device 'cuda:9': not on this computer"), (["synthetic-cells"], "name either a data set"),
     (["--config", "none.toml"], "none.toml: no such file"), (["--unknown", 0], "mask.tif: no label is 0"),
     (["--out", __file__], "test_train.py")],
)  # fmt: skip
def test_mistakes_are_told_before_the_training(train, monkeypatch, more, told):
    monkeypatch.setattr(training._Run, "advance", lambda *_: pytest.fail("it began"))
    code, _, err = train(*more)
    assert code == 2
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "name either a data set, or --images DIR and --labels DIR"), (["--images", "i"], "name either"),
     (["--labels", "l"], "name either"), (["--images", "i", "--labels", "l"], "i: no such file or folder"),
     (["isbi"], "name='isbi': must be one of isbi2012"),
     (["synthetic-cells", "--unknown", 3], "--unknown 3: only for")],
)  # fmt: skip
def test_what_to_train_on_must_be_clear(run, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("train", *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith(f"unet-edu: {told}")
    assert not (tmp_path / "out").exists()


def test_divergence_is_a_failure(train, own):
    (own / "c.toml").write_text('clip_norm = "none"\nwarmup = 0\n')
    code, _, err = train("--config", own / "c.toml", "--learning-rate", 1e9, "--steps", 30)
    assert code == 1
    assert "the loss is not finite by step" in err
    assert not (own / "out" / "weights.safetensors").exists()


def test_a_device_that_is_here():
    assert commands.device("cpu") == "cpu"
    assert commands.device(None) == ("cuda" if torch.cuda.is_available() else "cpu")


def test_presets_are_those_of_the_library_with_borders():
    assert PRESETS["paper"] == training.TrainingConfig()
    assert PRESETS["laptop"] == replace(training.LAPTOP, weighting="full")
    assert cli._parser().parse_args(["train", "--out", "o"]).preset == "laptop"
