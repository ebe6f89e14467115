"""NetWarp: features of the last frame come from where the flow says they were."""
import pytest
import torch

from roadseg_ros.models.net_warp import MotionCorrection, WarpedPast
from roadseg_ros.models.registry import build_network

HEIGHT, WIDTH = 32, 64


def motion(x, y):
    """Return the corrected flow of a picture that moved as a whole, without any correction."""
    correction = MotionCorrection(2)
    torch.nn.init.zeros_(correction.layers[-1].weight)
    picture = torch.zeros(1, 3, HEIGHT, WIDTH)
    flow = torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH).contiguous()
    return correction(picture, picture, flow)


@torch.no_grad()
@pytest.mark.parametrize('stride', [2, 4, 8])
def test_the_past_comes_along_the_flow_at_every_stride(stride):
    """Features 8 pixels to the right and 16 below come here; what was outside does not count."""
    past = WarpedPast(3)
    past.past += 100  # nothing but the past
    size = (HEIGHT // stride, WIDTH // stride)
    before, now = torch.randn(1, 3, *size), torch.randn(1, 3, *size)
    blended = past(now, before, motion(8.0, 16.0))
    right, down = 8 // stride, 16 // stride
    torch.testing.assert_close(blended[..., :-down, :-right], before[..., down:, right:],
                               rtol=0, atol=1e-4)
    torch.testing.assert_close(blended[..., -down:, :], now[..., -down:, :])
    torch.testing.assert_close(blended[..., -right:], now[..., -right:])


@torch.no_grad()
def test_each_channel_has_a_weight_of_its_own():
    """A channel may keep to this frame while another keeps to the last."""
    past = WarpedPast(2)
    past.past[0], past.past[1] = -100, 100
    before, now = torch.zeros(1, 2, 4, 8), torch.ones(1, 2, 4, 8)
    blended = past(now, before, motion(0.0, 0.0))
    assert (blended[:, 0] == 1).all() and (blended[:, 1] == 0).all()


def test_a_past_without_flow_is_refused():
    """It says what is missing."""
    network = build_network('net_warp', {'num_classes': 2, 'decoder_channels': (32, 8, 8, 8)})
    image = torch.zeros(2, 3, 32, 32)
    _, state = network.step(image)
    with pytest.raises(ValueError, match='needs the optical flow from the second frame on'):
        network.step(image, state)
