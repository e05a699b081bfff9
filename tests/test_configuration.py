import tomllib
from dataclasses import fields, replace

import pytest

from unet_edu import configuration
from unet_edu.augmentation import Augmentation
from unet_edu.training import LAPTOP, TrainingConfig

OTHER = replace(
    LAPTOP, steps=7, network="release", clip_norm=None, fold=None, folds=4, device="cuda:1", learning_rate=1e-5,
    compile=True, scale=4095.5, momentum=float("inf"), augmentation=Augmentation(rotation=3.0, elastic_grid=5),
)  # fmt: skip


def read(tmp_path, text, config=LAPTOP):
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    return configuration.read(tmp_path / "c.toml", config)


@pytest.mark.parametrize("config", [LAPTOP, TrainingConfig(), OTHER])
@pytest.mark.parametrize("before", [LAPTOP, OTHER])
def test_what_is_kept_comes_back(tmp_path, config, before):
    assert read(tmp_path, configuration.text(config), before) == config


def test_every_setting_is_kept():
    values = tomllib.loads(configuration.text(LAPTOP))
    assert list(values) == sorted(values, key=lambda name: name == "augmentation")  # tables last
    assert values.keys() == {field.name for field in fields(TrainingConfig)}
    assert values["augmentation"].keys() == {field.name for field in fields(Augmentation)}


def test_what_a_file_does_not_name_stays(tmp_path):
    config = read(tmp_path, 'steps = 20\nfold = "none"\nlearning_rate = 1\n[augmentation]\nrotation = 90\n', OTHER)
    assert config == replace(OTHER, steps=20, fold=None, learning_rate=1.0,
                             augmentation=replace(OTHER.augmentation, rotation=90.0))  # fmt: skip
    assert type(config.learning_rate) is float


@pytest.mark.parametrize(
    ("line", "message"),
    [("stepps = 3", "stepps: no such setting; the nearest is steps, all are steps, output_tile"),
     ("[augmentation]\nrotaton = 3", "rotaton: no such setting; the nearest is rotation"),
     ('steps = "many"', 'steps = "many": must be a whole number'),
     ("steps = 1.5", "steps = 1.5: must be a whole number"),
     ("steps = true", "steps = true: must be a whole number"),
     ('steps = "none"', 'steps = "none": must be a whole number'),
     ('dropout = "no"', 'dropout = "no": must be a number'),
     ("compile = 1", "compile = 1: must be true or false"),
     ('fold = "all"', 'fold = "all": must be a whole number or "none"'),
     ("device = 0", 'device = 0: must be text in quotes or "none"'),
     ("augmentation = 3", r"augmentation = 3: must be a table, \[augmentation\]"),
     ("steps = -1", "steps=-1: must be 0 or more"),
     ('weighting = "half"', "weighting='half': must be"),
     ("steps: 3", "not a TOML file .*; write lines such as steps = 2000")],
)  # fmt: skip
def test_mistakes_are_explained(tmp_path, line, message):
    with pytest.raises(ValueError, match=f"c.toml: {message}"):
        read(tmp_path, line)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="c.toml: no such file"):
        configuration.read(tmp_path / "c.toml", LAPTOP)
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="c.toml: not a TOML file"):
        configuration.read(tmp_path / "c.toml", LAPTOP)
