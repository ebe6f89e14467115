"""
A checkpoint of every network of the registry goes through `roadseg segment`.

On engine torch; OpenVINO, which takes seconds to convert each, has them in the node's test.
"""

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.registry import NETWORKS
from roadseg_ros.tools.main import main
from small_networks import small_checkpoint


@pytest.mark.parametrize('architecture', NETWORKS)
def test_the_command_runs_it(tmp_path, pictures, labels, read_mask, architecture):
    """Its masks are those of the segmenter, pixel for pixel, also of a frame of another size."""
    path, out = tmp_path / f'{architecture}.safetensors', tmp_path / 'masks'
    small_checkpoint(architecture, labels).save(path)
    folder = tmp_path / 'in'
    folder.mkdir()
    frames = {'a': pictures[0], 'b': np.ascontiguousarray(pictures[1][:37, :51])}
    for name, frame in frames.items():
        assert cv2.imwrite(str(folder / f'{name}.png'), frame)
    assert main(['segment', str(folder), '--out', str(out), '--checkpoint', str(path),
                 '--device', 'cpu', '--engine', 'torch']) == 0
    segmenter = Segmenter(path, device='cpu', engine='torch')
    for name, frame in frames.items():
        wanted = segmenter.segment([frame])[0].class_ids
        assert len(np.unique(wanted)) > 1
        np.testing.assert_array_equal(read_mask(out / f'{name}.png'), wanted)
