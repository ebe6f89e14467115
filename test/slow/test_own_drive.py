"""From a log to weights of its own, with the README's very commands and recipe, in miniature."""

from __future__ import annotations

import json
from pathlib import Path
import re
import shlex
import subprocess

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
import yaml

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import load_label_space
from roadseg_ros.scenes import Drive
from roadseg_ros.tools.main import main
from roadseg_ros.tools.proposals import labelme_document
from training import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600),
              pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')]

README = Path(__file__).resolve().parents[2] / 'README.md'
FRAMES, SIZE, CHOSEN = 40, (96, 128), 15
SMALL = {'architecture': 'u_lite', 'arguments': {'channels': [8, 16, 16, 16]}, 'pretrained': None,
         'frame_size': list(SIZE), 'augmentation': {'crop': list(SIZE), 'scale': [0.9, 1.2]},
         'epochs': 20, 'batch_size': 4, 'learning_rate': 0.01, 'precision': '32-true',
         'workers': 0}


def section() -> str:
    """Return the README's section."""
    text = README.read_text()
    return text[text.index('## From your log to your own weights'):
                text.index('## How fast is it here?')]


def commands() -> list[str]:
    """Return the commands that it shows, in order."""
    blocks = re.findall(r'```bash\n(.*?)```', section(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def write_log(path: Path) -> list[np.ndarray]:
    """Write a generated drive as a bag; return its truth."""
    types = get_typestore(Stores.ROS2_JAZZY)
    message, drive = types.types, Drive(seed=5, height=SIZE[0], width=SIZE[1])
    frames = [drive.frame(2 * index) for index in range(FRAMES)]
    with Writer(path.with_suffix(''), version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection('/cam/image_raw', 'sensor_msgs/msg/Image', typestore=types)
        for index, (picture, _) in enumerate(frames):
            stamp = message['builtin_interfaces/msg/Time'](index, 0)
            image = message['sensor_msgs/msg/Image'](
                message['std_msgs/msg/Header'](stamp, 'cam'), *SIZE, 'bgr8', 0, SIZE[1] * 3,
                picture.reshape(-1))
            writer.write(camera, index * 10**9,
                         types.serialize_cdr(image, 'sensor_msgs/msg/Image'))
    (path.with_suffix('') / path.name).rename(path)
    return [truth for _, truth in frames]


def correct(folder: Path, truths: list[np.ndarray]) -> None:
    """Do what people do in LabelMe: save the right outlines."""
    labels = load_label_space(folder / 'labels.yaml')
    files = sorted(folder.glob('JPEGImages/*.json'))
    assert len(files) == CHOSEN
    for file in files:
        truth = truths[int(file.stem.rsplit('_', 1)[1]) // 10**9]
        document = labelme_document(file.with_suffix('.png').name, truth, labels)
        assert document.keys() == json.loads(file.read_bytes()).keys()
        file.write_text(json.dumps(document))


def run(command: str, checkpoint: Path) -> None:
    """Run a command as shown, but for its size."""
    command = command.replace('--frames 100', f'--frames {CHOSEN}')
    words = shlex.split(command)
    if words[0] == 'roadseg':
        weights = [] if '--checkpoint' in words else ['--checkpoint', str(checkpoint)]
        assert main([*words[1:], *weights, '--device', 'cpu']) == 0
    elif words[:3] == ['.venv/bin/python', '-m', 'training.train']:
        assert train.main([*words[3:], '--accelerator', 'cpu']) == 0
    else:
        subprocess.run(command, shell=True, check=True)


def accuracy(masks: Path, truths: list[np.ndarray]) -> float:
    """Return the share of pixels that are right."""
    found = [cv2.imread(str(masks / f'cam/image_raw/{index * 10**9}.png'), cv2.IMREAD_UNCHANGED)
             for index in range(FRAMES)]
    return float((np.stack(found) == np.stack(truths)).mean())


def test_the_loop(domain_id, tmp_path, monkeypatch, checkpoint_path):
    """Weights trained on a few corrected frames know the drive; the others did not."""
    monkeypatch.chdir(tmp_path)
    truths = write_log(tmp_path / 'my_drive.mcap')
    shown = yaml.safe_load(re.search(r'```yaml\n# my_drive.yaml\n(.*?)```', section(),
                                     re.DOTALL)[1])
    Path('my_drive.yaml').write_text(yaml.safe_dump({**shown, **SMALL}))
    first, archive, *others = commands()
    run(first, checkpoint_path)
    run(archive, checkpoint_path)
    assert Path('masks.zip').stat().st_size > 1000
    correct(Path('to_label'), truths)
    for command in others:
        run(command, checkpoint_path)
    main(['segment', 'my_drive.mcap', '--out', 'before', '--device', 'cpu',
          '--checkpoint', str(checkpoint_path)])
    before, after = (accuracy(Path(masks), truths) for masks in ('before', 'corrected'))
    assert before < 0.3 and after > 0.6, (before, after)
    assert len(list(Path('corrected_overlay').rglob('*.jpg'))) == FRAMES
    assert len(list(Path('to_label_2').glob('JPEGImages/*.json'))) == CHOSEN
    assert json.loads(Path('replayed/summary.json').read_text())['masks_received'] > 0
    trained = Segmenter(Path('runs/my_drive/last.safetensors'), device='cpu')
    assert trained.labels == load_label_space('camvid')
