"""The API keeps what its OpenAPI schema promises, whatever is asked: schemathesis decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from eth_utils.address import to_checksum_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backend.api.app import create_app
from backend.store.database import Database
from tests.api.conftest import ALONE, World, serving

pytestmark = pytest.mark.integration

schemathesis.openapi.format(
    "evm-address",
    st.binary(min_size=20, max_size=20).map(lambda raw: to_checksum_address("0x" + raw.hex())),
)


@pytest.fixture(scope="session")
def promised(world: World) -> Iterator[BaseSchema]:
    app = create_app(ALONE, database=world.database)
    # Hundreds of reads ask for chain blocks that never come.
    app.state.services.longest_wait_seconds = 0.0
    with serving(app) as url:
        yield schemathesis.openapi.from_url(
            f"{url}/openapi.json", config=SchemathesisConfig.from_dict({})
        )


# Nothing connects before the first query: the schema alone is asked for here.
_SCHEMA = create_app(ALONE, database=Database("postgresql://nobody@127.0.0.1:1/none")).openapi()
_OPERATIONS = sorted(
    (path, method.upper()) for path, methods in _SCHEMA["paths"].items() for method in methods
)
# Nothing in these can be wrong but a session, which is missing anyway.
_PLAIN = {"/v1/health", "/v1/session/nonce", "/v1/programmes", "/v1/trust-accounts"}
_PLAIN_READS = {
    ("/v1/session", "GET"),
    ("/v1/session", "DELETE"),
    ("/v1/webhooks", "GET"),
    ("/v1/operator/person", "GET"),
    ("/v1/operator/drafts", "GET"),
}

_ASKED = [(*operation, GenerationMode.POSITIVE) for operation in _OPERATIONS]
_ASKED += [
    (path, method, GenerationMode.NEGATIVE)
    for path, method in _OPERATIONS
    if path not in _PLAIN and (path, method) not in _PLAIN_READS
]


@pytest.mark.parametrize(("path", "method", "mode"), _ASKED)
def test_every_answer_is_what_the_schema_says(
    promised: BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    operation = promised[path][method]
    # No schema can say what is signed: writes must refuse such data well, not accept it. And here
    # is no leader, which a 503 rightly says.
    unfair = [positive_data_acceptance, not_a_server_error] if method == "POST" else []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Case) -> None:
        if mode is GenerationMode.POSITIVE and case.query:
            # Opaque: no schema can say which cursors this service handed out.
            case.query.pop("cursor", None)
        case.call_and_validate(excluded_checks=unfair)

    check()
