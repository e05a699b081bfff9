import sys

import matplotlib
import numpy as np
import pytest

from unet_edu import model, teaching, tiling


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed in a notebook."""
    outputs = []
    for module in (teaching.source, teaching.recording):
        monkeypatch.setattr(module, "display", lambda *things, **options: outputs.append((*things, options)))
    return outputs


def test_source_is_the_librarys_own_without_docstring(shown):
    teaching.show_source(tiling.step)
    text = shown[0][0].data
    assert text.startswith("`unet_edu/tiling.py`, line ")
    assert "    return output_tile // 2**depth * 2**depth\n```" in text
    assert "largest multiple" not in text


def test_source_of_a_method_and_of_a_class(shown):
    teaching.show_source(model.UNet.forward)
    teaching.show_source(model.UNet)
    method, class_ = (output[0].data for output in shown)
    assert "\n```python\ndef forward(self, x):\n    self.check_size" in method
    assert "class UNet(nn.Module):" in class_
    assert "Maps images" not in class_
    assert '"""' not in class_
    compile(class_.split("```python\n")[1].removesuffix("```"), "shown", "exec")


def test_recorded_values_are_kept_unrounded(shown):
    teaching.record(pixel_error=np.float64(1 / 3), slices=30)
    data, options = shown[0]
    assert data == {"text/plain": "pixel_error = 0.333333\nslices = 30"}
    assert options["metadata"]["unet_edu"]["record"] == {"pixel_error": 1 / 3, "slices": 30}


def test_profiles():
    assert teaching.choose("cpu", smoke={"steps": 3}, cpu={"steps": 100}).steps == 100
    assert teaching.choose("gpu", smoke={"steps": 3}).steps == 3
    with pytest.raises(ValueError, match="PROFILE='quick': must be one of smoke, cpu, gpu, paper"):
        teaching.choose("quick", smoke={})


def test_data_is_named_aloud(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert teaching.load_em().name == "synthetic-membranes"
    printed = capsys.readouterr().out
    assert "synthetic-membranes, 12 images of 256 x 256" in printed
    assert "unet-edu data fetch isbi2012" in printed
    assert teaching.load_cells("phc-u373").name == "synthetic-cells"
    assert "unet-edu data fetch phc-u373" in capsys.readouterr().out


@pytest.mark.parametrize("failure", [None, OSError("no network"), ValueError("another archive")])
def test_on_colab_real_data_is_fetched_else_drawn(failure, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetched = []

    def fetch(name):
        fetched.append(name)
        if failure:
            raise failure

    monkeypatch.setattr("unet_edu.fetch.fetch", fetch)
    teaching.load_em()
    assert not fetched  # elsewhere nothing is downloaded unasked
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert teaching.load_cells().name == "synthetic-cells"
    assert fetched == ["dic-hela"]
    assert ("dic-hela could not be fetched: " in capsys.readouterr().out) == bool(failure)


def test_real_data_is_preferred(isbi2012, capsys):
    assert teaching.load_em().name == "isbi2012"
    assert "30 images of 512 x 512" in capsys.readouterr().out


def test_images_side_by_side():
    matplotlib.use("Agg")
    teaching.use_style()
    figure, axes = teaching.show_images([np.zeros((4, 8)), np.zeros((4, 8, 3))], ["a", "b"])
    assert [axis.get_title("left") for axis in axes] == ["a", "b"]
    assert figure.get_facecolor() == (1, 1, 1, 1)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A tiny kept network in place of those that travel with the library."""
    config = {"steps": 2, "output_tile": 4, "base_channels": 2, "depth": 1, "fold": 1, "folds": 3, "clip_norm": None}
    network = model.UNet(base_channels=2, depth=1)
    network.save(tmp_path / "n.safetensors", summary="as it was kept", fold=1, held_out=[2, 3, 8, 9], config=config)
    monkeypatch.setattr(teaching.material, "data_path", lambda name: tmp_path / "n.safetensors")
    return network


def test_a_kept_network_is_loaded(kept, capsys):
    loaded = teaching.trained_network("synthetic-membranes")
    assert all((loaded.state_dict()[name] == value).all() for name, value in kept.state_dict().items())
    assert capsys.readouterr().out == "Network: as it was kept\n"


def test_a_kept_network_is_trained_again_as_its_card_says(kept, capsys, monkeypatch):
    configs, original = [], teaching.material.train
    monkeypatch.setattr(teaching.material, "train", lambda c, *a, **o: configs.append(c) or original(c, *a, **o))
    again = teaching.trained_network("synthetic-membranes", retrain=True)
    [config] = configs
    assert (config.steps, config.base_channels, config.fold, config.clip_norm) == (2, 2, 1, None)
    assert any((again.state_dict()[name] != value).any() for name, value in kept.state_dict().items())
    assert (again.card["fold"], again.card["held_out"]) == (1, [2, 3, 8, 9])
    assert not again.training
    said = capsys.readouterr().out
    assert said.startswith("Network: trained again, 2 steps on 4 images of synthetic-membranes in 0.0 minutes")
