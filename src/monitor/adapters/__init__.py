"""Technology behind the ports of ``monitor.domain``."""
