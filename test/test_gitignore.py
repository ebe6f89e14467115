"""What the README's commands write into a checkout is not in git's way."""

from __future__ import annotations

from pathlib import Path
import re
import shutil
import subprocess

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
COMMANDS = '\n'.join(re.findall(r'```bash\n(.*?)```', README, re.DOTALL))


def written() -> set[str]:
    """Return the files and folders that the README's commands and examples make."""
    named = set(re.findall(r'--(?:out|report) ([\w./]+)', README))
    overlays = {f'{name}_overlay' for name in re.findall(r'--out (\w+) --overlay', COMMANDS)}
    own = set(re.findall(r'^# (my_\w+\.yaml)$', README, re.MULTILINE))
    return {*named, *overlays, *own, 'masks.zip', 'demo_output', 'benchmark_output',
            'cache_comparison', 'runs', 'keys', 'my_drive.mcap', '.roadseg.a.mcap.complete'}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a repository that has nothing but what git ignores in ours."""
    if shutil.which('git') is None:
        pytest.skip('git is not here')
    subprocess.run(['git', 'init', '-q', str(tmp_path)], check=True)
    shutil.copy(ROOT / '.gitignore', tmp_path)
    return tmp_path


def test_what_the_readme_writes_is_ignored(copy: Path) -> None:
    names = written()
    assert {'masks', 'masks_overlay', 'segmented.mcap', 'picture_masks', 'to_label', 'to_label_2',
            'corrected', 'corrected_overlay', 'replayed', 'scenes', 'drive.html'} <= names
    for name in names:
        path = copy / name
        if path.suffix:
            path.touch()
        else:
            path.mkdir()
            (path / 'file').touch()
    seen = subprocess.run(['git', 'status', '--porcelain'], cwd=copy, text=True, check=True,
                          capture_output=True).stdout.splitlines()
    assert seen == ['?? .gitignore']


def test_what_is_the_projects_own_is_not(copy: Path) -> None:
    own = [str(path.relative_to(ROOT)) for folder in ('roadseg_ros', 'training', 'test', 'config')
           for path in (ROOT / folder).rglob('*') if path.suffix in ('.py', '.yaml', '.html')]
    assert len(own) > 200
    ignored = subprocess.run(['git', 'check-ignore', '--stdin'], cwd=copy, text=True,
                             input='\n'.join(own), capture_output=True).stdout
    assert not ignored
