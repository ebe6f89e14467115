"""What becomes of pixels the network is unsure of, and what the segmenter is told of frames."""
from array import array
from collections import Counter
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from roadseg_ros.inference.refresh import CacheSettings  # noqa: E402
from roadseg_ros.inference.segmenter import Segmentation  # noqa: E402
from roadseg_ros.node.pipeline import gate, Pipeline  # noqa: E402


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


class Recorder:
    """A segmenter that notes what it is asked."""

    device, labels = 'cpu', None

    def __init__(self):
        self.asked = []

    def set_cache(self, settings):
        self.asked.append(settings)

    def segment(self, frames, streams, stamps):
        self.asked.append((streams, stamps))
        return [Segmentation(np.zeros(frame.shape[:2], np.uint8), None, 'warped')
                for frame in frames]


def serve(messages, topic='/camera/image'):
    """Run messages of one camera through a pipeline; return what the segmenter was asked."""
    waiting, made, segmenter = list(messages), [], Recorder()
    stream = SimpleNamespace(
        camera=SimpleNamespace(topic=topic, counts=Counter(), info=None,
                               take=lambda: (waiting.pop(0), 12.5)),
        outputs=SimpleNamespace(wanted=lambda: True, publish=lambda *arguments: None),
        statistics=SimpleNamespace(add=lambda how, timing_ms: made.append(how)))
    settings = SimpleNamespace(cache=CacheSettings('warp'), max_image_pixels=10_000,
                               min_confidence=0.0, overlay_alpha=0.5)
    pipeline = Pipeline([stream], lambda: True)
    for _ in messages:
        pipeline.run(segmenter, settings)
    assert made == ['warped'] * len(messages)
    return segmenter.asked


def image(encoding='bgr8', frame_id='front', sec=1):
    message = Image(height=2, width=2, encoding=encoding, step=6, data=array('B', bytes(12)))
    message.header.frame_id, message.header.stamp.sec = frame_id, sec
    return message


def test_the_cache_is_set_before_the_frames():
    assert serve([image()]) == [
        CacheSettings('warp'), (['/camera/image front bgr8'], [1_000_000_000])]


def test_a_stream_is_another_one_for_each_topic_frame_id_and_encoding():
    picture = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint8))[1].tobytes()
    compressed = CompressedImage(format='png', data=array('B', picture))
    messages = [image(), image('rgb8'), image(frame_id='rear'), compressed]
    names = [streams for streams, _ in serve(messages)[1::2] + serve([image()], '/other')[1::2]]
    assert len({name for name, in names}) == 5


def test_a_frame_without_a_stamp_counts_from_when_it_arrived():
    assert serve([image(sec=0)])[1][1] == [12_500_000_000]
