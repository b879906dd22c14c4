"""What a registry answers to the retirement that a flow asked for: waited for, tried again, or a
break; every flow of retirements hears it alike.
"""

from __future__ import annotations

from backend.bridge.parts import POLL_SECONDS, Parts
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import RetirementRequest
from backend.store.flows import Flow

#: A registry that refuses so often is not asked by a machine again.
MAX_REFUSALS = 3


def hear(parts: Parts, flow: Flow) -> Answer | None:
    """The final answer to the flow's request; None when it has to wait, or ended as a break."""
    held = parts.requests.get(str(flow.content["reference"]))
    assert isinstance(held.request, RetirementRequest)
    answer = held.answer
    if answer is None or not answer.state.is_final:
        account = parts.holdings.by_text(str(held.request.account))
        followed = parts.requests.hear(account.client.retire(held.request), flow.class_id)
        if followed.stops:
            parts.broken(flow, "; ".join(one.detail for one in followed.breaks))
            return None
        answer = followed.answer
    if answer.state.is_final:
        return answer
    if answer.state is AnswerState.UNKNOWN:
        parts.flows.retry(flow, answer.reason or "the registry's answer is not known")
    else:
        parts.flows.wait(flow, POLL_SECONDS, "the registry has not done it yet")
    return None


def ask_again(parts: Parts, flow: Flow, answer: Answer) -> bool:
    """Refused, nothing happened there: asked anew with a reference of its own, unless it was so
    often that a machine does not; whether it is.
    """
    attempt = int(flow.content.get("attempt", 1))
    if attempt >= MAX_REFUSALS:
        return False
    content = {**flow.content, "attempt": attempt + 1}
    reason = answer.reason or "the registry refused"
    pause = POLL_SECONDS * attempt
    parts.flows.move(flow, "planned", content=content, wait=pause, reason=reason)
    return True
