"""The README's exit statuses: each is what its command ends with, and there are no more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
import re
import signal

import cv2
import pytest

from roadseg_ros.tools import benchmark, check, demo, doctor, segment
from roadseg_ros.tools.benchmark import command as benchmark_command
from roadseg_ros.tools.demo import command as demo_command
from roadseg_ros.tools.doctor import command as doctor_command
from roadseg_ros.tools.doctor.check import Check
from roadseg_ros.tools.main import COMMANDS, main

SECTION = (Path(__file__).resolve().parents[2] / 'README.md').read_text().split(
    '\n## Commands\n')[1].split('\n## ')[0]
ROWS = dict(re.findall(r'^\| `(\w+)` \|.*\| (.*) \|$', SECTION, re.MULTILINE))
STATUSES = [(command, int(status), meaning) for command, cell in ROWS.items()
            for status, meaning in re.findall(r'(\d+) ([^,]+)', cell)]
Ends = Callable[[int], int]


@pytest.fixture
def ends(tmp_path, monkeypatch, picture, checkpoint_path) -> dict[str, Ends]:
    """Return for each command what has it end with a status, by its own reasons."""
    def replace(module: object, **stand_ins: object) -> None:
        for name, value in stand_ins.items():
            monkeypatch.setattr(module, name, value)

    def the_demo(status: int) -> int:
        summary = {'masks_received': 99 if status == 0 else 50, 'frames_sent': 100}
        replace(demo_command, check_ros=lambda: None, check_page=lambda: None,
                read_log=lambda *_: None, _play=lambda *_: (None, None),
                private_environment=lambda _: nullcontext(), summarize=lambda *_: summary,
                write_report=lambda *_: summary)
        return main(['demo', '--out', str(tmp_path / 'out'), '--json',
                     '--checkpoint', str(checkpoint_path)])

    def the_segment(status: int) -> int:
        cv2.imwrite(str(tmp_path / 'a.png'), picture)
        if status:
            (tmp_path / 'b.png').write_bytes(b'broken')
        return main(['segment', str(tmp_path), '--out', str(tmp_path / 'out'), '--device', 'cpu',
                     '--checkpoint', str(checkpoint_path)])

    def the_check(status: int) -> int:
        return main(['check', str(checkpoint_path), '--device', 'cpu'])

    def the_benchmark(status: int) -> int:
        measured = {'gpu': None, 'frames': [], 'cameras': []}
        found = {'engines': {'torch': measured}, 'absent': {},
                 'failed': {'openvino': 'it ended'} if status else {}}
        replace(benchmark_command, check_ros=lambda: None, _measure=lambda *_: iter([found]),
                private_environment=lambda _: nullcontext(), draw_plot=lambda *_: None)
        return main(['benchmark', '--out', str(tmp_path / 'out'), '--json',
                     '--checkpoint', str(checkpoint_path)])

    def the_doctor(status: int) -> int:
        replace(doctor_command, examine=lambda _: iter([
            Check('torch', 'warn', 'old'), Check('node', 'FAIL' if status else 'ok', 'there')]))
        return main(['doctor'])

    return {'demo': the_demo, 'segment': the_segment, 'check': the_check,
            'benchmark': the_benchmark, 'doctor': the_doctor}


def test_every_command_has_statuses():
    assert set(ROWS) == set(COMMANDS)
    assert {command: [status for name, status, _ in STATUSES if name == command]
            for command in COMMANDS} == {'demo': [0, 1], 'segment': [0, 1], 'check': [0],
                                         'benchmark': [0, 1], 'doctor': [0, 1]}


@pytest.mark.parametrize('command, status, meaning', STATUSES)
def test_a_command_ends_with_what_the_table_says(ends, command, status, meaning):
    assert ends[command](status) == status


@pytest.mark.parametrize('module', [demo, segment, check, benchmark, doctor],
                         ids=lambda module: module.__name__.rpartition('.')[2])
def test_what_all_commands_share(monkeypatch, capsys, module):
    """2 is what the user can mend, in one line; 130 and 143 are an interrupt."""
    assert 'Exit status 2 is what you can mend' in ' '.join(SECTION.split())
    assert '130 and 143 are an interrupt' in SECTION
    command = module.__name__.rpartition('.')[2]
    arguments = [command, *{'segment': ['in', '--out', 'out'], 'check': ['file']}.get(command, ())]

    def fail(_: object) -> int:
        raise ValueError('cannot')

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    def end(_: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    for stand_in, status in ((fail, 2), (interrupt, 130), (end, 143)):
        monkeypatch.setattr(module, 'run', stand_in)
        try:
            assert main(arguments) == status
        except SystemExit as ended:
            assert ended.code == status == 143
    assert capsys.readouterr().err == f'roadseg {command}: cannot\n'
