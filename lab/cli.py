"""The lab's command line: start one, and talk to the one that runs. Tokens are never printed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from lab.control import BadInput, FaultKind, checked_speed, fault_from
from lab.directory import DirectoryInUse, DirectoryUnusable, NoLabRuns
from lab.faults import PlatformTrouble, RequestTrouble
from lab.hosting import BadKubeconfig
from lab.platform.kkp import PROFILES
from lab.remote import RemoteLab
from lab.restapi.app import SERVER_NAME
from lab.serving import AddressInUse
from lab.settings import KkpRelease, LabSettings, Part, ProxyMode, UserClusterSize
from lab.world import Lab, LabFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_DIRECTORY = ".lab"
DEFAULT_CLUSTERS = 3
_PROXY_MODES = ", ".join(f"{found.first_cluster.proxy_mode} in KKP {name}" for name, found in PROFILES.items())
MAX_PORT = 65535
COLLECTOR_THRESHOLDS = (50_000, 20, 100)
"""For the garbage collector to look rarely: the lab is JSON without cycles, and each look through 10,000 pods makes
everything in it stand still for a third of a second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a lab that failed, 2 for what cannot be done as asked."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (BadInput, BadKubeconfig, DirectoryInUse, DirectoryUnusable, NoLabRuns, AddressInUse) as error:
        return _complain(str(error), status=2)
    except LabFailed as error:
        return _complain(f"the lab ended: {error}", status=1)


def _complain(message: str, *, status: int) -> int:
    sys.stderr.write(f"lab: {message}\n")
    return status


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _up(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = LabSettings(
        clusters=_number_of_clusters(options),
        size=_size(options),
        speed=options.speed,
        port=options.port,
        directory=options.directory,
        kkp=options.kkp,
        seed_name=options.seed_name,
        without=frozenset(options.without),
        seed_kubeconfig=options.seed_kubeconfig or "",
        cluster_kubeconfigs=tuple(options.cluster_kubeconfig),
    )
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings))
    return 0


def _number_of_clusters(options: argparse.Namespace) -> int:
    attached = len(options.cluster_kubeconfig)
    if bool(attached) != bool(options.seed_kubeconfig):
        raise BadInput("--seed-kubeconfig and --cluster-kubeconfig belong together: one seed, a file per user cluster")
    if attached and options.clusters is not None:
        raise BadInput("--clusters is for API servers of the lab's own: attached, there are as many as kubeconfigs")
    return attached or options.clusters or DEFAULT_CLUSTERS


def _size(options: argparse.Namespace) -> UserClusterSize:
    size = UserClusterSize(
        nodes=options.nodes,
        pods=options.pods,
        machine_deployments=options.machine_deployments,
        max_pods_per_node=options.max_pods_per_node,
        grace_seconds=options.grace_seconds,
        proxy_mode=options.proxy_mode,
    )
    if size.proxy_mode not in (None, *PROFILES[options.kkp].proxy_modes):
        raise BadInput(f"KKP {options.kkp} knows no --proxy-mode {size.proxy_mode}")
    if size.machine_deployments > size.nodes:
        raise BadInput(f"{size.nodes} nodes cannot be shared by {size.machine_deployments} --machine-deployments")
    if size.pods > size.room_for_pods():
        asked = f"{size.pods} pods do not fit on {size.nodes} nodes of {size.max_pods_per_node} pods"
        raise BadInput(f"{asked}: ask for more --nodes or --max-pods-per-node")
    return size


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - quicker where it is installed, and not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(settings: LabSettings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Lab(settings) as lab:
        _say(f"Starting {settings.clusters} user cluster(s) at {lab.url} ...")
        ready, stop = asyncio.create_task(lab.ready()), asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                await ready
                gc.freeze()
                _say(_welcome(lab))
                await stop
        finally:
            ready.cancel()
            stop.cancel()
    _say("The lab has ended.")


def _welcome(lab: Lab) -> str:
    clusters = lab.state()["clusters"]
    seed, name = lab.directory.seed_kubeconfig, lab.settings.seed_name
    width = max(len(item["humanReadableName"]) for item in clusters)
    lines = [
        f"The lab is up, {lab.state()['speed']:g} times as fast as life. Kubeconfigs:",
        f"  {'seed':<{width}}  {seed}",
        *(f"  {item['humanReadableName']:<{width}}  {item['kubeconfig']}" for item in clusters),
        f"Connections for the flows: {lab.directory.connections}",
        f"  {name} leads to the seed, {name}-api to KKP's REST API at {lab.rest_api()['url']}",
        "",
        "Try:",
        f"  kubectl --kubeconfig {seed} get clusters",
        f"  kubectl --kubeconfig {clusters[0]['kubeconfig']} get pods -A",
        f"  {python_command()} -m lab outage --cluster {clusters[0]['name']}{_directory_option(lab)}",
        f"  {python_command()} -m lab fault add helm-failure --subject cilium --times 2{_directory_option(lab)}",
        "",
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def python_command() -> str:
    """Return how to call this Python again from here: by its path in this directory, if that is where it is."""
    with contextlib.suppress(ValueError):
        return str(Path(sys.executable).relative_to(Path.cwd()))
    return "python"


def _directory_option(lab: Lab) -> str:
    path = str(lab.directory.path)
    return "" if path == DEFAULT_DIRECTORY else f" --directory {path}"


def _state(options: argparse.Namespace) -> int:
    return _show(RemoteLab(options.directory).state())


def _speed(options: argparse.Namespace) -> int:
    return _show(RemoteLab(options.directory).set_speed(options.speed))


def _outage(options: argparse.Namespace) -> int:
    lab = RemoteLab(options.directory)
    if options.reset:
        lab.reset_outage(options.cluster)
        return 0
    return _show(_rounded(lab.outage(options.cluster)))


def _reboot(options: argparse.Namespace) -> int:
    RemoteLab(options.directory).reboot(options.cluster, options.node)
    return 0


def _remove_cni_file(options: argparse.Namespace) -> int:
    RemoteLab(options.directory).remove_cni_configuration(options.cluster, options.node, options.file)
    return 0


def _rounded(found: Any) -> Any:
    """Return the same with seconds to the hundredth; they are real ones, whatever the lab's speed."""
    if isinstance(found, Mapping):
        return {key: _rounded(value) for key, value in found.items()}
    return round(found, 2) if isinstance(found, float) else found


def _fault_add(options: argparse.Namespace) -> int:
    kind: FaultKind = "request" if options.trouble in get_args(RequestTrouble) else "platform"
    names = ("server", "method", "path", "retry_after_seconds", "cluster", "subject", "message", "times")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.forever:
        given["times"] = None
    fault_from({"kind": kind, "trouble": options.trouble, **given})
    fault_id = RemoteLab(options.directory).add_fault(kind, options.trouble, **given)
    _say(f"Fault {fault_id} is on; `{python_command()} -m lab fault clear {fault_id}` switches it off.")
    return 0


def _fault_list(options: argparse.Namespace) -> int:
    return _show(RemoteLab(options.directory).faults())


def _fault_clear(options: argparse.Namespace) -> int:
    RemoteLab(options.directory).clear_faults(options.id)
    return 0


def _show(value: Any) -> int:
    _say(json.dumps(value, indent=2))
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lab", description="An embedded KKP: one seed and user clusters, in one process.")
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=_Parser)
    _add_up(commands)
    _add_command(commands, "state", _state, "show clusters, speed and whether all is settled")
    speed = _add_command(commands, "speed", _speed, "change how fast time passes")
    speed.add_argument("speed", type=_speed_value)
    outage = _add_command(commands, "outage", _outage, "show how long which workload could not be reached")
    outage.add_argument("--cluster", help="name or human-readable name (default: the only one)")
    outage.add_argument("--reset", action="store_true", help="measure from now on")
    _add_fault(commands)
    _add_nodes(commands)
    return parser


def _add_command(commands: Any, name: str, command: Callable[[argparse.Namespace], int], text: str) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(command=command)
    parser.add_argument("--directory", default=DEFAULT_DIRECTORY, help="where the lab's kubeconfigs are")
    return parser


def _add_up(commands: Any) -> None:
    up = _add_command(commands, "up", _up, "start a lab and run it until Ctrl-C")
    size = UserClusterSize()
    up.add_argument("--clusters", type=_whole(1, 100), help=f"number of user clusters (default {DEFAULT_CLUSTERS})")
    up.add_argument("--nodes", type=_whole(1, 250), default=5, help="nodes of each")
    up.add_argument("--pods", type=_whole(0, 25_000), default=200, help="about how many user pods in each")
    up.add_argument(
        "--machine-deployments", type=_whole(1, 50), default=size.machine_deployments, help="of each cluster"
    )
    up.add_argument(
        "--max-pods-per-node", type=_whole(20, 250), default=size.max_pods_per_node, help="kubelet's maxPods"
    )
    up.add_argument("--grace-seconds", type=_whole(0, 3600), default=size.grace_seconds, help="of the user pods")
    up.add_argument(
        "--kkp", choices=get_args(KkpRelease), default=LabSettings.kkp, help="the release of KKP that is played"
    )
    up.add_argument("--proxy-mode", choices=get_args(ProxyMode), help=f"of each cluster; None is {_PROXY_MODES}")
    up.add_argument(
        "--seed-name", type=_seed_name, default=LabSettings.seed_name, help="another one for each lab of the same fleet"
    )
    up.add_argument("--speed", type=_speed_value, default=20.0, help="platform seconds in a real second")
    up.add_argument("--port", type=_whole(0, MAX_PORT), default=0, help="0 picks a free one")
    up.add_argument(
        "--without", action="append", default=[], choices=get_args(Part), help="leave a part of the platform out"
    )
    up.add_argument(
        "--seed-kubeconfig", metavar="FILE", help="run the platform on this seed's API server, not on one of the lab's"
    )
    up.add_argument(
        "--cluster-kubeconfig",
        metavar="FILE",
        action="append",
        default=[],
        help="and on this user cluster's; once for each. Give it fresh API servers: the lab fills them",
    )


def _add_nodes(commands: Any) -> None:
    reboot = _add_command(commands, "reboot", _reboot, "reboot a node: its disk stays, its kernel starts afresh")
    remove = _add_command(commands, "remove-cni-file", _remove_cni_file, "delete a file of /etc/cni/net.d on a node")
    for parser in (reboot, remove):
        parser.add_argument("--cluster", help="name or human-readable name (default: the only one)")
        parser.add_argument("node")
    remove.add_argument("file", help="as 05-cilium.conflist")


def _add_fault(commands: Any) -> None:
    fault = commands.add_parser("fault", help="switch trouble on and off")
    actions = fault.add_subparsers(required=True, metavar="add|list|clear", parser_class=_Parser)
    add = _add_command(actions, "add", _fault_add, "switch trouble on")
    add.add_argument("trouble", choices=(*get_args(RequestTrouble), *get_args(PlatformTrouble)))
    add.add_argument("--server", help="request trouble: a seed's or user cluster's name, kkp for the REST API")
    add.add_argument("--method", help="request trouble: as PATCH")
    add.add_argument("--path", help="request trouble: regular expression, as /clusters/")
    add.add_argument("--retry-after-seconds", type=_whole(1, 3600), help="request trouble: for 429 and 503")
    add.add_argument("--cluster", help="platform trouble: the user cluster")
    add.add_argument("--subject", help="platform trouble: pattern of the node, application, pod or MachineDeployment")
    add.add_argument("--message", help="platform trouble: what the troubled part says")
    how_often = add.add_mutually_exclusive_group()
    how_often.add_argument(
        "--times", type=_whole(1, 1_000_000), help="how often; request trouble is met once unless told"
    )
    how_often.add_argument("--forever", action="store_true", help="until cleared")
    _add_command(actions, "list", _fault_list, "show the trouble that is on")
    clear = _add_command(actions, "clear", _fault_clear, "switch trouble off")
    clear.add_argument("id", nargs="?", type=_whole(1, 1_000_000_000), help="which (default: all)")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return parse


def _seed_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", text) or text == SERVER_NAME:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a seed: lower-case letters, digits and dashes")
    return text


def _speed_value(text: str) -> float:
    try:
        return checked_speed(text)
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error
