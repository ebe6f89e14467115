"""A recurrent network in the node as its own process, over DDS: it remembers, and forgets."""

from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
import torch

from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.registry import build_network, state_arrays
from small_networks import SMALL

CAMERAS = ('/front/image_raw', '/rear/image_raw')
MAX_AGE_MS = 60000  # the test's frames come a second apart


@pytest.fixture(scope='module')
def path(checkpoint, tmp_path_factory):
    """Return the file of a small STFCN whose past shows in its masks."""
    arguments = {'num_classes': len(checkpoint.labels), **SMALL['stfcn'][0]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network('stfcn', arguments)
        torch.nn.init.normal_(network.classifier.weight, std=3)
    path = tmp_path_factory.mktemp('stfcn') / 'stfcn.safetensors'
    replace(checkpoint, architecture='stfcn', arguments=arguments,
            tensors=state_arrays(network)).save(path)
    return path


@pytest.fixture(scope='module')
def send(start_node, peer, path):
    """Return a function that sends a frame to a camera and returns its stamp and mask."""
    node = start_node(image_topics=str(list(CAMERAS)), checkpoint=path, **{
        'cache.policy': 'recurrent', 'cache.max_age_ms': MAX_AGE_MS})
    peer.wait(lambda: 'waiting for frames' in node.log, 'the node', 60)
    masks, cameras = {}, {}
    for topic in CAMERAS:
        out = topic.replace('image_raw', 'segmentation/mask')
        masks[topic] = peer.collect(Image, out)
        peer.heard(out)
        cameras[topic] = peer.publisher(Image, topic)

    def send(topic, picture):
        mask = peer.exchange(cameras[topic], peer.image(picture), masks[topic])
        stamp = mask.header.stamp
        ids = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width)
        return stamp.sec * 10 ** 9 + stamp.nanosec, ids

    return send


@pytest.fixture
def pictures(picture):
    """Return pictures that move to the right."""
    return [np.roll(picture, 2 * index, 1) for index in range(4)]


def test_each_camera_is_told_of_its_own_past(send, path, pictures):
    """Masks are those of a segmenter that sees both cameras in the same order, with a memory."""
    wanted = Segmenter(path, device='cpu', cache=CacheSettings('recurrent',
                                                              max_age_ms=MAX_AGE_MS))
    alone = Segmenter(path, device='cpu', engine='torch')
    differ = 0
    for picture in pictures:
        for topic, frame in zip(CAMERAS, (picture, 255 - picture)):
            stamp_ns, ids = send(topic, frame)
            expected = wanted.segment([frame], [topic], [stamp_ns])[0].class_ids
            assert np.array_equal(ids, expected)
            differ += not np.array_equal(ids, alone.segment([frame])[0].class_ids)
    assert differ == 6  # all but the first of each


@pytest.mark.parametrize('service', ['reset_cache', 'reload_checkpoint'])
def test_what_it_has_seen_is_forgotten(send, peer, path, pictures, service):
    """Once asked to, and with new weights, it begins anew."""
    alone = Segmenter(path, device='cpu', engine='torch')
    send(CAMERAS[0], pictures[0])
    first = alone.segment([pictures[1]])[0].class_ids
    assert not np.array_equal(send(CAMERAS[0], pictures[1])[1], first)
    assert peer.call(Trigger, f'/roadseg/{service}').success
    assert np.array_equal(send(CAMERAS[0], pictures[1])[1], first)
