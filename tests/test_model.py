import math
import os

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from unet_edu.model import UNet, center_crop


def incoming_nodes(layer):
    """Inputs with a path to one output, counted by the gradient of the layer alone."""
    layer = layer.double()
    image = torch.zeros(1, layer.in_channels, 7, 7, dtype=torch.double, requires_grad=True)
    output = layer(image)
    output[0, 0, output.shape[2] // 2, output.shape[3] // 2].backward()
    return int((image.grad != 0).sum())


def test_parameters_of_figure_1():
    assert sum(p.numel() for p in UNet().parameters()) == 31_030_658


def test_size_of_figure_1():
    model = UNet(base_channels=1)
    assert model(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert model(torch.zeros(2, 1, 188, 204)).shape == (2, 2, 4, 20)


def test_initial_weights_have_the_standard_deviation_of_the_paper():
    torch.manual_seed(0)
    model = UNet(base_channels=32)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 23
    for layer in layers:
        expected = math.sqrt(2 / incoming_nodes(layer))
        weight = layer.weight.detach()
        count = weight.numel()
        assert weight.std() == pytest.approx(expected, rel=5 / math.sqrt(2 * count))
        assert weight.mean().abs() < 5 * expected / math.sqrt(count)
        assert not layer.bias.any()
        kurtosis = ((weight / expected) ** 4).mean()  # a Gaussian's is 3, a uniform distribution's 1.8
        assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(96 / count))


def test_forward_pass_written_out():
    """The whole of Fig. 1, layer by layer, for depth 2."""
    torch.manual_seed(0)
    model = UNet(base_channels=4, depth=2).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.bias)
    w = model.state_dict()

    def conv(x, name):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"]))

    def up(x, name):
        return F.relu(F.conv_transpose2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride=2))

    x = torch.rand(1, 1, 60, 60, dtype=torch.double)
    a = conv(conv(x, "contracting.0.conv1"), "contracting.0.conv2")  # 56
    b = conv(conv(F.max_pool2d(a, 2), "contracting.1.conv1"), "contracting.1.conv2")  # 24
    c = conv(conv(F.max_pool2d(b, 2), "bottom.conv1"), "bottom.conv2")  # 8
    d = torch.cat([up(c, "up.0"), b[:, :, 4:20, 4:20]], 1)  # 16
    d = conv(conv(d, "expanding.0.conv1"), "expanding.0.conv2")  # 12
    e = torch.cat([up(d, "up.1"), a[:, :, 16:40, 16:40]], 1)  # 24
    e = conv(conv(e, "expanding.1.conv1"), "expanding.1.conv2")  # 20
    expected = F.conv2d(e, w["head.weight"], w["head.bias"])
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


def test_logits_are_not_squashed():
    torch.manual_seed(0)
    logits = UNet(base_channels=4)(3 * torch.randn(1, 1, 188, 188))
    assert (logits < 0).any()
    assert not torch.allclose(logits.sum(1), torch.ones(()))


def test_crop_is_central():
    grid = torch.arange(8.0).expand(1, 1, 8, 8)
    assert center_crop(grid, (8, 4))[0, 0, 0].tolist() == [2, 3, 4, 5]
    assert center_crop(grid.mT, (4, 8))[0, 0, :, 0].tolist() == [2, 3, 4, 5]


def test_skip_and_upsampled_map_lie_over_each_other():
    """A map of x-coordinates, sent through the skip and through pooling and up-sampling, stays aligned."""
    x = torch.arange(64.0).expand(1, 1, 64, 64)
    deep = F.avg_pool2d(x, 2)[..., 2:-2, 2:-2]  # two valid convolutions that take the middle pixel
    upsampled = F.interpolate(deep, scale_factor=2)
    skip = center_crop(x, upsampled.shape[-2:])
    assert (upsampled - skip).abs().max() == 0.5  # within the pair of pixels that were pooled


def test_dropout_acts_in_training_only_and_at_both_deep_levels(monkeypatch):
    torch.manual_seed(0)
    model = UNet(base_channels=2)
    image = torch.rand(1, 1, 188, 188)
    channels = []
    dropout = F.dropout
    monkeypatch.setattr(F, "dropout", lambda x, p, on: channels.append((x.shape[1], p, on)) or dropout(x, p, on))
    assert not torch.equal(model.train()(image), model(image))
    assert channels[:2] == [(16, 0.5, True), (32, 0.5, True)]
    assert torch.equal(model.eval()(image), model(image))


@pytest.mark.parametrize("size", [(570, 572), (572, 570), (180, 188)])
def test_invalid_sizes_are_refused(size):
    with pytest.raises(ValueError, match="use "):
        UNet(base_channels=1)(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("bad", [{"base_channels": 0}, {"num_classes": 0}, {"dropout": 1.0}, {"depth": 0}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}="):
        UNet(**bad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_network_predicts_the_same(tmp_path, dtype):
    model = UNet(3, 4, base_channels=2, depth=2, dropout=0.1).to(dtype).eval()
    model.scale = 4095.0
    model.save(tmp_path / "net.safetensors", data="isbi2012", pixel_error=0.06)
    loaded = UNet.load(tmp_path / "net.safetensors")
    image = torch.rand(1, 3, 44, 60, dtype=dtype)
    assert torch.equal(model(image), loaded(image))
    assert loaded.scale == 4095.0
    assert loaded.dropout == 0.1
    assert loaded.card == {"data": "isbi2012", "pixel_error": 0.06}
    assert not loaded.training
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_half_precision_file_loads_as_float32(tmp_path):
    UNet(base_channels=2).half().save(tmp_path / "net.safetensors")
    assert {p.dtype for p in UNet.load(tmp_path / "net.safetensors").parameters()} == {torch.float32}


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match="text: not a readable safetensors file"):
        UNet.load(tmp_path / "text")
    with pytest.raises(FileNotFoundError):
        UNet.load(tmp_path / "absent")


def test_negative_dropout():
    with pytest.raises(ValueError, match="dropout=-0.1"):
        UNet(dropout=-0.1)


def test_the_deepest_skip_carries_what_drop_out_left(monkeypatch):
    model = UNet(base_channels=2, depth=2).train()
    monkeypatch.setattr(F, "dropout", lambda x, *_: 0 * x)
    joined = []
    model.expanding[0].register_forward_pre_hook(lambda _, x: joined.append(x[0]))
    model(torch.rand(1, 1, 60, 60))
    assert not joined[0][:, 4:].any()  # up-convolution first, skip second


def test_a_file_without_architecture(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "plain")
    with pytest.raises(ValueError, match="holds weights but no U-Net architecture"):
        UNet.load(tmp_path / "plain")


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    UNet(base_channels=1, depth=1).save(tmp_path / "net")
    before = (tmp_path / "net").read_bytes()

    def fail(*_):
        raise OSError("cut short")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="cut short"):
        UNet(base_channels=2, depth=1).save(tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == before
