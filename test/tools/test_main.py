"""The `roadseg` command itself: dispatch, exit status, errors in one line, light imports."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from roadseg_ros.inference.engines import EngineError
from roadseg_ros.tools import segment
from roadseg_ros.tools.main import main

ARGUMENTS = ['segment', 'in', '--out', 'out']


def test_no_command_names_them(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(['--help'])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(name in text for name in ('demo', 'segment', 'check', 'benchmark', 'doctor'))


@pytest.mark.parametrize('arguments', [
    [], ['paint'], ['segment', 'in', '--out', 'o', '--rate', '0']])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and 'error' in capsys.readouterr().err


def test_an_unknown_option_is_answered_with_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*ARGUMENTS, '--ovrlay'])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.startswith('usage: roadseg segment')
    assert said.endswith('roadseg segment: error: unrecognized arguments: --ovrlay\n')
    with pytest.raises(SystemExit):
        main(['--ovrlay', *ARGUMENTS])
    assert capsys.readouterr().err.endswith('roadseg: error: unrecognized arguments: --ovrlay\n')


@pytest.mark.parametrize('error, status, said', [
    (ValueError('bad value'), 2, 'roadseg segment: bad value\n'),
    (EngineError('no such engine'), 2, 'roadseg segment: no such engine\n'),
    (MemoryError(), 2, 'roadseg segment: out of memory\n'),
    (RuntimeError('CUDA out of memory.\nTried 2 GiB'), 2,
     'roadseg segment: CUDA out of memory. Tried 2 GiB\n'),
    (KeyboardInterrupt(), 130, '')])
def test_errors_become_a_line_and_a_status(monkeypatch, capsys, error, status, said):
    def fail(options):
        raise error

    monkeypatch.setattr(segment, 'run', fail)
    assert main(ARGUMENTS) == status
    assert capsys.readouterr().err == said


def test_mistakes_of_ours_are_not_hidden(monkeypatch):
    def fail(options):
        raise RuntimeError('a mistake')

    monkeypatch.setattr(segment, 'run', fail)
    with pytest.raises(RuntimeError, match='a mistake'):
        main(ARGUMENTS)


def test_sigterm_ends_as_an_interrupt_does(monkeypatch):
    tidied = []

    def wait(options):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tidied.append(True)

    monkeypatch.setattr(segment, 'run', wait)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(ARGUMENTS)
    assert ended.value.code == 143 and tidied
    assert signal.getsignal(signal.SIGTERM) is before


def test_command_line_imports_neither_torch_nor_ros():
    code = ('import sys\n'
            'from roadseg_ros.tools.main import _parsers\n'
            f'_parsers({ARGUMENTS!r})\n'
            'print(sorted({"torch", "timm", "rclpy"} & set(sys.modules)))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.strip() == '[]', done.stderr
