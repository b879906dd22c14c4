"""What the chain says of backing: register, settlements, reserve, deliveries, gaps, events."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE serials_registered (
    series_id INTEGER NOT NULL,
    series_hash TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_serials_registered PRIMARY KEY (block_number, log_index),
    CONSTRAINT fk_serials_registered_series_id FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE INDEX ix_serials_registered_serials ON serials_registered (series_id, first);

CREATE TABLE serials_released (
    series_id INTEGER NOT NULL,
    series_hash TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_serials_released PRIMARY KEY (block_number, log_index),
    CONSTRAINT fk_serials_released_series_id FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE INDEX ix_serials_released_serials ON serials_released (series_id, first);

CREATE TABLE rebinds (
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    series_hash TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_rebinds PRIMARY KEY (block_number, log_index),
    CONSTRAINT fk_rebinds_series_id FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE INDEX ix_rebinds_class ON rebinds (class_id);
CREATE INDEX ix_rebinds_serials ON rebinds (series_id, first);

CREATE TABLE settled_positions (
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_settled_positions PRIMARY KEY (class_id, first_position)
);

CREATE TABLE registry_failures (
    failure_id TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    registry_date BIGINT NOT NULL,
    evidence_hash TEXT COLLATE "C" NOT NULL,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_registry_failures PRIMARY KEY (failure_id)
);
CREATE INDEX ix_registry_failures_class ON registry_failures (class_id, first_position);

CREATE TABLE made_good (
    made_good_id TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    substitute_class NUMERIC(78, 0) NOT NULL,
    substitutes JSONB NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    registry_date BIGINT NOT NULL,
    evidence_hash TEXT COLLATE "C" NOT NULL,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_made_good PRIMARY KEY (made_good_id)
);
CREATE INDEX ix_made_good_class ON made_good (class_id, first_position);

CREATE TABLE reserves_reported (
    sequence BIGINT NOT NULL,
    report_id TEXT COLLATE "C" NOT NULL,
    as_of BIGINT NOT NULL,
    chain_block BIGINT NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    tonnes BIGINT NOT NULL,
    liabilities_root TEXT COLLATE "C" NOT NULL,
    liabilities_kilograms NUMERIC(78, 0) NOT NULL,
    evidence_hash TEXT COLLATE "C" NOT NULL,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_reserves_reported PRIMARY KEY (sequence),
    CONSTRAINT uq_reserves_reported_report_id UNIQUE (report_id)
);

CREATE TABLE deliveries (
    delivery_id BIGINT NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    series_id INTEGER NOT NULL,
    series_hash TEXT COLLATE "C" NOT NULL,
    first_serial BIGINT NOT NULL,
    registry_account TEXT COLLATE "C" NOT NULL,
    deadline BIGINT NOT NULL,
    fee_asset TEXT COLLATE "C" NOT NULL,
    fee NUMERIC(78, 0) NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_deliveries PRIMARY KEY (delivery_id),
    CONSTRAINT fk_deliveries_series_id FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE INDEX ix_deliveries_class ON deliveries (class_id, first_position);
CREATE INDEX ix_deliveries_holder ON deliveries (holder);
CREATE INDEX ix_deliveries_order ON deliveries (block_number, log_index);

CREATE TABLE delivery_changes (
    delivery_id BIGINT NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    custodian TEXT COLLATE "C",
    reference TEXT COLLATE "C",
    expires_at BIGINT,
    second_deadline BIGINT,
    registry_date BIGINT,
    reason TEXT COLLATE "C",
    evidence_hash TEXT COLLATE "C",
    first_position BIGINT,
    disputed BOOLEAN,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_delivery_changes PRIMARY KEY (delivery_id, block_number, log_index)
);

CREATE TABLE programme_events (
    event_id TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    first_position BIGINT,
    tonnes BIGINT,
    subject TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    as_of BIGINT,
    evidence_hash TEXT COLLATE "C",
    detail JSONB NOT NULL,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_programme_events PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_programme_events_class ON programme_events (class_id, block_number, log_index);
CREATE INDEX ix_programme_events_event_id ON programme_events (event_id);

CREATE TABLE gap_changes (
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    kind SMALLINT,
    new_position BIGINT,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_gap_changes PRIMARY KEY (class_id, block_number, log_index)
);

CREATE TABLE conversions (
    conversion_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    from_class NUMERIC(78, 0) NOT NULL,
    to_class NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    new_position BIGINT NOT NULL,
    root TEXT COLLATE "C" NOT NULL,
    chain_block BIGINT NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_conversions PRIMARY KEY (conversion_id)
);
CREATE INDEX ix_conversions_from_class ON conversions (from_class);
CREATE INDEX ix_conversions_to_class ON conversions (to_class);

CREATE TABLE conversion_claims (
    conversion_id TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    kilograms BIGINT NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_conversion_claims PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_conversion_claims_conversion ON conversion_claims (conversion_id);
CREATE INDEX ix_conversion_claims_holder ON conversion_claims (holder);

CREATE TABLE class_exits (
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_class_exits PRIMARY KEY (class_id, block_number, log_index)
);

CREATE TABLE class_flags (
    class_id NUMERIC(78, 0) NOT NULL,
    flags SMALLINT NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_class_flags PRIMARY KEY (class_id, block_number, log_index)
);
"""
#: Every block that was indexed before this came by a receipt.
BLOCKS = """
ALTER TABLE class_blocks ADD COLUMN source TEXT COLLATE "C";
UPDATE class_blocks SET source = receipt_id;
ALTER TABLE class_blocks ALTER COLUMN source SET NOT NULL;
CREATE INDEX ix_class_blocks_range ON class_blocks USING gist
    (int4range(series_id, series_id, '[]'), int8range(first, last, '[]'));
"""


def upgrade() -> None:
    """Create the tables; blocks say what appended them."""
    op.execute(TABLES)
    op.execute(BLOCKS)
