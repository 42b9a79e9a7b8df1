# The flow compiler: pure (see build-aux/check-layers).
