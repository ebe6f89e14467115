"""SegNet: values go back to where their pooling found them."""
import torch
from torch.nn.functional import max_pool2d, max_unpool2d

from roadseg_ros.models.segnet import SegNet, SegNetBasic

STEPS = (4, 8, 8, 8, 8)


class Record(torch.nn.Module):
    """Take the place of a decoder step and keep what it is given."""

    def forward(self, features):
        """Return the features as they are."""
        self.given = features
        return features


@torch.no_grad()
def test_values_return_to_their_maxima():
    """What a decoder step is given is torch's own unpooling of what came before it."""
    torch.manual_seed(0)
    network = SegNetBasic(3, width=4).eval()
    steps = [Record() for _ in network.decoder]
    network.decoder = torch.nn.ModuleList(steps)
    features, taken = torch.randn(2, 3, 32, 48), []  # where ReLU leaves zeros, maxima are tied
    network(features)
    for step in network.encoder:
        features, indices = max_pool2d(step(features), 2, return_indices=True)
        taken.append(indices)
    for step, indices in zip(steps, reversed(taken)):
        features = max_unpool2d(features, indices, 2)
        torch.testing.assert_close(step.given, features, rtol=0, atol=0)


@torch.no_grad()
def test_borders_are_those_of_the_new_image_where_deep_features_are_old():
    """The indices travel with the early features, so that reused late ones meet new edges."""
    torch.manual_seed(0)
    network = SegNet(3, channels=STEPS)  # in eval mode fresh batch norms would let features fade
    old, new = torch.randn(2, 1, 3, 64, 64)
    shallow = network.shallow(new)
    assert [part.unique().tolist() for part in shallow[1:]] == [[0, 1, 2, 3]] * 2
    assert [part.shape[-1] for part in shallow] == [16, 32, 16]
    deep = network.deep(network.shallow(old))
    mixed = network.head(shallow, deep)
    assert not torch.allclose(mixed, network(old))
    assert not torch.allclose(mixed, network(new))


def test_the_convolutions_are_those_of_vgg16_and_their_mirror():
    """13 convolutions each way, the last one to the classes."""
    network = SegNet(3, channels=STEPS)
    counts = [[sum(isinstance(part, torch.nn.Conv2d) for part in step.modules())
               for step in half] for half in (network.encoder, network.decoder)]
    assert counts == [[2, 2, 3, 3, 3], [3, 3, 3, 2, 2]]
