"""The segmenter in a process of its own: its times, what it says when it cannot, its end."""

from __future__ import annotations

import os
from pathlib import Path
import signal

import pytest

from roadseg_ros.inference.engines import EngineError
from roadseg_ros.tools.benchmark.segmenter_process import EngineCrash, SegmenterProcess


@pytest.fixture
def process(checkpoint_path, tmp_path):
    """Return what starts an engine with the small checkpoint."""
    def start(engine: str, device: str = 'cpu') -> SegmenterProcess:
        return SegmenterProcess(checkpoint_path, device, engine, tmp_path / 'log')
    return start


def test_times_and_what_cannot_be(process):
    pytest.importorskip('openvino')
    with process('openvino') as segmenter:
        assert segmenter.facts == {'engine': 'openvino', 'device': 'cpu', 'gpu': None}
        times = segmenter.time((48, 64), 'off', 5)
        assert len(times) == 5 and all(0 < value < 10_000 for value in times)
        with pytest.raises(EngineError, match='unknown cache policy .magic.'):
            segmenter.time((48, 64), 'magic', 1)
        assert len(segmenter.time((48, 64), 'off', 2)) == 2
        pid = segmenter.pid
    assert not Path(f'/proc/{pid}').exists()


def test_engine_that_is_not_there(process):
    with pytest.raises(EngineError, match='unknown engine .steam.'):
        process('steam').__enter__()


def test_process_that_dies(process, tmp_path):
    pytest.importorskip('openvino')
    with process('openvino') as segmenter:
        os.kill(segmenter.pid, signal.SIGKILL)
        with pytest.raises(EngineCrash, match=f'ended with status -9 .see {tmp_path}'):
            segmenter.time((48, 64), 'off', 5)
