"""What `colcon build` installs from a fresh checkout."""

from __future__ import annotations

from pathlib import Path
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ('package.xml', 'setup.py', 'setup.cfg', 'resource', 'roadseg_ros', 'training', 'test',
         'launch', 'config', 'weights')


@pytest.fixture(scope='module')
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Build a copy of the package in a workspace of its own.

    :return: where the package was installed
    """
    pytest.importorskip('colcon_core')
    workspace = tmp_path_factory.mktemp('workspace')
    (workspace / 'src').mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, workspace / 'src' / part)
    done = subprocess.run([sys.executable, '-m', 'colcon', 'build'], cwd=workspace, text=True,
                          check=False, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace / 'install' / 'roadseg_ros'


@pytest.mark.parametrize('name', ['roadseg', 'segmentation_node'])
def test_executables_stand_where_ros2_run_looks(prefix: Path, name: str) -> None:
    assert (prefix / 'lib' / 'roadseg_ros' / name).stat().st_mode & 0o111


@pytest.mark.parametrize('folder', ['launch', 'config', 'weights'])
def test_share_holds_every_file(prefix: Path, folder: str) -> None:
    def files(root: Path) -> list[str]:
        return sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob('*')
                      if path.is_file() and '__pycache__' not in path.parts)

    assert files(ROOT)
    assert files(prefix / 'share' / 'roadseg_ros') == files(ROOT)


def test_package_is_in_the_ament_index(prefix: Path) -> None:
    assert (prefix / 'share/ament_index/resource_index/packages/roadseg_ros').is_file()
    assert (prefix / 'share/roadseg_ros/package.xml').is_file()


def test_training_and_tests_are_not_installed(prefix: Path) -> None:
    (site_packages,) = prefix.glob('lib/python*/site-packages')
    modules = {path.name for path in site_packages.iterdir() if path.suffix != '.egg-info'}
    assert modules == {'roadseg_ros'}


def test_every_subpackage_is_installed(prefix: Path) -> None:
    (installed,) = prefix.glob('lib/python*/site-packages/roadseg_ros')
    source = ROOT / 'roadseg_ros'

    def files(root: Path) -> set[Path]:
        return {path.relative_to(root) for path in root.rglob('*.*') if path.suffix != '.pyc'}

    assert files(installed) == files(source)


def test_versions_agree() -> None:
    version = ElementTree.parse(ROOT / 'package.xml').findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text(encoding='utf-8')
