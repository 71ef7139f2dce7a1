"""``python -m monitor.settings`` prints docs/CONFIGURATION.md."""

from monitor.settings.document import document

print(document(), end="")
