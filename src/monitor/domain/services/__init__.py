"""The shell's choreography: begin, call a pure function, write, commit. The only async code in the domain."""
