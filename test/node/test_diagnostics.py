"""What /diagnostics says of a camera."""
from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from roadseg_ros.node.diagnostics import camera_status, FrameStatistics, judge  # noqa: E402


def test_counts_and_percentiles():
    statistics = FrameStatistics()
    for milliseconds in range(1, 101):
        statistics.add({'network': float(milliseconds), 'total': 2.0 * milliseconds})
    values, new, _ = statistics.since_last({'received': 103, 'dropped': 2, 'failed': 1})
    assert {name: values[name] for name in (
        'received', 'published', 'dropped', 'failed', 'unheard', 'disabled')} == {
        'received': '103', 'published': '100', 'dropped': '2', 'failed': '1', 'unheard': '0',
        'disabled': '0'}
    assert new == {'received': 103, 'published': 100, 'dropped': 2, 'failed': 1}
    assert values['latency_network_ms'] == 'p50 50.5 p95 95.0 max 100.0'
    assert values['latency_total_ms'] == 'p50 101.0 p95 190.1 max 200.0'
    assert float(values['in_hz']) > 0 and float(values['out_hz']) > 0


def test_rates_are_of_the_time_since_the_last_report():
    statistics = FrameStatistics()
    statistics.add({'total': 1.0})
    statistics.since_last({'received': 1})
    values, new, silence_sec = statistics.since_last({'received': 1})
    assert (values['in_hz'], values['out_hz'], values['received']) == ('0.0', '0.0', '1')
    assert not new and silence_sec > 0
    again = statistics.since_last({'received': 1})[2]
    assert again > silence_sec > 0
    assert statistics.since_last({'received': 2})[2] == 0


SERVED = {'received': 15, 'published': 15}
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@pytest.mark.parametrize('new, silence_sec, publishers, obstacle, level, message', [
    (SERVED, 0, 1, '', OK, 'segmenting'),
    ({**SERVED, 'failed': 1}, 0, 1, '', ERROR, 'step 1 is less'),
    ({}, 60, 0, '', WARN, 'nobody publishes this topic'),
    ({}, 60, 1, '', WARN, 'no frame arrives'),
    ({}, 2, 1, '', OK, 'segmenting'),
    ({}, 2, 1, 'incompatible QoS', WARN, 'incompatible QoS'),
    ({'received': 1}, 0, 1, '', OK, 'segmenting'),
    ({'received': 15, 'unheard': 15}, 0, 1, '', OK, 'nobody listens to the outputs'),
    ({'received': 15, 'disabled': 15}, 0, 1, '', OK, 'paused by ~/enable'),
], ids=['served', 'failed', 'no publisher', 'silent', 'slow camera', 'hindered', 'slow network',
        'unheard', 'paused'])
def test_a_camera_is_judged_by_what_happened_since(new, silence_sec, publishers, obstacle, level,
                                                   message):
    assert judge(Counter(new), silence_sec, publishers, 'step 1 is less', obstacle) == (
        level, message)


def test_a_status_shows_the_numbers():
    camera = SimpleNamespace(topic='/cam/image', counts={'received': 3, 'dropped': 1}, obstacle='',
                             last_error='long ago', publisher_count=lambda: 1)
    status = camera_status('robot/roadseg', camera, FrameStatistics())
    assert (status.name, status.message) == ('robot/roadseg: /cam/image', 'segmenting')
    shown = {value.key: value.value for value in status.values}
    assert (shown['received'], shown['dropped'], shown['publishers'], shown['last_error']) == (
        '3', '1', '1', 'long ago')
