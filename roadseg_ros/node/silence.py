"""Decide why no mask comes out of a camera. Plain text in and out: used inside and outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
import difflib

from roadseg_ros.node.topics import base_topic, IMAGE_TYPES

SILENCE_SEC = 3.0  # without a mask, after which the reason is said
BLANK = 'blank'  # the cause of a finding on masks that come and hold nothing
SIMILAR, MAX_SIMILAR, MAX_NAMES = 0.7, 3, 5
# what a subscriber may ask for at most is what a publisher offers, each list from weak to strong
POLICIES = {'reliability': ('best_effort', 'reliable'),
            'durability': ('volatile', 'transient_local')}


@dataclass(frozen=True)
class Finding:
    """
    What keeps masks away, or that nothing does.

    :param cause: one or two words that stay the same as long as the cause does; '' for none.
    :param level: 'ok', 'warn' or 'error'.
    :param message: what is the matter, in one line.
    :param fix: what to do about it, may be empty.
    """

    cause: str
    level: str
    message: str
    fix: str = ''

    def __str__(self) -> str:
        """Return message and fix in one line."""
        return f'{self.message}; {self.fix}' if self.fix else self.message


SEGMENTING = Finding('', 'ok', 'segmenting')
LOADING = Finding('loading', 'ok', 'still loading the weights (the first start with a '
                  'checkpoint converts it, which takes longer)')
PAUSED = Finding('paused', 'ok', 'paused by ~/enable', 'call ~/enable with data: true to go on')
UNHEARD = Finding('unheard', 'ok', 'nobody listens to the outputs, so none is computed')


@dataclass(frozen=True)
class Endpoint:
    """
    A publisher or subscription as the graph shows it.

    :param node: that holds it, with its namespace.
    :param type: of the messages, such as 'sensor_msgs/msg/Image'.
    :param reliability: 'reliable' or 'best_effort'.
    :param durability: 'volatile' or 'transient_local'.
    """

    node: str
    type: str
    reliability: str
    durability: str


@dataclass(frozen=True)
class Surroundings:
    """
    What the graph shows around a camera.

    :param topic: of its images.
    :param publishers: of that topic.
    :param subscription: of the segmentation node to it, None where it has none.
    :param others: other image topics that somebody publishes.
    :param deaf: for each listener that the outputs cannot reach, who asks for what.
    """

    topic: str
    publishers: tuple[Endpoint, ...] = ()
    subscription: Endpoint | None = None
    others: tuple[str, ...] = ()
    deaf: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recent:
    """
    How a camera's frames have fared lately.

    :param counts: received, published, dropped, failed, unheard, disabled, and of the published
        the blank: all unlabelled, as no result of the network could be shown.
    :param seconds: that they were counted in.
    :param last_error: of the last frame that failed.
    :param keeps_blank: there were blank ones all the time, not once as at a start or a change of
        scene.
    """

    counts: Counter[str]
    seconds: float
    last_error: str = ''
    keeps_blank: bool = False


def explain(around: Surroundings, recent: Recent) -> Finding:
    """
    Say what keeps masks away: the first thing that somebody would have to mend.

    :param around: what the graph shows.
    :param recent: what became of the frames.
    :return: `SEGMENTING` where nothing does, or where it is too early to tell.
    """
    if recent.counts['failed']:
        return Finding('failing', 'error', recent.last_error)
    return _no_frames(around, recent) or _no_masks(around, recent) or SEGMENTING


def mismatch(offered: Endpoint, asked: Endpoint) -> str:
    """
    Say which policies keep a publisher and a subscription apart.

    :return: who offers and who asks for what, '' where they go together.
    """
    wrong = []
    for policy, values in POLICIES.items():
        has, wants = getattr(offered, policy), getattr(asked, policy)
        if {has, wants} <= set(values) and values.index(has) < values.index(wants):
            wrong.append(f'{policy}: {offered.node} offers {has}, {asked.node} asks for {wants}')
    return ', '.join(wrong)


def similar_topics(topic: str, others: Iterable[str]) -> list[str]:
    """
    Return the names that may have been meant, the most similar first.

    :param topic: that nobody publishes.
    :param others: that somebody does.
    """
    ranked = sorted(((_similarity(topic, other), other) for other in others),
                    key=lambda pair: (-pair[0], pair[1]))
    return [other for similarity, other in ranked if similarity >= SIMILAR][:MAX_SIMILAR]


def _similarity(topic: str, other: str) -> float:
    """Return how alike two topics are, 0 to 1; one may lack a namespace or `/compressed`."""
    names = base_topic(topic), base_topic(other)
    if names[0].endswith(names[1]) or names[1].endswith(names[0]):
        return 1.0
    return difflib.SequenceMatcher(None, *names).ratio()


def _no_frames(around: Surroundings, recent: Recent) -> Finding | None:
    """Return what keeps frames from arriving."""
    if not around.publishers:
        return _nobody_publishes(around)
    cameras = [publisher for publisher in around.publishers if publisher.type in IMAGE_TYPES]
    if not cameras:
        first = around.publishers[0]
        return Finding('wrong type', 'warn', f'{first.node} publishes {first.type} there; '
                       f'supported: {", ".join(IMAGE_TYPES)}', 'name an image topic in '
                       f'image_topics{_suggested(around)}')
    if recent.counts['received']:
        return None
    for camera in cameras:
        wrong = around.subscription and mismatch(camera, around.subscription)
        if wrong:
            return Finding('incompatible QoS', 'warn', f'incompatible QoS: {wrong}',
                           'set input_reliability to auto')
    if recent.seconds < SILENCE_SEC:
        return None
    names = ', '.join(sorted({camera.node for camera in cameras}))
    return Finding('no frame', 'warn', f'no frame arrives, though {names} publishes the topic',
                   'look whether it is stuck or paused, and what README.md says on large images')


def _nobody_publishes(around: Surroundings) -> Finding:
    """Return what to say of a topic without publishers."""
    message, names = 'nobody publishes this topic', _suggested(around)
    if names:  # a cause of its own: a camera that comes up under another name is news
        return Finding('another name', 'warn', message + names,
                       'if one of them is meant, name it in image_topics')
    return Finding('no publisher', 'warn', f'{message}, nor any other image',
                   'start the camera or the bag, with the ROS_DOMAIN_ID of the node')


def _suggested(around: Surroundings) -> str:
    """Return the image topics that there are, similar ones alone where there are some."""
    similar = similar_topics(around.topic, around.others)
    if similar:
        return f'; similar: {", ".join(similar)}'
    others = sorted(around.others)
    more = f' and {len(others) - MAX_NAMES} more' if len(others) > MAX_NAMES else ''
    return f'; image topics there are: {", ".join(others[:MAX_NAMES])}{more}' if others else ''


def _no_masks(around: Surroundings, recent: Recent) -> Finding | None:
    """Return why the frames that arrive come to nothing."""
    new = recent.counts
    if recent.keeps_blank:
        return Finding(BLANK, 'warn', f'{new["blank"]} of {new["published"]} masks are all '
                       'unlabelled: the network, in the background, had no result of the same '
                       'scene that is younger than cache.max_age_ms',
                       'set cache.background to false or, where /diagnostics counts no '
                       'cache_resets_scene_cut, raise cache.max_age_ms')
    if new['published']:
        return None
    if new['disabled']:
        return PAUSED
    if new['unheard']:
        return UNHEARD if not around.deaf else Finding(
            'unheard for QoS', 'warn', f'incompatible QoS: {"; ".join(around.deaf)}',
            'let the listener ask for what is offered')
    # one alone may have come this moment
    if new['received'] > 1 and recent.seconds >= SILENCE_SEC:
        return Finding('busy', 'warn', f'one frame takes longer than {SILENCE_SEC:.0f} s, newer '
                       'ones displace each other', 'lower inference_height, or use a GPU')
    return None
