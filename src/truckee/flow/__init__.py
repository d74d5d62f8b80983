"""How bytes wait for each other: backpressure, bounds, worker threads, spools."""
