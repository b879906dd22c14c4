"""The read side over a real chain: the index has what the contract says, the market what traded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import text

from backend.domain.orders import Conditions, TimeInForce
from backend.exchange.projector import Projector
from backend.store.market_index import check_market
from backend.store.queries import exchange, market, venue_accounts
from tests.conftest import AnvilFactory
from tests.exchange.live import LiveVenue

pytestmark = pytest.mark.integration

BUY, SELL = 0, 1
RETIRING = Conditions(TimeInForce.IOC, retire_on_fill=True).pack()


@pytest.fixture
def venue(
    anvil_factory: AnvilFactory, migrated_url: str, nats_url: str, tmp_path: Path
) -> Iterator[LiveVenue]:
    chain = anvil_factory()
    made = LiveVenue(chain.url, migrated_url, nats_url, tmp_path)
    yield made
    made.close()
    chain.stop()


def test_index_and_market_say_what_the_contract_says(venue: LiveVenue) -> None:
    seller, buyer, other = venue.holders[:3]
    submission = venue.submission()
    projector = Projector(venue.database, 1)

    def settled() -> bool:
        with venue.database.read() as connection:
            head = market.venue_head(connection, 1)
        return (head.settled_trade, head.settled_withdrawal) == (2, 1)

    async def scene() -> None:
        steps = (submission.advance, venue.sender.advance, projector.advance)
        async with venue.leading(), venue.watching(), venue.working(*steps):
            await venue.funded()
            details = {"conditions": RETIRING, "details_hash": keccak(text="details")}
            await venue.say(
                venue.order(seller, SELL, 10),
                venue.order(buyer, BUY, 4),
                venue.order(other, BUY, 2, **details),
                venue.withdrawal(buyer, venue.money, 777),
            )
            await venue.once(settled)
            await venue.once(lambda: _retired(venue))

    asyncio.run(scene())
    venue.send(buyer, "claim", buyer.address, venue.money)
    venue.send(other, "requestExit", [venue.money])
    venue.indexer.advance()
    venue.indexer.check()
    assets = (venue.money, venue.instrument)
    with venue.database.read() as connection:
        check_market(connection, 1)
        head = market.venue_head(connection, 1)
        for holder in venue.holders:
            page = exchange.balances_of(connection, holder.address)
            indexed = {one.asset: (one.balance, one.claimable) for one in page.items}
            account = venue_accounts.get_account(connection, head, holder.address)
            traded = {one.asset: one.total for one in account.balances}
            for asset in assets:
                said = venue.read("accountOf", holder.address, asset)
                want = (said["balance"], said["claimable"])
                assert indexed.get(asset, (0, 0)) == want
                # Everything has settled, so the engine has what the chain has.
                assert traded.get(asset, 0) == said["balance"]
        totals = connection.execute(
            text("SELECT asset, sum(balance + claimable) AS owed FROM exchange_balances GROUP BY 1")
        ).all()
        assert {int(row.asset): int(row.owed) for row in totals} == {
            asset: venue.read("total", asset) for asset in assets
        }
        exits = exchange.balances_of(connection, other.address).items
        assert [one.asset for one in exits if one.exit_requested_at] == [venue.money]
        trade = market.get_trade(connection, head, 2)
        assert (trade.state, trade.retired, trade.taker) == ("settled", True, other.address)
        acts = exchange.list_acts(connection, kind="batch").items
        assert trade.transaction_hash in {act.transaction_hash for act in acts}
        seen = market.get_book(connection, head, venue.instrument, venue.money, 10)
        assert [(one.price, one.tonnes) for one in seen.asks] == [(1_000, 4)]
    assert _retired(venue) == [(other.address, 2_000)]


def _retired(venue: LiveVenue) -> list[tuple[str, int]]:
    with venue.database.read() as connection:
        rows = connection.execute(text("SELECT trader, kilograms FROM exchange_retirements"))
        return [(row.trader, row.kilograms) for row in rows]
