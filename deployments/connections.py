r"""Connections to KKP: which there are, whether they can be used, and saving them as blocks on the Prefect server.

    python -m deployments.connections list
    python -m deployments.connections check production
    python -m deployments.connections save production --kubeconfig seed.kubeconfig --context admin@seed
    python -m deployments.connections save production-api --url https://kkp.example.com --token-file token \
        --ca ca.pem --project m5zd8kx2wq
    python -m deployments.connections remove production

Saving what is saved, or removing what is gone, changes nothing. No credential is ever printed, nor taken as an
argument: arguments can be seen by everybody on a machine. `-` stands for standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from clusters.checking import check_connection
from clusters.connection_kinds import (
    checked_authority,
    kkp_connection,
    pasted_kubeconfig,
    seed_connection,
    self_contained,
)
from clusters.connections import connection_places, find_connection, refuse_odd_connection
from migration.errors import MigrationError
from tasks.blocks import PLACE, KkpApi, KkpSeed
from tasks.saved_blocks import remove_block, save_block

KINDS: Final = {"kkp-seed": "seed", "kkp-api": "KKP API"}


class Refused(Exception):
    """What was asked for can't be done; the message says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for and return the exit status: 1 if it can't be done, or a check found something."""
    options = _parser().parse_args(arguments)
    try:
        status: int = asyncio.run(options.act(options))
    except (MigrationError, Refused) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return status


async def list_connections(_options: argparse.Namespace) -> int:
    """Print name, kind and place of each connection."""
    found = await connection_places()
    width = max((len(name) for name, _ in found), default=0)
    for name, place in found:
        sys.stdout.write(f"{name:<{width}}  {_kind(place):<8} {place}\n")
    if not found:
        sys.stdout.write(
            "no connections are configured: set CNI_MIGRATION_CONNECTIONS to their directory, or see "
            "`python -m deployments.connections save --help`\n"
        )
    return 0


async def check(options: argparse.Namespace) -> int:
    """Print what a connection reaches, and what is wrong with it."""
    found = await check_connection(await find_connection(options.name), cluster=options.cluster)
    sys.stdout.write(f"{found}\n")
    return 1 if found.problems else 0


async def save(options: argparse.Namespace) -> int:
    """Leave a block of this name, once it has been seen that it can be used as a connection."""
    refuse_odd_connection(options.name)
    block = _seed(options) if options.kubeconfig else _api(options)
    mine = f"{PLACE}{block.get_block_type_slug()}/{options.name}"
    if others := [place for name, place in await connection_places() if name == options.name and place != mine]:
        raise Refused(f"{options.name} is the name of {others[0]} already: take another one, or remove that first")
    changed = await save_block(options.name, block)
    sys.stdout.write(f"{mine}: {'saved' if changed else 'unchanged'}\n")
    sys.stdout.write(f"see whether it can be used: python -m deployments.connections check {options.name}\n")
    return 0


async def remove(options: argparse.Namespace) -> int:
    """Leave no block of this name; files are the operator's own."""
    changed = await remove_block(options.name)
    sys.stdout.write(f"{PLACE}{options.name}: {'removed' if changed else 'was not there'}\n")
    for name, place in await connection_places():
        if name == options.name:
            sys.stdout.write(f"{place} is there still: remove it where it is from\n")
            return 1
    return 0


def _seed(options: argparse.Namespace) -> KkpSeed:
    if options.url or options.token_file or options.ca or options.project:
        raise Refused("--kubeconfig goes with --context alone: a connection leads to a seed, or to KKP's API")
    source = str(options.kubeconfig)
    kubeconfig = pasted_kubeconfig(_text(options.kubeconfig), source=source)
    connection = seed_connection(options.name, kubeconfig, context=options.context, source=source)
    alone = self_contained(connection, source=source)
    return KkpSeed(kubeconfig=SecretStr(json.dumps(alone.kubeconfig, sort_keys=True)), context=alone.context)


def _api(options: argparse.Namespace) -> KkpApi:
    if not options.url or not options.token_file or options.context:
        raise Refused("give --kubeconfig FILE for a seed, or --url URL and --token-file FILE for KKP's API")
    authority = _text(options.ca) if options.ca else ""
    found = kkp_connection(
        options.name,
        url=options.url,
        token=_text(options.token_file),
        certificate_authority=checked_authority(authority, source=str(options.ca)),
        project=options.project,
        source="the connection",
    )
    return KkpApi(
        url=found.url,
        token=SecretStr(found.token),
        certificate_authority=found.certificate_authority,
        project=found.project,
    )


def _text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} can't be read: {type(error).__name__}") from error


def _kind(place: str) -> str:
    for slug, kind in KINDS.items():
        if place.startswith(f"{PLACE}{slug}/"):
            return kind
    return "KKP API" if place.endswith(".kkp.yaml") else "seed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.connections",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(required=True, metavar="list|check|save|remove")
    actions.add_parser("list", help="name, kind and place of each").set_defaults(act=list_connections)
    for name, act, told in (
        ("check", check, "what one reaches, and everything that is wrong with it"),
        ("remove", remove, "take one off the Prefect server"),
    ):
        action = actions.add_parser(name, help=told)
        action.add_argument("name")
        action.set_defaults(act=act)
        if name == "check":
            action.add_argument("--cluster", default="", help="whose migration's rights are looked at; the first one")
    _add_save(actions.add_parser("save", help="leave one on the Prefect server, as a block"))
    return parser


def _add_save(action: argparse.ArgumentParser) -> None:
    action.set_defaults(act=save)
    action.add_argument("name", help="as the parameter `seed` of the flows takes it")
    action.add_argument("--kubeconfig", type=Path, metavar="FILE", help="of a seed, with nothing outside of the file")
    action.add_argument("--context", default="", help="which of its contexts; its current one if left out")
    action.add_argument("--url", default="", help="address of KKP's dashboard, without /api")
    action.add_argument("--token-file", type=Path, metavar="FILE", help="that holds the token alone")
    action.add_argument("--ca", type=Path, metavar="FILE", help="certificates in PEM; the system's if left out")
    action.add_argument("--project", default="", help="ID of the only project to look into")


if __name__ == "__main__":
    raise SystemExit(main())
