"""What becomes of pixels the network is unsure of."""
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from roadseg_ros.inference.segmenter import Segmentation  # noqa: E402
from roadseg_ros.node.pipeline import gate  # noqa: E402


@pytest.mark.parametrize('lowest, kept', [(0.0, 0), (0.5, 128), (0.6, 153), (1.0, 255)])
def test_pixels_below_the_confidence_are_unlabelled(lowest, kept):
    confidence = np.arange(256, dtype=np.uint8)[None]
    ids = np.full((1, 256), 7, np.uint8)
    gated = gate(Segmentation(ids, confidence, made='full', age_ms=2.0), lowest)
    assert gated.class_ids[0].tolist() == [255] * kept + [7] * (256 - kept)
    assert (gated.confidence is confidence, gated.age_ms) == (True, 2.0)


def test_an_engine_without_confidence_keeps_every_pixel():
    ids = np.full((2, 2), 7, np.uint8)
    assert gate(Segmentation(ids, None), 0.9).class_ids is ids
