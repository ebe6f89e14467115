"""The classic U-Net: mirrored borders make up for convolutions without padding."""
import pytest
import torch
from torch.nn.functional import pad

from roadseg_ros.models.unet_classic import ClassicUNet


@pytest.fixture
def network():
    """Return a slim network without padding."""
    torch.manual_seed(0)
    return ClassicUNet(3, channels=(4, 4, 4), padding='valid').eval()


@torch.no_grad()
def test_scores_are_those_of_the_mirrored_image(network):
    """What the network does at its borders is what it does inside a larger, mirrored image."""
    image = torch.randn(1, 3, 64, 64)
    wide = pad(image, (32,) * 4, mode='reflect')
    torch.testing.assert_close(network(wide)[..., 32:-32, 32:-32], network(image))


@torch.no_grad()
def test_scores_move_with_the_image(network):
    """Scores stand over their pixels: an image moved by the stride moves them as far."""
    image = torch.randn(1, 3, 64, 64)
    moved = network(image.roll(4, 3))
    torch.testing.assert_close(moved[..., 24:-24, 28:-24], network(image)[..., 24:-24, 24:-28])


@torch.no_grad()
def test_a_score_sees_as_far_to_each_side():
    """A changed pixel changes scores on all four sides of it alike, so crops are centred."""
    network = ClassicUNet(1, channels=(2, 2, 2), padding='valid').eval()
    for layer in network.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.weight.fill_(0.01)
    image = torch.zeros(1, 3, 96, 96)
    image[..., 48:52, 48:52] = 1  # one cell of the coarsest grid
    seen = (network(image) - network(torch.zeros_like(image)))[0, 0].abs() > 1e-12
    rows, columns = (torch.nonzero(seen.any(axis)).flatten() for axis in (1, 0))
    assert rows[0] + rows[-1] == columns[0] + columns[-1] == 48 + 51


@torch.no_grad()
def test_images_smaller_than_the_border_are_mirrored_again(network):
    """The smallest image the stride allows has scores too."""
    assert network(torch.randn(1, 3, 4, 8)).shape == (1, 3, 4, 8)
