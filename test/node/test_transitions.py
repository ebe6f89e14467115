"""Every legal order of lifecycle transitions, again and again: nothing is left behind."""
import random

import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from roadseg_ros.system import held  # noqa: E402

CAMERA, MASK = '/camera/image_raw', '/camera/segmentation/mask'
LEADS = {'unconfigured': {'configure': 'inactive'},
         'inactive': {'activate': 'active', 'cleanup': 'unconfigured'},
         'active': {'deactivate': 'inactive'}}
SHUTDOWNS = {'unconfigured': 'unconfigured_shutdown', 'inactive': 'inactive_shutdown',
             'active': 'active_shutdown'}
SETTLED = 5  # rounds until allocators and the middleware hold what they will ever need
GROWTH_MB = 0.1  # a round; the weights, their compiled code and a frame are some 20


class Remote:
    """The lifecycle services of the node, the clients kept."""

    def __init__(self, peer):
        self._peer = peer
        self._clients = [peer.node.create_client(kind, f'/roadseg/{name}') for kind, name in (
            (ChangeState, 'change_state'), (GetState, 'get_state'))]
        for client in self._clients:
            peer.wait(client.service_is_ready, client.srv_name)

    def change(self, transition):
        """Ask for a transition; return whether it succeeded."""
        wanted = Transition(id=getattr(Transition, f'TRANSITION_{transition.upper()}'))
        return self._ask(self._clients[0], ChangeState.Request(transition=wanted)).success

    def state(self):
        return self._ask(self._clients[1], GetState.Request()).current_state.label

    def _ask(self, client, request):
        future = client.call_async(request)
        return self._peer.wait(future.done, client.srv_name) and future.result()

    def close(self):
        for client in self._clients:
            self._peer.node.destroy_client(client)


@pytest.fixture
def remote(start_node, peer):
    """Return a node's lifecycle, and its process."""
    node = start_node(autostart='false')
    remote = Remote(peer)
    yield remote, node
    remote.close()
    node.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize('rounds', [12, pytest.param(100, marks=pytest.mark.slow)])
def test_nothing_is_left_behind(remote, peer, picture, rounds):
    """Rounds of random length, the same each time, a frame served whenever it is active."""
    lifecycle, node = remote
    chance, state, seen = random.Random(rounds), 'unconfigured', []
    masks, camera = peer.collect(Image, MASK), peer.node.create_publisher(Image, CAMERA, 1)
    while len(seen) < rounds:
        transition = chance.choice(sorted(LEADS[state]))
        assert lifecycle.change(transition), (state, transition)
        state = LEADS[state][transition]
        assert lifecycle.state() == state
        if state == 'active':
            peer.wait(camera.get_subscription_count, 'its subscription')
            peer.wait(lambda: peer.node.count_publishers(MASK), 'its masks')
            message = peer.image(picture)

            def answered(message=message):
                camera.publish(message)
                peer.take_for(0.02)
                return peer.answer(message, masks)

            peer.wait(answered, 'a mask')
        elif state == 'unconfigured':
            peer.wait(lambda: not camera.get_subscription_count(), 'the end of its subscription')
            assert len(peer.node.get_publishers_info_by_topic(MASK)) == 0
            seen.append(held(node.pid))
    threads, files, memory_mb = zip(*((one.threads, one.files, one.memory_mb)
                                      for one in seen[SETTLED:]))
    assert max(threads) <= threads[0] and max(files) <= files[0], seen
    assert memory_mb[-1] - memory_mb[0] < max(GROWTH_MB * len(memory_mb), 3), memory_mb
    peer.node.destroy_publisher(camera)


@pytest.mark.parametrize('steps', [(), ('configure',), ('configure', 'activate')],
                         ids=['unconfigured', 'inactive', 'active'])
def test_shutdown_is_the_end_from_every_state(remote, peer, steps):
    lifecycle, node = remote
    for transition in steps:
        assert lifecycle.change(transition)
    assert lifecycle.change(SHUTDOWNS[lifecycle.state()])
    assert lifecycle.state() == 'finalized' and node.alive()
    assert not lifecycle.change('configure')
    assert not peer.node.count_publishers(MASK)
    node.interrupt()
    assert node.wait(2) == 0 and 'Traceback' not in node.log


def test_an_illegal_transition_changes_nothing(remote):
    lifecycle, node = remote
    known = {'configure', 'activate', 'deactivate', 'cleanup'}
    for state, step in (('unconfigured', 'configure'), ('inactive', 'activate'), ('active', '')):
        for illegal in known - LEADS[state].keys():
            assert not lifecycle.change(illegal)
            assert lifecycle.state() == state
        assert not step or lifecycle.change(step)
    assert node.alive() and node.log.count('refused: ') == 8
