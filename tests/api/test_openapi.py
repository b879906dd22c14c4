"""The API keeps what its OpenAPI schema promises, whatever is asked: schemathesis decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from eth_utils.address import to_checksum_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

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
_PATHS = sorted(
    create_app(ALONE, database=Database("postgresql://nobody@127.0.0.1:1/none")).openapi()["paths"]
)


_ASKED = [(path, GenerationMode.POSITIVE) for path in _PATHS]
# Health has no parameter that could be wrong.
_ASKED += [(path, GenerationMode.NEGATIVE) for path in _PATHS if path != "/v1/health"]


@pytest.mark.parametrize(("path", "mode"), _ASKED)
def test_every_answer_is_what_the_schema_says(
    promised: BaseSchema, path: str, mode: GenerationMode
) -> None:
    operation = promised[path]["GET"]

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
        case.call_and_validate()

    check()
