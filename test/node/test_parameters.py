"""The table of parameters, and that the configuration file and the README hold to it."""
from pathlib import Path
import re

import pytest
import yaml

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from rclpy.parameter import Parameter as RosParameter  # noqa: E402

from roadseg_ros.node.parameters import (  # noqa: E402
    check_change,
    ParameterError,
    PARAMETERS,
    spell_off,
)

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


def flatten(values, prefix=''):
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f'{prefix}{name}.'))
        else:
            flat[prefix + name] = value
    return flat


def as_text(default):
    return default if isinstance(default, str) else yaml.safe_dump(default).strip()


def same(left, right):
    return left == right and type(left) is type(right)


def test_the_configuration_file_holds_every_default():
    document = yaml.safe_load((ROOT / 'config' / 'segmentation.yaml').read_text())
    values = flatten(document['/**']['ros__parameters'])
    assert set(values) == set(BY_NAME)
    assert {name: value for name, value in values.items()
            if not same(value, BY_NAME[name].default)} == {}


def test_the_readme_shows_every_default():
    rows = re.findall(r'^\| *`([\w.]+)` *\| *([^|]*?) *\|', (ROOT / 'README.md').read_text(),
                      re.MULTILINE)
    shown = {name: default.replace('`', '') for name, default in rows}
    wrong = {name: shown.get(name, 'missing') for name, parameter in BY_NAME.items()
             if name not in shown or shown[name] != as_text(parameter.default)
             and yaml.safe_load(shown[name]) != parameter.default}
    assert wrong == {}


def test_every_default_passes_its_own_check_and_has_a_description():
    for parameter in PARAMETERS:
        parameter.check(parameter.default)
        assert parameter.descriptor().description == parameter.description != ''


def test_descriptors_carry_the_range_of_the_right_kind():
    alpha, height = BY_NAME['overlay_alpha'].descriptor(), BY_NAME['inference_height'].descriptor()
    assert (alpha.floating_point_range[0].from_value,
            alpha.floating_point_range[0].to_value) == (0.0, 1.0)
    assert (height.integer_range[0].from_value, height.integer_range[0].to_value) == (-1, 16384)
    assert BY_NAME['autostart'].descriptor().read_only
    assert 'best_effort' in BY_NAME['input_reliability'].descriptor().additional_constraints


@pytest.mark.parametrize('name, value, words', [
    ('engine', 'x', "engine is 'x'; supported: auto, torch, openvino"),
    ('overlay_alpha', 5.0, 'overlay_alpha is 5.0; supported: 0.0 to 1.0'),
    ('inference_height', -2, 'inference_height is -2; supported: -1 to 16384'),
])
def test_a_value_outside_names_what_is_supported(name, value, words):
    with pytest.raises(ParameterError) as caught:
        BY_NAME[name].check(value)
    assert str(caught.value).startswith(words)


def test_a_bare_off_is_the_text():
    changes = spell_off([
        RosParameter('cache.policy', value=False), RosParameter('cache.policy', value='warp'),
        RosParameter('cache.background', value=False), RosParameter('other', value=False)])
    assert [(change.name, change.value) for change in changes] == [
        ('cache.policy', 'off'), ('cache.policy', 'warp'), ('cache.background', False),
        ('other', False)]


def test_changes_while_configured():
    live = RosParameter('overlay_alpha', value=0.2)
    fixed = RosParameter('device', value='cpu')
    assert check_change([live, fixed], configured=False) is None
    assert check_change([live, RosParameter('checkpoint', value='x')], configured=True) is None
    assert check_change([live, fixed], configured=True).startswith(
        'device takes effect at configure')
    assert 'supported: 0.0 to 1.0' in check_change(
        [RosParameter('overlay_alpha', value=1.5)], configured=True)
    assert check_change([RosParameter('use_sim_time', value=True)], configured=True) is None
