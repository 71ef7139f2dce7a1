"""The shell's choreography: begin, ask a pure function, write, commit. The only async code in the domain."""
