"""What every ``UsedLinkStore`` must do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitor.domain.ports.repositories.used_links import UsedLink
from monitor.domain.ports.unit_of_work import DataRejected
from tests.integration.contract.world import World


async def test_a_used_link_is_found_by_its_digest_and_stored_once(world: World) -> None:
    now = world.clock.now()
    link = UsedLink(b"d" * 32, now, "link of Ops", now + timedelta(days=1))
    async with world.unit_of_work() as uow:
        assert await uow.used_links.get(link.digest) is None
        await uow.used_links.add(link)
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.used_links.get(link.digest) == link
        assert await uow.used_links.get(b"e" * 32) is None
    with pytest.raises(DataRejected):
        async with world.unit_of_work() as uow:
            await uow.used_links.add(link)
