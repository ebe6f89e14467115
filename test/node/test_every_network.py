"""A checkpoint of every network of the registry runs in the node, one after the other."""

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.registry import ADAPTED, NETWORKS
from small_networks import small_checkpoint

CAMERA = '/networks/image_raw'


@pytest.fixture(scope='module')
def node(start_node, peer):
    """Return the running node."""
    process = start_node(image_topics=f"['{CAMERA}']")
    peer.wait(lambda: 'waiting for frames' in process.log, 'the node', 60)
    return process


@pytest.fixture(scope='module')
def masks(node, peer):
    """Return the masks that the node publishes."""
    masks = peer.collect(Image, '/networks/segmentation/mask')
    peer.heard('/networks/segmentation/mask')
    return masks


@pytest.fixture(scope='module')
def camera(node, peer):
    """Return the publisher that the node listens to."""
    return peer.publisher(Image, CAMERA)


@pytest.mark.parametrize('architecture', [*NETWORKS, *ADAPTED])
def test_the_node_runs_it(peer, camera, masks, labels, picture, tmp_path, architecture):
    """Its masks are those of the segmenter, pixel for pixel."""
    path = tmp_path / f'{architecture}.safetensors'
    small_checkpoint(architecture, labels).save(path)
    assert peer.set_parameter('checkpoint', str(path))[0]
    response = peer.call(Trigger, '/roadseg/reload_checkpoint')
    assert response.success, response.message
    mask = peer.exchange(camera, peer.image(picture), masks)
    wanted = Segmenter(path, device='cpu').segment([picture])[0].class_ids
    assert len(np.unique(wanted)) > 1
    assert np.array_equal(np.frombuffer(mask.data, np.uint8).reshape(wanted.shape), wanted)
