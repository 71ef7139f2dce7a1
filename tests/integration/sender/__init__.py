"""The sender against ordinary and hostile receivers on real loopback sockets, on both event loops it may run on."""
