"""What is said to keep masks away, from what the graph shows and what became of frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from roadseg_ros.node.silence import (
    BLANK,
    Endpoint,
    explain,
    Finding,
    mismatch,
    PAUSED,
    Recent,
    SEGMENTING,
    similar_topics,
    Surroundings,
    UNHEARD,
)

TOPIC = '/camera/image_raw'
CAMERA = Endpoint('/driver', 'sensor_msgs/msg/Image', 'reliable', 'volatile')
NODE = Endpoint('/roadseg', 'sensor_msgs/msg/Image', 'reliable', 'volatile')
THERE = Surroundings(TOPIC, (CAMERA,), NODE)


def found(around: Surroundings, last_error: str = '', seconds: float = 3.0, **counts: int
          ) -> Finding:
    """Return what is found after three seconds."""
    return explain(around, Recent(Counter(counts), seconds, last_error))


@pytest.mark.parametrize('counts, finding', [
    ({'received': 15, 'published': 15}, SEGMENTING),
    ({'received': 15, 'published': 1, 'dropped': 14}, SEGMENTING),
    ({'received': 15, 'published': 8, 'unheard': 7}, SEGMENTING),
    ({'received': 1}, SEGMENTING),
    ({'received': 15, 'unheard': 15}, UNHEARD),
    ({'received': 15, 'disabled': 15}, PAUSED),
    ({'received': 15, 'disabled': 7, 'unheard': 8}, PAUSED),
], ids=['served', 'slow', 'just heard', 'one frame at work', 'unheard', 'paused', 'both'])
def test_what_is_no_trouble(counts: dict[str, int], finding: Finding) -> None:
    assert found(THERE, **counts) == finding and finding.level == 'ok'


def test_frames_that_fail_say_why_even_where_others_do_not() -> None:
    reason = "unknown encoding 'rgb565'; supported: bgr8"
    for published in (0, 44):
        failing = found(THERE, reason, received=45, failed=1, published=published)
        assert (failing.cause, failing.level, failing.message) == ('failing', 'error', reason)


def test_a_network_that_is_too_slow_is_told_from_a_slow_camera() -> None:
    busy = found(THERE, received=45, dropped=43)
    assert busy.cause == 'busy' and 'longer than 3 s' in busy.message
    assert found(THERE, seconds=2.0, received=30, dropped=28) == SEGMENTING


def test_masks_that_are_too_old_to_be_shown() -> None:
    counts = Counter(received=45, published=45, blank=12)
    assert explain(THERE, Recent(counts, 3.0)) == SEGMENTING
    old = explain(THERE, Recent(counts, 3.0, keeps_blank=True))
    assert (old.cause, old.level) == (BLANK, 'warn')
    assert old.message.startswith('12 of 45 masks are all unlabelled')
    assert 'max_age_ms' in old.message and 'cache.max_age_ms' in old.fix


def test_nobody_publishes() -> None:
    alone = found(replace(THERE, publishers=()))
    assert (alone.cause, alone.level) == ('no publisher', 'warn')
    assert alone.message == 'nobody publishes this topic, nor any other image'
    assert 'ROS_DOMAIN_ID' in alone.fix
    # known at once, whatever came before
    assert found(replace(THERE, publishers=()), seconds=1.0, received=3, published=3) == alone


def test_other_image_topics_are_named_the_similar_ones_alone() -> None:
    others = tuple(f'/lidar_{index}/depth' for index in range(7))
    strange = found(replace(THERE, publishers=(), others=others))
    assert strange.message == ('nobody publishes this topic; image topics there are: '
                               + ', '.join(others[:5]) + ' and 2 more')
    near = found(replace(THERE, publishers=(), others=(*others, '/camera/image_rect')))
    assert near.message == 'nobody publishes this topic; similar: /camera/image_rect'
    assert near.cause == strange.cause != found(replace(THERE, publishers=())).cause
    assert 'image_topics' in near.fix


@pytest.mark.parametrize('topic, others, similar', [
    (TOPIC, ['/camera/image_raw/compressed'], ['/camera/image_raw/compressed']),
    (TOPIC, ['/camera/camera/image_raw', '/camera/color/image_raw'],
     ['/camera/camera/image_raw', '/camera/color/image_raw']),
    (TOPIC, ['/camera/imag_raw'], ['/camera/imag_raw']),
    ('/image_raw', ['/front_left_camera/image_raw'], ['/front_left_camera/image_raw']),
    ('/cam/front/compressed', ['/cam/front'], ['/cam/front']),
    (TOPIC, ['/lidar/depth', '/map_view'], []),
])
def test_similar_names_come_first(topic: str, others: list[str], similar: list[str]) -> None:
    assert similar_topics(topic, others) == similar


def test_another_type_names_its_publisher_and_what_is_supported() -> None:
    cloud = replace(CAMERA, node='/lidar', type='sensor_msgs/msg/PointCloud2')
    wrong = found(replace(THERE, publishers=(cloud,), others=('/camera/image',)))
    assert (wrong.cause, wrong.level) == ('wrong type', 'warn')
    assert wrong.message == (
        '/lidar publishes sensor_msgs/msg/PointCloud2 there; supported: sensor_msgs/msg/Image, '
        'sensor_msgs/msg/CompressedImage')
    assert '/camera/image' in wrong.fix
    assert found(replace(THERE, publishers=(cloud, CAMERA)), received=9, published=9) == SEGMENTING


def test_an_incompatible_qos_names_policy_and_sides() -> None:
    hasty = replace(CAMERA, reliability='best_effort')
    apart = found(replace(THERE, publishers=(CAMERA, hasty)), seconds=1.0)
    assert (apart.cause, apart.level) == ('incompatible QoS', 'warn')
    assert apart.message == ('incompatible QoS: reliability: /driver offers best_effort, /roadseg '
                             'asks for reliable')
    assert apart.fix == 'set input_reliability to auto'
    assert found(replace(THERE, publishers=(hasty, CAMERA)), received=9, published=9) == SEGMENTING


@pytest.mark.parametrize('offered, asked, apart', [
    ({}, {}, []), ({}, {'reliability': 'best_effort'}, []),
    ({'durability': 'transient_local'}, {}, []),
    ({'reliability': 'unknown'}, {}, []),
    ({'reliability': 'best_effort'}, {}, ['reliability']),
    ({}, {'durability': 'transient_local'}, ['durability']),
    ({'reliability': 'best_effort'}, {'durability': 'transient_local'},
     ['reliability', 'durability'])])
def test_policies_are_compared_as_the_middleware_does(
        offered: dict[str, Any], asked: dict[str, Any], apart: list[str]) -> None:
    said = mismatch(replace(CAMERA, **offered), replace(NODE, **asked))
    assert [part.split(':')[0] for part in said.split(', ') if ':' in part] == apart


def test_no_frame_arrives_though_all_fits() -> None:
    silent = found(THERE)
    assert (silent.cause, silent.level) == ('no frame', 'warn')
    assert silent.message == 'no frame arrives, though /driver publishes the topic'
    assert found(THERE, seconds=2.0) == SEGMENTING


def test_a_listener_that_cannot_be_reached_is_not_nobody() -> None:
    line = '/camera/segmentation/mask, durability: /roadseg offers volatile, /x asks for more'
    deaf = found(replace(THERE, deaf=(line,)), received=9, unheard=9)
    assert (deaf.cause, deaf.level) == ('unheard for QoS', 'warn')
    assert deaf.message == f'incompatible QoS: {line}'


def test_message_and_fix_make_one_line() -> None:
    assert str(Finding('x', 'warn', 'broken', 'mend it')) == 'broken; mend it'
    assert str(Finding('x', 'ok', 'fine')) == 'fine'
