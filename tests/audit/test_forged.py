"""For every law a history that breaks it: changed storage, impersonated contracts, false roles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.audit import Break
from backend.chain import abi, calls
from backend.domain.classes import CreditClass
from backend.domain.reserve import Liabilities, ReserveReport, ReserveTree, signing_domain
from backend.domain.serials import Interval, Series
from scripts.backing import backing, minted_tonnes, outstanding, proof_of
from tests.audit.scene import Scene

pytestmark = pytest.mark.integration

DAY = 86_400
LAST = (1 << 64) - 1
EMPTY = ReserveTree(())


def a_holding(scene: Scene) -> tuple[str, int, int]:
    """A wallet, a class and how many kilograms of it the wallet holds."""
    for wallet in scene.history.wallets:
        for class_id in scene.history.class_ids:
            held = scene.contracts.balance_of(wallet.address, class_id)
            if held > 2_000:
                return wallet.address, class_id, held
    raise AssertionError("nobody holds anything")


def about(breaks: list[Break], words: str) -> Break:
    """The first break that says this."""
    found = [one for one in breaks if words in one.what]
    assert found, [one.what for one in breaks]
    return found[0]


# ---------------------------------------------------------------- L1 conservation


def test_l1_a_balance_nobody_transferred_is_found(scene: Scene) -> None:
    account, class_id, held = a_holding(scene)
    (slot,) = scene.slots("CarbonCredits", "balanceOf", account, class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) + 1)
    breaks = scene.breaks("L1")
    found = about(breaks, f"the balance of {account}")
    assert (found.amounts["stored"], found.amounts["replayed"]) == (held + 1, held)
    assert found.transaction is not None
    assert about(breaks, "do not add up").amounts["class_id"] == class_id


def test_l1_a_balance_of_an_account_without_any_transfer_is_found(scene: Scene) -> None:
    class_id = scene.history.class_ids[0]
    trust = scene.deployment["Trust"]
    (slot,) = scene.slots("CarbonCredits", "balanceOf", trust, class_id)
    scene.store("CarbonCredits", slot, 5)
    assert about(scene.breaks("L1"), trust).amounts["stored"] == 5


def test_l1_a_retired_balance_that_was_never_retired_is_found(scene: Scene) -> None:
    account, class_id, _ = a_holding(scene)
    (slot,) = scene.slots("CarbonCredits", "retiredBalanceOf", account, class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) + (9 << 128))
    assert about(scene.breaks("L1"), "the retired balance").amounts["class_id"] == class_id


def test_l1_counters_that_claim_one_tonne_more_are_found(scene: Scene) -> None:
    class_id = scene.history.class_ids[0]
    (slot,) = scene.slots("CarbonCredits", "positions", class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) + 1)
    found = about(scene.breaks("L1"), "minted stored")
    assert found.amounts["stored_minted"] == int(found.amounts["replayed_minted"]) + 1


def test_l1_kilograms_that_disappear_without_a_retirement_are_found(scene: Scene) -> None:
    account, class_id, held = a_holding(scene)
    (slot,) = scene.slots("CarbonCredits", "balanceOf", account, class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) - 1_000)
    assert about(scene.breaks("L1"), account).amounts["stored"] == held - 1_000


# -------------------------------------------------------------------- L2 serials


def unlink(scene: Scene, series: Series) -> tuple[int, int, int]:
    """Take the second interval of a series out of the register: (first, last, class)."""
    before, victim = scene.contracts.registered(series.id)[:2]
    (slot,) = scene.slots("Trust", "registered", series.id, before.first)
    following = scene.contracts.registered(series.id)[2].first
    word = scene.word("Trust", slot) & ~(LAST << 64)
    scene.store("Trust", slot, word | following << 64)
    (slot,) = scene.slots("Trust", "registered", series.id, victim.first)
    scene.store("Trust", slot, 0)
    return victim.first, victim.last, victim.class_id


def busy_series(scene: Scene) -> Series:
    """A series with at least three registered intervals."""
    return next(
        series
        for series in (Series("VCS", (1,)), Series("VCS", (2,)))
        if len(scene.contracts.registered(series.id)) > 2
    )


def test_l2_an_interval_taken_out_of_the_register_is_found(scene: Scene) -> None:
    series = busy_series(scene)
    first, last, _ = unlink(scene, series)
    found = about(scene.breaks("L2"), "the register holds another interval")
    assert found.serials == (f"{series}/{first}-{last}",)
    assert found.block is not None


def test_l2_serials_minted_twice_are_found_and_named(scene: Scene) -> None:
    series = busy_series(scene)
    first, last, _ = unlink(scene, series)
    one, _ = next(lot for lot in scene.fresh_lots() if lot[1].series == series)
    scene.mint(scene.receipt(one, Interval(series, first, first + 4)))
    found = about(scene.breaks("L2"), "overlaps")
    assert found.serials == (f"{series}/{first}-{min(first + 4, last)}",)
    assert found.amounts["tonnes"] == 5


def test_l2_tonnes_minted_without_a_block_of_serials_are_found(scene: Scene) -> None:
    one, _ = scene.fresh_lots()[0]
    message = scene.receipt(one, Interval(Series("VCS", (2,)), 1, 1)).message()["creditClass"]
    wallet = scene.history.wallets[0].address
    scene.act_as("Trust", "CarbonCredits", "mint", wallet, message, 10)
    found = about(scene.breaks("L2"), "its blocks are not the tonnes it minted")
    assert (found.amounts["minted"], found.amounts["tonnes"]) == (10, 0)


def test_l2_a_position_that_leads_to_another_serial_is_found(scene: Scene) -> None:
    class_id = scene.history.class_ids[-1]
    block = scene.contracts.blocks_of(class_id)[0]
    slots = [
        slot
        for slot in scene.slots("Trust", "blockAt", class_id, 0)
        if scene.word("Trust", slot) >> 32 & LAST == block.first
    ]
    scene.store("Trust", slots[0], scene.word("Trust", slots[0]) + (1 << 32))
    breaks = scene.breaks("L2")
    assert about(breaks, "is stored otherwise").amounts["class_id"] == class_id


def test_l2_a_class_whose_stored_hash_was_changed_is_found(scene: Scene) -> None:
    class_id = scene.history.class_ids[0]
    hashes = scene.contracts.class_hashes(class_id)
    half = (1 << 128) - 1
    word = (int.from_bytes(hashes.project, "big") & ~half) | (
        int.from_bytes(hashes.vintage, "big") >> 128
    )
    scene.store_word("CarbonCredits", word, word ^ 1, "classHashes", class_id)
    assert about(scene.breaks("L2"), "stored hashes").amounts["class_id"] == class_id


# ------------------------------------------------------------------- L3 backing


def reported(scene: Scene, owed: Liabilities, tree: ReserveTree = EMPTY) -> None:
    """A report that custodian and attestor both sign, whatever it says."""
    head = scene.rpc.block("latest")
    assert head is not None
    sequence = scene.contracts.reserve().sequence + 1
    report = ReserveReport.of(sequence, head.timestamp, head.number, tree, owed, bytes(32))
    domain = signing_domain(scene.deployment.chain_id, scene.deployment["Reserve"])
    signatures = scene.signed(report.digest(domain), "custodian", "attestor")
    scene.send(scene.key("custodian"), "Reserve", calls.report_reserve(report, signatures))


def test_l3_a_report_that_owes_less_than_is_outstanding_is_found(scene: Scene) -> None:
    reported(scene, Liabilities(()))
    found = about(scene.breaks("L3"), "says that 0 kg were owed")
    assert int(found.amounts["outstanding"]) > 0


def test_l3_a_newest_report_that_was_changed_in_place_is_found(scene: Scene) -> None:
    for slot in scene.slots("Reserve", "current"):
        scene.store("Reserve", slot, scene.word("Reserve", slot) ^ 1)
    about(scene.breaks("L3"), "the newest reserve report is stored as")


def test_l3_a_mint_that_the_report_does_not_cover_is_found(scene: Scene) -> None:
    """Code of Reserve that asks for no proof: the calldata still shows what was proven."""
    one, interval = scene.fresh_lots()[0]
    receipt = scene.receipt(one, interval)
    honest = backing([receipt], minted_tonnes(scene.contracts, [receipt]))
    short = ReserveTree(
        tuple(replace(entry, covered=interval.tonnes - 1) for entry in honest.classes)
    )
    reported(scene, outstanding(scene.contracts, scene.rpc.block_number()), short)
    scene.rpc.call("anvil_setCode", scene.deployment["Reserve"], "0x00")
    digest = receipt.digest(scene.history.domain)
    hints = [scene.contracts.hint_for(interval.series.id, interval.first)]
    signatures = scene.signed(digest, "custodian", "attestor")
    data = calls.mint_with_receipt(receipt, hints, proof_of(short, receipt), signatures)
    scene.send(scene.key("custodian"), "Trust", data)
    found = about(scene.breaks("L3"), f"covers {interval.tonnes - 1} t of the {interval.tonnes} t")
    assert found.serials == (str(interval),)


# ------------------------------------------------------------------- L4 finality


def a_certificate(scene: Scene) -> int:
    number = scene.contracts.positions(scene.history.class_ids[0]).number
    return number << 32 | 1


def test_l4_a_certificate_whose_kilograms_were_changed_is_found(scene: Scene) -> None:
    certificate_id = a_certificate(scene)
    held = scene.contracts.certificate(certificate_id)
    slot = next(
        slot
        for slot in scene.slots("RetirementCertificates", "certificate", certificate_id)
        if scene.word("RetirementCertificates", slot) >> 32 & LAST == held.kilograms
    )
    word = scene.word("RetirementCertificates", slot)
    scene.store("RetirementCertificates", slot, word + (1 << 32))
    found = about(scene.breaks("L4"), f"certificate {certificate_id} is not what")
    assert found.amounts["stored_kilograms"] == held.kilograms + 1
    assert found.serials


def test_l4_a_certificate_whose_texts_hash_was_changed_is_found(scene: Scene) -> None:
    certificate_id = a_certificate(scene)
    old = int.from_bytes(scene.contracts.certificate(certificate_id).details_hash, "big")
    scene.store_word("RetirementCertificates", old, old ^ 1, "certificate", certificate_id)
    assert "detailsHash" in about(scene.breaks("L4"), "is not what its retirement said").what


def test_l4_a_certificate_given_to_another_owner_is_found(scene: Scene) -> None:
    certificate_id = a_certificate(scene)
    owner = scene.contracts.certificate(certificate_id).owner
    scene.store_word("RetirementCertificates", int(owner, 16), 0xBEEF, "ownerOf", certificate_id)
    about(scene.breaks("L4"), f"is not locked to {owner}")


def test_l4_a_certificate_that_no_retirement_made_is_found(scene: Scene) -> None:
    state = scene.contracts.positions(scene.history.class_ids[0])
    forged = state.number << 32 | (state.certificates + 1)
    wallet = scene.history.wallets[0].address
    args = (forged, wallet, state.number, 1_000, 0, 0, 0, b"\x01" * 32)
    scene.act_as("CarbonCredits", "RetirementCertificates", "mint", *args)
    breaks = scene.breaks("L4")
    about(breaks, f"certificate {forged} has no retirement")
    about(breaks, f"certificate {forged} exists and no retirement made it")


def test_l4_a_retirement_that_consumes_positions_again_is_found(scene: Scene) -> None:
    account, class_id, _ = a_holding(scene)
    before = scene.contracts.positions(class_id).positions
    (slot,) = scene.slots("CarbonCredits", "positions", class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) - (1 << 48))
    wallet = next(one for one in scene.history.wallets if one.address == account)
    args = (account, class_id, 1_000, account, b"\x02" * 32)
    scene.send(wallet, "CarbonCredits", abi.encode_call("CarbonCredits", "retire", args))
    found = about(scene.breaks("L4"), "overlaps the retirement before it")
    assert (found.amounts["exited"], found.amounts["expected_exited"]) == (
        before.exited - 1,
        before.exited,
    )
    assert len(found.serials) == 1


def test_l4_a_confirmation_that_was_wiped_out_is_found(scene: Scene) -> None:
    register = scene.history.replay()
    entry = next(iter(register.confirmations.values()))
    place = (entry.class_id, entry.first, entry.end - 1, 0)
    for slot in scene.slots("RegistryRecords", "settledWithin", *place):
        scene.store("RegistryRecords", slot, 0)
    found = about(scene.breaks("L4"), "is recorded and not stored")
    assert found.transaction == entry.event.transaction_hash
    assert found.serials


# ----------------------------------------------------------------- L5 signatures


def test_l5_a_mint_by_signers_that_were_never_named_is_found(scene: Scene) -> None:
    one, interval = scene.fresh_lots()[0]
    for name, role in (("intruder", 1), ("accomplice", 2)):
        key = scene.keys.create_if_missing(name)
        (slot,) = scene.slots("Trust", "role", key.address)
        scene.store("Trust", slot, role)
    scene.mint(scene.receipt(one, interval), "intruder", "accomplice")
    found = about(scene.breaks("L5"), "2 signers had no role")
    assert found.serials == (str(interval),)
    assert found.amounts["tonnes"] == interval.tonnes


def test_l5_one_party_in_both_roles_is_found(scene: Scene) -> None:
    one, interval = scene.fresh_lots()[0]
    (slot,) = scene.slots("Trust", "thresholds")
    scene.store("Trust", slot, 1)
    scene.mint(scene.receipt(one, interval), "custodian")
    breaks = scene.breaks("L5")
    about(breaks, "1 custodians and 0 attestors signed, 1 and 1 are needed")
    about(breaks, "other thresholds than it published")


def test_l5_a_role_stored_without_an_event_is_found(scene: Scene) -> None:
    address = scene.key("attestor").address
    (slot,) = scene.slots("Trust", "role", address)
    scene.store("Trust", slot, 1)
    about(scene.breaks("L5"), f"stores another role of {address}")


def test_l5_a_forced_transfer_without_an_order_is_found(scene: Scene) -> None:
    account, class_id, _ = a_holding(scene)
    target = next(one.address for one in scene.history.wallets if one.address != account)
    order = b"\x07" * 32
    args = (order, account, target, class_id, 700)
    scene.act_as("LegalOrders", "CarbonCredits", "forceTransfer", *args)
    found = about(scene.breaks("L5"), "moved by force that order 0x0707")
    assert (found.amounts["class_id"], found.amounts["kilograms"]) == (class_id, 700)


def test_l5_a_freeze_without_an_order_is_found(scene: Scene) -> None:
    account, _, _ = a_holding(scene)
    scene.act_as("LegalOrders", "Participants", "freeze", account)
    about(scene.breaks("L5"), f"{account} was frozen without an order")


def test_l5_an_operator_nobody_approved_is_found(scene: Scene) -> None:
    account, class_id, _ = a_holding(scene)
    thief = next(one for one in scene.history.wallets if one.address != account)
    slots = scene.slots("CarbonCredits", "isApprovedForAll", account, thief.address)
    scene.store("CarbonCredits", slots[0], 1)
    data = calls.transfer(account, thief.address, class_id, 11)
    scene.send(thief, "CarbonCredits", data)
    found = about(scene.breaks("L5"), f"{thief.address} moved credits of {account}")
    assert found.amounts["kilograms"] == 11


def test_l5_an_order_executed_before_its_delay_is_found(scene: Scene) -> None:
    account, class_id, _ = a_holding(scene)
    target = next(one.address for one in scene.history.wallets if one.address != account)
    order = [0, account, target, [class_id], [10], b"\x01" * 32, 9]
    scene.legal("schedule", "hashOrder", [order], "enforcer")
    order_id = scene.contracts.read("LegalOrders", "hashOrder", order)
    (slot,) = scene.slots("LegalOrders", "orderState", order_id)
    scene.store("LegalOrders", slot, 1)
    data = abi.encode_call("LegalOrders", "execute", [order])
    scene.send(scene.key("enforcer"), "LegalOrders", data)
    found = about(scene.breaks("L5"), "before its delay was over")
    assert 0 < int(found.amounts["seconds"]) <= 2 * DAY


# ----------------------------------------------------------------- L8, L10, L11


def test_l8_an_account_frozen_behind_the_books_is_found(scene: Scene) -> None:
    account, _, _ = a_holding(scene)
    (slot,) = scene.slots("Participants", "participant", account)
    scene.store("Participants", slot, scene.word("Participants", slot) | 1 << 64)
    about(scene.breaks("L8"), f"{account} is frozen, which no published order says")


def test_l10_a_receipt_that_could_be_minted_again_is_found(scene: Scene) -> None:
    receipt_id, event = next(iter(scene.history.replay().receipts.items()))
    (slot,) = scene.slots("Trust", "receiptStatus", receipt_id)
    scene.store("Trust", slot, 0)
    found = about(scene.breaks("L10"), "it could be minted again")
    assert found.transaction == event.transaction_hash
    assert found.serials


def test_l10_a_receipt_minted_twice_is_found(scene: Scene) -> None:
    one, interval = next(lot for lot in scene.fresh_lots() if lot[1].series == busy_series(scene))
    receipt = scene.receipt(one, interval)
    scene.mint(receipt)
    receipt_id = receipt.digest(scene.history.domain)
    (slot,) = scene.slots("Trust", "receiptStatus", receipt_id)
    scene.store("Trust", slot, 0)
    forget(scene, interval)
    scene.mint(receipt)
    about(scene.breaks("L10"), "was minted twice")
    assert about(scene.breaks("L2"), "overlaps").serials == (str(interval),)


def test_l10_a_cancelled_receipt_that_was_minted_is_found(scene: Scene) -> None:
    one, interval = scene.fresh_lots()[0]
    receipt = scene.receipt(one, interval)
    receipt_id = receipt.digest(scene.history.domain)
    scene.send(scene.key("custodian"), "Trust", calls.cancel_receipt(receipt_id))
    (slot,) = scene.slots("Trust", "receiptStatus", receipt_id)
    scene.store("Trust", slot, 0)
    scene.mint(receipt)
    about(scene.breaks("L10"), "was minted after it was cancelled")


def forget(scene: Scene, interval: Interval) -> None:
    """Take an interval out of the register's list and wipe its node."""
    series = interval.series
    before = scene.contracts.hint_for(series.id, interval.first)
    (slot,) = scene.slots("Trust", "registered", series.id, interval.first)
    following = scene.word("Trust", slot) >> 64 & LAST
    scene.store("Trust", slot, 0)
    (slot,) = scene.slots("Trust", "registered", series.id, before)
    word = scene.word("Trust", slot) & ~(LAST << 64)
    scene.store("Trust", slot, word | following << 64)


def test_l11_an_account_that_gives_more_than_it_has_is_found(scene: Scene) -> None:
    account, class_id, held = a_holding(scene)
    wallet = next(one for one in scene.history.wallets if one.address == account)
    target = next(one.address for one in scene.history.wallets if one.address != account)
    (slot,) = scene.slots("CarbonCredits", "balanceOf", account, class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) + 1)
    scene.send(wallet, "CarbonCredits", calls.transfer(account, target, class_id, held + 1))
    found = about(scene.breaks("L11"), f"{account} gave more than it had")
    assert found.amounts["balance"] == -1


def test_l11_dust_of_a_whole_tonne_is_found(scene: Scene) -> None:
    class_id = scene.history.class_ids[0]
    (slot,) = scene.slots("CarbonCredits", "positions", class_id)
    word = scene.word("CarbonCredits", slot) & ~(0xFFFF << 144)
    scene.store("CarbonCredits", slot, word | 1_000 << 144)
    about(scene.breaks("L11"), "counters out of bounds")


def test_a_class_that_was_never_created_is_no_place_for_credits(scene: Scene) -> None:
    fresh: list[tuple[CreditClass, Interval]] = scene.fresh_lots()
    wallet = scene.history.wallets[0].address
    other = scene.history.wallets[1].address
    unknown = int(fresh[0][0].token_id)
    (slot,) = scene.slots("CarbonCredits", "balanceOf", wallet, unknown)
    scene.store("CarbonCredits", slot, 50)
    scene.send(
        scene.history.wallets[0], "CarbonCredits", calls.transfer(wallet, other, unknown, 50)
    )
    about(scene.breaks("L1"), "no such class exists")
