"""
E-mail to the recipients of ``mailto:`` webhooks, by the SMTP server of the settings.

``message`` writes the mail, ``session`` is a connection to the server, ``sender`` makes the transaction and returns its
outcome.
"""

from monitor.adapters.smtp.sender import SmtpSender
from monitor.adapters.smtp.session import SmtpServer

__all__ = ["SmtpSender", "SmtpServer"]
