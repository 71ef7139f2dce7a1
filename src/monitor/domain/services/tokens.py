"""Revocation of tokens, and the audit rows of those that Monitor's own commands issue."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.domain.errors import FieldError, Invalid
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.views.tokens import Revocation
from monitor.domain.vocab import Actor, Role


class TokenCommands:
    """
    Commands on tokens. Each writes one audit row in its transaction.

    Args:
        kept_s: how long a revocation is kept: as long as any token can be valid, since the token is not at hand.
    """

    def __init__(self, unit_of_work: UnitOfWorkFactory, *, kept_s: float) -> None:
        self._unit_of_work = unit_of_work
        self._kept_s = kept_s

    async def revoke(self, jti: str, actor: Actor) -> Revocation:
        """
        Have every process refuse the token *jti* and close its sockets, within seconds. Safe to repeat.

        Raises:
            Invalid: no token has such a ``jti``.
        """
        if not jti.isprintable():
            raise Invalid("No token has such a jti.", errors=(FieldError("/jti", "Use printable characters only."),))
        async with self._unit_of_work() as uow:
            wanted = Revocation(jti, uow.now, uow.now + timedelta(seconds=self._kept_s))
            stored = await uow.revocations.add(wanted)
            if stored == wanted:
                after = {"expires_at": stored.expires_at}
                await uow.audit.add(actor, "token.revoke", f"token:{jti}", before=None, after=after)
                await uow.commit()
        return stored

    async def record_issue(self, jti: str, *, subject: str, role: Role, expires_at: datetime, actor: Actor) -> None:
        """Write the audit row of a token that was signed for *subject*."""
        async with self._unit_of_work() as uow:
            after = {"subject": subject, "role": role, "expires_at": expires_at}
            await uow.audit.add(actor, "token.issue", f"token:{jti}", before=None, after=after)
            await uow.commit()
