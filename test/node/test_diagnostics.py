"""What /diagnostics says of a camera."""
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from roadseg_ros.inference.refresh import CacheSettings  # noqa: E402
from roadseg_ros.node.diagnostics import (  # noqa: E402
    camera_status,
    FrameStatistics,
    node_status,
    WINDOW,
)
from roadseg_ros.node.silence import Finding, SEGMENTING  # noqa: E402


def test_counts_and_percentiles():
    statistics = FrameStatistics()
    for milliseconds in range(1, 101):
        statistics.add('full', {'network': float(milliseconds), 'total': 2.0 * milliseconds})
    counts = {'received': 103, 'dropped': 2, 'failed': 1}
    values = statistics.since_last(counts)
    assert {name: values[name] for name in (
        'received', 'published', 'dropped', 'failed', 'unheard', 'disabled')} == {
        'received': '103', 'published': '100', 'dropped': '2', 'failed': '1', 'unheard': '0',
        'disabled': '0'}
    assert statistics.totals(counts) == {**counts, 'published': 100, 'blank': 0}
    assert values['latency_network_ms'] == 'p50 50.5 p95 95.0 max 100.0'
    assert values['latency_total_ms'] == 'p50 101.0 p95 190.1 max 200.0'
    assert float(values['in_hz']) > 0 and float(values['out_hz']) > 0


def test_rates_are_of_the_time_since_the_last_report():
    statistics = FrameStatistics()
    statistics.add('full', {'total': 1.0})
    statistics.since_last({'received': 1})
    values = statistics.since_last({'received': 1})
    assert (values['in_hz'], values['out_hz'], values['received']) == ('0.0', '0.0', '1')
    assert float(statistics.since_last({'received': 2})['in_hz']) > 0


def test_carried_frames_are_counted_apart_and_have_stages_of_their_own():
    statistics = FrameStatistics()
    for _ in range(2):
        statistics.add('warped', {'warp': 5.0, 'total': 7.0})
    statistics.add('full', {'network': 30.0, 'total': 32.0})
    shown = statistics.since_last({'received': 3})
    assert {name: value for name, value in shown.items() if name.startswith('made_')} == {
        'made_full': '1', 'made_warped': '2', 'made_cached': '0', 'made_none': '0'}
    assert shown['latency_warp_ms'] == 'p50 5.0 p95 5.0 max 5.0'
    assert shown['latency_network_ms'] == 'p50 30.0 p95 30.0 max 30.0'
    assert shown['latency_total_ms'].startswith('p50 7.0') and shown['published'] == '3'
    statistics.add('none', {'total': 4.0})
    assert statistics.totals({}) == {'published': 4, 'blank': 1}


def test_a_stage_that_is_no_longer_gone_through_is_not_shown():
    statistics = FrameStatistics()
    statistics.add('warped', {'warp': 5.0})
    for _ in range(WINDOW):
        statistics.add('full', {'network': 30.0})
    shown = statistics.since_last({})
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


@pytest.mark.parametrize('fallback, level, said', [
    (None, DiagnosticStatus.OK, 'running'),
    ('cuda:0 failed (no memory)', DiagnosticStatus.WARN, 'cuda:0 failed (no memory)')])
def test_less_than_was_asked_for_is_a_warning(segmenter, monkeypatch, fallback, level, said):
    monkeypatch.setattr(segmenter._engine, 'fallback', fallback)
    settings = SimpleNamespace(device='auto', engine='auto', cache=CacheSettings())
    shown = node_status('roadseg', segmenter, settings, {})
    assert (shown.level, shown.message) == (level, said)
    assert {value.key: value.value for value in shown.values}['fell_back'] == str(bool(fallback))


def test_a_status_shows_the_numbers():
    camera = SimpleNamespace(topic='/cam/image', counts={'received': 3, 'dropped': 1},
                             last_error='long ago', publisher_count=lambda: 1)
    status = camera_status('robot/roadseg', camera, FrameStatistics(), lambda: SEGMENTING,
                           'no camera_info')
    assert (status.name, status.message) == ('robot/roadseg: /cam/image', 'segmenting')
    shown = {value.key: value.value for value in status.values}
    assert (shown['received'], shown['dropped'], shown['publishers'], shown['last_error'],
            shown['road_grid_problem']) == ('3', '1', '1', 'long ago', 'no camera_info')


@pytest.mark.parametrize('level, shown', [
    ('ok', DiagnosticStatus.OK), ('warn', DiagnosticStatus.WARN),
    ('error', DiagnosticStatus.ERROR)])
def test_a_status_says_what_keeps_masks_away(level, shown):
    camera = SimpleNamespace(topic='/cam/image', counts={}, last_error='',
                             publisher_count=lambda: 0)
    status = camera_status('roadseg', camera, FrameStatistics(),
                           lambda: Finding('cause', level, 'the matter', 'the cure'), '')
    assert (status.level, status.message) == (shown, 'the matter')
    assert ('fix', 'the cure') in [(value.key, value.value) for value in status.values]
