"""What /diagnostics says of a camera."""
from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from roadseg_ros.inference.refresh import CacheSettings  # noqa: E402
from roadseg_ros.node.diagnostics import (  # noqa: E402
    camera_status,
    FrameStatistics,
    judge,
    node_status,
    WINDOW,
)


def test_counts_and_percentiles():
    statistics = FrameStatistics()
    for milliseconds in range(1, 101):
        statistics.add('full', {'network': float(milliseconds), 'total': 2.0 * milliseconds})
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
    statistics.add('full', {'total': 1.0})
    statistics.since_last({'received': 1})
    values, new, silence_sec = statistics.since_last({'received': 1})
    assert (values['in_hz'], values['out_hz'], values['received']) == ('0.0', '0.0', '1')
    assert not new and silence_sec > 0
    again = statistics.since_last({'received': 1})[2]
    assert again > silence_sec > 0
    assert statistics.since_last({'received': 2})[2] == 0


def test_carried_frames_are_counted_apart_and_have_stages_of_their_own():
    statistics = FrameStatistics()
    for _ in range(2):
        statistics.add('warped', {'warp': 5.0, 'total': 7.0})
    statistics.add('full', {'network': 30.0, 'total': 32.0})
    shown = statistics.since_last({'received': 3})[0]
    assert {name: value for name, value in shown.items() if name.startswith('made_')} == {
        'made_full': '1', 'made_warped': '2', 'made_cached': '0', 'made_none': '0'}
    assert shown['latency_warp_ms'] == 'p50 5.0 p95 5.0 max 5.0'
    assert shown['latency_network_ms'] == 'p50 30.0 p95 30.0 max 30.0'
    assert shown['latency_total_ms'].startswith('p50 7.0') and shown['published'] == '3'


def test_a_stage_that_is_no_longer_gone_through_is_not_shown():
    statistics = FrameStatistics()
    statistics.add('warped', {'warp': 5.0})
    for _ in range(WINDOW):
        statistics.add('full', {'network': 30.0})
    shown = statistics.since_last({})[0]
    assert 'latency_warp_ms' not in shown and 'latency_network_ms' in shown


def test_the_node_shows_its_cache(segmenter):
    settings = SimpleNamespace(device='auto', engine='auto', cache=CacheSettings('warp', 4))
    reset = SimpleNamespace(**{name: getattr(segmenter, name) for name in (
        'device', 'engine', 'fallback', 'checkpoint', 'labels')},
        cache_resets={'scene cut': 2, 'gap': 1})
    shown = {value.key: value.value
             for value in node_status('roadseg', reset, settings, {'enabled': True}).values}
    assert {name: value for name, value in shown.items() if name.startswith('cache_')} == {
        'cache_policy': 'warp', 'cache_interval': '4', 'cache_max_age_ms': '500.0',
        'cache_background': 'False', 'cache_resets_scene_cut': '2', 'cache_resets_gap': '1'}
    assert shown['enabled'] == 'True'


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
