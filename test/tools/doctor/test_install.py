"""What the doctor says of an install, broken ones most of all."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
from types import SimpleNamespace

import pytest

from roadseg_ros.tools.doctor import install, probes
from roadseg_ros.tools.doctor.check import Check
from roadseg_ros.tools.doctor.install import examine_install, executables, interpreter

ROOT = Path(__file__).resolve().parents[3]
STAND_INS = {
    'numpy': "raise ImportError('numpy._core was built for another Python')",
    'cv2': "raise ImportError('libGL.so.1: cannot open shared object file')",
    'torch': "raise OSError('libcudart.so.13: cannot open\\nshared object file')",
    'torchvision': "raise RuntimeError('operator torchvision::nms does not exist')",
    'timm': "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
    'openvino': "raise ImportError('too old a GLIBC')",
    'nncf': 'import os; os.abort()',
    'rclpy': "raise ImportError('librcl.so: cannot open shared object file')",
    'safetensors': "raise ImportError('no safetensors')",
}


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put packages that fail before all others, for processes that are started."""
    for name, code in STAND_INS.items():
        (tmp_path / f'{name}.py').write_text(f'{code}\n')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path


def test_everything_broken_is_a_line_each_and_no_crash(stand_ins: Path) -> None:
    done = subprocess.run([sys.executable, '-m', 'roadseg_ros.tools.main', 'doctor'],
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, '')
    lines = {line.split()[1]: line for line in done.stdout.splitlines()}
    assert len(lines) == len(done.stdout.splitlines())
    assert {name: line.split()[0] for name, line in lines.items() if name != 'interpreter'} == {
        **dict.fromkeys(('numpy', 'opencv', 'torch', 'torchvision', 'timm', 'rclpy', 'weights'),
                        'FAIL'), 'openvino': 'warn', 'nncf': 'warn'}
    for name, said in (('torch', 'OSError: libcudart.so.13: cannot open shared object file'),
                       ('opencv', 'cannot use cv2: ImportError: libGL.so.1'),
                       ('nncf', 'it ends the interpreter (SIGABRT)'),
                       ('weights', 'built for another Python'), ('rclpy', 'librcl.so')):
        assert said in lines[name] and sys.executable in lines[name] and '; fix: ' in lines[name]
    assert "-m pip install 'torch>=2.4,<2.13'" in lines['torch']
    assert 'source a ROS 2 install' in lines['rclpy']


def test_json_holds_the_same(stand_ins: Path) -> None:
    done = subprocess.run([sys.executable, '-m', 'roadseg_ros.tools.main', 'doctor', '--json'],
                          capture_output=True, text=True, timeout=60)
    checks = json.loads(done.stdout)['checks']
    assert done.returncode == 1 and checks[0]['name'] == 'interpreter'
    timm = next(check for check in checks if check['name'] == 'timm')
    assert timm['status'] == 'FAIL' and 'timm>=1.0' in timm['fix']


def test_what_works_is_said_with_its_version(tmp_path: Path) -> None:
    import numpy as np

    found = {check.name: check for check in examine_install(['numpy', 'weights'])}
    assert found['numpy'] == Check('numpy', 'ok', np.__version__)
    assert found['weights'].status == 'ok' and '11 classes' in found['weights'].message


def test_a_middleware_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """rcl itself ends the process then."""
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_nowhere_cpp')
    checks = [check for check in examine_install(['rclpy', 'middleware', 'numpy'])
              if check.name != 'interpreter']
    assert [check.status for check in checks] == ['FAIL', 'ok']
    assert 'rmw_nowhere_cpp' in checks[0].message and 'RMW_IMPLEMENTATION' in checks[0].fix


def test_a_package_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'timm.py').write_text('import threading; threading.Event().wait()\n')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setattr(install, 'PATIENCE_SEC', 1.0)
    timm = list(examine_install(['timm']))[1]
    assert timm.status == 'FAIL' and 'longer than 1 s' in timm.message


def test_what_comes_after_a_package_that_hangs_has_its_own_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'timm.py').write_text('import threading; threading.Event().wait()\n')
    (tmp_path / 'nncf.py').write_text("__version__ = '3.4'\n")
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setattr(install, 'PATIENCE_SEC', 2.0)
    checks = {check.name: check.status for check in examine_install(['timm', 'nncf'])}
    assert (checks['timm'], checks['nncf']) == ('FAIL', 'ok')


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from roadseg_ros import checkpoint

    broken = tmp_path / 'roadseg.safetensors'
    broken.write_bytes(b'version https://git-lfs.github.com/spec/v1')
    monkeypatch.setattr(checkpoint, 'default_checkpoint_path', lambda: broken)
    found = probes.look('weights')
    assert found is not None and found.status == 'FAIL'
    assert f'{broken} is not a whole .safetensors file' in found.message and found.fix


def cuda(available: bool) -> SimpleNamespace:
    """Return a torch that sees two GPUs or none."""
    return SimpleNamespace(version=SimpleNamespace(cuda='13.0'), cuda=SimpleNamespace(
        is_available=lambda: available, device_count=lambda: 2,
        get_device_name=lambda index: f'GPU {index}'))


def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probes.describe_cuda(cuda(True)) == 'CUDA 13.0: GPU 0, GPU 1'
    for there in (None, '/dev/dxg'):
        monkeypatch.setattr(probes, 'gpu_device', lambda there=there: there)
        monkeypatch.setitem(sys.modules, 'torch', cuda(False))
        found = probes.look('cuda')
        assert found is not None and (found.status, bool(found.fix)) == (
            ('warn', True) if there else ('ok', False))


def test_another_interpreter_than_the_venvs_is_a_warning(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('VIRTUAL_ENV', sys.prefix)
    assert interpreter().status == 'ok' and sys.executable in interpreter().message
    monkeypatch.setenv('VIRTUAL_ENV', str(tmp_path))
    found = interpreter()
    assert found.status == 'warn' and found.fix == f'use {tmp_path}/bin/python'
    monkeypatch.setattr(sys, 'version_info', (3, 9, 1))
    assert interpreter().status == 'FAIL'


@pytest.mark.parametrize('first, status', [
    (f'#!{sys.executable}', 'ok'), ('#!/opt/another/bin/python3', 'warn'), ('#!/bin/sh', 'ok')])
def test_what_ros2_run_starts_the_node_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                            first: str, status: str) -> None:
    script = tmp_path / 'lib' / 'roadseg_ros' / 'segmentation_node'
    script.parent.mkdir(parents=True)
    script.write_text(f'{first}\nimport roadseg_ros\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/opt/ros/jazzy:{tmp_path}')
    found, = executables()
    assert found.status == status and first[2:] in found.message
    assert ('python -m colcon build' in found.fix) == (status == 'warn')
