"""The node as a process: its parameters, its end, its environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roadseg_ros.tools.demo.log import read_log
from roadseg_ros.tools.node_process import NodeError, NodeProcess, private_environment


def test_node_that_cannot_configure_is_named_and_ended(domain_id, tmp_path):
    broken = tmp_path / 'broken.safetensors'
    broken.write_bytes(b'no weights')
    with pytest.raises(NodeError, match='the node cannot start: .*broken.safetensors'):
        parameters = {'image_topics': ['/camera/image_raw'], 'checkpoint': str(broken)}
        with NodeProcess(parameters, tmp_path / 'node.yaml', tmp_path / 'node.log') as node:
            from roadseg_ros.tools.demo.player import Player

            frame = read_log(None, None, 0.1).frames[0]
            with Player('/camera/image_raw', node.check) as player:
                player.connect(frame, node.last_line)
    assert not Path(f'/proc/{node.pid}').exists()


def test_environment_is_given_back(monkeypatch, tmp_path):
    monkeypatch.setenv('ROS_DOMAIN_ID', '0')
    monkeypatch.delenv('ROS_LOG_DIR', raising=False)
    before = dict(os.environ)
    with pytest.raises(KeyboardInterrupt), private_environment(tmp_path):
        assert os.environ['ROS_DOMAIN_ID'] != '0'
        assert os.environ['ROS_LOG_DIR'] == str(tmp_path)
        raise KeyboardInterrupt
    assert dict(os.environ) == before
