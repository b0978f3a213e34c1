"""Protocol of the task-learners: how they adapt, and which message they send.

Data flows from `kinds`, the messages by name, to `learner`, which declares one with the inner
loop, to `optimizer` and `adaptation`, the steps, to `messages`, the numbers that are sent.
"""

from mamljax.protocol.kinds import SENDS, Custom, ImplicitMAML, Kind
from mamljax.protocol.learner import Learner

__all__ = ['SENDS', 'Custom', 'ImplicitMAML', 'Kind', 'Learner']
