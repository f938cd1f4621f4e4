"""What each variant needs before its first block: its template database and the people of its data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adx_lab.errors import AdxLabError, StackError
from adx_lab.progress import Progress
from adx_lab.services.servers import Servers
from adx_lab.services.starting.building import built
from adx_lab.services.starting.start import run_to_end, wanted
from adx_lab.services.starting.templates import ensure_data_set
from adx_lab.services.variants import Variant, as_shipped, order_of
from adx_lab.settings import Settings
from adx_lab.stack.databases import clone, drop


class VariantError(StackError):
    """A variant did not start: the other one may be in order, and there is no comparison all the same."""

    def __init__(self, side: str, error: AdxLabError, *, says: str = "does not start") -> None:
        super().__init__(f"{side} {says}: {error.message}", mend=error.mend, log=error.log)
        self.side = side


@dataclass(frozen=True, slots=True)
class Prepared:
    """A variant that was built, with its template and the people of its data set; a URL has neither."""

    variant: Variant
    template: str | None = None
    sample_file: Path | None = None


async def prepare(
    settings: Settings, servers: Servers, variants: Mapping[str, Variant], progress: Progress
) -> dict[str, Prepared]:
    """Make the template and the sample of each variant, where they are missing.

    Raises
    ------
    VariantError
        A variant's core can't make its data set.
    """
    made: dict[str, Prepared] = {}
    for side, variant in variants.items():
        if variant.tree is None:
            made[side] = Prepared(variant)
            continue
        try:
            used = [one.template for one in made.values() if one.template is not None]
            made[side] = await _prepare_one(settings, servers, variant, progress, keep=used)
        except AdxLabError as error:
            raise VariantError(side, error) from error
    known = [one.sample_file for one in made.values() if one.sample_file] or [
        file for file in [settings.stack_dir / "sample.json"] if file.exists()
    ]
    # A URL's data set is taken for ours, which is the same for the same seed.
    return {
        side: one if one.sample_file or not known else Prepared(one.variant, None, known[0])
        for side, one in made.items()
    }


async def _prepare_one(
    settings: Settings, servers: Servers, variant: Variant, progress: Progress, *, keep: Collection[str]
) -> Prepared:
    log = settings.stack_dir / "logs" / "duet-prepare.log"
    assert variant.tree is not None
    variant = replace(variant, tree=await built(variant.tree, settings, progress))
    if not wanted(variant.service, "database"):
        return Prepared(variant)
    # Under the service's own defaults: switches and settings are the variant's, not its rows'.
    plain = as_shipped(variant, settings)
    order = order_of(plain, "duet-prepare", settings, valkey_url=servers.valkey_url)
    template = await ensure_data_set(servers.cluster, order, progress, log=log, keep=keep)
    people = variant.start.people
    if not people:
        return Prepared(variant, template)
    sample = settings.stack_dir / "samples" / f"{template}.json"
    if not sample.exists():
        sample.parent.mkdir(parents=True, exist_ok=True)
        url = await clone(servers.cluster, template, "adx_duet_a", fresh=True)
        order = replace(order, database_url=url)
        await run_to_end(order, "people", people, log=log, seconds=120, people_file=sample)
        await drop(servers.cluster, "adx_duet_a")
    return Prepared(variant, template, sample)
