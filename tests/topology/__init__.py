"""The whole of an installation beyond one machine, by Debian's programs."""
