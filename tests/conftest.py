"""What all tests rely on."""

import signal

# A shell that runs something in the background has it ignore ^C, and its children with it: tests of ^C send one.
signal.signal(signal.SIGINT, signal.default_int_handler)
