"""The answers of receivers in answers.json, on real sockets, whole and in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.adapters.egress.sender import HttpSender
from tests.integration.sender.support import LOCAL
from tests.integration.sender.test_listed_answers import check_answer
from tests.security.lists import id_of, read


@pytest.mark.attacks("answers.json, on sockets")
@pytest.mark.parametrize("case", read("answers.json")["cases"], ids=id_of)
async def test_an_answer_gets_its_verdict(case: dict[str, Any]) -> None:
    async with HttpSender(LOCAL) as sender:
        for seed in (None, 1, 2):
            await check_answer(sender, case, seed)
