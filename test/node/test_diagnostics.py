"""What /diagnostics says of a camera."""
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from roadseg_ros.node.diagnostics import camera_status, FrameStatistics  # noqa: E402

BUSY = {'in_hz': '15.0', 'out_hz': '15.0'}


def test_summary_counts_and_percentiles():
    statistics = FrameStatistics()
    for milliseconds in range(1, 101):
        statistics.add({'network': float(milliseconds), 'total': 2.0 * milliseconds})
    values = statistics.summary({'received': 103, 'dropped': 2, 'failed': 1})
    assert {name: values[name] for name in (
        'received', 'published', 'dropped', 'failed', 'unheard', 'disabled')} == {
        'received': '103', 'published': '100', 'dropped': '2', 'failed': '1', 'unheard': '0',
        'disabled': '0'}
    assert values['latency_network_ms'] == 'p50 50.5 p95 95.0 max 100.0'
    assert values['latency_total_ms'] == 'p50 101.0 p95 190.1 max 200.0'
    assert float(values['in_hz']) > 0 and float(values['out_hz']) > 0


def test_rates_are_of_the_time_since_the_last_summary():
    statistics = FrameStatistics()
    statistics.add({'total': 1.0})
    statistics.summary({'received': 1})
    values = statistics.summary({'received': 1})
    assert (values['in_hz'], values['out_hz']) == ('0.0', '0.0')
    assert values['received'] == '1'


@pytest.mark.parametrize('values, publishers, last_error, new_failures, level, message', [
    (BUSY, 1, '', False, DiagnosticStatus.OK, 'segmenting'),
    (BUSY, 1, 'step 1 is less', True, DiagnosticStatus.ERROR, 'step 1 is less'),
    (BUSY, 1, 'long ago', False, DiagnosticStatus.OK, 'segmenting'),
    ({'in_hz': '0.0', 'out_hz': '0.0'}, 0, '', False, DiagnosticStatus.WARN,
     'nobody publishes this topic'),
    ({'in_hz': '0.0', 'out_hz': '0.0'}, 1, '', False, DiagnosticStatus.WARN, 'no frame arrives'),
    ({'in_hz': '15.0', 'out_hz': '0.0'}, 1, '', False, DiagnosticStatus.OK,
     'nobody listens to the outputs'),
])
def test_a_status_says_what_is_the_matter(values, publishers, last_error, new_failures, level,
                                          message):
    status = camera_status('roadseg', '/cam/image', values, publishers, last_error, new_failures)
    assert (status.name, status.level, status.message) == ('roadseg: /cam/image', level, message)
    shown = {value.key: value.value for value in status.values}
    assert shown == {**values, 'publishers': str(publishers), 'last_error': last_error}
