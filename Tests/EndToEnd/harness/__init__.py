"""What the end-to-end tests are made of: the gateway as a process, a recording origin, raw clients."""
