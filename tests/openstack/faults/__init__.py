"""Deaths, lost answers, stuck balancers, many Services at once: half of the time, on services of their own."""
