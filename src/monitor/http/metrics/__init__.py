"""Metrics of the processes behind one socket, counted together."""

from monitor.http.metrics.group import GroupMetrics, processes
from monitor.http.metrics.memory import SharedMemory, make_files
from monitor.http.metrics.request_times import RequestTimes, request_metric

__all__ = ["GroupMetrics", "RequestTimes", "SharedMemory", "make_files", "processes", "request_metric"]
