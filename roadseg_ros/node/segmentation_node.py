"""The lifecycle node: camera topics in, class-id masks and overlays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import signal
import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool, Trigger

from roadseg_ros.checkpoint import CheckpointError
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.preprocessing import FrameError
from roadseg_ros.inference.segmenter import Segmentation, Segmenter
from roadseg_ros.labels import UNLABELLED
from roadseg_ros.node.camera import Camera
from roadseg_ros.node.diagnostics import camera_status, FrameStatistics, status
from roadseg_ros.node.image_messages import decode_compressed, ImageMessageError, to_bgr
from roadseg_ros.node.outputs import Outputs
from roadseg_ros.node.parameters import check_change, declare, ParameterError, read, Settings
from roadseg_ros.node.topics import output_prefixes
from roadseg_ros.node.worker import Worker

NODE_NAME = 'roadseg'
GRAPH_PERIOD_SEC = 0.25
REPORT_PERIOD_SEC = 1.0
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmentationNode(LifecycleNode):
    """
    Segment the frames of one or several cameras.

    configure loads the weights and warms up, activate subscribes, deactivate unsubscribes and
    keeps the weights, cleanup frees them. The executor's thread only receives; one worker
    thread decodes, infers and publishes, always the newest frame of each camera.

    :param make_segmenter: called with the settings at configure; a test may inject its own.
    :param kwargs: passed on to `rclpy.node.Node`.
    """

    def __init__(self, *, make_segmenter: Any = None, **kwargs: Any) -> None:
        super().__init__(NODE_NAME, **kwargs)
        self._make_segmenter = make_segmenter or _make_segmenter
        self._invalid = declare(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        self._settings: Settings | None = None
        self._segmenter: Segmenter | None = None
        self._running = ''  # path of the checkpoint in use; a failed reload leaves it
        self._cameras: list[Camera] = []
        self._outputs: dict[str, Outputs] = {}
        self._statistics: dict[str, FrameStatistics] = {}
        self._failures: dict[str, int] = {}
        self._worker: Worker | None = None
        self._timers_active: list[Any] = []
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_service(SetBool, '~/enable', self._on_enable)
        self.create_service(Trigger, '~/reset_cache', self._on_reset_cache)
        # A group of its own: while this one awaits the weights, all else goes on
        self.create_service(Trigger, '~/reload_checkpoint', self._on_reload_checkpoint,
                            callback_group=MutuallyExclusiveCallbackGroup())
        self._enabled = True

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Offer the topics, load the weights, warm up."""
        try:
            if self._invalid:
                raise ParameterError('; '.join(self._invalid.values()))
            self._settings = settings = read(self)
            for topic, prefix in output_prefixes(settings.image_topics).items():
                validate_topic_name(topic)
                self._cameras.append(Camera(self, topic, settings.input_reliability, self._wake))
                self._outputs[topic] = Outputs(self, prefix, settings.publish_compressed)
                self._statistics[topic] = FrameStatistics()
            self._segmenter = self._load(settings)
            self._running = settings.checkpoint_path
        except (ValueError, CheckpointError, EngineError, NameValidationException) as error:
            self.get_logger().error(f'configure failed: {" ".join(str(error).split())}')
            self._forget()
            return FAILURE
        self._publish_labels()
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to work."""
        self._worker = Worker(self._work, self._on_work_error)
        # Steady time: a paused bag must not stop the diagnostics
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_active = [
            self.create_timer(GRAPH_PERIOD_SEC, self._follow_graph, clock=steady),
            self.create_timer(REPORT_PERIOD_SEC, self._report, clock=steady)]
        self._follow_graph()
        self.get_logger().info(f'waiting for frames on {", ".join(self._outputs)}')
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; the weights stay."""
        self._stop_working()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the weights and take the topics down."""
        self._forget()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop from whatever state."""
        self._stop_working()
        self._forget()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after a transition raised."""
        return self.on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop the worker before the publishers it uses go."""
        self._stop_working()
        super().destroy_node()

    # The worker's thread

    def _work(self) -> None:
        """Segment the newest frame of every camera that has one, together."""
        settings, segmenter = self._settings, self._segmenter
        waiting = []
        for camera in self._cameras:
            taken = camera.take()
            if taken is None:
                continue
            if not self._outputs[camera.topic].listened():
                camera.counts['unheard'] += 1
                continue
            started = time.perf_counter()
            frame = self._decode(camera, taken[0], settings)
            if frame is not None:
                decoded_ms = (time.perf_counter() - started) * 1e3
                waiting.append((camera, *taken, frame, decoded_ms))
        if not waiting:
            return
        try:
            results = segmenter.segment(
                [frame for *_, frame, _ in waiting], [camera.topic for camera, *_ in waiting],
                [_nanoseconds(message) for _, message, *_ in waiting])
            for (camera, message, arrived, frame, decoded_ms), result in zip(waiting, results):
                self._publish(camera, message, frame, arrived, decoded_ms,
                              _gate(result, settings.min_confidence), segmenter, settings)
        except Exception as error:  # of any engine or middleware: the frames fail, the node lives
            for camera, *_ in waiting:
                camera.fail(f'segmentation failed: {type(error).__name__}: {error}')

    def _decode(self, camera: Camera, message: Any, settings: Settings) -> np.ndarray | None:
        """Return a message's frame, or None after saying what is wrong with it."""
        convert = decode_compressed if isinstance(message, CompressedImage) else to_bgr
        try:
            return convert(message, settings.max_image_pixels)
        except (ImageMessageError, FrameError) as error:
            camera.fail(str(error))
            return None

    def _publish(self, camera: Camera, message: Any, frame: np.ndarray, arrived: float,
                 decoded_ms: float, result: Segmentation, segmenter: Segmenter,
                 settings: Settings) -> None:
        """Publish one result and note how long it took."""
        started = time.perf_counter()
        self._outputs[camera.topic].publish(
            message.header, frame, result, segmenter.labels, settings.overlay_alpha, camera.info)
        finished = time.perf_counter()
        self._statistics[camera.topic].add({
            'decode': decoded_ms, **result.timing_ms, 'publish': (finished - started) * 1e3,
            'total': (finished - arrived) * 1e3})

    def _on_work_error(self, error: Exception) -> None:
        """Say what went wrong outside any frame's own work; the worker goes on."""
        self.get_logger().error(f'worker: {type(error).__name__}: {error}')

    # The executor's thread

    def _wake(self) -> None:
        """Tell the worker that a frame waits."""
        self._worker.wake()

    def _follow_graph(self) -> None:
        """Let each camera follow what its publishers offer."""
        for camera in self._cameras:
            camera.subscribe()

    def _report(self) -> None:
        """Publish diagnostics, and the label info again for late joiners of a bag."""
        statuses = [self._node_status()]
        for camera in self._cameras:
            failed = camera.counts['failed']
            statuses.append(camera_status(
                self.get_name(), camera.topic,
                self._statistics[camera.topic].summary(camera.counts), camera.publisher_count(),
                camera.last_error, failed > self._failures.get(camera.topic, 0)))
            self._failures[camera.topic] = failed
        self._diagnostics.publish(DiagnosticArray(
            header=self._header_now(), status=statuses))
        self._publish_labels()

    def _node_status(self) -> DiagnosticStatus:
        """Return what runs: device, engine, model."""
        segmenter, settings = self._segmenter, self._settings
        fell_back = segmenter.fallback is not None and settings.device == 'auto'
        return status(
            DiagnosticStatus.OK, self.get_name(), segmenter.fallback or 'running', {
                'device_asked': settings.device, 'device': segmenter.device,
                'engine_asked': settings.engine, 'engine': segmenter.engine,
                'fell_back': fell_back, 'checkpoint': self._running,
                'network': segmenter.checkpoint.architecture,
                'classes': len(segmenter.labels), 'enabled': self._enabled,
                'cache_policy': settings.cache_policy})

    def _publish_labels(self) -> None:
        """Publish legend and label info of every camera."""
        for outputs in self._outputs.values():
            outputs.publish_labels(self._segmenter.labels, self._settings.min_confidence)

    def _header_now(self) -> Any:
        """Return a header with the time of the node's clock."""
        header = DiagnosticArray().header
        header.stamp = self.get_clock().now().to_msg()
        return header

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what does not fit or cannot change now."""
        reason = check_change(changes, self._settings is not None)
        return SetParametersResult(successful=reason is None, reason=reason or '')

    def _take_parameters(self, changes: list[Parameter]) -> None:
        """Take live parameters over; forget complaints about values that were mended."""
        for change in changes:
            self._invalid.pop(change.name, None)
        if self._settings is not None:
            self._settings = read(self)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response
                   ) -> SetBool.Response:
        """Pause or go on without touching subscriptions."""
        self._enabled = request.data
        for camera in self._cameras:
            camera.accepting = request.data
        response.success, response.message = True, 'enabled' if request.data else 'paused'
        return response

    def _on_reset_cache(self, request: Trigger.Request, response: Trigger.Response
                        ) -> Trigger.Response:
        """Forget what is kept between frames."""
        response.success, response.message = True, 'cache.policy is off: nothing is kept'
        return response

    async def _on_reload_checkpoint(self, request: Trigger.Request, response: Trigger.Response
                                    ) -> Trigger.Response:
        """Load the checkpoint parameter's file beside the old one and swap, or keep the old."""
        settings, old = self._settings, self._segmenter
        if settings is None:
            response.message = 'not configured: nothing to reload'
            return response
        try:
            new = await self._in_thread(lambda: self._load(settings))
        except (ValueError, EngineError) as error:
            response.message = f'kept the old checkpoint: {error}'
            self.get_logger().error(response.message)
            return response
        if self._segmenter is not old:
            response.message = 'dropped: the node was cleaned up while this was loading'
            return response
        self._segmenter, self._running = new, settings.checkpoint_path
        self._publish_labels()
        response.success, response.message = True, f'running {self._running}'
        return response

    def _in_thread(self, function: Callable[[], Segmenter]) -> Future:
        """Call a slow function beside the executor, which goes on receiving frames."""
        future = Future(executor=self.executor)

        def call() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # whoever awaits the future deals with it
                future.set_exception(error)

        threading.Thread(target=call, name='loading', daemon=True).start()
        return future

    def _load(self, settings: Settings) -> Segmenter:
        """Load and warm up a segmenter, telling what is going on."""
        self.get_logger().info(f'loading {settings.checkpoint_path}')
        started = time.perf_counter()
        segmenter = self._make_segmenter(settings)
        segmenter.warm_up()
        self.get_logger().info(
            f'{segmenter.checkpoint.architecture} with {len(segmenter.labels)} classes runs on '
            f'{segmenter.device} with {segmenter.engine}, ready after '
            f'{time.perf_counter() - started:.1f} s')
        if segmenter.fallback:
            self.get_logger().warning(
                f'device {settings.device}: {segmenter.fallback}, using {segmenter.device}')
        return segmenter

    def _stop_working(self) -> None:
        """Unsubscribe and end the worker."""
        for timer in self._timers_active:
            self.destroy_timer(timer)
        self._timers_active = []
        for camera in self._cameras:
            camera.unsubscribe()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _forget(self) -> None:
        """Drop the weights and the topics."""
        for outputs in self._outputs.values():
            outputs.destroy()
        self._cameras, self._outputs, self._statistics = [], {}, {}
        self._failures, self._settings, self._segmenter = {}, None, None


def _make_segmenter(settings: Settings) -> Segmenter:
    """Build the segmenter that the settings ask for."""
    return Segmenter(settings.checkpoint_path, device=settings.device, engine=settings.engine,
                     cache=settings.cache_policy, inference_height=settings.inference_height)


def _gate(result: Segmentation, min_confidence: float) -> Segmentation:
    """Make pixels below the confidence unlabelled."""
    if min_confidence <= 0 or result.confidence is None:
        return result
    ids = np.where(result.confidence < round(255 * min_confidence), np.uint8(UNLABELLED),
                   result.class_ids)
    return Segmentation(ids, result.confidence, result.made, result.age_ms, result.timing_ms)


def _nanoseconds(message: Any) -> int:
    """Return a message's stamp in integer nanoseconds."""
    return message.header.stamp.sec * 10 ** 9 + message.header.stamp.nanosec


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit status."""
    rclpy.init(args=args)
    node = None
    try:
        node = SegmentationNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter('autostart').value and node.trigger_configure() == SUCCESS:
            node.trigger_activate()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # An impatient second Ctrl-C must not end the tidying up in a traceback
        signal.signal(signal.SIGINT, lambda *_: None)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
