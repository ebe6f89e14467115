"""The lifecycle node: camera topics in, class-id masks and overlays out."""

from __future__ import annotations

from collections.abc import Callable
import signal
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from roadseg_ros.groups import ClassGroups, load_class_groups
from roadseg_ros.inference.ego_mask import EgoMask
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.node.camera import Camera
from roadseg_ros.node.diagnostics import camera_status, node_status
from roadseg_ros.node.graph import RELOAD_SERVICE
from roadseg_ros.node.log import forward, silence
from roadseg_ros.node.outputs import Outputs
from roadseg_ros.node.parameters import (
    CACHE,
    check_change,
    declare,
    ParameterError,
    read,
    read_cache,
    Settings,
    spell_off,
    unknown_overrides,
)
from roadseg_ros.node.pipeline import Pipeline
from roadseg_ros.node.planner_views import PlannerViews
from roadseg_ros.node.stream import Stream
from roadseg_ros.node.topics import camera_info_topic, output_prefixes
from roadseg_ros.node.transforms import Transforms
from roadseg_ros.node.transitions import refuse_illegal
from roadseg_ros.node.watch import told_when_slow, Watch
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

    :param make_segmenter: called with the settings to load a checkpoint.
    :param kwargs: passed on to `rclpy.node.Node`.
    """

    def __init__(self, *, make_segmenter: Callable[[Settings], Segmenter] | None = None,
                 **kwargs: Any) -> None:
        super().__init__(NODE_NAME, **kwargs)
        refuse_illegal(self)
        self._make_segmenter = make_segmenter or _make_segmenter
        self._log_handler = forward(self.get_logger())
        self._invalid = declare(self)
        for complaint in unknown_overrides(self):
            self.get_logger().warning(complaint)
        self.add_pre_set_parameters_callback(spell_off)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        self._settings: Settings | None = None
        self._segmenter: Segmenter | None = None
        self._running = ''  # path of the checkpoint in use; a failed reload leaves it
        self._enabled = True
        self._groups = ClassGroups({})
        self._streams: list[Stream] = []
        self._pipeline = Pipeline((), self.context.ok)
        self._worker: Worker | None = None
        self._timers_active: list[Any] = []
        self._watches: list[Watch] = []
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_service(SetBool, '~/enable', self._on_enable)
        self.create_service(Trigger, '~/reset_cache', self._on_reset_cache)
        # A group of its own: while this one awaits the weights, all else goes on
        self.create_service(Trigger, f'~/{RELOAD_SERVICE}', self._on_reload_checkpoint,
                            callback_group=MutuallyExclusiveCallbackGroup())

    # Lifecycle. rclpy swallows what a transition raises, so each says by itself why it failed

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Offer the topics, load the weights, warm up."""
        try:
            if self._invalid:
                raise ParameterError('; '.join(self._invalid.values()))
            self._settings = read(self)
            ego = EgoMask(self._settings.ego_mask) if self._settings.ego_mask else None
            self._groups = load_class_groups(self._settings.class_groups)
            self._streams = self._make_streams(self._settings)
            self._pipeline = Pipeline(self._streams, self.context.ok, ego)
            self._segmenter = self._load(self._settings)
            self._running = self._settings.checkpoint_path
            for stream in self._streams:
                stream.outputs.publish_legend(self._segmenter.labels)
            self._publish_label_info()
        except Exception as error:
            self.get_logger().error(f'configure failed: {_reason(error)}')
            self._forget()
            return FAILURE
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to work."""
        try:
            self._worker = Worker(self._work, self._on_work_error)
            self._watches = [Watch(self, stream) for stream in self._streams]
            # Steady time: a paused bag must not stop the diagnostics
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timers_active = [
                self.create_timer(GRAPH_PERIOD_SEC, self._follow_graph, clock=steady),
                self.create_timer(REPORT_PERIOD_SEC, self._report, clock=steady)]
            self._follow_graph()
        except Exception as error:
            self.get_logger().error(f'activate failed: {_reason(error)}')
            self._stop_working()
            return FAILURE
        topics = ', '.join(stream.camera.topic for stream in self._streams)
        self.get_logger().info(f'waiting for frames on {topics}')
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
        if self._segmenter is not None:
            self._segmenter.close()  # no network of its may run while libraries are unloaded
            self._segmenter = None
        silence(self._log_handler)
        super().destroy_node()

    # The worker's thread

    def _work(self) -> None:
        """Serve what waits."""
        self._pipeline.run(self._segmenter, self._settings)

    def _on_work_error(self, error: Exception) -> None:
        """Say what went wrong outside any frame's own work; the worker goes on."""
        if self.context.ok():
            self.get_logger().error(f'worker: {_reason(error)}')

    # The executor's thread

    def _wake(self) -> None:
        """Tell the worker that a frame waits."""
        self._worker.wake()

    def _follow_graph(self) -> None:
        """Let each camera follow what its publishers offer, and where it is."""
        for stream in self._streams:
            stream.camera.subscribe()
            stream.outputs.follow(self._settings)

    def _report(self) -> None:
        """Publish diagnostics, and the label info again for whoever missed it."""
        name = self.get_fully_qualified_name().lstrip('/')
        message = DiagnosticArray(status=[
            node_status(name, self._segmenter, self._settings, {
                'checkpoint': self._running, 'enabled': self._enabled}),
            *(self._camera_status(name, watch) for watch in self._watches)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
        self._publish_label_info()

    @staticmethod
    def _camera_status(name: str, watch: Watch) -> DiagnosticStatus:
        """Say how the camera has done that a watch looks after."""
        stream = watch.stream
        return camera_status(name, stream.camera, stream.statistics, watch.look,
                             stream.outputs.road_grid_problem)

    def _publish_label_info(self) -> None:
        """Publish which ids mean what, beside every camera."""
        for stream in self._streams:
            stream.outputs.publish_label_info(
                self._segmenter.labels, self._settings.min_confidence)

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what does not fit or cannot change now."""
        reason = check_change(changes, self._settings is not None) or self._check_cache(changes)
        return SetParametersResult(successful=reason is None, reason=reason or '')

    def _check_cache(self, changes: list[Parameter]) -> str | None:
        """Return why a change of the cache's parameters is refused, None where it is fine."""
        if not any(change.name.startswith(CACHE) for change in changes):
            return None
        try:
            cache = read_cache(self, changes)
            if self._segmenter is not None:
                self._segmenter.check_cache(cache)
        except (ValueError, EngineError) as error:
            return _reason(error)
        return None

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
        for stream in self._streams:
            stream.camera.accepting = request.data
        response.success, response.message = True, 'enabled' if request.data else 'paused'
        return response

    def _on_reset_cache(self, request: Trigger.Request, response: Trigger.Response
                        ) -> Trigger.Response:
        """Forget what is kept between frames."""
        response.success, response.message = True, 'every mask begins anew'
        if self._settings is None or self._settings.cache.policy == 'off':
            response.message = 'cache.policy is off: nothing is kept'
        if self._segmenter is not None:
            self._between_frames(self._segmenter.reset_cache)
        return response

    def _between_frames(self, function: Callable[[], None]) -> None:
        """Call what must not meet a frame that is being segmented."""
        if self._worker is None:
            function()
        else:
            self._worker.call(function)

    async def _on_reload_checkpoint(self, request: Trigger.Request, response: Trigger.Response
                                    ) -> Trigger.Response:
        """Load the checkpoint parameter's file beside the old one and swap, or keep the old."""
        settings, old = self._settings, self._segmenter
        if settings is None:
            response.message = 'not configured: nothing to reload'
            return response
        new = None
        try:
            new = await self._in_thread(lambda: self._load(settings))
            if self._segmenter is not old:
                new.close()
                response.message = 'dropped: the node was cleaned up while this was loading'
                return response
            new.set_cache(self._settings.cache)  # may have changed while this was loading
        except Exception as error:  # the file may hold anything; the node goes on with the old
            if new is not None:
                new.close()
            response.message = f'kept the old checkpoint: {_reason(error)}'
            self.get_logger().error(response.message)
            return response
        self._segmenter, self._running = new, settings.checkpoint_path
        self._between_frames(old.close)
        for stream in self._streams:
            stream.outputs.publish_legend(new.labels)
        self._publish_label_info()
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

    def _make_streams(self, settings: Settings) -> list[Stream]:
        """Offer the topics of every camera; nothing is received before activate."""
        prefixes = output_prefixes(settings.image_topics)
        names: dict[str, str] = {}
        for topic in prefixes:
            name = self._full_name(topic)
            if name in names:
                raise ParameterError(f'image_topics: {names[name]} and {topic} are one topic')
            names[name] = topic
        calibrations = [camera_info_topic(topic) for topic in prefixes]
        streams, transforms = [], Transforms(self)
        for topic, prefix in prefixes.items():
            shared = calibrations.count(camera_info_topic(topic)) > 1
            camera = Camera(self, topic, settings.input_reliability, self._wake,
                            info_is_shared=shared)
            camera.accepting = self._enabled
            planner = PlannerViews(self, topic, settings, self._groups, transforms)
            streams.append(Stream(
                camera, Outputs(self, prefix, settings.publish_compressed, planner)))
        return streams

    def _full_name(self, topic: str) -> str:
        """Return a topic with its namespace, before remapping."""
        try:
            return self.resolve_topic_name(topic, only_expand=True)
        except RuntimeError as error:  # rclpy's RCLError
            reason = str(error).partition(', at /')[0]
            raise ParameterError(f'image_topics: {topic!r} is no topic name: {reason}') from error

    def _load(self, settings: Settings) -> Segmenter:
        """Load and warm up a segmenter, telling what is going on."""
        self.get_logger().info(f'loading {settings.checkpoint_path}')
        started = time.perf_counter()
        with told_when_slow():
            segmenter = self._make_segmenter(settings)
            segmenter.warm_up()
        self.get_logger().info(
            f'{segmenter.checkpoint.architecture} with {len(segmenter.labels)} classes runs on '
            f'{segmenter.device} with {segmenter.engine}, ready after '
            f'{time.perf_counter() - started:.1f} s')
        if segmenter.fallback:
            self.get_logger().warning(
                f'device {settings.device}: {segmenter.fallback}, using {segmenter.device}')
        for gap in self._groups.gaps(segmenter.labels):
            self.get_logger().warning(gap)
        return segmenter

    def _stop_working(self) -> None:
        """Unsubscribe and end the worker."""
        for timer in self._timers_active:
            self.destroy_timer(timer)
        self._timers_active, self._watches = [], []
        for stream in self._streams:
            stream.camera.unsubscribe()
            stream.outputs.unfollow()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        self._pipeline.finish()

    def _forget(self) -> None:
        """Drop the weights and the topics."""
        for stream in self._streams:
            stream.outputs.destroy()
        self._streams = []
        self._pipeline = Pipeline((), self.context.ok)
        if self._segmenter is not None:
            self._segmenter.close()
        self._settings = self._segmenter = None


def _make_segmenter(settings: Settings) -> Segmenter:
    """Build the segmenter that the settings ask for."""
    return Segmenter(settings.checkpoint_path, device=settings.device, engine=settings.engine,
                     cache=settings.cache, inference_height=settings.inference_height)


def _reason(error: Exception) -> str:
    """Return an error in one line, with its type where the text was not written for users."""
    text = ' '.join(str(error).split())
    return text if isinstance(error, (ValueError, EngineError)) else (
        f'{type(error).__name__}: {text}')


def spin() -> None:
    """Make the node, start it if `autostart` says so, and serve it until interrupted."""
    node = None
    try:
        node = SegmentationNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if not node.get_parameter('autostart').value:
            node.get_logger().info('autostart is false: waiting to be configured and activated')
        elif node.trigger_configure() == SUCCESS:
            node.trigger_activate()
        else:
            node.get_logger().info('not configured, see the error above: mend that, then '
                                   'configure and activate')
        _serve(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # A second Ctrl-C, which launch sends too, must not end the tidying up in a traceback
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()


def _serve(node: SegmentationNode, executor: SingleThreadedExecutor) -> None:
    """Take what comes until the context ends; what one callback raises is its own loss."""
    while node.context.ok():
        try:
            executor.spin()
        except ExternalShutdownException:
            return
        except Exception as error:  # such as of a request that rclpy itself cannot take
            if node.context.ok():
                node.get_logger().error(_reason(error), throttle_duration_sec=5.0)
