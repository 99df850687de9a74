"""Real faults for the tests: what is cut, killed, stopped or made to fail here is the running program itself."""
