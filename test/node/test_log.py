"""What modules without ROS say is heard through the node's logger."""
import logging
from types import SimpleNamespace

import pytest

from roadseg_ros.node.log import forward, silence


@pytest.fixture
def said():
    """Return what a node's logger is told, while the package is forwarded to it."""
    package = logging.getLogger('roadseg_ros')
    level, said = package.level, []
    logger = SimpleNamespace(**{
        name: lambda text, name=name: said.append((name, text))
        for name in ('debug', 'info', 'warning', 'error')})
    handler = forward(logger)
    yield said
    silence(handler)
    package.setLevel(level)


def test_records_keep_their_severity(said):
    module = logging.getLogger('roadseg_ros.inference.engines.openvino_engine')
    module.debug('too quiet')
    module.info('converting, once for %s', 'small')
    module.warning('odd')
    module.error('broken')
    module.critical('worse')
    logging.getLogger('elsewhere').error('not ours')
    assert said == [('info', 'converting, once for small'), ('warning', 'odd'),
                    ('error', 'broken'), ('error', 'worse')]


def test_nothing_is_left_behind():
    package = logging.getLogger('roadseg_ros')
    before = list(package.handlers)
    handler = forward(SimpleNamespace())
    assert package.handlers == [*before, handler]
    silence(handler)
    assert package.handlers == before


def test_rclpys_own_logger_takes_every_severity(said, capfd):
    rclpy_logging = pytest.importorskip('rclpy.logging')
    handler = forward(rclpy_logging.get_logger('listener'))
    module = logging.getLogger('roadseg_ros.anywhere')
    for _ in range(2):
        module.info('first')
        module.warning('second')
    silence(handler)
    heard = capfd.readouterr().err
    assert heard.count('[listener]: first') == heard.count('[listener]: second') == 2
