"""One hypothesis strategy per domain struct, named like it in the plural, and the values they are made of."""

from tests.strategies.alerts import *  # noqa: F403
from tests.strategies.delivery import *  # noqa: F403
from tests.strategies.values import *  # noqa: F403
