"""SIGINT and SIGTERM at every stage of the node's life, each noticed by what the process shows."""
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SEC = 2.0
WORDS = ('Traceback', 'Exception', 'RCLError', 'worker:')


def await_(condition, what):
    """Look for what another process does."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def assert_ends(node, statuses=(0,)):
    """Hold a node that has been sent a signal to its two seconds."""
    assert node.wait(LIMIT_SEC) in statuses, node.log
    assert not any(word in node.log for word in WORDS), node.log


@pytest.mark.parametrize('library', ['numpy', 'cv2', 'rclpy'])
def test_while_it_is_imported(start_node, library):
    """Before the first line of the log there is nothing to tidy up, and nothing is printed."""
    node = start_node()
    maps = Path(f'/proc/{node.pid}/maps')
    await_(lambda: f'/{library}/' in maps.read_text(), library)
    node.interrupt()
    assert_ends(node, (0, -signal.SIGINT))
    assert 'needs' not in node.log


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
@pytest.mark.parametrize('line', ['loading', 'converting the network', 'waiting for frames'])
def test_from_the_first_line_of_the_log_on(start_node, monkeypatch, tmp_path, line, number):
    """While torch converts a checkpoint that is seen for the first time, too."""
    if line == 'converting the network':
        monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    node = start_node()
    await_(lambda: line in node.log, line)
    node.send_signal(number)
    assert_ends(node)


@pytest.mark.parametrize('steps', [('deactivate',), ('deactivate', 'cleanup'),
                                   ('deactivate', 'cleanup', 'configure')], ids=lambda s: s[-1])
def test_within_a_transition(start_node, peer, steps):
    node = start_node()
    peer.wait(lambda: 'waiting for frames' in node.log, 'the node', 60)
    *done, last = steps
    for transition in done:
        assert peer.change_state(transition)
    client = peer.node.create_client(ChangeState, '/roadseg/change_state')
    peer.wait(client.service_is_ready)
    wanted = Transition(id=getattr(Transition, f'TRANSITION_{last.upper()}'))
    client.call_async(ChangeState.Request(transition=wanted))
    node.interrupt()
    assert_ends(node)
    peer.wait(lambda: not client.service_is_ready(), 'its services to be gone', LIMIT_SEC)
    peer.node.destroy_client(client)


def run_main(code):
    """Run the executable's `main` after some code; return what became of it, and the seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, '-c', f'{code}\nfrom roadseg_ros.node.segmentation_node import main\n'
         'sys.exit(main())'], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done, time.monotonic() - started


def test_within_a_text_that_python_executes(ros_domain):
    """As every dataclass does; CPython then ends by the signal, whoever catches the exception."""
    done, _ = run_main('''
import sys
from roadseg_ros.node import lifecycle
def interrupted(settings):
    exec('import signal; signal.raise_signal(signal.SIGINT)')
lifecycle._make_segmenter = interrupted
''')
    assert done.returncode == 0 and 'loading' in done.stderr
    assert not any(word in done.stderr for word in WORDS), done.stderr


def test_within_a_library_that_does_not_return(ros_domain):
    done, took = run_main('''
import os, signal, sys, time
from roadseg_ros.node import lifecycle
def stuck(settings):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # of this thread: others take it
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(300):
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            pass
lifecycle._make_segmenter = stuck
''')
    assert done.returncode == 0 and took < 15
    assert not any(word in done.stderr for word in WORDS), done.stderr
