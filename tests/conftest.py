import pytest
import torch

from unet_edu import datasets

torch.set_num_threads(1)  # the networks of these tests are too small to share out


@pytest.fixture(scope="session")
def isbi2012():
    """The real stack; tests that need it are skipped where it is not at hand."""
    if not datasets.available("isbi2012"):
        pytest.skip("isbi2012 is not here: unet-edu data fetch isbi2012")
    return datasets.load("isbi2012")
