"""The first schema: registry exports, trust, outgoing transactions, the chain's read models."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """

CREATE TABLE approvals (
    subject TEXT COLLATE "C" NOT NULL,
    signer TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    signature BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_approvals PRIMARY KEY (subject, signer)
);

CREATE TABLE balance_changes (
    account TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    kilograms BIGINT NOT NULL,
    retired BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    CONSTRAINT pk_balance_changes PRIMARY KEY (block_number, log_index, ordinal)
);
CREATE INDEX ix_balance_changes_account ON balance_changes (account, block_number, log_index);

CREATE TABLE balances (
    account TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    kilograms BIGINT NOT NULL,
    retired BIGINT NOT NULL,
    CONSTRAINT pk_balances PRIMARY KEY (account, class_id)
);
CREATE INDEX ix_balances_class ON balances (class_id);

CREATE TABLE certificate_details (
    certificate_id NUMERIC(78, 0) NOT NULL,
    beneficiary TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    instruction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_certificate_details PRIMARY KEY (certificate_id)
);

CREATE TABLE certificates (
    certificate_id NUMERIC(78, 0) NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    operator TEXT COLLATE "C" NOT NULL,
    kilograms BIGINT NOT NULL,
    exited BIGINT NOT NULL,
    open_tonne BIGINT NOT NULL,
    dust INTEGER NOT NULL,
    details_hash TEXT COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_certificates PRIMARY KEY (certificate_id)
);
CREATE INDEX ix_certificates_class ON certificates (class_id, exited);
CREATE INDEX ix_certificates_holder ON certificates (holder);
CREATE INDEX ix_certificates_order ON certificates (block_number, log_index);
CREATE INDEX ix_certificates_owner ON certificates (owner);
CREATE INDEX ix_certificates_transaction_hash ON certificates (transaction_hash);

CREATE TABLE chain_blocks (
    number BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    parent_hash TEXT COLLATE "C" NOT NULL,
    timestamp BIGINT NOT NULL,
    receipts_root TEXT COLLATE "C" NOT NULL,
    transactions INTEGER NOT NULL,
    base_fee NUMERIC(78, 0),
    CONSTRAINT pk_chain_blocks PRIMARY KEY (number)
);

CREATE TABLE chain_events (
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    block_hash TEXT COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    transaction_index INTEGER NOT NULL,
    contract TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    args JSONB NOT NULL,
    CONSTRAINT pk_chain_events PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_chain_events_name ON chain_events (contract, name, block_number, log_index);
CREATE INDEX ix_chain_events_transaction_hash ON chain_events (transaction_hash);

CREATE TABLE chain_state (
    id INTEGER NOT NULL,
    chain_id BIGINT NOT NULL,
    deployment JSONB NOT NULL,
    indexed_number BIGINT NOT NULL,
    indexed_hash TEXT COLLATE "C",
    durable_number BIGINT,
    epoch BIGINT DEFAULT '0' NOT NULL,
    instance TEXT COLLATE "C",
    CONSTRAINT pk_chain_state PRIMARY KEY (id)
);

CREATE TABLE chain_transactions (
    block_number BIGINT NOT NULL,
    index INTEGER NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    raw BYTEA NOT NULL,
    CONSTRAINT pk_chain_transactions PRIMARY KEY (block_number, index)
);
CREATE INDEX ix_chain_transactions_hash ON chain_transactions (hash);

CREATE TABLE class_facts (
    class_id NUMERIC(78, 0) NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    as_of BIGINT NOT NULL,
    vocabulary TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_class_facts PRIMARY KEY (class_id, block_number, log_index)
);

CREATE TABLE classes (
    class_id NUMERIC(78, 0) NOT NULL,
    number INTEGER NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    unit_type INTEGER NOT NULL,
    vintage_start DATE NOT NULL,
    vintage_end DATE NOT NULL,
    cohort_hashes TEXT[] COLLATE "C" NOT NULL,
    cohort TEXT[] COLLATE "C",
    project_hash TEXT COLLATE "C" NOT NULL,
    vintage_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_classes PRIMARY KEY (class_id),
    CONSTRAINT uq_classes_number UNIQUE (number)
);
CREATE INDEX ix_classes_project ON classes (programme, project, vintage_start);

CREATE TABLE confirmations (
    id TEXT COLLATE "C" NOT NULL,
    chain_id BIGINT NOT NULL,
    trust TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    registry_date BIGINT NOT NULL,
    content JSONB NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    transaction_key TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_confirmations PRIMARY KEY (id)
);
CREATE INDEX ix_confirmations_class_id ON confirmations (class_id);
CREATE INDEX ix_confirmations_state ON confirmations (state);

CREATE TABLE exchanges (
    class_id NUMERIC(78, 0) NOT NULL,
    position BIGINT NOT NULL,
    counterpart BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_exchanges PRIMARY KEY (class_id, block_number, log_index)
);

CREATE TABLE imports (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    imported_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    file_name TEXT COLLATE "C" NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    layout TEXT COLLATE "C" NOT NULL,
    rows INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    report JSONB NOT NULL,
    CONSTRAINT pk_imports PRIMARY KEY (id),
    CONSTRAINT uq_imports_sha256 UNIQUE (sha256)
);

CREATE TABLE legal_orders (
    order_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    detail JSONB NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_legal_orders PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_legal_orders_account ON legal_orders (account);
CREATE INDEX ix_legal_orders_order_id ON legal_orders (order_id);

CREATE TABLE participant_changes (
    account TEXT COLLATE "C" NOT NULL,
    tier INTEGER NOT NULL,
    jurisdiction TEXT COLLATE "C" NOT NULL,
    expiry BIGINT NOT NULL,
    frozen BOOLEAN NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_participant_changes PRIMARY KEY (account, block_number, log_index)
);

CREATE TABLE position_changes (
    class_id NUMERIC(78, 0) NOT NULL,
    minted BIGINT NOT NULL,
    exited BIGINT NOT NULL,
    open_tonne BIGINT NOT NULL,
    dust INTEGER NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_position_changes PRIMARY KEY (class_id, block_number, log_index)
);

CREATE TABLE receipts (
    id TEXT COLLATE "C" NOT NULL,
    chain_id BIGINT NOT NULL,
    trust TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    credit_class JSONB NOT NULL,
    recipient TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    tonnes BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    evidence_hash TEXT COLLATE "C" NOT NULL,
    terms_hash TEXT COLLATE "C" NOT NULL,
    content JSONB NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    transaction_key TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_receipts PRIMARY KEY (id)
);
CREATE INDEX ix_receipts_class_id ON receipts (class_id);
CREATE INDEX ix_receipts_state ON receipts (state);

CREATE TABLE receipts_cancelled (
    receipt_id TEXT COLLATE "C" NOT NULL,
    signer TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_receipts_cancelled PRIMARY KEY (receipt_id, block_number, log_index)
);

CREATE TABLE receipts_minted (
    receipt_id TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    recipient TEXT COLLATE "C" NOT NULL,
    tonnes BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    evidence_hash TEXT COLLATE "C" NOT NULL,
    terms_hash TEXT COLLATE "C" NOT NULL,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_receipts_minted PRIMARY KEY (receipt_id)
);
CREATE INDEX ix_receipts_minted_class_id ON receipts_minted (class_id);

CREATE TABLE registry_blocks (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    series_id INTEGER NOT NULL,
    block INT8RANGE NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    project_name TEXT COLLATE "C" NOT NULL,
    vintage_start DATE NOT NULL,
    vintage_end DATE NOT NULL,
    batch BIGINT,
    status TEXT COLLATE "C" NOT NULL,
    cohort TEXT[] COLLATE "C",
    vocabulary TEXT COLLATE "C" NOT NULL,
    labels TEXT[] COLLATE "C" NOT NULL,
    unmapped TEXT[] COLLATE "C" NOT NULL,
    facts JSONB NOT NULL,
    source JSONB NOT NULL,
    first_import BIGINT NOT NULL,
    last_import BIGINT NOT NULL,
    CONSTRAINT pk_registry_blocks PRIMARY KEY (id)
);
CREATE INDEX ix_registry_blocks_first ON registry_blocks (series_id, kind, lower(block));
CREATE INDEX ix_registry_blocks_project ON registry_blocks (programme, project, vintage_start);

CREATE TABLE registry_confirmations (
    confirmation_id TEXT COLLATE "C" NOT NULL,
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    actual JSONB NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    registry_date BIGINT NOT NULL,
    evidence_hash TEXT COLLATE "C" NOT NULL,
    signers TEXT[] COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_registry_confirmations PRIMARY KEY (confirmation_id)
);
CREATE INDEX ix_registry_confirmations_class ON registry_confirmations (class_id, first_position);

CREATE TABLE series (
    id INTEGER GENERATED BY DEFAULT AS IDENTITY,
    name TEXT COLLATE "C" NOT NULL,
    programme TEXT COLLATE "C" NOT NULL,
    codes BIGINT[] NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    CONSTRAINT pk_series PRIMARY KEY (id),
    CONSTRAINT uq_series_name UNIQUE (name),
    CONSTRAINT uq_series_hash UNIQUE (hash)
);

CREATE TABLE transactions (
    key TEXT COLLATE "C" NOT NULL,
    chain_id BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    nonce BIGINT NOT NULL,
    "to" TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL,
    gas BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    block_number BIGINT,
    block_hash TEXT COLLATE "C",
    transaction_hash TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_transactions PRIMARY KEY (key),
    CONSTRAINT uq_transactions_chain_id_account_nonce UNIQUE (chain_id, account, nonce)
);
CREATE INDEX ix_transactions_open ON transactions (chain_id, state, account, nonce);

CREATE TABLE class_blocks (
    class_id NUMERIC(78, 0) NOT NULL,
    first_position BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    series_hash TEXT COLLATE "C" NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    receipt_id TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_class_blocks PRIMARY KEY (class_id, first_position),
    CONSTRAINT fk_class_blocks_series_id FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE INDEX ix_class_blocks_receipt_id ON class_blocks (receipt_id);
CREATE INDEX ix_class_blocks_serials ON class_blocks (series_id, first);

CREATE TABLE contradictions (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    import_id BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    detail JSONB NOT NULL,
    found_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_contradictions PRIMARY KEY (id),
    CONSTRAINT fk_contradictions_import_id FOREIGN KEY(import_id) REFERENCES imports (id),
    CONSTRAINT fk_contradictions_series_id FOREIGN KEY(series_id) REFERENCES series (id)
);
CREATE INDEX ix_contradictions_import_id ON contradictions (import_id);

CREATE TABLE custody_blocks (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    series_id INTEGER NOT NULL,
    block INT8RANGE NOT NULL,
    receipt_id TEXT COLLATE "C" NOT NULL,
    ordinal INTEGER NOT NULL,
    CONSTRAINT pk_custody_blocks PRIMARY KEY (id),
    CONSTRAINT no_serial_in_two_receipts
        EXCLUDE USING gist (int4range(series_id, series_id, '[]') WITH =, block WITH &&),
    CONSTRAINT fk_custody_blocks_series_id FOREIGN KEY(series_id) REFERENCES series (id),
    CONSTRAINT fk_custody_blocks_receipt_id
        FOREIGN KEY(receipt_id) REFERENCES receipts (id) ON DELETE CASCADE
);
CREATE INDEX ix_custody_blocks_receipt_id ON custody_blocks (receipt_id);

CREATE TABLE registry_block_history (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    registry_block_id BIGINT NOT NULL,
    import_id BIGINT NOT NULL,
    change TEXT COLLATE "C" NOT NULL,
    before JSONB,
    after JSONB,
    CONSTRAINT pk_registry_block_history PRIMARY KEY (id),
    CONSTRAINT fk_registry_block_history_import_id FOREIGN KEY(import_id) REFERENCES imports (id)
);
CREATE INDEX ix_registry_block_history_import_id ON registry_block_history (import_id);
CREATE INDEX ix_registry_block_history_registry_block_id
    ON registry_block_history (registry_block_id);

CREATE TABLE transaction_attempts (
    key TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    raw BYTEA NOT NULL,
    max_fee_per_gas NUMERIC(78, 0) NOT NULL,
    max_priority_fee_per_gas NUMERIC(78, 0) NOT NULL,
    signed_at BIGINT NOT NULL,
    CONSTRAINT pk_transaction_attempts PRIMARY KEY (hash),
    CONSTRAINT fk_transaction_attempts_key
        FOREIGN KEY(key) REFERENCES transactions (key) ON DELETE CASCADE
);
CREATE INDEX ix_transaction_attempts_key ON transaction_attempts (key);
"""


def upgrade() -> None:
    """Create every table; statements are told apart by the semicolon at a line's end."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
