"""
Import what the package needs, one after the other, and say how each is.

Run as a process of its own by `install`: a package that is broken may end its interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib import import_module
import json
import os
import sys
from typing import Any

from roadseg_ros.system import gpu_device
from roadseg_ros.tools.doctor.check import Check, FAIL, OK, WARN

MESSAGES = ('sensor_msgs.msg', 'diagnostic_msgs.msg', 'std_srvs.srv', 'lifecycle_msgs.srv',
            'rcl_interfaces.srv')
RMW_FIX = 'unset RMW_IMPLEMENTATION, or install the one it names'
ROS_FIX = 'source a ROS 2 install and use its Python, or run `make setup`'


class Trouble(Exception):
    """
    Something that imports and yet is not as it should be.

    :param status: of its check.
    :param message: what is the matter.
    :param fix: what to do.
    """

    def __init__(self, status: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.status, self.fix = status, fix


@dataclass(frozen=True)
class Probe:
    """
    How one thing is looked at.

    :param module: to import.
    :param without: status where that fails, '' where another check says it.
    :param fix: what to do then.
    :param describe: returns what to say of the module; raises `Trouble`.
    """

    module: str
    without: str
    fix: str
    describe: Callable[[Any], str] = lambda module: str(module.__version__)


def pip(*requirements: str) -> str:
    """Return how packages get into this interpreter's environment."""
    quoted = ' '.join(f"'{requirement}'" for requirement in requirements)
    return f'run `make setup`, or {sys.executable} -m pip install {quoted}'


def describe_cuda(torch: Any) -> str:
    """
    Say which GPUs torch can use.

    :raises Trouble: there is one, and it cannot.
    """
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f'CUDA {torch.version.cuda}: {", ".join(names)}'
    if gpu_device():
        built = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'the CPU alone'
        raise Trouble(WARN, f'torch, built for {built}, cannot use the GPU that is there',
                      'install an NVIDIA driver and a build of torch that fit each other')
    return 'no GPU here: the CPU runs the network'


def describe_rclpy(rclpy: Any) -> str:
    """Import what the node needs of ROS beside rclpy."""
    for name in MESSAGES:
        import_module(name)
    return f'of {rclpy.__path__[0]}'


def describe_middleware(rclpy: Any) -> str:
    """Make a node, which is when a middleware that is not there shows."""
    from rclpy.context import Context

    context = Context()
    rclpy.init(context=context)
    rclpy.create_node('_roadseg_doctor', context=context).destroy_node()
    context.try_shutdown()
    return f'{rclpy.get_rmw_implementation_identifier()}, ROS domain {domain()}'


def describe_weights(checkpoint: Any) -> str:
    """
    Load the packaged weights.

    :raises Trouble: they are not there or not whole.
    """
    path = checkpoint.default_checkpoint_path()
    try:
        loaded = checkpoint.load_checkpoint(path)
    except checkpoint.CheckpointError as error:
        raise Trouble(FAIL, str(error), 'install the package again, or name weights of your own '
                      'in the parameter checkpoint') from error
    return f'{path}: {loaded.architecture}, {len(loaded.labels)} classes'


def domain() -> str:
    """Return the ROS domain of the environment."""
    return os.environ.get('ROS_DOMAIN_ID') or '0'


PROBES = {
    'numpy': Probe('numpy', FAIL, pip('numpy>=1.26')),
    'opencv': Probe('cv2', FAIL, pip('opencv-python-headless>=4.8')),
    'torch': Probe('torch', FAIL, pip('torch>=2.4,<2.13')),
    'cuda': Probe('torch', '', '', describe_cuda),
    'torchvision': Probe('torchvision', FAIL, pip('torchvision') + ', of the release that goes '
                         'with torch'),
    'timm': Probe('timm', FAIL, pip('timm>=1.0')),
    'openvino': Probe('openvino', WARN, pip('openvino>=2024.4') + '; without it torch runs on a '
                      'CPU, which takes twice the time'),
    'nncf': Probe('nncf', WARN, pip('nncf>=3.4') + '; only the engine openvino_int8 needs it'),
    'rclpy': Probe('rclpy', FAIL, ROS_FIX, describe_rclpy),
    'middleware': Probe('rclpy', '', RMW_FIX, describe_middleware),
    'weights': Probe('roadseg_ros.checkpoint', FAIL,
                     pip('safetensors>=0.4', 'numpy>=1.26', 'pyyaml>=6'), describe_weights),
}


def look(name: str) -> Check | None:
    """
    Look at one thing.

    :param name: one of `PROBES`.
    :return: how it is, None where that is for another check to say.
    """
    probe = PROBES[name]
    try:
        module = import_module(probe.module)
    except Exception as error:  # broken packages raise anything
        return broken(name, in_a_line(error)) if probe.without else None
    try:
        return Check(name, OK, probe.describe(module))
    except Trouble as trouble:
        return Check(name, trouble.status, str(trouble), trouble.fix)
    except Exception as error:
        return broken(name, in_a_line(error))


def broken(name: str, reason: str) -> Check:
    """
    Say that something cannot be used.

    :param name: one of `PROBES`.
    :param reason: in one line.
    """
    probe = PROBES[name]
    fix = RMW_FIX if probe.module == 'rclpy' and 'rmw' in reason.lower() else probe.fix
    return Check(name, probe.without or FAIL,
                 f'{sys.executable} cannot use {probe.module}: {reason}', fix)


def in_a_line(error: Exception) -> str:
    """Return an error with its type."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'


def main(names: Sequence[str]) -> None:
    """Look at each and print what was found as a line of JSON."""
    sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]  # which would report use
    for name in names:
        with redirect_stdout(sys.stderr):
            check = look(name)
        print(json.dumps({'looked_at': name, 'check': check and asdict(check)}), flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
