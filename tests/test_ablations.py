import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unet_edu import ablations, geometry
from unet_edu.model import Block, UNet, center_crop

SMALL = {"base_channels": 4, "depth": 2}


def layers(model, kind=(nn.Conv2d, nn.ConvTranspose2d)):
    return [layer for layer in model.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("name", ablations.NAMES)
def test_every_network_has_the_papers_interface(name):
    torch.manual_seed(0)
    model = ablations.build(name, in_channels=3, num_classes=4, **SMALL)
    size = geometry.input_size(20, 2)
    logits = model(torch.rand(2, 3, size, size + 4))
    assert logits.shape == (2, 4, 20, 24)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(ValueError, match="use "):
        model(torch.rand(1, 3, size + 1, size))
    with pytest.raises(ValueError, match="base_channels=0"):
        ablations.build(name, base_channels=0)


@pytest.mark.parametrize("name", set(ablations.NAMES) - {"paper"})
def test_every_network_differs_from_the_papers(name):
    """In its answers, in training or in prediction, from the same seed."""
    image = torch.rand(1, 1, 60, 60)

    def answer(which):
        torch.manual_seed(0)
        model = ablations.build(which, **SMALL).train()
        torch.manual_seed(1)
        return model(image)

    assert not torch.allclose(answer(name), answer("paper"), atol=1e-4)


def test_released_variant_has_its_number_of_parameters():
    assert sum(p.numel() for p in ablations.build("release").parameters()) == 31_100_354
    assert sum(p.numel() for p in ablations.build("paper").parameters()) == 31_030_658


def test_released_variant_is_initialised_as_the_paper():
    torch.manual_seed(0)
    model = ablations.build("release", base_channels=32)
    assert model.up[-1].weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.05)
    assert model.expanding[-1].conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (96 * 9)), rel=0.05)


def test_same_padding_sees_zeros_beyond_what_it_answers_for():
    torch.manual_seed(0)
    model = ablations.build("same-padding", **SMALL).eval()
    image = torch.rand(1, 1, 60, 60)
    outside = image.clone()
    outside[..., :20] = 0  # the answer covers pixels 20 .. 39
    assert torch.equal(model(image), model(outside))
    inside = image.clone()
    inside[..., 20] += 1
    assert not torch.equal(model(image), model(inside))
    paper = ablations.build("paper", **SMALL).eval()
    assert not torch.equal(paper(image), paper(outside))


def test_same_padding_keeps_the_size_in_every_convolution():
    model = ablations.build("same-padding", **SMALL)
    assert all(layer.padding == (1, 1) for layer in layers(model, nn.Conv2d) if layer.kernel_size == (3, 3))
    assert UNet.forward(model, torch.rand(1, 1, 32, 32)).shape == (1, 2, 32, 32)


def test_without_skips_the_contracting_maps_do_not_reach_the_head():
    torch.manual_seed(0)
    model = ablations.build("no-skip", **SMALL, dropout=0).eval()
    image = torch.rand(1, 1, 60, 60)
    before = model(image)
    model.bottom.register_forward_hook(lambda *_: torch.zeros(1, 16, 8, 8))
    other = model(torch.rand(1, 1, 60, 60))
    assert torch.equal(model(image), other)  # nothing but the bottom passes
    assert not torch.equal(before, other)


def test_batch_norm_after_every_3x3_convolution():
    model = ablations.build("batch-norm", **SMALL)
    blocks = [m for m in model.modules() if isinstance(m, Block)]
    assert len(layers(model, nn.BatchNorm2d)) == 2 * len(blocks) == 10
    sizes = []
    norm = model.contracting[0].conv1[1]
    norm.register_forward_hook(lambda _, __, y: sizes.append((y.mean().item(), y.std().item())))
    model.train()(5 + 3 * torch.rand(1, 1, 60, 60))
    assert abs(sizes[0][0]) < 1e-4
    assert sizes[0][1] == pytest.approx(1, abs=0.05)


def test_xavier_and_default_standard_deviations():
    torch.manual_seed(0)
    for layer in layers(ablations.build("xavier", base_channels=32), nn.Conv2d):
        incoming, outgoing = (c * layer.weight[0, 0].numel() for c in (layer.in_channels, layer.out_channels))
        expected = math.sqrt(2 / (incoming + outgoing))
        assert layer.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * layer.weight.numel()))
        assert not layer.bias.any()
    up = ablations.build("xavier", base_channels=32).up[-1]  # one input pixel in, four output pixels out
    assert up.weight.std().item() == pytest.approx(math.sqrt(2 / (64 + 4 * 32)), rel=0.05)
    for layer in layers(ablations.build("pytorch-default", base_channels=32), nn.Conv2d):
        incoming = layer.in_channels * layer.weight[0, 0].numel()
        expected = math.sqrt(1 / (3 * incoming))
        assert layer.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(layer.weight.numel()))


def test_dropout_variants(monkeypatch):
    calls = []
    original = nn.functional.dropout

    def spy(x, p=0.5, training=True, inplace=False):
        calls.append((x.shape[1], p if training else 0))
        return original(x, p, training)

    monkeypatch.setattr(nn.functional, "dropout", spy)
    image = torch.rand(1, 1, 60, 60)
    ablations.build("dropout-everywhere", **SMALL).train()(image)
    assert sorted(calls) == [(4, 0.5), (8, 0.5), (16, 0.5)]
    calls.clear()
    ablations.build("no-dropout", **SMALL).train()(image)
    assert all(p == 0 for _, p in calls)
    calls.clear()
    ablations.build("dropout-everywhere", **SMALL).eval()(image)
    assert all(p == 0 for _, p in calls)


@pytest.mark.parametrize("name", ablations.NAMES)
def test_saved_networks_come_back_as_what_they_were(name, tmp_path):
    torch.manual_seed(0)
    model = ablations.build(name, **SMALL).eval()
    model.save(tmp_path / "net")
    image = torch.rand(1, 1, 60, 60)
    assert torch.equal(ablations.load(tmp_path / "net")(image), model(image))
    if name == "paper":
        assert torch.equal(UNet.load(tmp_path / "net")(image), model(image))
    else:
        with pytest.raises(ValueError, match=f"holds the network '{name}'; use unet_edu.ablations.load"):
            UNet.load(tmp_path / "net")


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'resnet': must be one of paper, release, same-padding"):
        ablations.build("resnet")


def test_same_padding_answers_for_the_middle_of_what_it_sees():
    """At depth 3 the 20 pixels asked for are 2 less than the 24 seen, on each side."""
    model = ablations.build("same-padding", base_channels=2, depth=3).eval()
    x = torch.rand(1, 1, geometry.input_size(20, 3), geometry.input_size(20, 3))
    whole = UNet.forward(model, center_crop(x, (24, 24)))
    assert torch.equal(model(x), whole[..., 2:22, 2:22])
    conv = model.contracting[0].conv1
    torch.testing.assert_close(conv(x), F.conv2d(F.pad(x, (1, 1, 1, 1)), conv.weight, conv.bias))


def test_batch_norm_comes_after_its_convolution():
    block = ablations.build("batch-norm", base_channels=4, depth=2).contracting[1]
    for layers in (block.conv1, block.conv2):
        assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d]


def test_xavier_is_gaussian_and_reaches_the_up_convolutions():
    torch.manual_seed(0)
    up = ablations.build("xavier", base_channels=32).up[0].weight.detach()  # (512, 256, 2, 2)
    assert up.std().item() == pytest.approx((2 / (512 + 4 * 256)) ** 0.5, rel=0.02)
    assert ((up**4).mean() / up.var() ** 2).item() == pytest.approx(3, abs=0.1)


def test_dropout_everywhere_drops_as_much_as_it_is_told():
    model = ablations.build("dropout-everywhere", base_channels=4, depth=2, dropout=0.0).train()
    image = torch.rand(1, 1, 60, 60)
    assert torch.equal(model(image), model(image))


def test_without_skips_initialised_as_the_paper():
    torch.manual_seed(0)
    weight = ablations.build("no-skip", base_channels=32).expanding[0].conv1.weight  # (256, 256, 3, 3)
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


def test_padding_to_the_skip_changes_nothing_in_the_middle():
    """What the paper's network answers for does not see the padded zeros: they only add a border to the answer."""
    torch.manual_seed(0)
    padded = ablations.build("pad-to-skip", **SMALL).eval()
    paper = ablations.build("paper", **SMALL).eval()
    paper.load_state_dict(padded.state_dict())
    image = torch.rand(1, 1, 60, 60)
    whole = UNet.forward(padded, image)
    assert whole.shape[-2:] == (52, 52)  # the first block loses 4, the last one as much
    assert torch.allclose(center_crop(whole, (20, 20)), paper(image), atol=1e-6)


def test_padding_to_the_skip_sees_little_beyond_what_it_answers_for():
    torch.manual_seed(0)
    model = ablations.build("pad-to-skip", **SMALL).eval()
    image = torch.rand(1, 1, 100, 100)  # it answers for pixels 20 .. 79, and needs 4 more on each side
    assert model(image).shape[-2:] == (60, 60)
    outside, inside = image.clone(), image.clone()
    outside[..., :16], inside[..., 16] = 0, 5
    assert torch.equal(model(image), model(outside))
    assert not torch.equal(model(image), model(inside))
