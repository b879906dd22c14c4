"""Sessions of the API by hash of their token, and the secret behind its sign-in nonces."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """

CREATE TABLE api_secrets (
    name TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL,
    CONSTRAINT pk_api_secrets PRIMARY KEY (name)
);

CREATE TABLE api_sessions (
    token_hash BYTEA NOT NULL,
    nonce TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    kept_until BIGINT NOT NULL,
    CONSTRAINT pk_api_sessions PRIMARY KEY (token_hash),
    CONSTRAINT uq_api_sessions_nonce UNIQUE (nonce)
);
CREATE INDEX ix_api_sessions_kept_until ON api_sessions (kept_until)
"""


def upgrade() -> None:
    """Create both; statements are told apart by the semicolon at a line's end."""
    for statement in TABLES.split(";\n"):
        op.execute(statement)
